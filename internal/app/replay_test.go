package app_test

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
)

const (
	someRegistry = "account,plate,class,tag,from,to,exempt\n" +
		"A1,AB1234,private_car,E280110000000001,2025-01-01T00:00:00+08:00,,\n" +
		"A2,CD5678,motorcycle,E280110000000002,2025-01-01T00:00:00+08:00,,\n"
	someRead  = `{"unit":"CHT-N-1","seq":1,"time":"2026-03-06T20:03:00.123456+08:00","tag":"e280110000000001"}`
	otherRead = `{"unit":"WHC-S-1","seq":2,"time":"2026-03-06T07:30:00.5+08:00","tag":"e280110000000002"}`
	someNow   = "2026-11-23T00:00:00Z"
	chargesOf = "pass_time,toll_point,vehicle,account,class,amount,currency,status\n" +
		"2026-03-06T07:30:00.500000+08:00,WHC-S,CD5678,A2,motorcycle,8.80,HKD,charged\n" +
		"2026-03-06T20:03:00.123456+08:00,CHT-N,AB1234,A1,private_car,20.00,HKD,charged\n"
)

// summary is what replay prints with --json.
type summary struct {
	Reads, Accepted, Rejected, Passes, Charged, Exempt, Unpaid, Review int64
	Amount                                                             struct{ Charged, Unpaid string }
	Currency                                                           string
	Seconds                                                            float64
}

// replayDir is a folder with files for a replay.
type replayDir struct {
	t   *testing.T
	dir string
}

func newReplayDir(t *testing.T) replayDir {
	t.Helper()
	d := replayDir{t, t.TempDir()}
	d.write("registry.csv", someRegistry)
	return d
}

func (d replayDir) path(name string) string { return filepath.Join(d.dir, name) }

func (d replayDir) write(name, text string) string {
	d.t.Helper()
	if err := os.WriteFile(d.path(name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return d.path(name)
}

func (d replayDir) read(name string) string {
	d.t.Helper()
	text, err := os.ReadFile(d.path(name))
	if err != nil {
		d.t.Fatal(err)
	}
	return string(text)
}

// replay runs the command with the folder's registry, and charges.csv and
// rejects.ndjson into it.
func (d replayDir) replay(stdin string, args ...string) result {
	d.t.Helper()
	return run(d.t, stdin, append([]string{"replay", "--registry", d.path("registry.csv"), "--now", someNow, "--json",
		"--charges", d.path("charges.csv"), "--rejects", d.path("rejects.ndjson")}, args...)...)
}

func (d replayDir) summary(r result) summary {
	d.t.Helper()
	var s summary
	if err := json.Unmarshal([]byte(r.stdout), &s); err != nil {
		d.t.Fatalf("%v in %q, said %q", err, r.stdout, r.stderr)
	}
	return s
}

func TestReplay(t *testing.T) {
	d := newReplayDir(t)
	reads := d.write("reads.ndjson", "\n"+someRead+"\r\n  \t\n"+otherRead) // no end of line at the end
	r := d.replay("", reads)
	if r.status != 0 {
		t.Fatalf("status %d: %s", r.status, r.stderr)
	}
	s := d.summary(r)
	if s.Reads != 2 || s.Accepted != 2 || s.Passes != 2 || s.Charged != 2 || s.Amount.Charged != "28.80" || s.Amount.Unpaid != "0.00" || s.Currency != "HKD" {
		t.Errorf("summary %+v", s)
	}
	if got := d.read("charges.csv"); got != chargesOf {
		t.Errorf("charges:\n%s", got)
	}
	if got := d.read("rejects.ndjson"); got != "" {
		t.Errorf("rejects: %s", got)
	}
}

func TestReplayOfStdinAndPackedFiles(t *testing.T) {
	d := newReplayDir(t)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(otherRead + "\n")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if r := d.replay(someRead+"\n", d.write("reads.ndjson.gz", packed.String()), "-"); r.status != 0 {
		t.Fatalf("status %d: %s", r.status, r.stderr)
	}
	if got := d.read("charges.csv"); got != chargesOf {
		t.Errorf("charges:\n%s", got)
	}

	// So does one of which nothing is left.
	if r := d.replay("", d.write("empty.gz", "")); r.status != 1 || !strings.Contains(r.stderr, "empty.gz") {
		t.Errorf("empty archive: status %d: %s", r.status, r.stderr)
	}

	// A truncated archive fails, but what was read before the break counts.
	short := d.write("short.gz", packed.String()[:packed.Len()-9])
	r := d.replay("", short)
	if r.status != 1 || !strings.Contains(r.stderr, short) {
		t.Errorf("status %d: %s", r.status, r.stderr)
	}
	if s := d.summary(r); s.Accepted != 1 || s.Passes != 1 {
		t.Errorf("summary %+v", s)
	}
}

// Every refusal of section 3, by line, with good neighbours unharmed.
func TestReplayRefusals(t *testing.T) {
	with := func(old, replacement string) string { return strings.Replace(someRead, old, replacement, 1) }
	bad := []struct{ line, reason string }{
		{"hello", "not JSON"},
		{`{"unit":"CHT-N-1"`, "not JSON"},
		{`["CHT-N-1"]`, "object"},
		{`"CHT-N-1"`, "object"},
		{someRead + someRead, "not JSON"},
		{with(`"CHT-N-1"`, `"CHT-\xff"`), "not JSON"},
		{with("CHT-N-1", "CHT\xffN-1"), "not JSON"},
		{with(`"unit":"CHT-N-1",`, ``), "unit"},
		{with(`"unit"`, `"Unit"`), "unit"},
		{with(`"seq":1`, `"seq":1,"seq":1`), "seq"},
		{with(`"seq":1`, `"seq":"1"`), "seq"},
		{with(`"seq":1`, `"seq":-1`), "seq"},
		{with(`"seq":1`, `"seq":18446744073709551616`), "seq"},
		{with(`"seq":1,`, ``), "seq"},
		{with(`"time":"2026-03-06T20:03:00.123456+08:00",`, ``), "time"},
		{with("T20:03", " 20:03"), "time"},
		{with("T20:03", "t20:03"), "time"},
		{with("2026-03-06", "2026-02-30"), "time"},
		{with("+08:00", ""), "time"},
		{with("2026-03-06", "2019-03-06"), "time"},
		{with("2026-03-06", "2027-03-06"), "time"},
		{with("CHT-N-1", "CHT-N-9"), "unit"},
		{with("CHT-N-1", "NOWHERE"), "unit"},
		{with(`"tag"`, `"class":"tank","tag"`), "class"},
		{with(`"tag":"e280110000000001"`, `"tag":""`), "neither tag nor plate"},
		{with(`"e280110000000001"`, `null`), "neither tag nor plate"},
		{with("e280", "xyz0"), "tag"},
		{with("e280", "e28"), "tag"},
		{with("e280110000000001", strings.Repeat("AB", 63)), "tag"},
		{with(`"tag"`, `"plate":"X","plate_confidence":1.5,"tag"`), "plate_confidence"},
		{with(`"tag"`, `"plate":"X","plate_confidence":"1","tag"`), "plate_confidence"},
		{with(`"tag"`, `"antenna":"1","tag"`), "antenna"},
		{`{"x":"` + strings.Repeat("x", 1<<20) + `"}`, "more than"},
	}
	var lines []string
	for _, b := range bad {
		lines = append(lines, otherRead, b.line, "")
	}
	d := newReplayDir(t)
	reads := d.write("reads.ndjson", strings.Join(lines, "\n"))
	r := d.replay("", reads)
	if r.status != 0 {
		t.Fatalf("rejected reads leave exit status 0, not %d: %s", r.status, r.stderr)
	}
	if s := d.summary(r); s.Reads != int64(2*len(bad)) || s.Rejected != int64(len(bad)) || s.Accepted != int64(len(bad)) || s.Passes != 1 {
		t.Errorf("summary %+v", s)
	}
	rejects := strings.Split(strings.TrimSpace(d.read("rejects.ndjson")), "\n")
	if len(rejects) != len(bad) {
		t.Fatalf("%d rejects of %d", len(rejects), len(bad))
	}
	for i, b := range bad {
		var row struct {
			File   string
			Line   int
			Reason string
			Read   string
		}
		if err := json.Unmarshal([]byte(rejects[i]), &row); err != nil {
			t.Fatal(err)
		}
		if row.File != reads || row.Line != 3*i+2 || !strings.Contains(row.Reason, b.reason) {
			t.Errorf("%.80s: line %d, reason %q, want line %d and %q", b.line, row.Line, row.Reason, 3*i+2, b.reason)
		}
		if want := strings.ToValidUTF8(b.line[:min(len(b.line), 4096)], "\ufffd"); row.Read != want {
			t.Errorf("%.80s: kept as %.80q", b.line, row.Read)
		}
	}
}

func TestReplayStrict(t *testing.T) {
	d := newReplayDir(t)
	reads := d.write("reads.ndjson", strings.Replace(someRead, `"tag"`, `"speed":50,"tag"`, 1))
	if s := d.summary(d.replay("", reads)); s.Accepted != 1 {
		t.Errorf("unknown fields are ignored: %+v", s)
	}
	if s := d.summary(d.replay("", "--strict", reads)); s.Rejected != 1 {
		t.Errorf("unless strict: %+v", s)
	}
}

func TestReplayContinues(t *testing.T) {
	d := newReplayDir(t)
	first, second := d.write("1.ndjson", otherRead+"\n"), d.write("2.ndjson", someRead+"\n"+otherRead+"\n")
	data := d.path("data")
	for _, reads := range []string{first, second, second} {
		if r := d.replay("", "--data", data, reads); r.status != 0 {
			t.Fatalf("status %d: %s", r.status, r.stderr)
		}
	}
	if got := d.read("charges.csv"); got != chargesOf {
		t.Errorf("charges:\n%s", got)
	}
	if r := run(t, "", "verify", "--data", data); r.status != 0 || strings.Contains(r.stdout, "VIOLATED") || !strings.Contains(r.stdout, "holds") {
		t.Errorf("verify: status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
}

func TestReplayRefusesBadInput(t *testing.T) {
	d := newReplayDir(t)
	reads := d.write("reads.ndjson", someRead)
	overlap := d.write("overlap.csv", someRegistry+"A3,EF9012,taxi,E280110000000001,2026-01-01T00:00:00Z,,\n")
	twice := d.write("twice.csv", someRegistry+"A3,AB1234,private_car,,2026-01-01T00:00:00Z,,\n")
	tests := []struct {
		name   string
		args   []string
		status int
		says   []string
	}{
		{"no reads", []string{"--registry", d.path("registry.csv")}, 2, []string{"no reads"}},
		{"no registry", []string{reads}, 2, []string{"--registry"}},
		{"unknown flag", []string{"--bogus", reads}, 2, []string{"bogus"}},
		{"bad now", []string{"--registry", d.path("registry.csv"), "--now", "today", reads}, 2, []string{"--now"}},
		{"missing reads", []string{"--registry", d.path("registry.csv"), d.path("none")}, 1, []string{d.path("none")}},
		{"a folder", []string{"--registry", d.path("registry.csv"), d.dir}, 1, []string{"folder"}},
		{"missing registry", []string{"--registry", d.path("none"), reads}, 1, []string{"registry", d.path("none")}},
		{"one tag twice", []string{"--registry", overlap, reads}, 1, []string{overlap, "line 2", "line 4", "E280110000000001"}},
		{"one plate of two accounts", []string{"--registry", twice, reads}, 1, []string{twice, "line 2", "line 4", "AB1234"}},
		{"unknown network", []string{"--network", "atlantis", "--registry", d.path("registry.csv"), reads}, 1, []string{"atlantis", "hongkong"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := run(t, "", append([]string{"replay"}, test.args...)...)
			if r.status != test.status {
				t.Errorf("status %d, want %d: %s", r.status, test.status, r.stderr)
			}
			for _, words := range test.says {
				if !strings.Contains(r.stderr, words) {
					t.Errorf("says %q, want %q in it", r.stderr, words)
				}
			}
		})
	}
}

// The real trips of Taiwan, summed up here from the two published files alone,
// against the whole pipeline.
func TestReplayOfRealTrips(t *testing.T) {
	d := newReplayDir(t)
	prices := taiwanPrices(t)
	columns := map[string]int{"31": 7, "32": 7, "41": 8, "42": 8, "5": 9} // car, truck, trailer
	want := map[string]int{}                                              // "gantry time amount", counted
	var passages, listed int
	sum := decimal.Zero
	for _, trip := range readCSV(t, "../../tolling/tariff/testdata/taiwan/M06A_30trips_20190830.csv") {
		for stop := range strings.SplitSeq(trip[7], "; ") {
			at, gantry, _ := strings.Cut(stop, "+")
			passages++
			amount := ""
			if row, ok := prices[gantry]; ok {
				price := decimal.RequireFromString(row[columns[trip[0]]])
				amount = price.StringFixed(2)
				sum = sum.Add(price)
				listed++
			}
			want[gantry+" "+strings.Replace(at, " ", "T", 1)+".000000+08:00 "+amount]++
		}
	}
	if passages != 113 || listed != 107 {
		t.Fatalf("%d passages, %d with a price: the files are others", passages, listed)
	}
	if r := run(t, "", "import", "m06a", "--out", d.path("reads.ndjson"), "--registry", d.path("registry.csv"),
		"../../tolling/tariff/testdata/taiwan/M06A_30trips_20190830.csv"); r.status != 0 {
		t.Fatalf("import: %s", r.stderr)
	}
	r := d.replay("", "--network", "taiwan", d.path("reads.ndjson"))
	if r.status != 0 {
		t.Fatalf("replay: %s", r.stderr)
	}
	s := d.summary(r)
	if s.Passes != 113 || s.Charged != 107 || s.Review != 6 || s.Amount.Charged != sum.StringFixed(2) || s.Currency != "TWD" {
		t.Errorf("summary %+v, want 107 charged for %s", s, sum.StringFixed(2))
	}
	for i, row := range readCSV(t, d.path("charges.csv")) {
		if i > 0 {
			want[fmt.Sprintf("%s %s %s", row[1], row[0], row[5])]--
		}
	}
	for line, n := range want {
		if n != 0 {
			t.Errorf("%s: %+d", line, n)
		}
	}
}

// taiwanPrices reads the published list, by gantry.
func taiwanPrices(t *testing.T) map[string][]string {
	t.Helper()
	rows := map[string][]string{}
	for _, row := range readCSV(t, "../../tolling/tariff/testdata/taiwan/gantry_price_table_2025-12-09.csv")[1:] {
		rows[row[3]] = row
	}
	if len(rows) != 341 {
		t.Fatalf("%d gantries in the list", len(rows))
	}
	return rows
}

func readCSV(t *testing.T, path string) [][]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff")))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}
