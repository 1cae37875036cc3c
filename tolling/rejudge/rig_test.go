package rejudge

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/internal/clock"
	"freeflow/internal/kafka"
	"freeflow/loadtest/oracle"
	"freeflow/loadtest/traffic"
	"freeflow/rsu"
	"freeflow/tolling/matcher"
	"freeflow/tolling/passage"
	"freeflow/tolling/registry"
	"freeflow/tolling/tariff"
)

const partitions = 2

// rig is a running system of one process: books, registry, matchers and the
// runner, with one adversarial stream of reads.
type rig struct {
	*testing.T
	seed    uint64
	rng     *rand.Rand
	books   *books.Store
	clock   *clock.Fixed
	network *tariff.Network
	follow  *Follower
	current *registry.Current
	open    *passage.Memory
	// records of each partition, and the reads that they came of.
	records [partitions][]kafka.Record
	reads   []oracle.Read
	rows    []registry.Assignment
	log     *slog.Logger
	said    buffer
}

// buffer keeps what several goroutines log.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// newRig makes a rig over books that it opens at the address, with a stream of
// about so many reads.
func newRig(t *testing.T, url string, seed uint64, reads int) *rig {
	t.Helper()
	stream := traffic.Adversarial(seed, reads)
	r := newBareRig(t, url, seed, stream.Now)
	if r.rng.IntN(2) == 0 {
		stream.Shuffle(r.rng)
	} else {
		stream.InOrder(r.rng)
	}
	var err error
	if r.reads, err = oracle.ParseReads(strings.NewReader(stream.Accepted())); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(stream.Accepted()) {
		if line = strings.TrimSpace(line); line != "" {
			r.arrive(line)
		}
	}
	if r.rows, err = registry.Parse(strings.NewReader(stream.Registry), r.network.KnowsClass); err != nil {
		t.Fatal(err)
	}
	return r
}

// newBareRig makes one without reads.
func newBareRig(t *testing.T, url string, seed uint64, now time.Time) *rig {
	t.Helper()
	r := &rig{T: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 11)), open: passage.NewMemory(), clock: clock.At(now)}
	r.log = slog.New(slog.NewTextHandler(&r.said, nil))
	var err error
	if r.network, err = tariff.Open("hongkong"); err != nil {
		t.Fatal(err)
	}
	r.books, err = books.Open(t.Context(), url, books.Options{Migrate: true, Clock: r.clock, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.books.Close(); err != nil {
			t.Error(err)
		}
	})
	r.current = registry.NewCurrent()
	r.follow = NewFollower(r.books, r.current)
	return r
}

// arrive puts a read into the log of its facility's partition.
func (r *rig) arrive(line string) {
	r.Helper()
	read, err := rsu.DecodeJSON([]byte(line), false)
	if err != nil {
		r.Fatalf("seed %d: %v: %s", r.seed, err, line)
	}
	value, err := read.MarshalBinary()
	if err != nil {
		r.Fatal(err)
	}
	_, facility, _ := r.network.TollPoint(read.Unit)
	h := fnv.New32a()
	h.Write([]byte(facility))
	p := h.Sum32() % partitions
	r.records[p] = append(r.records[p], kafka.Record{Offset: int64(len(r.records[p])), Value: value})
}

// put puts rows in force as the file does.
func (r *rig) put(rows []registry.Assignment) {
	r.Helper()
	stored := make([]billing.Assignment, len(rows))
	for i, a := range rows {
		stored[i] = billing.Assignment{Account: a.Account, Plate: a.Plate, Class: a.Class, Tag: a.Tag,
			FromMicros: a.FromMicros, ToMicros: a.ToMicros, Exempt: a.Exempt}
	}
	if _, err := r.books.PutRegistry(r.Context(), stored, r.clock.Now()); err != nil {
		r.Fatalf("seed %d: %v", r.seed, err)
	}
	r.rows = rows
}

// matcher returns a matcher as a process of its own has it.
func (r *rig) matcher(owner string) *matcher.Matcher {
	return matcher.New(matcher.Config{
		Network: r.network, Registry: r.current, Refresh: r.follow.Load, Books: r.books, Open: r.open, Rejects: none{},
		Clock: r.clock, Logger: r.log, Metrics: matcher.NewMetrics(prometheus.NewRegistry()), Owner: owner,
	})
}

type none struct{}

func (none) Reject(context.Context, []rsu.Rejected) error {
	return errors.New("nothing is to be rejected")
}

// serve posts records of a partition up to an offset, in batches of at most
// limit.
func (r *rig) serve(partition int, until int64, limit int, rng *rand.Rand, between func()) error {
	m := r.matcher(fmt.Sprint("m", partition, "-", until))
	err := m.Serve(r.Context(), &slice{all: r.records[partition][:until], partition: partition, limit: limit, rng: rng, between: between})
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// slice is a log of which every fetch gives a random part.
type slice struct {
	all       []kafka.Record
	partition int
	limit     int
	rng       *rand.Rand
	between   func()
	at        int64
}

func (l *slice) Partition() int            { return l.partition }
func (l *slice) SeekTo(offset int64) error { l.at = offset; return nil }
func (l *slice) Commit(int64) error        { return nil }
func (l *slice) Bounds(context.Context) (int64, int64, error) {
	return 0, int64(len(l.all)), nil
}

func (l *slice) Fetch(_ context.Context, most int) ([]kafka.Record, int64, error) {
	l.between()
	rest := l.all[l.at:]
	if len(rest) == 0 {
		return nil, 0, io.EOF
	}
	n := min(len(rest), most, 1+l.rng.IntN(l.limit))
	l.at += int64(n)
	return rest[:n], l.at, nil
}

// runner returns a runner with small bounds, so that a test crosses them.
func (r *rig) runner(owner string) *Runner {
	run := New(Config{Network: r.network, Books: r.books, Current: r.current, Follow: r.follow, Clock: r.clock, Logger: r.log, Owner: owner})
	run.chunk, run.reads = 1+r.rng.Int64N(600_000_000), 3+r.rng.IntN(40)
	run.slice = 3_600_000_000 * (1 + r.rng.Int64N(200))
	return run
}

// lines are the standing passes as the oracle writes its own.
func (r *rig) lines() []string {
	r.Helper()
	passes, err := r.books.List(r.Context(), billing.Filter{Limit: 1_000_000})
	if err != nil {
		r.Fatal(err)
	}
	slices.SortFunc(passes, func(a, b billing.Pass) int {
		return cmp.Or(cmp.Compare(a.FirstMicros, b.FirstMicros), cmp.Compare(a.TollPoint, b.TollPoint), cmp.Compare(a.Vehicle, b.Vehicle))
	})
	lines := make([]string, len(passes))
	for i, p := range passes {
		lines[i] = strings.Join(billing.ChargeRow(p, r.network.Zone())[:8], ",")
	}
	return lines
}

// expect compares the books with what the oracle says of the reads under the
// rows in force, and proves the invariants.
func (r *rig) expect(what string) {
	r.Helper()
	net, err := oracle.HongKong()
	if err != nil {
		r.Fatal(err)
	}
	var csv bytes.Buffer
	if err := registry.Write(&csv, r.rows, time.UTC); err != nil {
		r.Fatal(err)
	}
	text := csv.String()
	rows, err := oracle.ParseRegistry(strings.NewReader(text))
	if err != nil {
		r.Fatal(err)
	}
	want, err := oracle.New(net, rows).Compute(r.reads)
	if err != nil {
		r.Fatal(err)
	}
	missing, extra := oracle.Difference(oracle.ChargesLines(want.Rows), r.lines())
	if len(missing)+len(extra) > 0 {
		if dir := os.Getenv("FREEFLOW_KEEP"); dir != "" {
			_ = os.WriteFile(dir+"/registry.csv", []byte(text), 0o600)
		}
		r.Fatalf("%s (run again with FREEFLOW_SEED=%d):\nmissing:\n%s\nextra:\n%s\n%s", what, r.seed,
			strings.Join(missing, "\n"), strings.Join(extra, "\n"), r.said.String())
	}
	totals, err := r.books.Totals(r.Context())
	if err != nil || totals.ChargedCents != want.Summary.ChargedCents || totals.UnpaidCents != want.Summary.UnpaidCents {
		r.Errorf("%s (seed %d): totals %+v, %v, want %+v", what, r.seed, totals, err, want.Summary)
	}
	owed := map[string]int64{}
	for _, row := range want.Rows {
		if row.Status == oracle.Charged {
			owed[billing.MotoristPrefix+row.Account] += row.Cents
		}
	}
	for account, cents := range owed {
		list, err := r.books.Balances(r.Context(), []string{account})
		if err != nil || cents != 0 && (len(list) != 1 || list[0].AmountCents != cents) {
			r.Errorf("%s (seed %d): account %s owes %+v, %v, want %d", what, r.seed, account, list, err, cents)
		}
	}
	r.sound()
}

// sound proves the books' invariants.
func (r *rig) sound() {
	r.Helper()
	checks, err := r.books.Verify(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	for _, c := range checks {
		for _, v := range c.Violations {
			r.Errorf("seed %d: %s: %s", r.seed, v.Invariant, v.Detail)
		}
	}
}

// correct makes another registry of the rows: some gone, some with other dates,
// holders or tags, some new for marks that were read.
func (r *rig) correct() []registry.Assignment {
	r.Helper()
	rng := r.rng
	rows := slices.Clone(r.rows)
	some := func() *registry.Assignment { return &rows[rng.IntN(len(rows))] }
	classes := []string{"private_car", "taxi", "lgv", "", "motorcycle"}
	read := func() oracle.Read { return r.reads[rng.IntN(len(r.reads))] }
	for range 1 + rng.IntN(6) {
		if len(rows) == 0 || rng.IntN(3) == 0 {
			at := read()
			row := registry.Assignment{Account: fmt.Sprint("N", rng.IntN(3)), Plate: at.Plate, Tag: at.Tag, Class: classes[rng.IntN(len(classes))],
				FromMicros: at.TimeMicros - rng.Int64N(200_000_000), Exempt: rng.IntN(6) == 0}
			switch rng.IntN(3) {
			case 0:
				row.Plate = ""
			case 1:
				row.Tag = ""
			}
			if rng.IntN(2) == 0 {
				row.ToMicros = at.TimeMicros + rng.Int64N(200_000_000) + 1
			}
			if row.Plate != "" || row.Tag != "" {
				rows = append(rows, row)
			}
			continue
		}
		i := rng.IntN(len(rows))
		a := &rows[i]
		switch rng.IntN(7) {
		case 0:
			rows = slices.Delete(rows, i, i+1)
		case 1:
			a.FromMicros = read().TimeMicros - rng.Int64N(3)
		case 2:
			a.ToMicros = read().TimeMicros + rng.Int64N(3)
		case 3:
			account, class := fmt.Sprint("M", rng.IntN(3)), classes[rng.IntN(len(classes))]
			for k := range rows { // of one plate all agree
				if rows[k].Plate == a.Plate {
					rows[k].Account, rows[k].Class = account, class
				}
			}
		case 4:
			b := some()
			a.Tag, b.Tag = b.Tag, a.Tag
		case 5:
			b := some()
			if a.Plate != "" && b.Plate != "" && a.Tag != "" && b.Tag != "" {
				a.Plate, b.Plate = b.Plate, a.Plate
			}
		case 6:
			a.Account = ""
		}
	}
	return r.valid(rows)
}

// valid drops rows until the file would be taken.
func (r *rig) valid(rows []registry.Assignment) []registry.Assignment {
	r.Helper()
	for {
		rows = slices.DeleteFunc(rows, func(a registry.Assignment) bool {
			return a.Plate == "" && a.Tag == "" || a.ToMicros != 0 && a.ToMicros <= a.FromMicros
		})
		var csv bytes.Buffer
		if err := registry.Write(&csv, rows, time.UTC); err != nil {
			r.Fatal(err)
		}
		parsed, err := registry.Parse(&csv, r.network.KnowsClass)
		var refused *registry.ParseError
		if err == nil {
			return parsed
		}
		if !errors.As(err, &refused) {
			r.Fatal(err)
		}
		gone := refused.Problems[0].Line - 2
		rows = slices.Delete(rows, gone, gone+1)
	}
}
