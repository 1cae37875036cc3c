//go:build services

package pdf_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"freeflow/billing"
	"freeflow/billing/statement"
)

// poppler runs one of poppler-utils on a file.
func poppler(t *testing.T, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install poppler-utils, or run 'make test-services'", name)
	}
	out, err := exec.CommandContext(t.Context(), path, args...).Output()
	if err != nil {
		t.Fatalf("%s %q: %v", name, args, err)
	}
	return string(out)
}

// TestPopplerReadsIt has another program read a statement: totals, lines, fonts,
// pages, paper.
func TestPopplerReadsIt(t *testing.T) {
	for _, language := range []string{statement.English, statement.Chinese} {
		d := document(200, language, "陳大文")
		file := filepath.Join(t.TempDir(), "statement.pdf")
		if err := os.WriteFile(file, make1(t, d), 0o600); err != nil {
			t.Fatal(err)
		}
		text := poppler(t, "pdftotext", "-layout", file, "-")
		if !strings.Contains(text, "陳大文") || !strings.Contains(text, d.Statement.Number) {
			t.Errorf("%s: the name or number cannot be read", language)
		}
		total := regexp.MustCompile(`(?:Closing balance|結餘) +(-?[0-9.]+) +(-?[0-9.]+)`).FindAllStringSubmatch(text, -1)
		if len(total) < 2 {
			t.Fatalf("%s: the totals cannot be read:\n%s", language, text)
		}
		for _, one := range total[len(total)-1:] {
			if one[1] != billing.FormatCents(d.Statement.Closing.OwedCents) || one[2] != billing.FormatCents(d.Statement.Closing.HeldCents) {
				t.Errorf("%s: it closes with %v, not %+v", language, one, d.Statement.Closing)
			}
		}
		sum := int64(0)
		lines := regexp.MustCompile(`(?m)^ *\d{4}-\d\d-\d\d \d\d:\d\d .*AB1234 private_car +(-?[0-9.]+) +0\.00$`).FindAllStringSubmatch(text, -1)
		for _, one := range lines {
			cents, err := billing.ParseCents(one[1])
			if err != nil {
				t.Fatal(err)
			}
			sum += cents
		}
		if len(lines) != 200 || sum != d.Statement.Closing.OwedCents-d.Statement.Opening.OwedCents {
			t.Errorf("%s: %d lines sum to %d", language, len(lines), sum)
		}
		fonts := strings.Split(strings.TrimSpace(poppler(t, "pdffonts", file)), "\n")[2:]
		for _, font := range fonts {
			if !regexp.MustCompile(`CID TrueType +Identity-H +yes (yes|no) +yes`).MatchString(font) {
				t.Errorf("%s: a font is not in the file, or without its characters: %s", language, font)
			}
		}
		if len(fonts) == 0 {
			t.Errorf("%s: it has no font", language)
		}
		if info := poppler(t, "pdfinfo", file); !strings.Contains(info, "(A4)") {
			t.Errorf("%s: it is not A4:\n%s", language, info)
		}
	}
}
