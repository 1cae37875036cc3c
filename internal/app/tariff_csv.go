package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"freeflow/tolling/tariff"
)

// openInput opens a file, or standard input for "-".
func openInput(env Env, name string) (in io.Reader, done func(), err error) {
	if name == "-" {
		return env.Stdin, func() {}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, fmt.Errorf("opening input: %w", err)
	}
	return f, func() { _ = f.Close() }, nil // it was only read
}

// rateCSV rates every row of in, holding one row at a time. The error says
// that a row could not be rated; the rows are all written nevertheless.
func rateCSV(ctx context.Context, n rating, in io.Reader, out, messages io.Writer) error {
	rows := newCSVRows(in)
	header, _, err := rows.next(0)
	if errors.Is(err, io.EOF) {
		return errors.New("reading passes: the file is empty; its first line must name the columns facility,class,at")
	}
	var bad *badRowError
	if errors.As(err, &bad) {
		return fmt.Errorf("reading passes: line 1: %s; the first line must name the columns facility,class,at", bad.reason)
	}
	if err != nil {
		return fmt.Errorf("reading passes: %w", err)
	}
	var places [3]int
	for i, name := range [...]string{"facility", "class", "at"} {
		places[i] = -1
		for place, cell := range header {
			if cell != name {
				continue
			}
			if places[i] >= 0 {
				return fmt.Errorf("reading passes: line 1 names the column %s twice; remove one", name)
			}
			places[i] = place
		}
		if places[i] < 0 {
			return fmt.Errorf("reading passes: line 1 has no column %s; the columns are facility,class,at", name)
		}
	}
	w := csv.NewWriter(out)
	// csv.Writer keeps its first error for Flush.
	_ = w.Write([]string{"facility", "class", "at", "amount", "currency", "rule"})
	total, failed := 0, 0
	for {
		if total%1024 == 0 && ctx.Err() != nil {
			err = ctx.Err()
			break
		}
		var cells []string
		cells, _, err = rows.next(len(header))
		if err != nil && !errors.As(err, &bad) {
			break
		}
		total++
		row := make([]string, 6)
		for i, place := range places {
			if place < len(cells) {
				row[i] = cells[place]
			}
		}
		var toll tariff.Toll
		if err == nil {
			toll, err = rateRow(n, row)
		}
		if err == nil {
			row[3], row[4], row[5] = tariff.FormatAmount(toll.Cents), n.Currency(), toll.Version+": "+toll.Rule
		} else {
			failed++
			row[5] = err.Error()
		}
		if w.Write(row) != nil {
			break
		}
	}
	w.Flush()
	if writing := w.Error(); writing != nil {
		return fmt.Errorf("writing tolls: %w", writing)
	}
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading passes: %w", err)
	}
	if failed > 0 {
		fmt.Fprintf(messages, "%d of %d rows could not be rated; the column rule says why\n", failed, total)
		return errQuiet
	}
	return nil
}

func rateRow(n rating, row []string) (tariff.Toll, error) {
	for i, name := range [...]string{"facility", "class", "at"} {
		if row[i] == "" {
			return tariff.Toll{}, fmt.Errorf("the cell %s is empty", name)
		}
	}
	at, err := tariff.ParseInstant(row[2])
	if err != nil {
		return tariff.Toll{}, err
	}
	return n.Rate(row[0], row[1], at)
}

// badRowError is a row that cannot be taken apart; the next one can.
type badRowError struct{ reason string }

func (e *badRowError) Error() string { return e.reason }

// Bounds on one row.
const (
	maxRowBytes   = 1 << 20
	maxQuotedSpan = 64 // lines that a quoted cell may span
	maxSpanBytes  = 64 << 10
)

// csvRows reads CSV row by row. Unlike csv.Reader it survives a stray quote:
// a line whose quotes do not close within a few lines, to a row as wide as
// the header, is a bad row by itself and does not swallow those after it.
type csvRows struct {
	in    *bufio.Reader
	ahead []string // lines read beyond the present one
	line  int      // number of the last line taken
	err   error    // met while reading ahead
}

func newCSVRows(in io.Reader) *csvRows {
	r := &csvRows{in: bufio.NewReaderSize(in, 64<<10)}
	if start, _ := r.in.Peek(3); bytes.Equal(start, []byte("\xef\xbb\xbf")) {
		_, _ = r.in.Discard(3) // they have just been seen
	}
	return r
}

// errLongLine takes the place of a line that is over the bound.
var errLongLine = &badRowError{fmt.Sprintf("the row is longer than %d MiB", maxRowBytes>>20)}

// next returns the next row that is not blank and its line. width is the
// number of cells it must have, 0 for any. Errors: *badRowError, with the
// cells as far as they can be told; io.EOF at the end; else of reading.
func (r *csvRows) next(width int) (cells []string, line int, err error) {
	text, err := r.take()
	for err == nil && text == "" {
		text, err = r.take()
	}
	if err != nil {
		return nil, r.line, err
	}
	line = r.line
	cells, err = r.split(text, width)
	if err == nil && width > 0 && len(cells) != width {
		err = &badRowError{fmt.Sprintf("the row has %d cells where the header has %d", len(cells), width)}
	}
	return cells, line, err
}

func (r *csvRows) split(text string, width int) ([]string, error) {
	if !strings.Contains(text, `"`) {
		return strings.Split(text, ","), nil
	}
	whole := text
	for taken := 0; ; taken++ {
		cells, err := parseRow(whole)
		if err == nil && (taken == 0 || len(cells) == width) {
			for range taken {
				r.dropAhead()
			}
			return cells, nil
		}
		// An odd number of quotes may close on a later line; anything else
		// that is wrong stays wrong.
		open := errors.Is(err, csv.ErrQuote) && strings.Count(whole, `"`)%2 == 1
		if !open || taken == maxQuotedSpan || len(whole) > maxSpanBytes || !r.lookAhead(taken+1) {
			return strings.Split(text, ","), &badRowError{"the row's quotes are wrong; double every quote inside a quoted cell, and close it"}
		}
		whole += "\n" + r.ahead[taken]
	}
}

func parseRow(text string) ([]string, error) {
	p := csv.NewReader(strings.NewReader(text))
	p.FieldsPerRecord = -1
	return p.Read()
}

// lookAhead makes sure that n lines are held beyond the present one.
func (r *csvRows) lookAhead(n int) bool {
	for len(r.ahead) < n && r.err == nil {
		var text string
		if text, r.err = r.read(); r.err == nil {
			r.ahead = append(r.ahead, text)
		}
	}
	return len(r.ahead) >= n
}

func (r *csvRows) dropAhead() {
	r.ahead = r.ahead[1:]
	r.line++
}

// take returns the next line.
func (r *csvRows) take() (string, error) {
	if len(r.ahead) > 0 {
		text := r.ahead[0]
		r.dropAhead()
		return text, nil
	}
	err := r.err
	r.err = nil
	text := ""
	if err == nil {
		text, err = r.read()
	}
	r.line++
	return text, err
}

// read reads one line without its end.
func (r *csvRows) read() (string, error) {
	var text []byte
	long := false
	for {
		part, err := r.in.ReadSlice('\n')
		if len(text)+len(part) > maxRowBytes {
			long = true
		} else {
			text = append(text, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && (!errors.Is(err, io.EOF) || len(text) == 0 && !long) {
			return "", err
		}
		if long {
			return "", errLongLine
		}
		return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), nil
	}
}
