package pdf_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/statement"
	"freeflow/billing/statement/pdf"
	"freeflow/billing/statement/pdf/pdftest"
	"freeflow/internal/clock"
)

var hongKong = time.FixedZone("Asia/Hong_Kong", 8*3600)

// names are the codes themselves, but for one.
type names struct{}

func (names) Place(code, language string) string {
	if code == "CHT-N" && language == statement.Chinese {
		return "海底隧道（北行）"
	}
	return code
}
func (names) Class(code, _ string) string { return code }

// document has so many lines, tolls of 8.00 and up.
func document(n int, language, name string) pdf.Document {
	m := statement.Month(2026*12 + 10)
	from, to := m.Bounds(hongKong)
	s := statement.Statement{
		Number: "S202611-A1-HKD", Account: "A1", Currency: "HKD", Month: m, From: from, To: to,
		Opening: statement.Sides{OwedCents: 1234, HeldCents: 500000}, IssuedAt: to.Add(2 * time.Hour), Digest: strings.Repeat("ab", 32), Lines: int64(n),
	}
	s.Closing = s.Opening
	var lines []statement.Line
	for i := range n {
		at := from.Add(time.Duration(i) * time.Minute)
		l := statement.Line{
			PostedAt: at, Transaction: fmt.Sprintf("%032x-1-toll", i), Kind: "toll", What: "toll", Item: fmt.Sprintf("pass:%032x", i), OccurredMicros: at.UnixMicro() - 1,
			Place: "CHT-N", Vehicle: "plate:AB1234", Class: "private_car", OwedCents: 800 + int64(i%7),
		}
		if i%5 == 4 {
			l.Kind, l.Undoes, l.OwedCents = "reversal", "toll", -l.OwedCents
		}
		lines = append(lines, l)
		s.Closing = s.Closing.Plus(l)
	}
	return pdf.Document{Statement: s, Lines: lines, Language: language, Name: name, Words: names{}, Zone: hongKong, Issuer: "freeflow"}
}

func make1(t testing.TB, d pdf.Document) []byte {
	t.Helper()
	b, err := pdf.New().Make(d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pages(t testing.TB, b []byte) [][]string {
	t.Helper()
	list, err := pdftest.Pages(b)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestPagesSayWhatTheyAre(t *testing.T) {
	for language, said := range map[string]struct{ header, page, total string }{
		statement.English: {"Posted", "Page %d of %d", "Closing balance"}, statement.Chinese: {"入帳時間", "第%d頁，共%d頁", "結餘"},
	} {
		d := document(200, language, "陳大文")
		list := pages(t, make1(t, d))
		if len(list) < 3 {
			t.Fatalf("%s: 200 lines stand on %d pages", language, len(list))
		}
		for i, page := range list {
			if !slices.Contains(page, fmt.Sprintf(said.page, i+1, len(list))) || !slices.Contains(page, d.Statement.Number) {
				t.Errorf("%s: page %d has no number: %q", language, i+1, page)
			}
			if i < len(list)-1 && !slices.Contains(page, said.header) {
				t.Errorf("%s: page %d has no table header", language, i+1)
			}
		}
		all := slices.Concat(list...)
		if !slices.Contains(all, said.total) || !slices.Contains(all, "陳大文") || !slices.Contains(all, billing.FormatCents(d.Statement.Closing.OwedCents)) {
			t.Errorf("%s: the name or the total is missing", language)
		}
		if got := amounts(all); got != d.Statement.Closing.OwedCents-d.Statement.Opening.OwedCents {
			t.Errorf("%s: the lines sum to %d, not %d", language, got, d.Statement.Closing.OwedCents-d.Statement.Opening.OwedCents)
		}
	}
}

// amounts sums up what lines owe: a line is a time, an entry, its own time, a
// vehicle, owed, held.
func amounts(texts []string) (cents int64) {
	for i, text := range texts {
		if _, err := time.Parse("2006-01-02 15:04", text); err != nil || i+6 > len(texts) || !strings.HasPrefix(texts[i+3], "AB1234") {
			continue
		}
		n, err := billing.ParseCents(texts[i+4])
		if err != nil {
			n, err = billing.ParseCents(texts[i+5])
		}
		if err == nil {
			cents += n
		}
	}
	return cents
}

func TestSameInputSameBytes(t *testing.T) {
	d := document(50, statement.Chinese, "陳大文")
	first := make1(t, d)
	for range 5 {
		if !bytes.Equal(first, make1(t, d)) {
			t.Fatal("the same statement gave other bytes")
		}
	}
}

func TestRareCharactersAreNamed(t *testing.T) {
	// One outside the basic plane, one of the private area, and Hangul.
	b := make1(t, document(1, statement.English, "陳𠮷 \ue000 한"))
	text, err := pdftest.Text(b)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, "陳[U+20BB7] [U+E000] [U+D55C]") || !strings.Contains(text, "no type for is written by its Unicode number") {
		t.Errorf("the name reads otherwise:\n%.600s", text)
	}
	if text, _ := pdftest.Text(make1(t, document(1, statement.English, "陳大文 (Bus) \\ Ltd"))); !strings.Contains(text, "陳大文 (Bus) \\ Ltd") || strings.Contains(text, "no type for") {
		t.Errorf("a plain name reads otherwise:\n%.600s", text)
	}
}

func TestLongTextsStayInTheirBoxes(t *testing.T) {
	d := document(1, statement.English, strings.Repeat("W", 400))
	d.Lines[0].Text = strings.Repeat("word ", 200)
	d.Lines[0].Vehicle = "plate:" + strings.Repeat("8", 200)
	for _, page := range pages(t, make1(t, d)) {
		for _, text := range page {
			if len([]rune(text)) > 170 {
				t.Errorf("a line of %d characters: %.80s", len(text), text)
			}
		}
	}
}

func TestFiveThousandLines(t *testing.T) {
	clk := clock.System{}
	begun := clk.Now()
	b := make1(t, document(5000, statement.Chinese, "陳大文"))
	took := clk.Now().Sub(begun)
	t.Logf("5,000 lines: %d bytes, %s", len(b), took)
	if len(b) > 2<<20 {
		t.Errorf("it has %d bytes", len(b))
	}
	if took > 2*time.Minute {
		t.Errorf("it took %s", took)
	}
	if _, err := pdf.New().Make(document(pdf.MaxLines+1, statement.English, "x")); !errors.Is(err, pdf.ErrTooLong) {
		t.Errorf("too many lines: %v", err)
	}
}

func BenchmarkMake(b *testing.B) {
	m := pdf.New()
	for _, n := range []int{30, 300, 5000} {
		d := document(n, statement.Chinese, "陳大文")
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				out, err := m.Make(d)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(out)), "bytes/file")
			}
		})
	}
}
