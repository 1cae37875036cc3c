package registry

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"freeflow/rsu"
)

// Columns are the columns of registry.csv, in the order in which it is written.
var Columns = []string{"account", "plate", "class", "tag", "from", "to", "exempt"}

// Bounds of a file.
const (
	maxProblems = 100
	maxCell     = 1024
)

// Problem is one thing wrong with a registry file.
type Problem struct {
	// Line is the line in the file, from 1.
	Line    int    `json:"line"`
	Message string `json:"message"`
}

// ParseError is a registry file that was refused as a whole.
type ParseError struct {
	Problems []Problem
	// More counts the problems beyond those listed.
	More int
}

func (e *ParseError) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "line %d: %s", p.Line, p.Message)
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "\nand %d more problems", e.More)
	}
	return b.String()
}

func (e *ParseError) add(line int, format string, args ...any) {
	if len(e.Problems) == maxProblems {
		e.More++
		return
	}
	e.Problems = append(e.Problems, Problem{line, fmt.Sprintf(format, args...)})
}

// Parse reads a registry.csv and checks it whole. A *ParseError lists what is
// wrong, with lines; another error is a failure to read. knowsClass tells the
// classes of the network.
func Parse(in io.Reader, knowsClass func(string) bool) ([]Assignment, error) {
	p := parser{knowsClass: knowsClass, column: map[string]int{}, interned: map[string]string{}}
	return p.parse(in)
}

type parser struct {
	knowsClass func(string) bool
	column     map[string]int
	problems   ParseError
	rows       []Assignment
	// interned shares the strings that many rows repeat (classes, accounts),
	// so that a million vehicles fit in memory.
	interned map[string]string
}

func (p *parser) parse(in io.Reader) ([]Assignment, error) {
	r := csv.NewReader(skipBOM(in))
	r.FieldsPerRecord = -1
	r.ReuseRecord = true
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		p.problems.add(1, "the file is empty; it must begin with the header %s", strings.Join(Columns, ","))
		return nil, &p.problems
	}
	if err != nil {
		return nil, p.readError(err)
	}
	width := len(header)
	p.header(header)
	if len(p.problems.Problems) > 0 {
		return nil, &p.problems
	}
	for {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, p.readError(err)
		}
		line, _ := r.FieldPos(0)
		if len(cells) != width {
			p.problems.add(line, "%d cells where the header has %d", len(cells), width)
			continue
		}
		p.row(line, cells)
	}
	p.checkTags()
	p.checkPlates()
	if len(p.problems.Problems) > 0 {
		slices.SortStableFunc(p.problems.Problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
		return nil, &p.problems
	}
	return p.rows, nil
}

// readError turns a malformed CSV into a ParseError; anything else is a
// failure of the source.
func (p *parser) readError(err error) error {
	var syntax *csv.ParseError
	if errors.As(err, &syntax) {
		p.problems.add(syntax.Line, "not CSV: %v; quote cells that contain quotes or commas", syntax.Err)
		return &p.problems
	}
	return fmt.Errorf("reading the registry: %w", err)
}

func (p *parser) header(cells []string) {
	for i, name := range cells {
		name = strings.TrimSpace(name)
		if !slices.Contains(Columns, name) {
			p.problems.add(1, "unknown column %q; the columns are %s", name, strings.Join(Columns, ","))
			continue
		}
		if _, twice := p.column[name]; twice {
			p.problems.add(1, "column %q stands twice", name)
		}
		p.column[name] = i
	}
	for _, name := range Columns {
		if _, ok := p.column[name]; !ok {
			p.problems.add(1, "column %q is missing; the columns are %s", name, strings.Join(Columns, ","))
		}
	}
}

func (p *parser) row(line int, cells []string) {
	cell := func(name string) string { return cells[p.column[name]] }
	for i, c := range cells {
		if len(c) > maxCell {
			p.problems.add(line, "cell %d has more than %d bytes", i+1, maxCell)
			return
		}
		if !utf8.ValidString(c) {
			p.problems.add(line, "cell %d is not UTF-8", i+1)
			return
		}
	}
	before := len(p.problems.Problems) + p.problems.More
	a := Assignment{
		Account: p.intern(strings.TrimSpace(cell("account"))),
		Plate:   rsu.NormalizePlate(cell("plate")),
		Class:   p.intern(strings.TrimSpace(cell("class"))),
		Line:    line,
	}
	if tag := strings.TrimSpace(cell("tag")); tag != "" {
		var err error
		if a.Tag, err = rsu.NormalizeTag(tag); err != nil {
			p.problems.add(line, "tag %q: %s", tag, mend(err))
		}
	}
	if a.Plate == "" && strings.TrimSpace(cell("tag")) == "" {
		p.problems.add(line, "neither plate nor tag; a row must assign at least one of them")
	}
	if a.Class != "" && !p.knowsClass(a.Class) {
		p.problems.add(line, "unknown class %q; give one of the network's classes, or none if it is to be taken as measured", a.Class)
	}
	p.span(&a, line, strings.TrimSpace(cell("from")), strings.TrimSpace(cell("to")))
	switch exempt := strings.TrimSpace(cell("exempt")); exempt {
	case "", "false":
	case "true":
		a.Exempt = true
	default:
		p.problems.add(line, "exempt is %q; it must be true, false or empty", exempt)
	}
	if len(p.problems.Problems)+p.problems.More == before {
		p.rows = append(p.rows, a)
	}
}

func (p *parser) span(a *Assignment, line int, from, to string) {
	if from == "" {
		p.problems.add(line, "from is missing; it must be an RFC 3339 time such as 2026-01-01T00:00:00+08:00")
		return
	}
	var err error
	if a.FromMicros, err = rsu.ParseTime(from); err != nil {
		p.problems.add(line, "from %q: %s", from, mend(err))
		return
	}
	if to == "" {
		return
	}
	if a.ToMicros, err = rsu.ParseTime(to); err != nil {
		p.problems.add(line, "to %q: %s", to, mend(err))
		return
	}
	if a.ToMicros <= a.FromMicros {
		p.problems.add(line, "to %s is not after from %s", to, from)
	}
}

// mend is what a refusal says, without the name of the field of a read.
func mend(err error) string {
	var refused *rsu.RefusedError
	if errors.As(err, &refused) {
		return refused.Message
	}
	return err.Error()
}

// checkTags refuses a tag that is assigned twice at an instant.
func (p *parser) checkTags() {
	p.eachOverlap(
		func(a *Assignment) string { return a.Tag },
		func(a, b *Assignment) {
			p.problems.add(max(a.Line, b.Line), "tag %s is assigned on line %d and on line %d at the same time; end one of them before the other begins",
				a.Tag, min(a.Line, b.Line), max(a.Line, b.Line))
		})
}

// checkPlates refuses overlapping rows of a plate that disagree.
func (p *parser) checkPlates() {
	p.eachOverlap(
		func(a *Assignment) string { return a.Plate },
		func(a, b *Assignment) {
			var what string
			switch {
			case a.Account != b.Account:
				what = "account"
			case a.Class != b.Class:
				what = "class"
			case a.Exempt != b.Exempt:
				what = "exemption"
			default:
				return
			}
			p.problems.add(max(a.Line, b.Line), "plate %s has different %s on line %d and on line %d at the same time; make them agree or end one before the other begins",
				a.Plate, what, min(a.Line, b.Line), max(a.Line, b.Line))
		})
}

// eachOverlap calls report with rows of one mark that are in force together: a
// row that begins while another runs, with the running one that ends last. If
// that one does not overlap it, none does.
func (p *parser) eachOverlap(mark func(*Assignment) string, report func(running, a *Assignment)) {
	byMark := make(map[string][]*Assignment)
	for i := range p.rows {
		if m := mark(&p.rows[i]); m != "" {
			byMark[m] = append(byMark[m], &p.rows[i])
		}
	}
	for _, list := range byMark {
		slices.SortStableFunc(list, func(a, b *Assignment) int { return cmp.Compare(a.FromMicros, b.FromMicros) })
		running := list[0]
		for _, a := range list[1:] {
			if !running.ends(a.FromMicros) {
				report(running, a)
			}
			if running.ToMicros != 0 && (a.ToMicros == 0 || a.ToMicros > running.ToMicros) {
				running = a
			}
		}
	}
}

func (p *parser) intern(s string) string {
	if known, ok := p.interned[s]; ok {
		return known
	}
	s = strings.Clone(s)
	p.interned[s] = s
	return s
}

// skipBOM drops the byte order mark that spreadsheet programs write.
func skipBOM(in io.Reader) io.Reader {
	var head [3]byte
	n, err := io.ReadFull(in, head[:])
	rest := in
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return io.MultiReader(bytes.NewReader(head[:n]), failing{err})
	}
	if n == 3 && string(head[:]) == "\ufeff" {
		return rest
	}
	return io.MultiReader(bytes.NewReader(head[:n]), rest)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
