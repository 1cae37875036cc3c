package app

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"freeflow/billing"
	"freeflow/internal/clock"
	"freeflow/internal/kafka"
	"freeflow/rsu"
	"freeflow/rsu/gateway"
	"freeflow/tolling/registry"
)

// replayChunk is how many lines go to the log at a time.
const replayChunk = 2000

// replayFlags are the flags of replay.
type replayFlags struct {
	parts                      partsFlags
	registry, charges, rejects string
	now                        string
	json, strict               bool
}

func newReplayCommand(env Env) *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay --registry FILE [flags] READS...",
		Short: "Run files of reads through the real pipeline and print what they come to",
		Long: `Run files of reads (NDJSON, also packed by gzip or zstd; '-' is stdin) through
the real pipeline on the embedded parts, and print what they come to.

Without --data it works in a scratch folder that it removes. With --data it goes
on with what the folder holds, also after a crash: reads that are already there
change nothing. Rejected reads leave exit status 0; an unreadable file, a
truncated archive or a bad registry gives 1.`,
		Example: `  freeflow replay --network hongkong --registry registry.csv --charges charges.csv reads.ndjson.gz
  zcat reads.gz | freeflow replay --registry registry.csv --json -`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("no reads given; name files of reads, or - for stdin")
			}
			if f.registry == "" {
				return usagef("--registry is missing; name a registry.csv")
			}
			clk, err := replayClock(env, f.now)
			if err != nil {
				return err
			}
			env.Clock = clk
			return replay(cmd.Context(), env, f, args)
		},
	}
	f.parts.partitions, f.parts.replicas, f.parts.startTimeout = 4, 1, defaultStartTimeout
	flags := cmd.Flags()
	flags.StringVar(&f.parts.network, "network", "hongkong", "road network: a name or a folder of network files")
	flags.StringVar(&f.registry, "registry", "", "registry.csv with the assignments of tags and plates (required)")
	flags.StringVar(&f.parts.data, "data", "", "data folder to continue in; default is an empty scratch folder")
	flags.StringVar(&f.charges, "charges", "", "write charges.csv here, one row a pass ('-' is stdout)")
	flags.StringVar(&f.rejects, "rejects", "", "write rejected lines here as NDJSON ('-' is stdout)")
	flags.StringVar(&f.now, "now", "", "judge read times as if the clock stood at this RFC 3339 time")
	flags.BoolVar(&f.json, "json", false, "print the summary as JSON")
	flags.BoolVar(&f.strict, "strict", false, "refuse reads with unknown fields")
	return cmd
}

// replayClock returns the clock by which read times are judged.
func replayClock(env Env, now string) (clock.Clock, error) {
	if now == "" {
		return env.Clock, nil
	}
	micros, err := rsu.ParseTime(now)
	if err != nil {
		return nil, usagef("--now %q: %v", now, err)
	}
	return clock.At(time.UnixMicro(micros)), nil
}

// summary is what replay prints.
type summary struct {
	Reads    int64 `json:"reads"`
	Accepted int64 `json:"accepted"`
	Rejected int64 `json:"rejected"`
	Passes   int64 `json:"passes"`
	Charged  int64 `json:"charged"`
	Exempt   int64 `json:"exempt"`
	Unpaid   int64 `json:"unpaid"`
	Review   int64 `json:"review"`
	Amount   struct {
		Charged string `json:"charged"`
		Unpaid  string `json:"unpaid"`
	} `json:"amount"`
	Currency string  `json:"currency"`
	Seconds  float64 `json:"seconds"`
}

func replay(ctx context.Context, env Env, f replayFlags, files []string) (err error) {
	log := slog.New(slog.NewTextHandler(env.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	wall := clock.System{}
	begun := wall.Now()
	if f.parts.data == "" {
		if f.parts.data, err = os.MkdirTemp("", "freeflow-replay-"); err != nil {
			return fmt.Errorf("making a scratch folder: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(f.parts.data)) }()
	}
	if err := readable(files); err != nil {
		return err
	}
	rejects, err := newRejectFile(env, f.rejects)
	if err != nil {
		return err
	}
	p, err := openParts(ctx, env, f.parts, log)
	if err != nil {
		return err
	}
	defer p.close(log)
	keep := newKeeper(p.books, p.network, env.Clock)
	if err := keep.putFile(ctx, f.registry); err != nil {
		return err
	}
	// A folder that is continued may hold reads judged by another registry. It
	// has one process, which goes on where one before it broke off. First, so
	// that in a new folder there is nothing to judge anew: after the first reads
	// a run that was killed would leave all of them to the next.
	rejudge := newRejudge(p, keep, "replay", env.Clock, log)
	if err := rejudge.Once(ctx); err != nil {
		return err
	}
	run := startRun(ctx, p, newMatcher(p, keep, env.Clock, prometheus.NewRegistry(), log), sessionTimeout, log)
	s, feedErr := feed(ctx, env, p, f, files, rejects)
	// What was read is worked to the end also where a file broke off: the
	// reads before the break are accepted and must not hang in the air.
	if err := errors.Join(run.drain(ctx), run.stop()); err != nil {
		return errors.Join(feedErr, err)
	}
	// What a run before this one had accepted, and not posted, may be among it.
	if err := rejudge.Once(ctx); err != nil {
		return errors.Join(feedErr, err)
	}
	if err := errors.Join(rejects.close(), writeCharges(ctx, env, p, f.charges)); err != nil {
		return errors.Join(feedErr, err)
	}
	totals, err := p.books.Totals(ctx)
	if err != nil {
		return fmt.Errorf("summing up: %w", err)
	}
	s.Passes, s.Charged, s.Exempt, s.Unpaid, s.Review = totals.Passes, totals.Charged, totals.Exempt, totals.Unpaid, totals.Review
	s.Amount.Charged, s.Amount.Unpaid = billing.FormatCents(totals.ChargedCents), billing.FormatCents(totals.UnpaidCents)
	s.Currency = p.network.Currency()
	s.Seconds = wall.Now().Sub(begun).Round(time.Millisecond).Seconds()
	return errors.Join(feedErr, s.print(env, f.json))
}

// readable refuses the whole replay if a file cannot be opened at all: better
// before the work than in the middle.
func readable(files []string) error {
	var all error
	for _, path := range files {
		if path == "-" {
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			all = errors.Join(all, fmt.Errorf("opening the reads: %w", err))
			continue
		}
		info, err := f.Stat()
		if err == nil && info.IsDir() {
			err = fmt.Errorf("opening the reads: %s is a folder; name the files in it", path)
		}
		all = errors.Join(all, err, f.Close())
	}
	return all
}

// putFile puts a registry file in force.
func (k *keeper) putFile(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening the registry: %w", err)
	}
	defer f.Close()
	_, _, err = k.Put(ctx, bufio.NewReader(f))
	var refused *registry.ParseError
	if errors.As(err, &refused) {
		return fmt.Errorf("the registry %s is refused:\n%w", path, err)
	}
	return err
}

// feed takes the lines of all files to the log.
func feed(ctx context.Context, env Env, p *parts, f replayFlags, files []string, rejects *rejectFile) (summary, error) {
	var s summary
	intake, err := gateway.NewIntake(gateway.Config{
		Roadside: p.network, Clock: env.Clock, Publisher: p.publisher, Source: rsu.SourceReplay,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return s, err
	}
	bar := newByteBar(env, files)
	defer bar.done()
	var failed error
	for _, path := range files {
		if err := feedFile(ctx, env, intake, path, f.strict, rejects, &s, bar); err != nil {
			failed = errors.Join(failed, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return s, failed
}

func feedFile(ctx context.Context, env Env, intake *gateway.Intake, path string, strict bool, rejects *rejectFile, s *summary, bar *byteBar) error {
	in, err := openReads(path, env.Stdin, bar.add)
	if err != nil {
		return err
	}
	defer in.Close()
	items := make([]gateway.Item, 0, replayChunk)
	numbers := make([]int, 0, replayChunk)
	flush := func() error {
		if len(items) == 0 {
			return nil
		}
		result, err := intake.Take(ctx, "", items)
		if err != nil {
			return fmt.Errorf("taking %s up to line %d: %w", path, numbers[len(numbers)-1], err)
		}
		s.Reads += int64(len(items))
		s.Accepted += int64(result.Accepted)
		s.Rejected += int64(len(result.Rejected))
		for _, r := range result.Rejected {
			if err := rejects.write(path, numbers[r.Index], r.Reason, items[r.Index].Raw); err != nil {
				return err
			}
		}
		clear(items)
		items, numbers = items[:0], numbers[:0]
		return nil
	}
	var refused error // by the log, as opposed to what is wrong with the file
	err = eachLine(in, func(l line) error {
		if l.long {
			items = append(items, gateway.Item{Form: rsu.FormJSON, Raw: l.text,
				Err: &rsu.RefusedError{Code: rsu.CodeTooLong, Message: fmt.Sprintf("the line has more than %d bytes", maxLine)}})
		} else {
			items = append(items, gateway.JSONItem(l.text, strict))
		}
		if numbers = append(numbers, l.number); len(items) < replayChunk {
			return nil
		}
		refused = flush()
		return refused
	})
	if refused != nil {
		return refused
	}
	if err != nil {
		err = fmt.Errorf("reading %s after line %d: %w", path, lastOf(numbers), err)
	}
	return errors.Join(flush(), err)
}

func lastOf(numbers []int) int {
	if len(numbers) == 0 {
		return 0
	}
	return numbers[len(numbers)-1]
}

// rejectFile writes rejects.ndjson; without a path it writes nothing.
type rejectFile struct {
	file io.Closer
	buf  *bufio.Writer
}

func newRejectFile(env Env, path string) (*rejectFile, error) {
	switch path {
	case "":
		return &rejectFile{}, nil
	case "-":
		return &rejectFile{buf: bufio.NewWriter(env.Stdout)}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("making the file of rejects: %w", err)
	}
	return &rejectFile{file: f, buf: bufio.NewWriter(f)}, nil
}

func (r *rejectFile) write(file string, number int, reason, raw string) error {
	if r.buf == nil {
		return nil
	}
	row, err := json.Marshal(struct {
		File   string `json:"file"`
		Line   int    `json:"line"`
		Reason string `json:"reason"`
		Read   string `json:"read"`
	}{file, number, reason, rsu.CutRead(raw)})
	if err == nil {
		_, err = r.buf.Write(append(row, '\n'))
	}
	if err != nil {
		return fmt.Errorf("writing the rejects: %w", err)
	}
	return nil
}

func (r *rejectFile) close() error {
	if r.buf == nil {
		return nil
	}
	err := r.buf.Flush()
	if r.file != nil {
		err = errors.Join(err, r.file.Close())
	}
	if err != nil {
		return fmt.Errorf("writing the rejects: %w", err)
	}
	return nil
}

// chargesPage is how many passes are read at a time for charges.csv.
const chargesPage = 5000

// writeCharges writes all standing passes as charges.csv.
func writeCharges(ctx context.Context, env Env, p *parts, path string) (err error) {
	if path == "" {
		return nil
	}
	out := env.Stdout
	if path != "-" {
		f, err := os.Create(path)
		if err != nil {
			return fmt.Errorf("making the charges file: %w", err)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		out = f
	}
	w := csv.NewWriter(out)
	if err := w.Write(billing.ChargeColumns()); err != nil {
		return fmt.Errorf("writing the charges: %w", err)
	}
	filter := billing.Filter{Limit: chargesPage}
	for {
		passes, err := p.books.List(ctx, filter)
		if err != nil {
			return fmt.Errorf("reading the charges: %w", err)
		}
		for i := range passes {
			if err := w.Write(billing.ChargeRow(passes[i], p.network.Zone())); err != nil {
				return fmt.Errorf("writing the charges: %w", err)
			}
		}
		if len(passes) < chargesPage {
			break
		}
		last := passes[len(passes)-1]
		filter.After = billing.Cursor{FirstMicros: last.FirstMicros, TollPoint: last.TollPoint, Vehicle: last.Vehicle, ID: last.ID}
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return fmt.Errorf("writing the charges: %w", err)
	}
	return nil
}

func (s summary) print(env Env, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(env.Stdout).Encode(s)
	}
	_, err := fmt.Fprintf(env.Stdout, `reads     %d (%d accepted, %d rejected)
passes    %d
charged   %d  %s %s
unpaid    %d  %s %s
exempt    %d
review    %d
took      %.1f s
`, s.Reads, s.Accepted, s.Rejected, s.Passes, s.Charged, s.Amount.Charged, s.Currency,
		s.Unpaid, s.Amount.Unpaid, s.Currency, s.Exempt, s.Review, s.Seconds)
	return err
}

// ends asks the log where its partitions end.
func (p *parts) ends(ctx context.Context) (map[int]int64, error) {
	return kafka.Ends(ctx, kafka.FollowConfig{Brokers: p.brokers, Topic: kafka.TopicReads})
}
