// Package pdf owns how a statement looks on paper: A4, in English or Chinese,
// with the font in the file.
//
// Invariants: the same statement, lines and words give the same bytes; every
// page says which statement it is of, and which page; the table's header stands
// on every page that the table goes on to; no character is shown that the font
// lacks: it is written by its number, [U+20BB7], and a note says so. Amounts are
// texts that were made of whole hundredths.
//
// Not promised: a tagged PDF (the library cannot make one; for those who cannot
// see, the same lines are in the CSV and in the portal), nor more than MaxLines
// lines.
package pdf

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/go-pdf/fpdf"

	"freeflow/billing"
	"freeflow/billing/statement"
)

// fontFile is Noto Sans HK, cut down to what Big5 with HKSCS has and to what
// Western text needs; font/README.md says how.
//
//go:embed font/NotoSansHK-Regular.subset.ttf.gz
var fontFile []byte

// maxFont bounds the font as it is unpacked, in bytes.
const maxFont = 16 << 20

// MaxLines is how many lines a document has at most.
const MaxLines = 20_000

// ErrTooLong: the statement has more lines than a document may have; its CSV
// has them all.
var ErrTooLong = errors.New("too long for a PDF")

// Maker makes documents. Safe for concurrent use.
type Maker struct {
	// unpack unpacks the font when the first document is made.
	unpack func() (face, error)
}

// face is the font, and what it shows.
type face struct {
	font   []byte
	glyphs coverage
}

// New returns a maker.
func New() *Maker { return &Maker{sync.OnceValues(unpacked)} }

func unpacked() (face, error) {
	z, err := gzip.NewReader(bytes.NewReader(fontFile))
	if err != nil {
		return face{}, fmt.Errorf("unpacking the font: %w", err)
	}
	font, err := io.ReadAll(io.LimitReader(z, maxFont))
	if err != nil {
		return face{}, fmt.Errorf("unpacking the font: %w", err)
	}
	glyphs, err := coverageOf(font)
	if err != nil {
		return face{}, fmt.Errorf("reading the font: %w", err)
	}
	return face{font, glyphs}, nil
}

// Words name what the books know by codes only.
type Words interface {
	// Place is a toll point's or creditor's name in a language, Class a class's;
	// the code itself where there is no other.
	Place(code, language string) string
	Class(code, language string) string
}

// Document is what is printed.
type Document struct {
	Statement statement.Statement
	// Lines are all of the statement's.
	Lines []statement.Line
	// Language is statement.English or statement.Chinese.
	Language string
	// Name is the account holder's; empty where none is known.
	Name  string
	Words Words
	// Zone is the network's; times are shown in it.
	Zone *time.Location
	// Issuer is who issues it.
	Issuer string
}

// Make returns the document as a PDF. ErrTooLong.
func (m *Maker) Make(d Document) ([]byte, error) {
	if len(d.Lines) > MaxLines {
		return nil, fmt.Errorf("statement %s has %d lines, more than %d: %w", d.Statement.Number, len(d.Lines), MaxLines, ErrTooLong)
	}
	f, err := m.unpack()
	if err != nil {
		return nil, err
	}
	p := &page{Fpdf: fpdf.New("P", "mm", "A4", ""), d: d, glyphs: f.glyphs, said: wordsOf(d.Language), widths: map[rune]float64{}}
	p.SetProducer("freeflow", true)
	p.SetTitle(p.said.title+" "+d.Statement.Number, true)
	p.SetLang(d.Language)
	p.SetCreationDate(d.Statement.IssuedAt.UTC())
	p.SetModificationDate(d.Statement.IssuedAt.UTC())
	p.SetCatalogSort(true)
	p.SetCompression(true)
	p.SetMargins(margin, margin, margin)
	p.SetAutoPageBreak(false, margin)
	p.AliasNbPages("{nb}")
	// The library writes into what it was given.
	p.AddUTF8FontFromBytes(family, "", bytes.Clone(f.font))
	p.SetFont(family, "", usual)
	p.SetFooterFunc(p.footer)
	p.first()
	p.table()
	p.last()
	var out bytes.Buffer
	if err := p.Output(&out); err != nil {
		return nil, fmt.Errorf("writing the PDF of statement %s: %w", d.Statement.Number, err)
	}
	return out.Bytes(), nil
}

// Measures in millimetres, sizes of type in points.
const (
	family   = "NotoSansHK"
	margin   = 15.0
	width    = 210 - 2*margin
	bottom   = 297 - 20.0
	small    = 7.0
	usual    = 9.0
	large    = 16.0
	lineHigh = 4.2
)

// column of the table.
type column struct {
	width float64
	align string
}

var layout = []column{{27, "L"}, {76, "L"}, {33, "L"}, {22, "R"}, {22, "R"}}

// page writes one document.
type page struct {
	*fpdf.Fpdf
	d      Document
	glyphs coverage
	said   words
	// widths are of characters at one point of size.
	widths map[rune]float64
	// missing reports that a character was written by its number.
	missing bool
}

// shown replaces what the font lacks by its number.
func (p *page) shown(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			b.WriteByte(' ')
		case r < ' ' || r == 0x7f:
		case p.glyphs.has(r):
			b.WriteRune(r)
		default:
			p.missing = true
			fmt.Fprintf(&b, "[U+%04X]", r)
		}
	}
	return b.String()
}

// wide returns a text's width at a size.
func (p *page) wide(text string, size float64) float64 {
	sum := 0.0
	for _, r := range text {
		w, ok := p.widths[r]
		if !ok {
			p.SetFontSize(100)
			w = p.GetStringWidth(string(r)) / 100
			p.widths[r] = w
		}
		sum += w * size
	}
	return sum
}

// wrapped cuts a text into lines no wider than given, between words where it
// can, at most so many; what is left over ends in an ellipsis.
func (p *page) wrapped(text string, size, room float64, most int) []string {
	var lines []string
	rest := []rune(p.shown(text))
	for len(rest) > 0 {
		n, space, sum := 0, 0, 0.0
		for n < len(rest) {
			if sum += p.wide(string(rest[n]), size); sum > room && n > 0 {
				break
			}
			if rest[n] == ' ' {
				space = n
			}
			n++
		}
		switch {
		case n == len(rest):
		case len(lines)+1 == most:
			return append(lines, string(rest[:max(n-1, 1)])+"…")
		case space > 0:
			n = space
		}
		lines = append(lines, string(rest[:n]))
		rest = rest[n:]
		for len(rest) > 0 && rest[0] == ' ' {
			rest = rest[1:]
		}
	}
	if lines == nil {
		lines = []string{""}
	}
	return lines
}

// put writes one line of text in a box at the place where the pen is.
func (p *page) put(w float64, text string, size float64, align string) {
	p.SetFontSize(size)
	p.CellFormat(w, lineHigh, text, "", 0, align, false, 0, "")
}

// paragraph writes text over the page's whole width.
func (p *page) paragraph(text string, size float64) {
	for _, line := range p.wrapped(text, size, width-1, 100) {
		p.room(lineHigh)
		p.put(width, line, size, "L")
		p.Ln(lineHigh + size/20)
	}
}

// room begins a new page where there is none for so many millimetres.
func (p *page) room(height float64) {
	if p.GetY()+height > bottom {
		p.AddPage()
	}
}

func (p *page) footer() {
	p.SetY(297 - 14)
	p.SetTextColor(90, 90, 90)
	p.put(width/2, p.shown(p.d.Statement.Number), small, "L")
	p.put(width/2, fmt.Sprintf(p.said.page, p.PageNo(), "{nb}"), small, "R")
	p.SetTextColor(0, 0, 0)
}

// both are an owed and a held amount.
func both(s statement.Sides) [2]string {
	return [2]string{billing.FormatCents(s.OwedCents), billing.FormatCents(s.HeldCents)}
}

// first writes what stands above the table.
func (p *page) first() {
	s := p.d.Statement
	p.AddPage()
	p.put(width, p.shown(p.d.Issuer), usual, "L")
	p.Ln(7)
	p.put(width, p.said.title, large, "L")
	p.Ln(10)
	name := p.d.Name
	if name == "" {
		name = s.Account
	}
	for _, one := range [][2]string{
		{p.said.holder, name}, {p.said.account, s.Account}, {p.said.number, s.Number},
		{p.said.period, p.said.date(s.From.In(p.d.Zone)) + p.said.until + p.said.date(s.To.In(p.d.Zone).Add(-time.Microsecond))},
		{p.said.issued, p.said.date(s.IssuedAt.In(p.d.Zone))}, {p.said.zone, p.d.Zone.String()}, {p.said.currency, s.Currency},
	} {
		for i, line := range p.wrapped(one[1], usual, width-46, 4) {
			label := one[0]
			if i > 0 {
				label = ""
			}
			p.put(45, label, usual, "L")
			p.put(width-45, line, usual, "L")
			p.Ln(5)
		}
	}
	p.Ln(3)
	p.summary()
	p.Ln(4)
}

// summary is the totals by group.
func (p *page) summary() {
	sums := map[string]statement.Sides{}
	for _, l := range p.d.Lines {
		sums[l.Group()] = sums[l.Group()].Plus(l)
	}
	row := func(what string, s statement.Sides) {
		p.room(6)
		amounts := both(s)
		p.put(width-60, what, usual, "L")
		p.put(30, amounts[0], usual, "R")
		p.put(30, amounts[1], usual, "R")
		p.Ln(5)
	}
	p.put(width-60, p.said.summary, usual, "L")
	p.put(30, p.said.owed, usual, "R")
	p.put(30, p.said.held, usual, "R")
	p.Ln(5)
	p.rule()
	row(p.said.opening, p.d.Statement.Opening)
	for _, group := range statement.Groups() {
		if s, ok := sums[group]; ok {
			row(statement.GroupWords(group).In(p.d.Language), s)
		}
	}
	p.rule()
	row(p.said.closing, p.d.Statement.Closing)
}

func (p *page) rule() {
	p.Line(margin, p.GetY(), margin+width, p.GetY())
	p.Ln(1)
}

// header is the table's, on every page that it is on.
func (p *page) header() {
	titles := []string{p.said.posted, p.said.entry, p.said.vehicle, p.said.owed, p.said.held}
	for i, c := range layout {
		p.put(c.width, titles[i], usual, c.align)
	}
	p.Ln(5)
	p.rule()
}

// table writes every line between the balances.
func (p *page) table() {
	s := p.d.Statement
	p.room(25)
	p.header()
	opening := both(s.Opening)
	p.cells([]string{p.at(s.From), p.said.opening, "", opening[0], opening[1]}, nil)
	for _, l := range p.d.Lines {
		p.line(l)
	}
	closing := both(s.Closing)
	p.rule()
	p.cells([]string{p.at(s.To.Add(-time.Microsecond)), p.said.closing, "", closing[0], closing[1]}, nil)
}

func (p *page) at(t time.Time) string { return t.In(p.d.Zone).Format("2006-01-02 15:04") }

// line writes one posting: what it was, and below it its own time and text.
func (p *page) line(l statement.Line) {
	place, vehicle := "", strings.TrimPrefix(strings.TrimPrefix(l.Vehicle, "plate:"), "tag:")
	if l.Place != "" {
		place = " · " + p.d.Words.Place(l.Place, p.d.Language)
	}
	if l.Class != "" {
		vehicle += " " + p.d.Words.Class(l.Class, p.d.Language)
	}
	below := l.Text
	if l.OccurredMicros != 0 {
		below = time.UnixMicro(l.OccurredMicros).In(p.d.Zone).Format("2006-01-02 15:04:05") + "  " + below
	}
	amounts := both(statement.Sides{OwedCents: l.OwedCents, HeldCents: l.HeldCents})
	p.cells([]string{p.at(l.PostedAt), l.Words().In(p.d.Language) + place, vehicle, amounts[0], amounts[1]}, p.wrapped(below, small, layout[1].width-2, 3))
}

// cells writes a row, the wide texts on as many lines as they need, and below
// the second column what is said in small type.
func (p *page) cells(texts, below []string) {
	var lines [][]string
	high := 0
	for i, text := range texts {
		cut := p.wrapped(text, usual, layout[i].width-2, 3)
		lines = append(lines, cut)
		n := len(cut)
		if i == 1 {
			n += len(below)
		}
		high = max(high, n)
	}
	if p.GetY()+float64(high)*lineHigh+1 > bottom {
		p.AddPage()
		p.header()
	}
	top := p.GetY()
	x := margin
	for i, c := range layout {
		for n, text := range lines[i] {
			p.SetXY(x, top+float64(n)*lineHigh)
			p.put(c.width, text, usual, c.align)
		}
		if i == 1 {
			p.SetTextColor(90, 90, 90)
			for n, text := range below {
				p.SetXY(x, top+float64(len(lines[i])+n)*lineHigh)
				p.put(c.width, text, small, c.align)
			}
			p.SetTextColor(0, 0, 0)
		}
		x += c.width
	}
	p.SetXY(margin, top+float64(high)*lineHigh+0.8)
}

// last writes what stands below the table.
func (p *page) last() {
	p.Ln(5)
	p.room(30)
	p.paragraph(p.said.signs, small)
	p.Ln(1)
	p.paragraph(p.said.dispute, usual)
	p.Ln(1)
	p.paragraph(fmt.Sprintf(p.said.digest, p.d.Statement.Digest), small)
	if p.missing {
		p.paragraph(p.said.missing, small)
	}
}
