package matcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freeflow/internal/clock"
	"freeflow/internal/kafka"
	"freeflow/rsu"
	"freeflow/tolling/passage"
	"freeflow/tolling/registry"
	"freeflow/tolling/tariff"
)

// A pass owes the toll of its own toll point, and the toll points of one
// facility are opposite to each other also where they differ in toll or only
// one has any.
func TestEachDirectionOwesItsOwnToll(t *testing.T) {
	network, err := tariff.Open("taiwan")
	if err != nil {
		t.Fatal(err)
	}
	assignments, err := registry.Parse(strings.NewReader(
		"account,plate,class,tag,from,to,exempt\nA,AAA1111,car,,2020-01-01T00:00:00Z,,\nB,BBB2222,truck,,2020-01-01T00:00:00Z,,\nC,CCC3333,car,,2020-01-01T00:00:00Z,,\n"), network.KnowsClass)
	if err != nil {
		t.Fatal(err)
	}
	current := registry.NewCurrent()
	current.Set(registry.New(assignments))
	start := time.Date(2026, 3, 6, 0, 0, 0, 0, time.UTC)
	r := &rig{books: newModelBooks(), network: network}
	for i, pass := range []struct {
		plate, point string
		after        time.Duration
	}{
		{"AAA1111", "03F0201N", 0},
		{"AAA1111", "03F0201S", 119 * time.Second}, // turned round
		{"BBB2222", "03F0201N", 0},
		{"BBB2222", "03F0201S", 120 * time.Second}, // not so soon
		{"CCC3333", "01F0339N", 0},                 // no toll
		{"CCC3333", "01F0339S", 60 * time.Second},  // turned round
		{"CCC3333", "01F0339S", time.Hour},
	} {
		value, err := rsu.Read{Unit: pass.point + "-1", Seq: uint64(i + 1), Plate: pass.plate, TimeMicros: start.Add(pass.after).UnixMicro()}.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		r.records = append(r.records, kafka.Record{Offset: int64(i), Value: value})
	}
	r.matcher = New(Config{
		Network: network, Registry: current, Books: r.books, Open: passage.NewMemory(), Rejects: noRejects{t},
		Clock: clock.At(start.Add(2 * time.Hour)), Logger: slog.New(slog.DiscardHandler),
		Metrics: NewMetrics(prometheus.NewRegistry()), Owner: "rig",
	})
	if err := r.matcher.Serve(context.Background(), &wholeLog{records: r.records}); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	var got []string
	for _, p := range r.books.passes {
		got = append(got, fmt.Sprintf("%s %s %s %s %d %s", p.Vehicle, p.Facility, p.TollPoint, p.Status, p.AmountCents, p.Reasons))
	}
	slices.Sort(got)
	want := []string{
		"AAA1111 03F0201 03F0201N charged 520 ",
		"AAA1111 03F0201 03F0201S review 0 turn-round",
		"BBB2222 03F0201 03F0201N charged 660 ",
		"BBB2222 03F0201 03F0201S charged 700 ",
		"CCC3333 01F0339 01F0339N review 0 no-tariff",
		"CCC3333 01F0339 01F0339S charged 160 ",
		"CCC3333 01F0339 01F0339S review 0 turn-round",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// wholeLog is a log that gives all it has at once, and then ends.
type wholeLog struct {
	records []kafka.Record
	at      int64
}

func (l *wholeLog) Partition() int            { return 0 }
func (l *wholeLog) SeekTo(offset int64) error { l.at = offset; return nil }
func (l *wholeLog) Commit(int64) error        { return nil }
func (l *wholeLog) Bounds(context.Context) (int64, int64, error) {
	return 0, int64(len(l.records)), nil
}

func (l *wholeLog) Fetch(context.Context, int) ([]kafka.Record, int64, error) {
	rest := l.records[l.at:]
	if len(rest) == 0 {
		return nil, 0, io.EOF
	}
	l.at = int64(len(l.records))
	return rest, l.at, nil
}
