package app_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freeflow/internal/app"
	"freeflow/internal/clock"
	"freeflow/rsu"
	"freeflow/tolling/registry"
	"freeflow/tolling/tariff"
)

const m06aSample = "../../tolling/tariff/testdata/taiwan/M06A_30trips_20190830.csv"

func decodeReads(t *testing.T, text string) []rsu.Read {
	t.Helper()
	var reads []rsu.Read
	for line := range strings.Lines(text) {
		r, err := rsu.DecodeJSON([]byte(strings.TrimSuffix(line, "\n")), true)
		if err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		reads = append(reads, r)
	}
	return reads
}

// The recorded trips become reads that the gateway's own checks accept, of
// vehicles that the registry names.
func TestImportM06A(t *testing.T) {
	dir := t.TempDir()
	registryFile := filepath.Join(dir, "registry.csv")
	r := run(t, "", "import", "m06a", "--date", "2026-08-28", "--registry", registryFile, m06aSample)
	if strings.Contains(r.stderr, "2020") || r.status != 0 || !strings.Contains(r.stderr, "30 trips, 113 passages; 0 rows left out") {
		t.Fatalf("status %d, %q", r.status, r.stderr)
	}
	network, err := tariff.Open("taiwan")
	if err != nil {
		t.Fatal(err)
	}
	reads := decodeReads(t, r.stdout)
	if len(reads) != 113 {
		t.Fatalf("%d reads, want 113", len(reads))
	}
	text, err := os.ReadFile(registryFile)
	if err != nil {
		t.Fatal(err)
	}
	assignments, err := registry.Parse(bytes.NewReader(text), network.KnowsClass)
	if err != nil {
		t.Fatal(err)
	}
	if len(assignments) != 30 || !strings.HasPrefix(string(text), "account,plate,class,tag,from,to,exempt\n") {
		t.Fatalf("%d assignments: %s", len(assignments), text)
	}
	known := registry.New(assignments)
	check := rsu.Checker{Roadside: network}
	type place struct{ unit, boot string }
	seqs := map[place]uint64{}
	tags := map[string]int{}
	var cents int64
	unrated := 0
	for _, read := range reads {
		if _, err := check.CheckAt(read, time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)); err != nil {
			t.Fatalf("%+v: %v", read, err)
		}
		point, _, _ := network.TollPoint(read.Unit)
		seqs[place{read.Unit, read.Boot}]++
		if read.Seq != seqs[place{read.Unit, read.Boot}] || read.Boot == "" {
			t.Errorf("unit %s boot %q: seq %d after %d", read.Unit, read.Boot, read.Seq, seqs[place{read.Unit, read.Boot}]-1)
		}
		if s := known.Resolve(read, point); !s.Vehicle.Registered {
			t.Errorf("the registry does not name the vehicle of %+v: %+v", read, s)
		}
		tags[read.Tag]++
		if toll, err := network.Rate(point, read.Class, read.Time()); err == nil {
			cents += toll.Cents
		} else {
			unrated++
		}
	}
	if len(tags) != 30 {
		t.Errorf("%d tags, want one a trip", len(tags))
	}
	if cents == 0 || unrated == 0 || unrated > 10 {
		t.Errorf("tolls of %d cents, %d passages without a tariff", cents, unrated)
	}
	first := reads[0]
	if first.Unit != "03F3307N-1" || first.Class != "car" || first.TimeMicros != time.Date(2026, 8, 28, 0, 17, 14, 0, time.UTC).UnixMicro() || len(first.Tag) != 24 {
		t.Errorf("first read: %+v", first)
	}
	if !strings.Contains(r.stdout, `"time":"2026-08-28T08:17:14.000000+08:00"`) {
		t.Error("times are not local with their offset")
	}
	// The same file gives the same bytes, compressed or not, to a file or not.
	packed := filepath.Join(dir, filepath.Base(m06aSample)+".gz")
	data, err := os.ReadFile(m06aSample)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(packed, compress(t, data), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "reads.ndjson")
	if again := run(t, "", "import", "m06a", "--out", out, "--date", "2026-08-28", packed); again.status != 0 || again.stdout != "" {
		t.Fatalf("%+v", again)
	}
	if written, err := os.ReadFile(out); err != nil || string(written) != r.stdout {
		t.Errorf("the compressed file gave other reads (%v)", err)
	}
}

// Without --date the times are those recorded.
func TestImportM06AKeepsTimes(t *testing.T) {
	r := run(t, "", "import", "m06a", m06aSample)
	if r.status != 0 || !strings.Contains(r.stdout, `"time":"2019-08-30T08:17:14.000000+08:00"`) {
		t.Errorf("%d %s", r.status, r.stderr)
	}
}

func compress(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const m06aRow = "31,2019-08-30 08:51:45,03F0648N,2019-08-30 08:57:09,03F0559N,13.9,Y,2019-08-30 08:51:45+03F0648N; 2019-08-30 08:57:09+03F0559N\n"

func TestImportM06AReadsPerPass(t *testing.T) {
	r := run(t, m06aRow, "import", "m06a", "--reads-per-pass", "3", "-")
	reads := decodeReads(t, r.stdout)
	if r.status != 0 || len(reads) != 6 {
		t.Fatalf("%+v", r)
	}
	for i := 1; i < 3; i++ {
		if reads[i].TimeMicros-reads[i-1].TimeMicros != 40_000 || reads[i].Seq != uint64(i+1) || reads[i].Unit != reads[0].Unit || reads[i].Tag != reads[0].Tag {
			t.Errorf("read %d: %+v after %+v", i, reads[i], reads[i-1])
		}
	}
	if reads[3].Unit != "03F0559N-1" || reads[3].Seq != 1 {
		t.Errorf("second passage: %+v", reads[3])
	}
}

func TestImportM06AClasses(t *testing.T) {
	var in strings.Builder
	for _, kind := range []string{"31", "32", "41", "42", "5"} {
		in.WriteString(kind + strings.TrimPrefix(m06aRow, "31"))
	}
	var got []string
	for i, r := range decodeReads(t, run(t, in.String(), "import", "m06a", "-").stdout) {
		if i%2 == 0 {
			got = append(got, r.Class)
		}
	}
	if strings.Join(got, " ") != "car car truck truck trailer" {
		t.Errorf("%v", got)
	}
}

// A bad row is named with its file and line, and the rest goes on.
func TestImportM06ABadRows(t *testing.T) {
	for name, c := range map[string]struct{ row, reason string }{
		"vehicle type": {"99" + strings.TrimPrefix(m06aRow, "31"), `unknown vehicle type "99"`},
		"cut short":    {m06aRow[:60] + "\n", "cells"},
		"no gantry":    {strings.Replace(m06aRow, ":09+03F0559N", ":09", 1), "is not a passage"},
		"no trip":      {strings.Split(m06aRow, "Y,")[0] + "Y,\n", "is not a passage"},
		"bad gantry":   {strings.Replace(m06aRow, "+03F0559N", "+03F0559E", 1), `"03F0559E" is not a gantry`},
		"quoting":      {strings.Replace(m06aRow, "+03F0559N", "+03F05\"9N", 1), "quotes"},
		"bad time":     {strings.Replace(m06aRow, "08:57:09+", "8:57:09+", 1), "is not a local time"},
		"no such day":  {strings.Replace(m06aRow, "Y,2019-08-30", "Y,2019-02-30", 1), "is not a local time"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, m06aRow+c.row+m06aRow, "import", "m06a", "-")
			if r.status != 1 || !strings.Contains(r.stderr, "-:2: ") || !strings.Contains(r.stderr, c.reason) || !strings.Contains(r.stderr, "2 trips, 4 passages; 1 rows left out") {
				t.Errorf("%d %s", r.status, r.stderr)
			}
			reads := decodeReads(t, r.stdout)
			if len(reads) != 4 || reads[0].Tag == reads[2].Tag {
				t.Errorf("%d reads", len(reads))
			}
		})
	}
	// A gantry that the network lacks is not the row's fault.
	r := run(t, strings.ReplaceAll(m06aRow, "03F0559N", "99F0559N"), "import", "m06a", "-")
	if r.status != 0 || !strings.Contains(r.stderr, "1 passages are at gantries") || !strings.Contains(r.stderr, "99F0559N") || len(decodeReads(t, r.stdout)) != 2 {
		t.Errorf("%+v", r)
	}
}

func TestImportExitStatus(t *testing.T) {
	dir := t.TempDir()
	torn := filepath.Join(dir, "torn.csv.gz")
	data := compress(t, []byte(strings.Repeat(m06aRow, 1000)))
	if err := os.WriteFile(torn, data[:len(data)-20], 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "reads.ndjson")
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"import"}, 2, "m06a"},
		{[]string{"import", "m05a"}, 2, `"m05a"`},
		{[]string{"import", "m06a"}, 2, "at least one"},
		{[]string{"import", "m06a", "--reads-per-pass", "0", "x"}, 2, "1 to 100"},
		{[]string{"import", "m06a", "--date", "28.8.2026", "x"}, 2, "not a date"},
		{[]string{"import", "m06a", "--speed", "0", "x"}, 2, "speed"},
		{[]string{"import", "m06a", "a/x.csv", "b/x.csv.gz"}, 2, "same name"},
		{[]string{"import", "m06a", "--out", "x.csv", "./x.csv"}, 2, "named twice"},
		{[]string{"import", "m06a", "--out", "y", "--registry", "y", "x.csv"}, 2, "named twice"},
		{[]string{"import", "m06a", "--out", out, filepath.Join(dir, "none.csv")}, 1, "none.csv"},
		{[]string{"import", "m06a", "--out", out, torn}, 1, "torn.csv.gz"},
		{[]string{"import", "m06a", "--out", filepath.Join(dir, "nowhere", "x"), m06aSample}, 1, "writing reads"},
	} {
		r := run(t, "", c.args...)
		if r.status != c.status || r.stdout != "" || !strings.Contains(r.stderr, c.says) {
			t.Errorf("%v: %+v; want status %d and %q", c.args, r, c.status, c.says)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("a failed import leaves files behind: %v, %v", left, err)
	}
}

// Progress is for people at a terminal; reads and messages stay whole.
func TestImportDrawsProgressOnATerminal(t *testing.T) {
	var out, messages bytes.Buffer
	bad := "99" + strings.TrimPrefix(m06aRow, "31")
	file := filepath.Join(t.TempDir(), "trips.csv")
	if err := os.WriteFile(file, []byte(m06aRow+bad), 0o600); err != nil {
		t.Fatal(err)
	}
	status := app.Main(context.Background(), app.Env{
		Stdin: strings.NewReader(m06aRow + bad + m06aRow), Stdout: &out, Stderr: &messages, Clock: clock.At(time.Unix(0, 0)), Terminal: true,
	}, []string{"import", "m06a", file, "-"})
	if status != 1 || len(decodeReads(t, out.String())) != 6 {
		t.Errorf("status %d\n%s", status, out.String())
	}
	for _, want := range []string{"-:2: unknown vehicle type", "trips.csv:2: unknown vehicle type", "3 trips, 6 passages; 2 rows left out", "reading "} {
		if !strings.Contains(messages.String(), want) {
			t.Errorf("the messages lack %q: %q", want, messages.String())
		}
	}
	if plain := run(t, m06aRow, "import", "m06a", "-"); strings.Contains(plain.stderr, "reading ") {
		t.Errorf("a bar without a terminal: %q", plain.stderr)
	}
}

func BenchmarkImportM06A(b *testing.B) {
	in := strings.Repeat(m06aRow, 20_000)
	for b.Loop() {
		if r := run(b, in, "import", "m06a", "-"); r.status != 0 {
			b.Fatal(fmt.Sprint(r.status, r.stderr))
		}
	}
	b.ReportMetric(20_000*float64(b.N)/b.Elapsed().Seconds(), "trips/s")
}

// Whatever stands in a file, every read that comes out is a read, and every
// row is either a trip or left out.
func FuzzImportM06A(f *testing.F) {
	f.Add(m06aRow)
	f.Add("5,,,,,,,2019-08-30 08:51:45+03F0648N;2019-08-30 08:51:45+03F0648S\n\"")
	f.Add("31,,,,,,,0000-01-01 00:00:00+0000000N\n31,,,,,,,9999-12-31 23:59:59+ZZZZZZZS")
	f.Fuzz(func(t *testing.T, text string) {
		r := run(t, text, "import", "m06a", "-")
		if strings.HasPrefix(text, "\x1f\x8b") || strings.HasPrefix(text, "\x28\xb5\x2f\xfd") {
			return
		}
		var trips, passages, bad int
		summary := r.stderr[strings.LastIndex(strings.TrimSuffix(strings.Split(r.stderr, " passages;")[0], "\n"), "\n")+1:]
		if n, err := fmt.Sscanf(summary, "%d trips, %d passages; %d rows left out", &trips, &passages, &bad); n != 3 {
			t.Fatalf("%v: %q", err, r.stderr)
		}
		if (bad > 0) != (r.status == 1) {
			t.Fatalf("status %d, %d bad", r.status, bad)
		}
		if reads := decodeReads(t, r.stdout); len(reads) != passages || trips > passages {
			t.Fatalf("%d reads of %d passages of %d trips", len(reads), passages, trips)
		}
	})
}
