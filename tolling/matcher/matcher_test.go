package matcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"freeflow/billing"
	"freeflow/internal/clock"
	"freeflow/internal/kafka"
	"freeflow/loadtest/oracle"
	"freeflow/loadtest/traffic"
	"freeflow/rsu"
	"freeflow/tolling/passage"
	"freeflow/tolling/registry"
	"freeflow/tolling/tariff"
)

// The property of the whole: whatever the order, the repetitions, the batches
// and the faults, the books end with the passes that the oracle derives from
// the set of reads.
func TestMatcherAgreesWithTheOracle(t *testing.T) {
	seeds := 60
	if s := os.Getenv("FREEFLOW_SEEDS"); s != "" {
		var err error
		if seeds, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	first := uint64(1)
	if s := os.Getenv("FREEFLOW_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, seeds = seed, 1
	}
	var faults, lost int
	for seed := first; seed < first+uint64(seeds); seed++ {
		rig := newRig(t, seed)
		want, err := rig.judge.Compute(rig.oracleReads)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		rig.run(t)
		missing, extra := oracle.Difference(oracle.ChargesLines(want.Rows), rig.lines())
		if len(missing)+len(extra) > 0 {
			t.Fatalf("seed %d (run again with FREEFLOW_SEED=%d):\nmissing:\n%s\nextra:\n%s", seed, seed,
				strings.Join(missing, "\n"), strings.Join(extra, "\n"))
		}
		if len(want.Rows) == 0 {
			t.Fatalf("seed %d: no passes, nothing was tested", seed)
		}
		faults += rig.faults
		lost += rig.lost
	}
	if seeds > 10 && (faults == 0 || lost == 0) {
		t.Errorf("the faults did not happen: %d posting faults, %d lost stores", faults, lost)
	}
	t.Logf("%d seeds, %d faults in posting, %d lost stores", seeds, faults, lost)
}

// rig runs one adversarial stream through the matcher.
type rig struct {
	seed        uint64
	rng         *rand.Rand
	judge       *oracle.Judge
	oracleReads []oracle.Read
	records     []kafka.Record
	books       *modelBooks
	network     *tariff.Network
	matcher     *Matcher

	faults, lost int
}

func newRig(t *testing.T, seed uint64) *rig {
	t.Helper()
	r := &rig{seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), books: newModelBooks()}
	stream := traffic.Adversarial(seed, 150+r.rng.IntN(250))
	stream.Shuffle(r.rng)
	net, err := oracle.HongKong()
	if err != nil {
		t.Fatal(err)
	}
	rows, err := oracle.ParseRegistry(strings.NewReader(stream.Registry))
	if err != nil {
		t.Fatal(err)
	}
	r.judge = oracle.New(net, rows)
	if r.oracleReads, err = oracle.ParseReads(strings.NewReader(stream.Accepted())); err != nil {
		t.Fatal(err)
	}
	if r.network, err = tariff.Open("hongkong"); err != nil {
		t.Fatal(err)
	}
	assignments, err := registry.Parse(strings.NewReader(stream.Registry), r.network.KnowsClass)
	if err != nil {
		t.Fatal(err)
	}
	current := registry.NewCurrent()
	current.Set(registry.New(assignments))
	type arrival struct {
		at    int64
		value []byte
	}
	var reads []arrival
	for line := range strings.Lines(stream.Accepted()) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		read, err := rsu.DecodeJSON([]byte(strings.TrimSpace(line)), false)
		if err != nil {
			t.Fatalf("seed %d: %v: %s", seed, err, line)
		}
		value, err := read.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		reads = append(reads, arrival{read.TimeMicros, value})
	}
	// A third of the seeds keep the stream shuffled, which drives the matcher
	// to the books; the others arrive in order, or nearly, which is when the
	// held state has to be right.
	switch r.rng.IntN(3) {
	case 0:
		slices.SortStableFunc(reads, func(a, b arrival) int { return cmp.Compare(a.at, b.at) })
	case 1:
		for i := range reads {
			reads[i].at += r.rng.Int64N(90_000_000)
		}
		slices.SortStableFunc(reads, func(a, b arrival) int { return cmp.Compare(a.at, b.at) })
	}
	for i, a := range reads {
		r.records = append(r.records, kafka.Record{Offset: int64(i), Value: a.value})
	}
	r.matcher = New(Config{
		Network: r.network, Registry: current, Books: r.books, Open: &flakyStore{Store: passage.NewMemory(), rig: r},
		Rejects: noRejects{t}, Clock: clock.At(stream.Now), Logger: slog.New(slog.DiscardHandler),
		Metrics: NewMetrics(prometheus.NewRegistry()), Owner: "rig",
	})
	return r
}

// run serves the partition again and again, through every fault, until all of
// it is posted.
func (r *rig) run(t *testing.T) {
	t.Helper()
	post := r.rng.IntN(3) // some seeds run without faults
	r.books.fault = func(call string) fault {
		if post == 0 || r.rng.IntN(12) > 0 {
			return noFault
		}
		r.faults++
		if call == "post" && r.rng.IntN(2) == 0 {
			return faultAfter
		}
		return faultBefore
	}
	for starts := 0; ; starts++ {
		if starts > 1000 {
			t.Fatalf("seed %d: no progress after %d starts", r.seed, starts)
		}
		r.matcher.Owner = fmt.Sprintf("rig-%d", starts)
		err := r.matcher.Serve(context.Background(), &sliceLog{rig: r, limit: 1 + r.rng.IntN(60)})
		if errors.Is(err, io.EOF) {
			return
		}
		if !errors.Is(err, errFault) {
			t.Fatalf("seed %d: %v", r.seed, err)
		}
	}
}

func (r *rig) lines() []string {
	var standing []billing.Pass
	for _, p := range r.books.passes {
		if p.MergedInto == "" {
			standing = append(standing, p)
		}
	}
	slices.SortFunc(standing, func(a, b billing.Pass) int {
		return cmp.Or(cmp.Compare(a.FirstMicros, b.FirstMicros), cmp.Compare(a.TollPoint, b.TollPoint), cmp.Compare(a.Vehicle, b.Vehicle))
	})
	lines := make([]string, len(standing))
	for i, p := range standing {
		lines[i] = strings.Join(billing.ChargeRow(p, r.network.Zone())[:8], ",")
	}
	return lines
}

// sliceLog is a log of which every fetch gives a random part.
type sliceLog struct {
	rig   *rig
	limit int
	at    int64
}

func (l *sliceLog) Partition() int            { return 0 }
func (l *sliceLog) SeekTo(offset int64) error { l.at = offset; return nil }
func (l *sliceLog) Commit(int64) error        { return nil }
func (l *sliceLog) Bounds(context.Context) (int64, int64, error) {
	return 0, int64(len(l.rig.records)), nil
}

func (l *sliceLog) Fetch(_ context.Context, most int) ([]kafka.Record, int64, error) {
	rest := l.rig.records[l.at:]
	if len(rest) == 0 {
		return nil, 0, io.EOF
	}
	n := min(len(rest), most, 1+l.rig.rng.IntN(l.limit))
	l.at += int64(n)
	return rest[:n], l.at, nil
}

// flakyStore loses what it holds now and then: before a call, after it, or in
// the answer.
type flakyStore struct {
	passage.Store
	rig *rig
}

func (s *flakyStore) Exchange(ctx context.Context, partition int, at passage.Stamp, c *passage.Change, want []passage.Key) ([]passage.Item, error) {
	switch s.rig.rng.IntN(30) {
	case 0: // forgotten
		s.rig.lost++
		s.Store = passage.NewMemory()
	case 1: // done, but the reply is lost
		s.rig.lost++
		if _, err := s.Store.Exchange(ctx, partition, at, c, want); err != nil {
			return nil, err
		}
		return nil, errFault
	case 2: // not reached
		s.rig.lost++
		return nil, errFault
	}
	return s.Store.Exchange(ctx, partition, at, c, want)
}

type noRejects struct{ t *testing.T }

func (n noRejects) Reject(_ context.Context, rejected []rsu.Rejected) error {
	n.t.Errorf("%d records rejected, first: %s", len(rejected), rejected[0].Reason)
	return nil
}
