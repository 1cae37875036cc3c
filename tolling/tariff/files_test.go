package tariff

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestFilesInOneForm(t *testing.T) {
	digests := map[string]string{}
	for _, name := range Names() {
		files, err := ReadFiles(name)
		if err != nil || len(files) != len(FileNames()) {
			t.Fatalf("%d files, %v", len(files), err)
		}
		back, err := ParseFiles(files.Canonical())
		if err != nil || !reflect.DeepEqual(back, files) || back.Digest() != files.Digest() {
			t.Errorf("%s does not come back: %v", name, err)
		}
		n, err := files.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if d := Diff(opened, n); !d.Empty() {
			t.Errorf("%s read as files differs from %s opened: %+v", name, name, d)
		}
		if bad := Succession(opened, n, files); len(bad) > 0 {
			t.Errorf("%s cannot follow itself: %v", name, bad)
		}
		if _, changes := FirstChange(opened, n, time.Time{}); changes {
			t.Errorf("%s changes itself", name)
		}
		if other, twice := digests[files.Digest()]; twice {
			t.Errorf("%s and %s have one digest", name, other)
		}
		digests[files.Digest()] = name
	}
	if _, err := ReadFiles("atlantis"); err == nil {
		t.Error("read what is not there")
	}
	empty, err := ReadFiles(t.TempDir())
	if err != nil || len(empty) != 0 {
		t.Errorf("%v, %v", empty, err)
	}
	if _, err := empty.Load("empty"); err == nil || !strings.Contains(err.Error(), "network.csv: is missing") {
		t.Errorf("%v", err)
	}
	if _, err := empty.With(Files{"fares.csv": nil}); err == nil {
		t.Error("took an unknown file")
	}
}

// TestTwoFilesNeverHaveOneForm: whatever moves from one file to another, is cut
// or added, the digest tells.
func TestTwoFilesNeverHaveOneForm(t *testing.T) {
	some := rapid.Custom(func(t *rapid.T) Files {
		f := Files{}
		for _, name := range FileNames() {
			if rapid.Bool().Draw(t, name) {
				f[name] = []byte(rapid.SampledFrom([]string{"", "\n", "a", "a\n", "tolls.csv 1\na\n", "classes.csv 0\n\n", canonicalHead}).Draw(t, "text"))
			}
		}
		return f
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := some.Draw(t, "a"), some.Draw(t, "b")
		if same := reflect.DeepEqual(a, b); same != bytes.Equal(a.Canonical(), b.Canonical()) || same != (a.Digest() == b.Digest()) {
			t.Fatalf("%q\n%q", a.Canonical(), b.Canonical())
		}
		back, err := ParseFiles(a.Canonical())
		if err != nil || !bytes.Equal(back.Canonical(), a.Canonical()) {
			t.Fatalf("%q: %v", a.Canonical(), err)
		}
	})
}

// FuzzParseFiles: what is taken is exactly what Canonical writes.
func FuzzParseFiles(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte(canonicalHead))
	f.Add([]byte(canonicalHead + "network.csv 3\nabc\ntolls.csv 0\n\n"))
	f.Add([]byte(canonicalHead + "tolls.csv 0\n\nnetwork.csv 3\nabc\n"))
	f.Add([]byte(canonicalHead + "network.csv +3\nabc\n"))
	f.Add([]byte(canonicalHead + "network.csv 99999999999999999999\nabc\n"))
	f.Add([]byte(canonicalHead + "fares.csv 1\na\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		files, err := ParseFiles(data)
		if err == nil && !bytes.Equal(files.Canonical(), data) {
			t.Errorf("%q is taken for %q", data, files.Canonical())
		}
	})
}

// TestSameDay compares the walk over slots with a look at every minute.
func TestSameDay(t *testing.T) {
	some := rapid.Custom(func(t *rapid.T) *day {
		d := &day{ofMinute: new([minutesPerDay]uint16)}
		for from := 0; from < minutesPerDay; {
			until := min(from+rapid.SampledFrom([]int{1, 2, 400, 700}).Draw(t, "minutes"), minutesPerDay)
			if len(d.slots) == 5 {
				until = minutesPerDay
			}
			for m := from; m < until; m++ {
				d.ofMinute[m] = uint16(len(d.slots))
			}
			d.slots = append(d.slots, slot{from: from, until: until, toll: Toll{Cents: rapid.Int64Range(1, 2).Draw(t, "cents")}})
			from = until
		}
		return d
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := some.Draw(t, "a"), some.Draw(t, "b")
		want := true
		for m := range minutesPerDay {
			want = want && a.slots[a.ofMinute[m]].toll.Cents == b.slots[b.ofMinute[m]].toll.Cents
		}
		if got := sameDay(a, b); got != want || sameDay(b, a) != want || !sameDay(a, a) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
	if sameDay(nil, &day{}) || !sameDay(nil, nil) {
		t.Error("nothing is the same as something")
	}
}

func TestDayTypesAndFirstChanges(t *testing.T) {
	n, err := Open("hongkong")
	if err != nil {
		t.Fatal(err)
	}
	for date, want := range map[string]string{
		"2026-11-23T23:59:59+08:00": "mon_fri", "2026-11-21T00:00:00+08:00": "sat", "2026-11-22T12:00:00+08:00": "sun_gh",
		"2026-12-25T00:00:00+08:00": "sun_gh", "2026-12-24T15:59:59Z": "mon_fri", "2026-12-24T16:00:00Z": "sun_gh", "2030-01-01T00:00:00Z": "unknown",
	} {
		at, err := time.Parse(time.RFC3339, date)
		if err != nil {
			t.Fatal(err)
		}
		if got := n.DayType(at); got != want {
			t.Errorf("%s is %s, want %s", date, got, want)
		}
	}
	flat, err := Open("taiwan")
	if err != nil {
		t.Fatal(err)
	}
	if got := flat.DayType(time.Unix(0, 0)); got != "all" {
		t.Errorf("%s", got)
	}
	files, err := ReadFiles("hongkong")
	if err != nil {
		t.Fatal(err)
	}
	begins := time.Date(2027, 1, 1, 0, 0, 0, 0, n.Zone())
	files["versions.csv"] = append(bytes.Clone(files["versions.csv"]), "2027,"+begins.Format(time.RFC3339)+",a test\n"...)
	files["tolls.csv"] = append(bytes.Clone(files["tolls.csv"]), "2027,ABT,taxi,all,00:00,24:00,9,,\n"...)
	later, err := files.Load("later")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, want time.Time }{
		{time.Unix(0, 0), begins}, {begins, begins}, {begins.AddDate(1, 0, 0), begins.AddDate(1, 0, 0)},
	} {
		if at, changes := FirstChange(n, later, c.from); !changes || !at.Equal(c.want) {
			t.Errorf("from %s: %s, %v; want %s", c.from, at, changes, c.want)
		}
	}
	if bad := Succession(n, later, nil); len(bad) > 0 {
		t.Errorf("a new version: %v", bad)
	}
	if bad := Succession(later, n, nil); len(bad) > 0 {
		t.Errorf("a version taken away: %v", bad)
	}
}
