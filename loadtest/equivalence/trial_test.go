package equivalence

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"freeflow/loadtest/oracle"
	"freeflow/loadtest/traffic"
)

var (
	seeds     = flag.Int("seeds", 3, "how many seeds to try")
	firstSeed = flag.Uint64("seed", 1, "the first seed")
	size      = flag.Int("reads", 2000, "about how many reads a stream has")
	binary    = flag.String("freeflow", "", "the freeflow binary; built if empty")
	mortal    = flag.String("freeflow-failpoint", "", "the freeflow binary with the build tag failpoint; built if empty")
)

// patience bounds one replay; it ends a hang, nothing waits for it.
const patience = 3 * time.Minute

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "equivalence-")
	if err == nil && *binary == "" {
		*binary, err = build(dir, "freeflow")
	}
	if err == nil && *mortal == "" {
		*mortal, err = build(dir, "freeflow-mortal", "-tags", "failpoint")
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

// build makes a binary, once for all tests.
func build(dir, name string, flags ...string) (string, error) {
	path := filepath.Join(dir, name)
	args := append(append([]string{"build", "-o", path}, flags...), "freeflow/cmd/freeflow")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building freeflow: %w\n%s", err, out)
	}
	return path, nil
}

// trial is one seed's stream with a folder for its files.
type trial struct {
	*testing.T
	stream traffic.Stream
	judge  *oracle.Judge
	rng    *rand.Rand
	dir    string
	// env is added to the environment of replays.
	env []string
}

func newTrial(t *testing.T, seed uint64, reads int) *trial {
	t.Helper()
	net, err := oracle.HongKong()
	if err != nil {
		t.Fatal(err)
	}
	stream := traffic.Adversarial(seed, reads)
	rows, err := oracle.ParseRegistry(strings.NewReader(stream.Registry))
	if err != nil {
		t.Fatal(err)
	}
	tr := &trial{T: t, stream: stream, judge: oracle.New(net, rows), rng: rand.New(rand.NewPCG(seed, 99))}
	// Not t.TempDir: what failed must still lie there afterwards.
	//nolint:usetesting // see above
	if tr.dir, err = os.MkdirTemp("", fmt.Sprintf("equivalence-%d-", seed)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			os.RemoveAll(tr.dir)
			return
		}
		t.Logf("seed %d; its files are in %s; once more: go test ./loadtest/equivalence -run '%s' -seed %d -seeds 1 -reads %d",
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
	out, err := t.command(ctx, *binary, stdin, args...)
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

// command runs a binary's replay. The end of ctx is kill -9.
func (t *trial) command(ctx context.Context, program, stdin string, args ...string) ([]byte, error) {
	args = append([]string{
		"replay", "--network", "hongkong", "--registry", filepath.Join(t.dir, "registry.csv"),
		"--charges", filepath.Join(t.dir, "charges.csv"), "--rejects", filepath.Join(t.dir, "rejects.ndjson"),
		"--now", t.stream.Now.Format(time.RFC3339), "--json",
	}, args...)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), t.env...)
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
func eachSeed(t *testing.T, test func(*trial)) { eachSeedOf(t, *size, test) }

func eachSeedOf(t *testing.T, reads int, test func(*trial)) {
	for i := range *seeds {
		seed := *firstSeed + uint64(i)
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { test(newTrial(t, seed, reads)) })
	}
}
