package app

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"freeflow/tolling/registry"
	"freeflow/tolling/tariff"
)

func newImportCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Make reads of recordings in other systems' formats",
		Args:  cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("there is no command %q under import; there is m06a", args[0])
			}
			return usagef("name the format: m06a")
		},
	}
	cmd.AddCommand(newImportM06ACommand(env))
	return cmd
}

type m06aFlags struct {
	out, registry, date string
	readsPerPass        int
}

// readSpacing is the time between two reads of one passage; recorded readers
// see a tag every 15 to 90 ms.
const readSpacing = 40 * time.Millisecond

// maxReadsPerPass keeps the reads of one passage within 4 s, far below the gap
// that would make two passes of it.
const maxReadsPerPass = 100

func newImportM06ACommand(env Env) *cobra.Command {
	var f m06aFlags
	cmd := &cobra.Command{
		Use:   "m06a FILE...",
		Short: "Make reads of Taiwan's M06A files of recorded trips",
		Long: `Make reads of Taiwan's M06A files (Traffic Data Collection System, Freeway Bureau,
MOTC; attribution required): one trip a row, with every gantry that it passed. The
recordings name no vehicles, so each trip is a vehicle of its own with a tag made
of the file's name and the line's number; the same files give the same reads.

Reads go to standard output or --out, as NDJSON for 'freeflow replay --network
taiwan'. --registry writes a registry.csv with one account and vehicle a trip. A row
that cannot be read is named on standard error and left out; the exit status is then
1. Files may be compressed by gzip or zstd; - is standard input.

The network taiwan takes reads from 2019 on. --date moves recordings by whole days,
so that the first trip's day becomes the one given.`,
		Example: "  freeflow import m06a --registry registry.csv --out reads.ndjson TDCS_M06A_20190830_080000.csv",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("name at least one M06A file")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.readsPerPass < 1 || f.readsPerPass > maxReadsPerPass {
				return usagef("--reads-per-pass is %d; it may be 1 to %d", f.readsPerPass, maxReadsPerPass)
			}
			if f.date != "" {
				if _, err := time.Parse(time.DateOnly, f.date); err != nil {
					return usagef("--date: %q is not a date; write it like 2026-08-28", f.date)
				}
			}
			return importM06A(cmd.Context(), env, f, args)
		},
	}
	cmd.Flags().StringVar(&f.out, "out", "", "file for the reads (default standard output)")
	cmd.Flags().StringVar(&f.registry, "registry", "", "file for the registry of the trips' vehicles (default none)")
	cmd.Flags().StringVar(&f.date, "date", "", "day to which the first trip is moved, and the others with it (default as recorded)")
	cmd.Flags().IntVar(&f.readsPerPass, "reads-per-pass", 1, "reads of one passage, 40 ms apart")
	return cmd
}

// importM06A writes what it makes to files beside the named ones and puts them
// in place at the end, so that a failure leaves no half file behind.
func importM06A(ctx context.Context, env Env, f m06aFlags, files []string) (err error) {
	if err := distinct(f, files); err != nil {
		return err
	}
	network, err := tariff.Open("taiwan")
	if err != nil {
		return fmt.Errorf("importing M06A: %w", err)
	}
	im := &m06aImport{network: network, messages: env.Stderr, readsPerPass: f.readsPerPass, date: f.date, strange: map[string]int{}}
	reads, err := newOutput(f.out, env.Stdout)
	if err != nil {
		return fmt.Errorf("writing reads: %w", err)
	}
	defer reads.discard()
	im.reads = reads.w
	var vehicles *output
	if f.registry != "" {
		if vehicles, err = newOutput(f.registry, nil); err != nil {
			return fmt.Errorf("writing registry: %w", err)
		}
		defer vehicles.discard()
		im.registry = csv.NewWriter(vehicles.w)
		_ = im.registry.Write(registry.Columns) // csv.Writer keeps its first error
	}
	im.atTerminal, im.bar = env.Terminal, newByteBar(env, files)
	for _, name := range files {
		if err = im.file(ctx, env, name); err != nil {
			break
		}
	}
	im.bar.done()
	im.flushHeld()
	if err != nil {
		return err
	}
	if im.registry != nil {
		im.registry.Flush()
		if err := im.registry.Error(); err != nil {
			return fmt.Errorf("writing registry: %w", err)
		}
		if err := vehicles.commit(); err != nil {
			return fmt.Errorf("writing registry: %w", err)
		}
	}
	if err := reads.commit(); err != nil {
		return fmt.Errorf("writing reads: %w", err)
	}
	im.report()
	if im.bad > 0 {
		return errQuiet
	}
	return nil
}

// distinct refuses files that would overwrite each other, and two input files
// of one name, since a trip's tag is made of the name.
func distinct(f m06aFlags, files []string) error {
	names := map[string]string{}
	for _, file := range files {
		base := m06aName(file)
		if before, twice := names[base]; twice {
			return usagef("%s and %s have the same name, so their trips would have the same tags; rename one", before, file)
		}
		names[base] = file
	}
	taken := slices.Clone(files)
	for _, out := range []string{f.out, f.registry} {
		if out == "" {
			continue
		}
		for _, other := range taken {
			if filepath.Clean(out) == filepath.Clean(other) {
				return usagef("%s is named twice; it would be overwritten", out)
			}
		}
		taken = append(taken, out)
	}
	return nil
}

// m06aName is the name of which the trips' tags are made: the same whether or
// not the file is compressed, and wherever it lies.
func m06aName(file string) string {
	name := strings.TrimSuffix(filepath.Base(file), ".gz")
	return strings.TrimSuffix(name, ".zst")
}

type m06aImport struct {
	network      *tariff.Network
	messages     io.Writer
	readsPerPass int
	reads        *bufio.Writer
	registry     *csv.Writer
	bar          *byteBar
	atTerminal   bool
	held         []string // messages that wait for the bar to end
	heldBack     int      // those beyond maxHeld
	date         string
	// shift is the number of days by which trips are moved; known once the
	// first trip is.
	shift   int
	shifted bool

	trips, passages, bad int
	strange              map[string]int // passages by gantry unknown to the network

	// Of the present file.
	name string
	boot string
	seq  map[string]uint64
	line []byte // of a read, used again
}

func (im *m06aImport) file(ctx context.Context, env Env, name string) error {
	in, err := openReads(name, env.Stdin, im.bar.add)
	if err != nil {
		return err
	}
	defer in.Close()
	im.name = m06aName(name)
	sum := sha256.Sum256([]byte(im.name))
	// Each file is a run of its own of every unit, so that sequence numbers of
	// files imported at different times do not meet.
	im.boot = "m06a-" + hex.EncodeToString(sum[:6])
	im.seq = map[string]uint64{}
	rows := newCSVRows(in)
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return fmt.Errorf("reading %s: %w", name, ctx.Err())
		}
		cells, line, err := rows.next(m06aColumns)
		if errors.Is(err, io.EOF) {
			return nil
		}
		var bad *badRowError
		if err != nil && !errors.As(err, &bad) {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		if err == nil {
			var trip m06aTrip
			if trip, err = im.parse(cells); err == nil {
				if err := im.write(trip, line); err != nil {
					return fmt.Errorf("writing reads: %w", err)
				}
				continue
			}
		}
		im.bad++
		im.leaveOut(fmt.Sprintf("%s:%d: %v; the row is left out\n", name, line, err))
	}
}

// maxHeld bounds the messages that wait for the bar to end.
const maxHeld = 1000

// leaveOut says why a row is left out: at once, or where a bar is drawn, which
// a line would break, once it is done.
func (im *m06aImport) leaveOut(message string) {
	if !im.atTerminal {
		_, _ = io.WriteString(im.messages, message) // a lost message must not stop the import
		return
	}
	if len(im.held) < maxHeld {
		im.held = append(im.held, message)
		return
	}
	im.heldBack++
}

func (im *m06aImport) flushHeld() {
	for _, message := range im.held {
		_, _ = io.WriteString(im.messages, message)
	}
	if im.heldBack > 0 {
		fmt.Fprintf(im.messages, "and %d more rows; redirect standard error to see all\n", im.heldBack)
	}
}

// The columns of M06A, manual of the Traffic Data Collection System v4.1b:
// VehicleType, DetectionTimeO, GantryO, DetectionTimeD, GantryD, TripLength,
// TripEnd, TripInformation.
const m06aColumns = 8

const maxM06APassages = 1000

var m06aClasses = map[string]string{"31": "car", "32": "car", "41": "truck", "42": "truck", "5": "trailer"}

type m06aTrip struct {
	class    string
	passages []m06aPassage
}

type m06aPassage struct {
	at     time.Time
	gantry string
}

func (im *m06aImport) parse(cells []string) (m06aTrip, error) {
	class, ok := m06aClasses[cells[0]]
	if !ok {
		return m06aTrip{}, fmt.Errorf("unknown vehicle type %.64q; it may be 31, 32, 41, 42 or 5", cells[0])
	}
	trip := m06aTrip{class: class}
	information := strings.Split(cells[7], ";")
	if len(information) > maxM06APassages {
		return m06aTrip{}, fmt.Errorf("the trip has more than %d passages", maxM06APassages)
	}
	for _, text := range information {
		text = strings.TrimSpace(text)
		at, gantry, ok := strings.Cut(text, "+")
		if !ok {
			return m06aTrip{}, fmt.Errorf("%.64q is not a passage; it should be like 2019-08-30 08:17:14+03F3307N", text)
		}
		// The shape is fixed: time.Parse alone would take hours of one digit
		// and fractions.
		instant, err := time.ParseInLocation(time.DateTime, at, im.network.Zone())
		if err != nil || len(at) != len(time.DateTime) {
			return m06aTrip{}, fmt.Errorf("%.64q is not a local time like 2019-08-30 08:17:14", at)
		}
		if !gantryShape(gantry) {
			return m06aTrip{}, fmt.Errorf("%.64q is not a gantry like 03F3307N", gantry)
		}
		trip.passages = append(trip.passages, m06aPassage{instant, gantry})
	}
	return trip, nil
}

// gantryShape reports whether s looks like road, kind, kilometre and
// direction; whether there is such a gantry is for the network to say.
func gantryShape(s string) bool {
	if len(s) != 8 || s[7] != 'N' && s[7] != 'S' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

func (im *m06aImport) write(trip m06aTrip, line int) error {
	sum := sha256.Sum256([]byte(im.name + ":" + strconv.Itoa(line)))
	tag := strings.ToUpper(hex.EncodeToString(sum[:12])) // 96 bits, as an EPC
	im.move(trip)
	first := trip.passages[0].at
	for _, p := range trip.passages {
		if p.at.Before(first) {
			first = p.at
		}
		unit := p.gantry + "-1"
		if _, _, ok := im.network.TollPoint(unit); !ok {
			im.strange[p.gantry]++
		}
		for i := range im.readsPerPass {
			im.seq[unit]++
			at := p.at.Add(time.Duration(i) * readSpacing)
			// Everything here is ASCII without quotes: it has been checked, or
			// was made here.
			b := append(im.line[:0], `{"unit":"`...)
			b = append(b, unit...)
			b = append(b, `","seq":`...)
			b = strconv.AppendUint(b, im.seq[unit], 10)
			b = append(b, `,"boot":"`...)
			b = append(b, im.boot...)
			b = append(b, `","time":"`...)
			b = at.AppendFormat(b, "2006-01-02T15:04:05.000000Z07:00")
			b = append(b, `","tag":"`...)
			b = append(b, tag...)
			b = append(b, `","class":"`...)
			b = append(b, trip.class...)
			im.line = append(b, "\"}\n"...)
			if _, err := im.reads.Write(im.line); err != nil {
				return err
			}
		}
		im.passages++
	}
	im.trips++
	if im.registry != nil {
		mark := strings.ToLower(tag)
		// Columns: account, plate, class, tag, from, to, exempt. The plate is
		// made up like the tag; a row without one would be a class tag.
		return im.registry.Write([]string{"m06a-" + mark, "M06A" + tag, trip.class, tag, first.Format(time.RFC3339), "", ""})
	}
	return nil
}

// move moves the trip by whole local days.
func (im *m06aImport) move(trip m06aTrip) {
	if im.date == "" {
		return
	}
	if !im.shifted {
		target, _ := time.Parse(time.DateOnly, im.date) // checked with the flags
		y, m, d := trip.passages[0].at.Date()
		im.shift = int(target.Sub(time.Date(y, m, d, 0, 0, 0, 0, time.UTC)) / (24 * time.Hour))
		im.shifted = true
	}
	for i := range trip.passages {
		trip.passages[i].at = trip.passages[i].at.AddDate(0, 0, im.shift)
	}
}

func (im *m06aImport) report() {
	fmt.Fprintf(im.messages, "%d trips, %d passages; %d rows left out\n", im.trips, im.passages, im.bad)
	if len(im.strange) == 0 {
		return
	}
	gantries := make([]string, 0, len(im.strange))
	passages := 0
	for g, n := range im.strange {
		gantries = append(gantries, g)
		passages += n
	}
	slices.Sort(gantries)
	const most = 20
	more := ""
	if len(gantries) > most {
		more = fmt.Sprintf(" and %d more", len(gantries)-most)
		gantries = gantries[:most]
	}
	fmt.Fprintf(im.messages, "%d passages are at gantries that the network taiwan does not have, so their reads will be rejected: %s%s\n", passages, strings.Join(gantries, " "), more)
}

// output is standard output, or a file that appears only when it is whole.
type output struct {
	w    *bufio.Writer
	file *os.File // nil for standard output, and once committed
	name string   // empty for what cannot be put in place
}

func newOutput(name string, standard io.Writer) (*output, error) {
	if name == "" {
		return &output{w: bufio.NewWriterSize(standard, 64<<10)}, nil
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		// A pipe or a device cannot be put in place, only written to.
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return nil, err
		}
		return &output{w: bufio.NewWriterSize(f, 64<<10), file: f}, nil
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return nil, err
	}
	// What is made of open data is for everybody to read.
	if err := f.Chmod(0o644); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &output{w: bufio.NewWriterSize(f, 64<<10), file: f, name: name}, nil
}

func (o *output) commit() error {
	if err := o.w.Flush(); err != nil || o.file == nil {
		return err
	}
	if err := o.file.Close(); err != nil {
		return err
	}
	if o.name == "" {
		o.file = nil
		return nil
	}
	if err := os.Rename(o.file.Name(), o.name); err != nil {
		return err
	}
	o.file = nil
	return nil
}

// discard removes what was not committed.
func (o *output) discard() {
	if o.file != nil {
		_ = o.file.Close()
		if o.name != "" {
			_ = os.Remove(o.file.Name())
		}
	}
}
