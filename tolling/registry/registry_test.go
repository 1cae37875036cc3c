package registry

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"freeflow/rsu"
	"freeflow/tolling"
)

const head = "account,plate,class,tag,from,to,exempt\n"

func knows(class string) bool { return class == "taxi" || class == "lgv" }

func parse(t *testing.T, text string) []Assignment {
	t.Helper()
	rows, err := Parse(strings.NewReader(text), knows)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestRefusals(t *testing.T) {
	const from = "2026-01-01T00:00:00+08:00"
	tests := []struct {
		name, text string
		want       []string // each a line's beginning with words that must follow
	}{
		{"empty file", "", []string{"line 1: the file is empty"}},
		{"missing column", "account,plate,class,tag,from,to\n", []string{`line 1: column "exempt" is missing`}},
		{"unknown column", "account,plate,class,tag,from,to,exempt,colour\n", []string{`line 1: unknown column "colour"`}},
		{"column twice", "account,plate,plate,class,tag,from,to,exempt\n", []string{`line 1: column "plate" stands twice`}},
		{"cells", head + "A,B1\n", []string{"line 2: 2 cells where the header has 7"}},
		{"no mark", head + "A,,taxi,," + from + ",,\n", []string{"line 2: neither plate nor tag"}},
		{"plate of hyphens", head + "A,- -,taxi,," + from + ",,\n", []string{"line 2: neither plate nor tag"}},
		{"tag", head + "A,B1,taxi,XYZ," + from + ",,\n", []string{`line 2: tag "XYZ": not hex`}},
		{"odd tag", head + "A,B1,taxi,ABC," + from + ",,\n", []string{`line 2: tag "ABC": 3 hex digits`}},
		{"class", head + "A,B1,tank,," + from + ",,\n", []string{`line 2: unknown class "tank"`}},
		{"no from", head + "A,B1,taxi,,,,\n", []string{"line 2: from is missing"}},
		{"bad from", head + "A,B1,taxi,,2026-01-01,,\n", []string{`line 2: from "2026-01-01"`}},
		{"to before from", head + "A,B1,taxi,," + from + "," + from + ",\n", []string{"line 2: to " + from + " is not after from"}},
		{"exempt", head + "A,B1,taxi,," + from + ",,yes\n", []string{`line 2: exempt is "yes"`}},
		{"several", head + "A,B1,tank,," + from + ",,\n\nA,,taxi,," + from + ",,\n", []string{"line 2: unknown class", "line 4: neither plate nor tag"}},
		{"tag twice", head + "A,B1,taxi,AA," + from + ",,\nB,B2,taxi,aa,2026-02-01T00:00:00Z,,\n", []string{"line 3: tag AA is assigned on line 2 and on line 3"}},
		{"plate of two accounts", head + "A,B1,taxi,AA," + from + ",,\nB,b 1,taxi,BB," + from + ",,\n", []string{"line 3: plate B1 has different account on line 2 and on line 3"}},
		{"plate of two classes", head + "A,B1,taxi,AA," + from + ",,\nA,B1,lgv,BB," + from + ",,\n", []string{"line 3: plate B1 has different class on line 2"}},
		{"plate half exempt", head + "A,B1,taxi,AA," + from + ",,\nA,B1,taxi,BB," + from + ",,true\n", []string{"line 3: plate B1 has different exemption"}},
		{"overlap hidden behind a short row", head + "A,B1,,," + from + ",,\nA,B1,,AA," + from + ",2026-01-02T00:00:00Z,\nB,B1,,,2026-03-01T00:00:00Z,,\n",
			[]string{"line 4: plate B1 has different account on line 2 and on line 4"}},
		{"quotes", head + "A,\"B1,taxi\n", []string{"line 2: not CSV"}},
		{"UTF-8", head + "A,B\xff1,taxi,," + from + ",,\n", []string{"line 2: cell 2 is not UTF-8"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse(strings.NewReader(test.text), knows)
			var refused *ParseError
			if !errors.As(err, &refused) {
				t.Fatalf("got %v, want a ParseError", err)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(test.want) {
				t.Fatalf("got %q, want %q", lines, test.want)
			}
			for i := range lines {
				if !strings.HasPrefix(lines[i], test.want[i]) {
					t.Errorf("got %q, want it to begin with %q", lines[i], test.want[i])
				}
			}
		})
	}
}

func TestAcceptedAndWrittenAgain(t *testing.T) {
	text := "\ufeff" + "exempt,tag,plate,account,class,from,to\r\n" +
		",aabb,ab 12-34,A,taxi,2026-01-01T00:00:00.1234567+08:00,2026-02-01T00:00:00Z\r\n" +
		"true,CC,,,,2026-01-01T00:00:00Z,\r\n" +
		",,AB1234,A,taxi,2026-01-15T00:00:00Z,\r\n" + // overlaps and agrees
		",AABB,AB1234,A,taxi,2026-02-01T00:00:00Z,\r\n" // begins as the first ends
	rows := parse(t, text)
	if len(rows) != 4 || rows[0].Plate != "AB1234" || rows[0].Tag != "AABB" || !rows[1].Exempt {
		t.Fatalf("rows are %+v", rows)
	}
	if got := rows[0].FromMicros % 1_000_000; got != 123456 {
		t.Errorf("from was not cut to the microsecond: %d", got)
	}
	var out bytes.Buffer
	if err := Write(&out, rows, time.FixedZone("", 8*3600)); err != nil {
		t.Fatal(err)
	}
	again := parse(t, out.String())
	for i := range rows {
		rows[i].Line, again[i].Line = 0, 0
	}
	if !slices.Equal(rows, again) {
		t.Errorf("written and read again:\n%+v\n%+v", rows, again)
	}
}

func TestManyProblemsAreBounded(t *testing.T) {
	text := head + strings.Repeat("A,,,,,,\n", 10_000)
	_, err := Parse(strings.NewReader(text), knows)
	var refused *ParseError
	if !errors.As(err, &refused) || len(refused.Problems) != maxProblems || refused.More == 0 {
		t.Fatalf("got %d problems and %d more", len(refused.Problems), refused.More)
	}
}

// One plate with very many rows must not take quadratic time.
func TestManyRowsOfOnePlate(t *testing.T) {
	var b strings.Builder
	b.WriteString(head)
	for i := range 50_000 {
		fmt.Fprintf(&b, "A,B1,taxi,%08X,2026-01-01T00:00:00Z,,\n", i)
	}
	if rows := parse(t, b.String()); len(rows) != 50_000 {
		t.Fatal(len(rows))
	}
}

func TestResolve(t *testing.T) {
	const day = "2026-01-01T00:00:00Z"
	r := New(parse(t, head+
		"A,PA,taxi,AA,"+day+",,\n"+
		"B,PB,lgv,BB,"+day+",,true\n"+
		"C,,taxi,CC,"+day+",2026-06-01T00:00:00Z,\n"+
		"D,PD,,,"+day+",,\n"))
	in, err := rsu.ParseTime("2026-03-01T00:00:00Z")
	if err != nil {
		t.Fatal(err)
	}
	before, err := rsu.ParseTime("2025-12-31T23:59:59.999999Z")
	if err != nil {
		t.Fatal(err)
	}
	end, err := rsu.ParseTime("2026-06-01T00:00:00Z")
	if err != nil {
		t.Fatal(err)
	}
	type want struct {
		vehicle    string
		registered bool
		account    string
		strong     bool
		conflict   bool
		mark       string
	}
	tests := []struct {
		name       string
		at         int64
		tag, plate string
		confidence float64 // 0 is absent
		want       want
	}{
		{"tag alone", in, "AA", "", 0, want{"PA", true, "A", true, false, ""}},
		{"plate alone", in, "", "PA", 0, want{"PA", true, "A", true, false, ""}},
		{"weak plate alone", in, "", "PA", 0.89, want{"PA", true, "A", false, false, ""}},
		{"just strong enough", in, "", "PA", 0.90, want{"PA", true, "A", true, false, ""}},
		{"tag and its plate", in, "AA", "PA", 0.1, want{"PA", true, "A", true, false, ""}},
		{"tag and another's plate", in, "AA", "PB", 0.95, want{"PB", true, "B", true, true, ""}},
		{"tag and another's weak plate", in, "AA", "PB", 0.5, want{"PB", true, "B", false, true, ""}},
		{"tag and an unassigned plate", in, "AA", "XX", 0, want{"PA", true, "A", true, false, "plate:XX"}},
		{"unassigned tag and a plate", in, "EE", "PA", 0, want{"PA", true, "A", true, false, "tag:EE"}},
		{"unassigned tag and a weak plate", in, "EE", "PA", 0.5, want{"PA", true, "A", false, false, "tag:EE"}},
		{"neither assigned", in, "EE", "XX", 0.1, want{"tag:EE", false, "", true, false, "plate:XX"}},
		{"unassigned plate", in, "", "XX", 0, want{"plate:XX", false, "", true, false, ""}},
		{"unassigned weak plate", in, "", "XX", 0.2, want{"plate:XX", false, "", false, false, ""}},
		{"class tag", in, "CC", "", 0, want{"tag:CC", true, "C", true, false, ""}},
		{"class tag beside an assigned plate", in, "CC", "PA", 0, want{"tag:CC", true, "C", true, false, ""}},
		{"class tag beside an unassigned plate", in, "CC", "XX", 0, want{"tag:CC", true, "C", true, false, "plate:XX"}},
		{"class tag at its end", end, "CC", "", 0, want{"tag:CC", false, "", true, false, ""}},
		{"tag before it is assigned", before, "AA", "", 0, want{"tag:AA", false, "", true, false, ""}},
		{"plate before it is assigned", before, "", "PA", 0, want{"plate:PA", false, "", true, false, ""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			read := rsu.Read{Unit: "CHT-N-1", TimeMicros: test.at, Tag: test.tag, Plate: test.plate}
			if test.confidence != 0 {
				read.Confidence = rsu.Some(test.confidence)
			}
			s := r.Resolve(read, "CHT-N")
			got := want{s.Vehicle.Name, s.Vehicle.Registered, s.Holder.Account, s.Strong, s.Conflict, s.Mark}
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
	if s := r.Resolve(rsu.Read{TimeMicros: in, Tag: "BB"}, "CHT-N"); s.Holder != (tolling.Holder{Account: "B", Class: "lgv", Exempt: true}) {
		t.Errorf("holder is %+v", s.Holder)
	}
}
