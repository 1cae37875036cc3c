//go:build pipeline

package equivalence

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"freeflow/internal/clock"
	"freeflow/loadtest/oracle"
	"freeflow/loadtest/traffic"
)

var (
	seeds     = flag.Int("seeds", 3, "how many seeds to try")
	firstSeed = flag.Uint64("seed", 1, "the first seed")
	size      = flag.Int("reads", 2000, "about how many reads a stream has")
	binary    = flag.String("freeflow", "", "the freeflow binary; built if empty")
)

// patience bounds one replay; it ends a hang, nothing waits for it.
const patience = 3 * time.Minute

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "equivalence-")
	if err == nil && *binary == "" {
		err = build(dir)
	}
	status := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		status = m.Run()
		os.RemoveAll(dir)
	}
	os.Exit(status)
}

// build makes the binary, once for all tests.
func build(dir string) error {
	*binary = filepath.Join(dir, "freeflow")
	out, err := exec.Command("go", "build", "-o", *binary, "freeflow/cmd/freeflow").CombinedOutput()
	if err != nil {
		return fmt.Errorf("building freeflow: %w\n%s", err, out)
	}
	return nil
}

// trial is one seed's stream with a folder for its files.
type trial struct {
	*testing.T
	stream traffic.Stream
	judge  *oracle.Judge
	rng    *rand.Rand
	dir    string
}

func newTrial(t *testing.T, seed uint64) *trial {
	t.Helper()
	net, err := oracle.HongKong()
	if err != nil {
		t.Fatal(err)
	}
	stream := traffic.Adversarial(seed, *size)
	rows, err := oracle.ParseRegistry(strings.NewReader(stream.Registry))
	if err != nil {
		t.Fatal(err)
	}
	tr := &trial{T: t, stream: stream, judge: oracle.New(net, rows), rng: rand.New(rand.NewPCG(seed, 99))}
	// Not t.TempDir: what failed must still lie there afterwards.
	if tr.dir, err = os.MkdirTemp("", fmt.Sprintf("equivalence-%d-", seed)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			os.RemoveAll(tr.dir)
			return
		}
		t.Logf("seed %d; its files are in %s; once more: go test -tags pipeline ./loadtest/equivalence -run '%s' -seed %d -seeds 1 -reads %d",
			seed, tr.dir, strings.SplitN(t.Name(), "/", 2)[0], seed, *size)
	})
	tr.file("registry.csv", stream.Registry)
	return tr
}

func (t *trial) file(name, text string) string {
	t.Helper()
	path := filepath.Join(t.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// expect asks the oracle.
func (t *trial) expect(lines []traffic.Line) oracle.Result {
	t.Helper()
	reads, err := oracle.ParseReads(strings.NewReader(traffic.Stream{Lines: lines}.Accepted()))
	if err != nil {
		t.Fatal(err)
	}
	res, err := t.judge.Compute(reads)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// summary is what replay --json prints.
type summary struct {
	Reads, Accepted, Rejected               int
	Passes, Charged, Exempt, Unpaid, Review int
	Amount                                  struct{ Charged, Unpaid string }
	Currency                                string
	Seconds                                 float64
}

// replay runs the binary to its end.
func (t *trial) replay(stdin string, args ...string) (sum summary, charges []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := t.command(ctx, stdin, args...)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(out))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&sum); err != nil {
		t.Fatalf("reading the summary %q: %v", out, err)
	}
	f, err := os.Open(filepath.Join(t.dir, "charges.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if charges, err = oracle.ParseCharges(f); err != nil {
		t.Fatal(err)
	}
	return sum, charges
}

func (t *trial) command(ctx context.Context, stdin string, args ...string) ([]byte, error) {
	args = append([]string{
		"replay", "--network", "hongkong", "--registry", filepath.Join(t.dir, "registry.csv"),
		"--charges", filepath.Join(t.dir, "charges.csv"), "--rejects", filepath.Join(t.dir, "rejects.ndjson"),
		"--now", t.stream.Now.Format(time.RFC3339), "--json",
	}, args...)
	cmd := exec.CommandContext(ctx, *binary, args...) // the end of ctx is kill -9
	cmd.Stdin = strings.NewReader(stdin)
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("running freeflow %s: %w\n%s", strings.Join(args, " "), errors.Join(err, ctx.Err()), messages.String())
	}
	return out.Bytes(), nil
}

// check compares passes, charges and sums; it leaves out the counts of reads,
// which are those of one run.
func (t *trial) check(what string, want oracle.Result, sum summary, charges []string) {
	t.Helper()
	if diff := compare(oracle.ChargesLines(want.Rows), charges); diff != "" {
		t.Errorf("seed %d, %s: the product differs from the oracle\n%s%s", t.stream.Seed, what, diff, t.why(want, charges))
	}
	w := want.Summary
	got := [...]int{sum.Passes, sum.Charged, sum.Exempt, sum.Unpaid, sum.Review}
	if got != [...]int{w.Passes, w.Charged, w.Exempt, w.Unpaid, w.Review} {
		t.Errorf("seed %d, %s: the summary says %+v, the oracle %+v", t.stream.Seed, what, sum, w)
	}
	if sum.Amount.Charged != dollars(w.ChargedCents) || sum.Amount.Unpaid != dollars(w.UnpaidCents) || sum.Currency != "HKD" {
		t.Errorf("seed %d, %s: the summary says %+v %s, the oracle %s and %s HKD", t.stream.Seed, what, sum.Amount, sum.Currency,
			dollars(w.ChargedCents), dollars(w.UnpaidCents))
	}
}

func dollars(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }

// why says what the oracle thought of the passes that the product lacks.
func (t *trial) why(want oracle.Result, charges []string) string {
	missing, _ := oracle.Difference(oracle.ChargesLines(want.Rows), charges)
	var b strings.Builder
	for _, row := range want.Rows {
		line := oracle.ChargesLines([]oracle.Row{row})[0]
		if len(missing) <= shown && slices.Contains(missing, line) {
			fmt.Fprintf(&b, "the oracle's %s at %s: %d reads until %s, registered %v, reasons %v\n", row.Vehicle,
				oracle.PassTime(row.FirstMicros), row.Reads, oracle.PassTime(row.LastMicros), row.Registered, row.Reasons)
		}
	}
	return b.String()
}

// eachSeed runs the test once a seed, each by itself.
func eachSeed(t *testing.T, test func(*trial)) {
	for i := range *seeds {
		seed := *firstSeed + uint64(i)
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { test(newTrial(t, seed)) })
	}
}

// TestWhole: the stream as it is, with its rejected lines accounted for.
func TestWhole(t *testing.T) {
	cases := map[string]int{}
	eachSeed(t, func(t *trial) {
		want := t.expect(t.stream.Lines)
		for name, n := range want.Cases {
			cases[name] += n
		}
		sum, charges := t.replay("", t.file("reads.ndjson", t.stream.Text()))
		t.check("whole", want, sum, charges)
		reads, rejected := t.stream.Counts()
		if sum.Reads != reads || sum.Rejected != rejected || sum.Accepted != reads-rejected {
			t.Errorf("seed %d: %d reads, %d accepted, %d rejected; there were %d reads, %d to be rejected",
				t.stream.Seed, sum.Reads, sum.Accepted, sum.Rejected, reads, rejected)
		}
		t.checkRejects()
	})
	// A comparison proves little about cases that did not occur.
	if *seeds**size >= 6000 {
		for _, name := range oracle.AllCases {
			if cases[name] == 0 {
				t.Errorf("no stream had the case %q", name)
			}
		}
	}
}

// checkRejects: rule 10, exactly the bad lines are in rejects.ndjson, each
// with a reason.
func (t *trial) checkRejects() {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(t.dir, "rejects.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	var got, want []int
	decoder := json.NewDecoder(bytes.NewReader(text))
	for {
		var r struct {
			File, Reason, Read string
			Line               int
		}
		err := decoder.Decode(&r)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.Reason == "" || !strings.HasSuffix(r.File, "reads.ndjson") {
			t.Errorf("seed %d: rejected without file or reason: %+v", t.stream.Seed, r)
		}
		if cut := strings.ToValidUTF8(t.stream.Lines[r.Line-1].Text, "\uFFFD"); r.Read != cut {
			t.Errorf("seed %d, line %d: the rejected read is given as %q, it is %q", t.stream.Seed, r.Line, r.Read, cut)
		}
		got = append(got, r.Line)
	}
	for i, line := range t.stream.Lines {
		if line.Rejected {
			want = append(want, i+1)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		for _, n := range want {
			if !slices.Contains(got, n) {
				t.Errorf("seed %d, line %d was taken: %s", t.stream.Seed, n, t.stream.Lines[n-1].Text)
			}
		}
		for _, n := range got {
			if !slices.Contains(want, n) {
				t.Errorf("seed %d, line %d was rejected: %s", t.stream.Seed, n, t.stream.Lines[n-1].Text)
			}
		}
	}
}

// TestShuffled: rule 9 in one run: any order, repetitions, several files of
// several kinds.
func TestShuffled(t *testing.T) {
	eachSeed(t, func(t *trial) {
		want := t.expect(t.stream.Lines)
		lines := slices.Clone(t.stream.Lines)
		for range len(lines) / 4 {
			lines = append(lines, lines[t.rng.IntN(len(lines))])
		}
		shuffled := traffic.Stream{Lines: lines}
		shuffled.Shuffle(t.rng)
		parts := t.split(lines, 4)
		sum, charges := t.replay(traffic.Stream{Lines: parts[3]}.Text(),
			t.file("a.ndjson", traffic.Stream{Lines: parts[0]}.Text()),
			t.file("b.ndjson.gz", t.gzip(traffic.Stream{Lines: parts[1]}.Text())),
			"-",
			t.file("c.ndjson.zst", t.zstd(traffic.Stream{Lines: parts[2]}.Text())))
		t.check("shuffled", want, sum, charges)
		reads, rejected := shuffled.Counts()
		if sum.Reads != reads || sum.Rejected != rejected || sum.Accepted != reads-rejected {
			t.Errorf("seed %d: the summary says %+v; there were %d reads, %d to be rejected", t.stream.Seed, sum, reads, rejected)
		}
	})
}

// TestContinued: rule 9 over several runs with one data folder; after each run
// the books stand as if the reads so far were all.
func TestContinued(t *testing.T) {
	eachSeed(t, func(t *trial) {
		lines := slices.Clone(t.stream.Lines)
		traffic.Stream{Lines: lines}.Shuffle(t.rng)
		data := filepath.Join(t.dir, "data")
		var soFar []traffic.Line
		for i, part := range t.split(lines, 3) {
			soFar = append(soFar, part...)
			name := fmt.Sprintf("part%d.ndjson", i)
			sum, charges := t.replay("", "--data", data, t.file(name, traffic.Stream{Lines: part}.Text()))
			t.check("after "+name, t.expect(soFar), sum, charges)
		}
	})
}

// TestKilled: kill -9 at random moments, then the same files again.
func TestKilled(t *testing.T) {
	kills := 0
	eachSeed(t, func(t *trial) {
		want := t.expect(t.stream.Lines)
		lines := slices.Clone(t.stream.Lines)
		traffic.Stream{Lines: lines}.Shuffle(t.rng)
		path := t.file("reads.ndjson", traffic.Stream{Lines: lines}.Text())

		var watch clock.System
		before := watch.Now()
		t.replay("", path)
		whole := watch.Now().Sub(before)

		data := filepath.Join(t.dir, "data")
		for range 6 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(t.rng.Float64()*1.1*float64(whole)))
			_, err := t.command(ctx, "", "--data", data, path)
			killed := ctx.Err() != nil
			cancel()
			if err != nil && !killed {
				t.Fatalf("seed %d: a run after a kill failed: %v", t.stream.Seed, err)
			}
			if killed {
				kills++
			}
		}
		sum, charges := t.replay("", "--data", data, path)
		t.check("after kills", want, sum, charges)
	})
	if kills < *seeds {
		t.Errorf("only %d runs were killed", kills)
	}
}

// split cuts the lines into n parts of random length.
func (t *trial) split(lines []traffic.Line, n int) [][]traffic.Line {
	cuts := []int{0, len(lines)}
	for range n - 1 {
		cuts = append(cuts, t.rng.IntN(len(lines)+1))
	}
	slices.Sort(cuts)
	var parts [][]traffic.Line
	for i := range n {
		parts = append(parts, lines[cuts[i]:cuts[i+1]])
	}
	return parts
}

func (t *trial) gzip(text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func (t *trial) zstd(text string) string {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(w.EncodeAll([]byte(text), nil))
}
