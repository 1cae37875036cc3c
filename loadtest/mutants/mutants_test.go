package mutants

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"freeflow/internal/clock"
)

func TestFind(t *testing.T) {
	source := []byte(`package p

const a = 1 + 2

type t [3 + 4]int

func f(x, y int, s string) string {
	x++
	y -= 2
	if x < y && -x != 3 {
		return "a" + s + s
	}
	s += "b"
	return s
}
`)
	found, err := Find("p.go", source)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range found {
		got = append(got, fmt.Sprintf("%d:%d %s>%s", m.Line, m.Column, m.Was, m.Now))
		if text := string(m.Apply(source)); len(text) != len(source)-len(m.Was)+len(m.Now) || strings.HasPrefix(text[m.Offset:], m.Was+" ") {
			t.Errorf("%v was not put in place:\n%s", m, text)
		}
	}
	want := "8:3 ++>--, 9:4 -=>+=, 10:7 <><=, 10:7 <>>=, 10:11 &&>||, 10:14 ->+, 10:17 !=>=="
	if strings.Join(got, ", ") != want {
		t.Errorf("found %s\nwant  %s", strings.Join(got, ", "), want)
	}
	if _, err := Find("p.go", []byte("package")); err == nil {
		t.Error("a file that is no Go was taken")
	}
}

func TestProfile(t *testing.T) {
	blocks, err := parseProfile([]byte("mode: set\nfreeflow/a/b.go:3.10,5.2 2 1\nfreeflow/a/b.go:7.1,9.2 1 0\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		line, column int
		want         bool
	}{{3, 10, true}, {5, 1, true}, {8, 4, false}, {20, 1, true}} {
		if got := covered(blocks, Mutant{File: "a/b.go", Line: one.line, Column: one.column}); got != one.want {
			t.Errorf("%d:%d covered %v", one.line, one.column, got)
		}
	}
	if _, err := parseProfile([]byte("freeflow/a/b.go:3.10\n")); err == nil {
		t.Error("a broken profile was taken")
	}
}

// TestPackage runs a small package whose tests are known to notice some changes
// and to miss others.
func TestPackage(t *testing.T) {
	t.Chdir("testdata/small")
	var out bytes.Buffer
	tally, err := Package(t.Context(), "sum", Config{Workers: 1, Clock: clock.System{}, Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	// + and the turned > are noticed, its bound lives, the branch that no test takes is
	// not covered, and the sum of two texts without a quoted one compiles not.
	if want := (Tally{Killed: 2, Lived: 1, Uncovered: 1, NoProgram: 1}); tally != want {
		t.Errorf("%+v, want %+v\n%s", tally, want, &out)
	}
	if tally.Score() != 50 {
		t.Errorf("score %d", tally.Score())
	}
	for _, line := range []string{"sum/sum.go:7:7: >= for >: lived", "sum/sum.go:8:12: + for -: not covered"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("%q does not stand in\n%s", line, &out)
		}
	}
	if _, err := Package(t.Context(), "failing", Config{Workers: 1, Clock: clock.System{}, Out: &out}); err == nil {
		t.Error("a package whose tests fail was tried")
	}
	if _, err := Package(t.Context(), "nowhere", Config{Workers: 1, Clock: clock.System{}, Out: &out}); err == nil {
		t.Error("a folder that is not there was taken")
	}
}

func TestUsage(t *testing.T) {
	for _, one := range []struct {
		args   []string
		status int
	}{{nil, 2}, {[]string{"--sample", "-1", "x"}, 2}, {[]string{"--help"}, 0}, {[]string{"--no"}, 2}} {
		var out bytes.Buffer
		if got := Main(t.Context(), clock.System{}, one.args, &out, &out); got != one.status {
			t.Errorf("%q ended with %d, want %d", one.args, got, one.status)
		}
	}
}
