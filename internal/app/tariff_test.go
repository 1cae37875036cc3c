package app_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"freeflow/internal/app"
	"freeflow/internal/clock"
	"freeflow/rsu"
	"freeflow/tolling/tariff"
)

var _ rsu.Roadside = (*tariff.Network)(nil)

type result struct {
	status         int
	stdout, stderr string
}

func run(t testing.TB, stdin string, args ...string) result {
	t.Helper()
	var out, messages bytes.Buffer
	status := app.Main(context.Background(), app.Env{
		Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &messages,
		Clock: clock.At(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)),
	}, args)
	return result{status, out.String(), messages.String()}
}

func TestTariffRateSaysAmountAndWhy(t *testing.T) {
	r := run(t, "", "tariff", "rate", "--network", "hongkong", "--facility", "CHT", "--class", "private_car", "--at", "2026-03-06T20:03:00+08:00")
	if r.status != 0 || r.stderr != "" || !strings.HasPrefix(r.stdout, "20.00 HKD\n") {
		t.Fatalf("%+v", r)
	}
	for _, why := range []string{"Friday 2026-03-06 20:03 +08:00", "2023-12-tv, begun 2023-12-17T05:00:00+08:00", "mon_sat", "19:18-24:00"} {
		if !strings.Contains(r.stdout, why) {
			t.Errorf("the answer does not say %q:\n%s", why, r.stdout)
		}
	}
	r = run(t, "", "tariff", "rate", "--facility", "TLT", "--class", "motorcycle", "--at", "2025-05-31T00:00:00Z", "--json")
	var got map[string]string
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || r.status != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if got["amount"] != "7.20" || got["currency"] != "HKD" || got["version"] != "2025-05-tlt" || got["day_type"] != "sun_gh" || got["at"] != "2025-05-31T00:00:00Z" || !strings.Contains(got["rule"], "40% of private_car") {
		t.Errorf("%v", got)
	}
	if r := run(t, "", "tariff", "rate", "--facility", "TLT", "--class", "private_car", "--at", "2025-05-31T08:00:00+08:00"); !strings.Contains(r.stdout, "Tuen Ng Festival") {
		t.Errorf("the holiday is not named: %+v", r)
	}
	if r := run(t, "", "tariff", "rate", "--network", "taiwan", "--facility", "01F0005", "--class", "car", "--at", "2019-08-30T08:00:00+08:00"); r.status != 0 || !strings.HasPrefix(r.stdout, "1.30 TWD\n") {
		t.Errorf("%+v", r)
	}
}

// Where the directions of a facility differ in toll, a toll point is rated and
// the facility's code is answered with the toll points to ask for.
func TestTariffRateTakesTollPoints(t *testing.T) {
	r := run(t, "", "tariff", "rate", "--network", "taiwan", "--facility", "03F0201S", "--class", "car", "--at", "2026-03-06T20:03:00+08:00", "--json")
	var got map[string]string
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || got["facility"] != "03F0201S" || got["amount"] != "5.60" {
		t.Errorf("%+v, %v", r, err)
	}
	r = run(t, "facility,class,at\n03F0201N,car,2026-03-06T20:03:00+08:00\n03F0201,car,2026-03-06T20:03:00+08:00\n01F0005S,car,2026-03-06T20:03:00+08:00\n",
		"tariff", "rate", "--network", "taiwan", "--csv", "-")
	lines := strings.Split(r.stdout, "\n")
	if r.status != 1 || len(lines) != 5 || !strings.HasPrefix(lines[1], "03F0201N,car,2026-03-06T20:03:00+08:00,5.20,TWD,") ||
		!strings.HasPrefix(lines[2], "03F0201,car,2026-03-06T20:03:00+08:00,,,") || !strings.Contains(lines[2], "03F0201N, 03F0201S") ||
		!strings.HasPrefix(lines[3], "01F0005S,car,2026-03-06T20:03:00+08:00,1.30,TWD,") {
		t.Errorf("%+v", r)
	}
	if r := run(t, "", "tariff", "rate", "--help"); !strings.Contains(r.stdout, "facility or toll point") {
		t.Errorf("%+v", r)
	}
}

func TestTariffExitStatus(t *testing.T) {
	single := []string{"--facility", "CHT", "--class", "taxi", "--at", "2026-03-06T20:03:00+08:00"}
	dir := t.TempDir()
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"tariff"}, 2, "rate, check or diff"},
		{[]string{"tariff", "guess"}, 2, `"guess"`},
		{[]string{"tariff", "rate"}, 2, "--facility"},
		{[]string{"tariff", "rate", "--facility", "CHT", "--class", "taxi"}, 2, "go together"},
		{append([]string{"tariff", "rate", "--csv", "-"}, single...), 2, "--csv"},
		{[]string{"tariff", "rate", "--csv", "-", "--json"}, 2, "--json"},
		{[]string{"tariff", "rate", "--csv", ""}, 2, "--csv"},
		{append([]string{"tariff", "rate", "--speed", "9"}, single...), 2, "speed"},
		{append([]string{"tariff", "rate", "extra"}, single...), 2, `"extra"`},
		{[]string{"tariff", "rate", "--facility", "CHT", "--class", "taxi", "--at", "2026-03-06 20:03"}, 2, "RFC 3339"},
		{[]string{"tariff", "rate", "--facility", "XYZ", "--class", "taxi", "--at", "2026-03-06T20:03:00Z"}, 1, "CHT, EHC"},
		{[]string{"tariff", "rate", "--facility", "CHT", "--class", "tram", "--at", "2026-03-06T20:03:00Z"}, 1, "private_car"},
		{[]string{"tariff", "rate", "--facility", "ABT", "--class", "taxi", "--at", "2028-01-01T00:00:00+08:00"}, 1, "2027-12-31"},
		{append([]string{"tariff", "rate", "--network", "atlantis"}, single...), 1, "hongkong, taiwan"},
		{[]string{"tariff", "rate", "--csv", filepath.Join(dir, "none.csv")}, 1, "none.csv"},
		{[]string{"tariff", "check", "a", "b"}, 2, `"b"`},
		{[]string{"tariff", "check", "atlantis"}, 1, "hongkong, taiwan"},
		{[]string{"tariff", "diff", "hongkong"}, 2, "two networks"},
		{[]string{"tariff", "diff", "hongkong", "atlantis"}, 1, "atlantis"},
	} {
		r := run(t, "", c.args...)
		if r.status != c.status || r.stdout != "" || !strings.Contains(r.stderr, c.says) {
			t.Errorf("%v: %+v; want status %d, nothing on stdout, and %q", c.args, r, c.status, c.says)
		}
	}
}

func rated(t *testing.T, stdin string) (r result, rows [][]string) {
	t.Helper()
	r = run(t, stdin, "tariff", "rate", "--network", "hongkong", "--csv", "-")
	rows, err := csv.NewReader(strings.NewReader(r.stdout)).ReadAll()
	if err != nil {
		t.Fatalf("the output is not CSV: %v\n%s", err, r.stdout)
	}
	if len(rows) == 0 || strings.Join(rows[0], ",") != "facility,class,at,amount,currency,rule" {
		t.Fatalf("header: %q", r.stdout)
	}
	return r, rows[1:]
}

func TestTariffRateCSV(t *testing.T) {
	r, rows := rated(t, "\ufefffacility,class,at\r\nCHT,private_car,2026-03-06T20:03:00+08:00\r\n\r\nWHC,motorcycle,2023-12-18T02:21:00.123456789Z")
	if r.status != 0 || r.stderr != "" {
		t.Errorf("%+v", r)
	}
	want := [][]string{{"CHT", "private_car", "2026-03-06T20:03:00+08:00", "20.00", "HKD"}, {"WHC", "motorcycle", "2023-12-18T02:21:00.123456789Z", "20.80", "HKD"}}
	if len(rows) != len(want) {
		t.Fatalf("%v", rows)
	}
	for i, row := range rows {
		if strings.Join(row[:5], "|") != strings.Join(want[i], "|") || !strings.HasPrefix(row[5], "2023-12-tv: ") {
			t.Errorf("row %d: %v", i, row)
		}
	}
	// Columns go by name, further ones are passed over.
	if _, rows := rated(t, "at,lane,class,facility\n2026-03-06T20:03:00+08:00,4,taxi,CHT\n"); rows[0][0] != "CHT" || rows[0][3] != "25.00" {
		t.Errorf("%v", rows)
	}
	for in, says := range map[string]string{"": "empty", "facility,class\nCHT,taxi\n": "column at", "facility,class,at,at\n": "twice", "\"facility,class,at\n": "line 1"} {
		if r := run(t, in, "tariff", "rate", "--csv", "-"); r.status != 1 || r.stdout != "" || !strings.Contains(r.stderr, says) {
			t.Errorf("%q: %+v", in, r)
		}
	}
}

// A bad row never costs its neighbours, whatever is wrong with it.
func TestTariffRateCSVBadRows(t *testing.T) {
	const good = "CHT,taxi,2026-03-06T20:03:00+08:00"
	for name, c := range map[string]struct {
		row    string
		cells  []string // as they must come back
		reason string
	}{
		"unknown facility": {"XYZ,taxi,2026-03-06T20:03:00+08:00", []string{"XYZ", "taxi", "2026-03-06T20:03:00+08:00"}, `unknown facility "XYZ"`},
		"lower case":       {"cht,taxi,2026-03-06T20:03:00+08:00", []string{"cht", "taxi", "2026-03-06T20:03:00+08:00"}, `unknown facility "cht"`},
		"white space":      {"CHT, taxi,2026-03-06T20:03:00+08:00", []string{"CHT", " taxi", "2026-03-06T20:03:00+08:00"}, `unknown class " taxi"`},
		"unknown class":    {"CHT,tram,2026-03-06T20:03:00+08:00", []string{"CHT", "tram", "2026-03-06T20:03:00+08:00"}, `unknown class "tram"`},
		"empty cell":       {"CHT,,2026-03-06T20:03:00+08:00", []string{"CHT", "", "2026-03-06T20:03:00+08:00"}, "the cell class is empty"},
		"nothing":          {",,", []string{"", "", ""}, "the cell facility is empty"},
		"no time":          {"CHT,taxi,yesterday", []string{"CHT", "taxi", "yesterday"}, "RFC 3339"},
		"lower-case T":     {"CHT,taxi,2026-03-06t20:03:00+08:00", []string{"CHT", "taxi", "2026-03-06t20:03:00+08:00"}, "RFC 3339"},
		"lower-case Z":     {"CHT,taxi,2026-03-06T20:03:00z", []string{"CHT", "taxi", "2026-03-06T20:03:00z"}, "RFC 3339"},
		"no offset":        {"CHT,taxi,2026-03-06T20:03:00", []string{"CHT", "taxi", "2026-03-06T20:03:00"}, "offset"},
		"no such day":      {"CHT,taxi,2026-02-30T20:03:00Z", []string{"CHT", "taxi", "2026-02-30T20:03:00Z"}, "RFC 3339"},
		"past the tariff":  {"CHT,taxi,2028-01-01T00:00:00+08:00", []string{"CHT", "taxi", "2028-01-01T00:00:00+08:00"}, "no tariff for taxi at CHT"},
		"too few":          {"CHT,taxi", []string{"CHT", "taxi", ""}, "2 cells where the header has 3"},
		"too many":         {good + ",x", []string{"CHT", "taxi", "2026-03-06T20:03:00+08:00"}, "4 cells"},
		"stray quote":      {`"CHT,taxi,2026-03-06T20:03:00+08:00`, []string{`"CHT`, "taxi", "2026-03-06T20:03:00+08:00"}, "quotes"},
		"quote within":     {`CH"T,taxi,2026-03-06T20:03:00+08:00`, []string{`CH"T`, "taxi", "2026-03-06T20:03:00+08:00"}, "quotes"},
		"text after quote": {`"CHT"x,taxi,2026-03-06T20:03:00+08:00`, []string{`"CHT"x`, "taxi", "2026-03-06T20:03:00+08:00"}, "quotes"},
		"quoted new line":  {"\"C\nHT\",taxi,2026-03-06T20:03:00+08:00", []string{"C\nHT", "taxi", "2026-03-06T20:03:00+08:00"}, `unknown facility "C\nHT"`},
		"quoted comma":     {`"C,HT",taxi,2026-03-06T20:03:00+08:00`, []string{"C,HT", "taxi", "2026-03-06T20:03:00+08:00"}, `unknown facility "C,HT"`},
		"invalid UTF-8":    {"\xff\xfe,taxi,2026-03-06T20:03:00+08:00", []string{"\xff\xfe", "taxi", "2026-03-06T20:03:00+08:00"}, "unknown facility"},
		"too long":         {strings.Repeat("x", 3<<20), []string{"", "", ""}, "longer than 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			r, rows := rated(t, "facility,class,at\n"+good+"\n"+c.row+"\n"+good+"\n"+good)
			if r.status != 1 || !strings.Contains(r.stderr, "1 of 4 rows") {
				t.Errorf("status %d, %q", r.status, r.stderr)
			}
			if len(rows) != 4 {
				t.Fatalf("%d rows, want 4", len(rows))
			}
			for i, row := range rows {
				if i == 1 {
					if strings.Join(row[:3], "|") != strings.Join(c.cells, "|") || row[3] != "" || row[4] != "" || !strings.Contains(row[5], c.reason) || len(row[5]) > 500 {
						t.Errorf("bad row: %q, want cells %q and %q", row, c.cells, c.reason)
					}
				} else if row[3] != "25.00" || strings.Join(row[:3], ",") != good {
					t.Errorf("its neighbour %d: %q", i, row)
				}
			}
		})
	}
}

// endless gives rows without end and breaks with an error after some; it
// would not fit in memory if the command held what it reads.
type endless struct {
	left int
	err  error
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, e.err
	}
	const row = "CHT,private_car,2026-03-06T20:03:00+08:00\n"
	n := 0
	for n+len(row) <= len(p) && e.left > 0 {
		n += copy(p[n:], row)
		e.left--
	}
	return n, nil
}

func TestTariffRateCSVStreamsAndReportsFailedReading(t *testing.T) {
	broken := errors.New("cable cut")
	var out countingWriter
	var messages bytes.Buffer
	in := io.MultiReader(strings.NewReader("facility,class,at\n"), &endless{left: 200_000, err: broken})
	status := app.Main(context.Background(), app.Env{Stdin: in, Stdout: &out, Stderr: &messages, Clock: clock.At(time.Unix(0, 0))},
		[]string{"tariff", "rate", "--csv", "-"})
	if status != 1 || !strings.Contains(messages.String(), "cable cut") {
		t.Errorf("status %d, %q", status, messages.String())
	}
	if out.lines != 200_001 {
		t.Errorf("%d lines, want those read before the failure", out.lines)
	}
	if out.largest > 64<<10 {
		t.Errorf("%d bytes were written at once; the output is not streamed", out.largest)
	}
	full := errors.New("disk full")
	in = io.MultiReader(strings.NewReader("facility,class,at\n"), &endless{left: 200_000, err: io.EOF})
	messages.Reset()
	status = app.Main(context.Background(), app.Env{Stdin: in, Stdout: failingWriter{full}, Stderr: &messages, Clock: clock.At(time.Unix(0, 0))},
		[]string{"tariff", "rate", "--csv", "-"})
	if status != 1 || !strings.Contains(messages.String(), "disk full") {
		t.Errorf("status %d, %q", status, messages.String())
	}
}

type countingWriter struct{ lines, largest int }

func (w *countingWriter) Write(p []byte) (int, error) {
	w.lines += bytes.Count(p, []byte("\n"))
	w.largest = max(w.largest, len(p))
	return len(p), nil
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestTariffCheck(t *testing.T) {
	r := run(t, "", "tariff", "check")
	if r.status != 0 || r.stderr != "" || !strings.Contains(r.stdout, "hongkong: good") || !strings.Contains(r.stdout, "72 units") || !strings.Contains(r.stdout, "taiwan: good") || !strings.Contains(r.stdout, "without any toll: 01F0155 01F0339N ") || !strings.Contains(r.stdout, "Freeway Bureau") {
		t.Errorf("%+v", r)
	}
	dir := copyNetwork(t, "hongkong", func(file, text string) string {
		switch file {
		case "tolls.csv":
			return strings.Replace(text, "07:48,10:15,40", "07:48,10:16,40", 1)
		case "holidays.csv":
			return text + "2028-01-01,The first day of January,guess\n"
		}
		return text
	})
	r = run(t, "", "tariff", "check", dir)
	if r.status != 1 || r.stderr != "" || !strings.Contains(r.stdout, "2 problems") || !strings.Contains(r.stdout, "tolls.csv:") || !strings.Contains(r.stdout, "holidays.csv:72:") {
		t.Errorf("%+v", r)
	}
	r = run(t, "", "tariff", "check", "--json", dir)
	var reports []struct {
		OK       bool             `json:"ok"`
		Problems []tariff.Problem `json:"problems"`
	}
	if err := json.Unmarshal([]byte(r.stdout), &reports); err != nil || r.status != 1 || len(reports) != 1 || reports[0].OK || len(reports[0].Problems) != 2 || reports[0].Problems[0].Line != 72 {
		t.Errorf("%+v, %v", r, err)
	}
	// The same mistakes stop rating, all of them named.
	r = run(t, "", "tariff", "rate", "--network", dir, "--facility", "CHT", "--class", "taxi", "--at", "2026-03-06T20:03:00Z")
	if r.status != 1 || r.stdout != "" || !strings.Contains(r.stderr, "tolls.csv:") || !strings.Contains(r.stderr, "holidays.csv:72:") {
		t.Errorf("%+v", r)
	}
}

func TestTariffDiff(t *testing.T) {
	dir := copyNetwork(t, "hongkong", func(file, text string) string {
		switch file {
		case "versions.csv":
			return text + "2026-ckr,2026-12-01T00:00:00+08:00,test\n"
		case "tolls.csv":
			return text + "2026-ckr,ABT,taxi,all,00:00,24:00,8.50,,\n"
		}
		return text
	})
	r := run(t, "", "tariff", "diff", "hongkong", dir)
	if r.status != 0 || r.stderr != "" || !strings.Contains(r.stdout, "ABT taxi, all, from 2026-12-01T00:00:00+08:00") || !strings.Contains(r.stdout, "00:00-24:00  8.00 -> 8.50") {
		t.Errorf("%+v", r)
	}
	r = run(t, "", "tariff", "diff", "--json", "hongkong", dir)
	var d tariff.Difference
	if err := json.Unmarshal([]byte(r.stdout), &d); err != nil || r.status != 0 || len(d.Tolls) != 1 || len(d.Items) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if r := run(t, "", "tariff", "diff", "hongkong", "hongkong"); r.status != 0 || !strings.Contains(r.stdout, "do not differ") {
		t.Errorf("%+v", r)
	}
}

// copyNetwork copies an embedded network's files into a folder, changed.
func copyNetwork(t *testing.T, name string, change func(file, text string) string) string {
	t.Helper()
	from := filepath.Join("..", "..", "tolling", "tariff", "networks", name)
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), []byte(change(e.Name(), string(data))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func BenchmarkTariffRateCSV(b *testing.B) {
	const rows = 100_000
	for b.Loop() {
		in := io.MultiReader(strings.NewReader("facility,class,at\n"), &endless{left: rows, err: io.EOF})
		if status := app.Main(context.Background(), app.Env{Stdin: in, Stdout: io.Discard, Stderr: io.Discard, Clock: clock.At(time.Unix(0, 0))},
			[]string{"tariff", "rate", "--csv", "-"}); status != 0 {
			b.Fatal(fmt.Sprint("status ", status))
		}
	}
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// judgeRated says what is wrong with the answer to rows followed by one good
// row: it must be CSV of six columns with one row for each that came in, and
// the good row must be rated unless an open quote before it takes it in.
func judgeRated(t testing.TB, rows string) error {
	t.Helper()
	const good = "CHT,taxi,2026-03-06T20:03:00+08:00"
	r := run(t, "facility,class,at\n"+rows+"\n"+good+"\n", "tariff", "rate", "--csv", "-")
	out, err := csv.NewReader(strings.NewReader(r.stdout)).ReadAll()
	if err != nil {
		return fmt.Errorf("%w: %q", err, r.stdout)
	}
	want := 2 // the header and the good row
	for line := range strings.SplitSeq(rows, "\n") {
		if strings.TrimSuffix(line, "\r") != "" {
			want++
		}
	}
	if strings.Contains(rows, `"`) {
		if len(out) < 2 || len(out) > want {
			return fmt.Errorf("%d rows, want 2 to %d: %q", len(out), want, r.stdout)
		}
	} else if last := out[len(out)-1]; len(out) != want || last[3] != "25.00" {
		return fmt.Errorf("%d rows, want %d; the good one is %q", len(out), want, last)
	}
	failed := false
	for _, row := range out[1:] {
		if (row[3] == "") != (row[4] == "") || row[5] == "" {
			return fmt.Errorf("row %q", row)
		}
		failed = failed || row[3] == ""
	}
	if failed != (r.status == 1) {
		return fmt.Errorf("status %d, failed %v", r.status, failed)
	}
	return nil
}

func FuzzTariffRateCSV(f *testing.F) {
	f.Add("CHT,taxi,2026-03-06T20:03:00+08:00")
	f.Add("\"CHT,taxi\n\n\"\"\",x\r\n")
	f.Add("a,b\r\r\n\x00,\xff,\"\n,,")
	f.Fuzz(func(t *testing.T, rows string) {
		if err := judgeRated(t, rows); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTariffRateCSVOfBrokenRows(t *testing.T) {
	pieces := rapid.SampledFrom([]string{`"`, `"`, `""`, ",", ",", "\n", "\r", "\r\n", "CHT", "taxi", "2026-03-06T20:03:00Z", " ", "\xff", "CHT,taxi,2026-03-06T20:03:00Z\n"})
	rapid.Check(t, func(rt *rapid.T) {
		if err := judgeRated(t, strings.Join(rapid.SliceOfN(pieces, 0, 40).Draw(rt, "pieces"), "")); err != nil {
			rt.Fatal(err)
		}
	})
}
