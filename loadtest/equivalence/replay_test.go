package equivalence

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// TestInOrder: reads as they come from a living network, by time with some
// disorder and enough of them for many batches in one process, so that passes
// are taken from what the matcher holds and not from the books alone.
func TestInOrder(t *testing.T) {
	eachSeedOf(t, 8**size, func(t *trial) {
		t.stream.InOrder(t.rng)
		sum, charges := t.replay("", t.file("reads.ndjson", t.stream.Text()))
		t.check("in order", t.expect(t.stream.Lines), sum, charges)
	})
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
			_, err := t.command(ctx, *binary, "", "--data", data, path)
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
		t.verify(data)
	})
	t.Logf("%d kills", kills)
	if kills < *seeds {
		t.Errorf("only %d runs were killed", kills)
	}
}

// TestKilledAt: kill -9 at each point between the steps of a batch.
func TestKilledAt(t *testing.T) {
	died := map[string]int{}
	points := []string{"fetched", "exchanged", "judged", "posted", "committed"}
	eachSeed(t, func(t *trial) {
		t.stream.InOrder(t.rng)
		path := t.file("reads.ndjson", t.stream.Text())
		data := filepath.Join(t.dir, "data")
		for _, point := range points {
			t.env = []string{fmt.Sprintf("FREEFLOW_KILL_AT=%s:%d", point, 1+t.rng.IntN(3))}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			_, err := t.command(ctx, *mortal, "", "--data", data, path)
			cancel()
			var exit *exec.ExitError
			switch {
			case err == nil: // there were not that many batches left
			case errors.As(err, &exit) && strings.Contains(err.Error(), "killed at "+point):
				died[point]++
			default:
				t.Fatalf("seed %d: a run after a kill failed: %v", t.stream.Seed, err)
			}
		}
		t.env = nil
		sum, charges := t.replay("", "--data", data, path)
		t.check("after kills", t.expect(t.stream.Lines), sum, charges)
		t.verify(data)
	})
	for _, point := range points {
		if died[point] == 0 {
			t.Errorf("no run was killed at %q", point)
		}
	}
}

// verify lets freeflow prove the invariants of its books.
func (t *trial) verify(data string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if out, err := exec.CommandContext(ctx, *binary, "verify", "--data", data).CombinedOutput(); err != nil {
		t.Errorf("seed %d: freeflow verify: %v\n%s", t.stream.Seed, err, out)
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
