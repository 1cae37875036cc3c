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
	"github.com/prometheus/client_golang/prometheus/testutil"

	"freeflow/billing"
	"freeflow/internal/clock"
	"freeflow/internal/kafka"
	"freeflow/rsu"
	"freeflow/tolling/passage"
	"freeflow/tolling/registry"
	"freeflow/tolling/tariff"
)

// bench is one matcher over a model of the books, fed batch by batch.
type bench struct {
	t        *testing.T
	config   Config
	books    *modelBooks
	store    *passage.Memory
	rejected []rsu.Rejected
	records  []kafka.Record
}

func newBench(t *testing.T) *bench {
	t.Helper()
	network, err := tariff.Open("hongkong")
	if err != nil {
		t.Fatal(err)
	}
	assignments, err := registry.Parse(strings.NewReader("account,plate,class,tag,from,to,exempt\n"+taxi), network.KnowsClass)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, books: newModelBooks(), store: passage.NewMemory()}
	current := registry.NewCurrent()
	current.Set(registry.New(assignments))
	b.config = Config{
		Network: network, Registry: current, Books: b.books, Open: b.store, Rejects: b,
		Clock: clock.At(noon.Add(24 * time.Hour)), Logger: slog.New(slog.DiscardHandler),
		Metrics: NewMetrics(prometheus.NewRegistry()), Owner: "bench",
	}
	return b
}

var noon = time.Date(2026, 3, 2, 4, 0, 0, 0, time.UTC) // a Monday, 12:00 in Hong Kong

func (b *bench) Reject(_ context.Context, rejected []rsu.Rejected) error {
	b.rejected = append(b.rejected, rejected...)
	return nil
}

// feed serves one batch in a session of its own.
func (b *bench) feed(values ...[]byte) {
	b.t.Helper()
	from := len(b.records)
	for _, value := range values {
		b.records = append(b.records, kafka.Record{Offset: int64(len(b.records)), Value: value})
	}
	err := New(b.config).Serve(b.t.Context(), &batches{all: b.records, sizes: []int{len(b.records) - from}})
	if !errors.Is(err, io.EOF) {
		b.t.Fatal(err)
	}
}

// batches is a log that gives batches of stated sizes, then ends.
type batches struct {
	all   []kafka.Record
	sizes []int
	at    int64
}

func (l *batches) Partition() int            { return 0 }
func (l *batches) SeekTo(offset int64) error { l.at = offset; return nil }
func (l *batches) Commit(int64) error        { return nil }
func (l *batches) Bounds(context.Context) (oldest, next int64, err error) {
	return 0, int64(len(l.all)), nil
}

func (l *batches) Fetch(context.Context, int) ([]kafka.Record, int64, error) {
	if len(l.sizes) == 0 {
		return nil, 0, io.EOF
	}
	n := int64(l.sizes[0])
	l.sizes = l.sizes[1:]
	l.at += n
	return l.all[l.at-n : l.at], l.at, nil
}

// plate is a read of a plate at CHT-N, so long after noon.
func plate(t *testing.T, name string, after time.Duration) []byte {
	t.Helper()
	return encode(t, rsu.Read{Unit: "CHT-N-1", Seq: uint64(after), TimeMicros: noon.Add(after).UnixMicro(), Plate: name})
}

func encode(t *testing.T, r rsu.Read) []byte {
	t.Helper()
	value, err := r.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func (b *bench) standing() []billing.Pass {
	var passes []billing.Pass
	for _, p := range b.books.passes {
		if p.MergedInto == "" {
			passes = append(passes, p)
		}
	}
	return passes
}

// taxi is the whole registry of a bench.
const taxi = "A,HK1,taxi,,2025-01-01T00:00:00Z,,\n"

// What cannot be read is set aside with the reason and does not hold up what
// stands behind it.
func TestUnreadableRecordsAreSetAside(t *testing.T) {
	b := newBench(t)
	nowhere := encode(t, rsu.Read{Unit: "NOWHERE", TimeMicros: noon.UnixMicro(), Plate: "HK1"})
	b.feed([]byte("garbage\xff"), nil, plate(t, "HK1", 0), nowhere)
	if len(b.rejected) != 3 {
		t.Fatalf("%d records set aside, want 3", len(b.rejected))
	}
	for i, words := range []string{"record 0 of partition 0", "record 1 of partition 0", "NOWHERE"} {
		if !strings.Contains(b.rejected[i].Reason, words) || b.rejected[i].Source != rsu.SourceMatcher {
			t.Errorf("reason %q, want %q in it", b.rejected[i].Reason, words)
		}
	}
	raw, err := b.rejected[2].Raw()
	if err != nil || raw != string(nowhere) {
		t.Errorf("what was set aside is not what came: %v", err)
	}
	if passes := b.standing(); len(passes) != 1 || b.books.progress[0].NextOffset != 4 {
		t.Errorf("%d passes, progress %+v", len(passes), b.books.progress[0])
	}
}

// A late batch that makes an earlier pass and bridges it to one already charged
// amends what was charged: the same pass, no second charge, no reversal.
func TestLateReadsAmendWhatWasCharged(t *testing.T) {
	b := newBench(t)
	b.feed(plate(t, "HK1", 0))
	charged := b.standing()[0]
	b.feed(plate(t, "HK1", -100*time.Second), plate(t, "HK1", -50*time.Second))
	passes := b.standing()
	if len(passes) != 1 || len(b.books.passes) != 1 {
		t.Fatalf("%d standing of %d passes, want the one", len(passes), len(b.books.passes))
	}
	p := passes[0]
	if p.ID != charged.ID || p.Revision != 2 || p.AmountCents != charged.AmountCents ||
		p.FirstMicros != noon.Add(-100*time.Second).UnixMicro() || p.LastMicros != charged.LastMicros {
		t.Errorf("amended to %+v", p)
	}
}

// A session that ends in good order hands the open passes over: the next one
// does not ask the books. One that finds nothing does.
func TestOpenPassesAreHandedOver(t *testing.T) {
	b := newBench(t)
	b.feed(plate(t, "HK1", 0), plate(t, "HK2", 0))
	asked := testutil.ToFloat64(b.config.Metrics.Windows)
	b.feed(plate(t, "HK1", 20*time.Second))
	if again := testutil.ToFloat64(b.config.Metrics.Windows); again != asked {
		t.Errorf("the books were asked for %v vehicles after a hand-over", again-asked)
	}
	b.config.Open = passage.NewMemory() // forgotten
	b.feed(plate(t, "HK1", 40*time.Second))
	if again := testutil.ToFloat64(b.config.Metrics.Windows); again == asked {
		t.Error("the books were not asked although nothing was held")
	}
	for _, p := range b.standing() {
		if p.Vehicle == "HK1" && p.LastMicros != noon.Add(40*time.Second).UnixMicro() {
			t.Errorf("HK1's pass ends at %v", time.UnixMicro(p.LastMicros).UTC())
		}
	}
	if n := len(b.standing()); n != 2 {
		t.Errorf("%d passes, want 2", n)
	}
}

// What is held is bounded by time: old records are dropped.
func TestOldRecordsAreDropped(t *testing.T) {
	b := newBench(t)
	for i := range 200 {
		b.feed(plate(t, fmt.Sprintf("V%d", i), time.Duration(i)*10*time.Second))
	}
	held := 0
	stamp := passage.Stamp{Books: b.books.ID(), Offset: 200, Owner: "bench"}
	if err := b.store.Keys(t.Context(), 0, stamp, func(passage.Item) { held++ }); err != nil {
		t.Fatal(err)
	}
	// 150 s are held, a vehicle every 10 s, and what is due in the next call.
	if held < 15 || held > 25 {
		t.Errorf("%d records are held", held)
	}
}

// A log that ends before the books do is another log, or a damaged one; to go
// on would skip reads.
func TestAnotherLogIsRefused(t *testing.T) {
	b := newBench(t)
	b.feed(plate(t, "HK1", 0), plate(t, "HK1", time.Second))
	err := New(b.config).Serve(t.Context(), &batches{all: b.records[:1], sizes: []int{1}})
	if err == nil || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "another log") {
		t.Errorf("got %v", err)
	}
}

// The archive gives the reads of a pass back, each once and in order.
func TestReadsOfAPass(t *testing.T) {
	b := newBench(t)
	b.feed(plate(t, "HK1", 2*time.Second), plate(t, "HK1", 0), plate(t, "HK2", time.Second))
	b.feed(plate(t, "HK1", 2*time.Second), plate(t, "HK1", 500*time.Second))
	var pass billing.Pass
	for _, p := range b.standing() {
		if p.Vehicle == "HK1" && p.FirstMicros == noon.UnixMicro() {
			pass = p
		}
	}
	reads, err := ReadsOf(t.Context(), b.books, b.config.Network, nil, pass)
	if err != nil {
		t.Fatal(err)
	}
	var times []int64
	for _, r := range reads {
		times = append(times, r.TimeMicros)
	}
	if want := []int64{noon.UnixMicro(), noon.Add(2 * time.Second).UnixMicro()}; !slices.Equal(times, want) {
		t.Errorf("reads at %v, want %v", times, want)
	}
}
