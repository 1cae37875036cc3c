package mutants

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"freeflow/internal/clock"
)

// The ends of a mutant.
const (
	killed    = "killed"      // a test failed, or ran far too long
	lived     = "lived"       // all tests passed
	uncovered = "not covered" // no test comes there
	noProgram = "no program"  // it does not compile: counted nowhere
)

// slack is how much longer than on the unchanged program tests may run.
const slack = 10

// Tally counts the ends of a package's mutants.
type Tally struct{ Killed, Lived, Uncovered, NoProgram int }

// Score is how many of a hundred mutants that are programs were noticed, those
// that no test reaches among them; a package without any has 100.
func (t Tally) Score() int {
	all := t.Killed + t.Lived + t.Uncovered
	if all == 0 {
		return 100
	}
	return 100 * t.Killed / all
}

func (t *Tally) add(end string) {
	switch end {
	case killed:
		t.Killed++
	case lived:
		t.Lived++
	case uncovered:
		t.Uncovered++
	default:
		t.NoProgram++
	}
}

// Config says what is run. Sample 0 takes every mutant.
type Config struct {
	Sample  int
	Seed    uint64
	Workers int
	Clock   clock.Clock
	// Out gets a line for each mutant that was missed.
	Out io.Writer
}

// Package runs the mutants of the package in a folder of this module against
// its tests (with -short), and tells the missed ones as they come. It is an
// error if the tests do not pass on the unchanged program.
func Package(ctx context.Context, folder string, c Config) (Tally, error) {
	var tally Tally
	scratch, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return tally, fmt.Errorf("making a scratch folder: %w", err)
	}
	defer os.RemoveAll(scratch) //nolint:errcheck // it is in the folder for what may go away
	blocks, took, err := cover(ctx, folder, scratch, c.Clock)
	if err != nil {
		return tally, err
	}
	found, sources, err := read(folder)
	if err != nil {
		return tally, err
	}
	if c.Sample > 0 && c.Sample < len(found) {
		random := rand.New(rand.NewPCG(c.Seed, 0)) //nolint:gosec // a sample, no secret
		random.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
		found = found[:c.Sample]
	}

	work := make(chan Mutant)
	var mu sync.Mutex // guards tally, failed and Out
	var failed error
	var group sync.WaitGroup
	for worker := range max(1, c.Workers) {
		group.Go(func() {
			place := filepath.Join(scratch, fmt.Sprint(worker))
			for m := range work {
				end, err := uncovered, error(nil)
				if covered(blocks, m) {
					end, err = try(ctx, m, sources[m.File], place, slack*took+30*time.Second)
				}
				mu.Lock()
				failed = errors.Join(failed, err)
				if err == nil {
					tally.add(end)
					if end == lived || end == uncovered {
						fmt.Fprintf(c.Out, "%s:%d:%d: %s for %s: %s\n", m.File, m.Line, m.Column, m.Now, m.Was, end)
					}
				}
				mu.Unlock()
			}
		})
	}
	for _, m := range found {
		if ctx.Err() != nil {
			break
		}
		work <- m
	}
	close(work)
	group.Wait()
	return tally, errors.Join(failed, ctx.Err())
}

// read finds the mutants of the files of a package that are no tests.
func read(folder string) ([]Mutant, map[string][]byte, error) {
	names, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return nil, nil, fmt.Errorf("listing %s: %w", folder, err)
	}
	var all []Mutant
	sources := map[string][]byte{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := os.ReadFile(name) //nolint:gosec // a file of this module
		if err != nil {
			return nil, nil, fmt.Errorf("reading a source: %w", err)
		}
		found, err := Find(name, source)
		if err != nil {
			return nil, nil, fmt.Errorf("reading a source: %w", err)
		}
		all, sources[name] = append(all, found...), source
	}
	if len(all) == 0 {
		return nil, nil, fmt.Errorf("no operators in Go sources of %q: name folders of this module, such as billing/payment", folder)
	}
	return all, sources, nil
}

// cover runs the tests on the unchanged program: what they reach, and how long
// they take.
func cover(ctx context.Context, folder, scratch string, clk clock.Clock) (map[string][]block, time.Duration, error) {
	profile := filepath.Join(scratch, "cover")
	began := clk.Now()
	out, err := goTest(ctx, folder, "-coverprofile="+profile)
	if err != nil {
		return nil, 0, fmt.Errorf("the tests of %s must pass before they are tried: %w\n%s", folder, err, out)
	}
	took := clk.Now().Sub(began)
	text, err := os.ReadFile(profile) //nolint:gosec // written by the go command just now
	if err != nil {
		return nil, 0, fmt.Errorf("reading what tests reach: %w", err)
	}
	blocks, err := parseProfile(text)
	return blocks, took, err
}

// parseProfile reads a cover profile: lines of
// name.go:line.column,line.column statements count.
func parseProfile(text []byte) (map[string][]block, error) {
	blocks := map[string][]block{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "mode:") {
			continue
		}
		name, rest, ok := strings.Cut(filepath.Base(line), ":")
		var b block
		var statements, count int
		if _, err := fmt.Sscanf(rest, "%d.%d,%d.%d %d %d", &b.fromLine, &b.fromColumn, &b.toLine, &b.toColumn, &statements, &count); err != nil || !ok {
			return nil, fmt.Errorf("reading what tests reach: a line of the profile is %q", line)
		}
		b.reached = count > 0
		blocks[name] = append(blocks[name], b)
	}
	return blocks, lines.Err()
}

// try runs the tests of the mutant's package with the mutant in place.
func try(ctx context.Context, m Mutant, source []byte, place string, limit time.Duration) (string, error) {
	whole, err := filepath.Abs(m.File)
	if err != nil {
		return "", fmt.Errorf("finding a source: %w", err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {whole: place + ".go"}})
	if err != nil {
		return "", fmt.Errorf("writing an overlay: %w", err)
	}
	if err := errors.Join(os.WriteFile(place+".go", m.Apply(source), 0o600), os.WriteFile(place+".json", overlay, 0o600)); err != nil {
		return "", fmt.Errorf("writing a mutant: %w", err)
	}
	// The tests end themselves: killing the go command would leave them running.
	out, err := goTest(ctx, filepath.Dir(m.File), "-overlay="+place+".json", "-timeout="+limit.String())
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err == nil:
		return lived, nil
	case !errors.As(err, &exit):
		return "", fmt.Errorf("running the go command: %w", err)
	case bytes.Contains(out, []byte("[build failed]")) || bytes.Contains(out, []byte("[setup failed]")):
		return noProgram, nil
	case !bytes.Contains(out, []byte("\nFAIL\t")) && !bytes.HasPrefix(out, []byte("FAIL\t")):
		// The command itself went wrong: that must not pass for a test that
		// noticed.
		return "", fmt.Errorf("the go command failed without a verdict: %w\n%s", err, out)
	}
	return killed, nil
}

func goTest(ctx context.Context, folder string, flags ...string) ([]byte, error) {
	args := slices.Concat([]string{"test", "-short", "-failfast", "-count=1", "-vet=off"}, flags, []string{"./" + filepath.ToSlash(folder)})
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // folders of this module
	return cmd.CombinedOutput()
}
