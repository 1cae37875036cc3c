package traffic

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"freeflow/loadtest/oracle"
)

func judge(t *testing.T, registry string) *oracle.Judge {
	t.Helper()
	net, err := oracle.HongKong()
	if err != nil {
		t.Fatal(err)
	}
	rows, err := oracle.ParseRegistry(strings.NewReader(registry))
	if err != nil {
		t.Fatal(err)
	}
	return oracle.New(net, rows)
}

func TestAppendJSON(t *testing.T) {
	full := Read{Unit: "CHT-N-1", Boot: `b"\`, Seq: 1<<64 - 1, TimeMicros: 1772424000000007, Tag: "E2AB", Plate: "AB1234",
		Confidence: 0.9, Class: "taxi", Antenna: 3, RSSI: -55.5, Image: "i"}
	want := `{"unit":"CHT-N-1","boot":"b\"\\","seq":18446744073709551615,"time":"2026-03-02T12:00:00.000007+08:00",` +
		`"tag":"E2AB","plate":"AB1234","plate_confidence":0.9,"class":"taxi","antenna":3,"rssi":-55.5,"image":"i"}`
	if got := string(full.AppendJSON(nil)); got != want || !json.Valid([]byte(got)) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	least := Read{Unit: "CHT-N-1", Seq: 1, TimeMicros: 0, Tag: "E2", Confidence: absent}
	want = `{"unit":"CHT-N-1","seq":1,"time":"1970-01-01T08:00:00.000000+08:00","tag":"E2"}`
	if got := string(least.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAppendTime(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 100_000 {
		micros := rng.Int64N(200 * 366 * 86400 * 1_000_000)
		if i%2 == 0 {
			micros -= micros % (86400 * 1_000_000)
			micros -= 8*3600*1_000_000 + int64(i%3) - 1 // around midnights
			micros = max(micros, 0)
		}
		want := time.UnixMicro(micros).In(hongKong).Format("2006-01-02T15:04:05.000000-07:00")
		if got := string(appendTime(nil, micros)); got != want {
			t.Fatalf("%d: got %s, want %s", micros, got, want)
		}
	}
}

// TestAdversarialMeetsEveryCase demands that the streams contain what they are
// for, as counted by the oracle, and that seeds are reproducible.
func TestAdversarialMeetsEveryCase(t *testing.T) {
	const seeds, reads = 40, 400
	rules, made := map[string]int{}, map[string]int{}
	statuses := map[string]int{}
	for seed := range uint64(seeds) {
		s := Adversarial(seed, reads)
		again := Adversarial(seed, reads)
		if s.Text() != again.Text() || s.Registry != again.Registry {
			t.Fatalf("seed %d does not make the same stream twice", seed)
		}
		accepted, err := oracle.ParseReads(strings.NewReader(s.Accepted()))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		total, rejected := s.Counts()
		if len(accepted) != total-rejected || total < reads/2 {
			t.Fatalf("seed %d: %d accepted of %d reads with %d bad ones", seed, len(accepted), total, rejected)
		}
		checkRegistry(t, s.Registry)
		res, err := judge(t, s.Registry).Compute(accepted)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for name, n := range res.Cases {
			rules[name] += n
		}
		for name, n := range s.Cases {
			made[name] += n
		}
		for _, row := range res.Rows {
			statuses[row.Status]++
			if micros := row.FirstMicros; micros < oracle.HongKongSince.UnixMicro() {
				t.Fatalf("seed %d: a read at %s, for which the oracle has no tolls", seed, time.UnixMicro(micros))
			}
		}
	}
	for _, name := range oracle.AllCases {
		if rules[name] < 5 {
			t.Errorf("the streams met the case %q %d times", name, rules[name])
		}
	}
	for _, name := range AllStreamCases {
		if made[name] < 5 {
			t.Errorf("the streams made %q %d times", name, made[name])
		}
	}
	for name := range rules {
		if !slices.Contains(oracle.AllCases, name) {
			t.Errorf("the oracle counts %q, which it does not list", name)
		}
	}
	t.Logf("statuses %v\ncases %v\nmade %v", statuses, rules, made)
}

// TestShuffleChangesNothing is rule 9 for the oracle itself.
func TestShuffleChangesNothing(t *testing.T) {
	for seed := range uint64(10) {
		s := Adversarial(seed, 200)
		j := judge(t, s.Registry)
		lines := func() []string {
			reads, err := oracle.ParseReads(strings.NewReader(s.Accepted()))
			if err != nil {
				t.Fatal(err)
			}
			res, err := j.Compute(reads)
			if err != nil {
				t.Fatal(err)
			}
			return oracle.ChargesLines(res.Rows)
		}
		want := lines()
		s.Shuffle(rand.New(rand.NewPCG(seed, 1)))
		if got := lines(); !slices.Equal(got, want) {
			t.Fatalf("seed %d: another order, another result", seed)
		}
	}
}

// checkRegistry refuses what contract section 5 refuses.
func checkRegistry(t *testing.T, text string) {
	t.Helper()
	rows, err := oracle.ParseRegistry(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range rows {
		if a.Plate == "" && a.Tag == "" || a.ToMicros != 0 && a.ToMicros <= a.FromMicros {
			t.Fatalf("row %+v assigns nothing", a)
		}
		for _, b := range rows[:i] {
			if a.ToMicros != 0 && a.ToMicros <= b.FromMicros || b.ToMicros != 0 && b.ToMicros <= a.FromMicros {
				continue
			}
			if a.Tag != "" && a.Tag == b.Tag {
				t.Fatalf("tag %s stands twice: %+v, %+v", a.Tag, a, b)
			}
			if a.Plate != "" && a.Plate == b.Plate && (a.Account != b.Account || a.Class != b.Class || a.Exempt != b.Exempt) {
				t.Fatalf("rows of plate %s disagree: %+v, %+v", a.Plate, a, b)
			}
		}
	}
}

var cityStart = time.Date(2026, time.November, 23, 7, 59, 30, 0, hongKong)

// TestCityIsItsOwnTruth: the passes of a city are so far apart that each can
// be judged alone, which is what a load run does; all together must come to
// the same.
func TestCityIsItsOwnTruth(t *testing.T) {
	for name, change := range map[string]func(*City){
		"at leisure":   func(c *City) { c.Rate, c.Vehicles = 100, 3_000 },
		"tight":        func(c *City) { c.Rate, c.Vehicles = 500, 800 },
		"single reads": func(c *City) { c.Rate, c.Vehicles, c.ReadsPerPass = 100, 2_000, 1 },
		"much amiss": func(c *City) {
			c.Vehicles, c.Misread, c.Unsure, c.MissedTag, c.Unregistered, c.ClassTags, c.Untagged = 4_000, 0.2, 0.2, 0.2, 0.2, 0.1, 0.2
		},
	} {
		t.Run(name, func(t *testing.T) {
			city := Typical(7, cityStart)
			change(&city)
			traffic, err := city.New()
			if err != nil {
				t.Fatal(err)
			}
			var registry bytes.Buffer
			if err := city.WriteRegistry(&registry); err != nil {
				t.Fatal(err)
			}
			checkCityRegistry(t, city)
			j := judge(t, registry.String())
			const n = 40_000
			byPass := map[uint64][]oracle.Read{}
			var all []oracle.Read
			var before int64
			seq := map[string]uint64{}
			ended := 0
			for range n {
				e := traffic.Next()
				if e.TimeMicros < before {
					t.Fatalf("a read of %d after one of %d", e.TimeMicros, before)
				}
				before = e.TimeMicros
				if e.Seq != seq[e.Unit]+1 || e.Unit != traffic.Units()[e.UnitIndex] {
					t.Fatalf("unit %s: sequence number %d after %d", e.Unit, e.Seq, seq[e.Unit])
				}
				seq[e.Unit] = e.Seq
				read, err := oracle.ParseRead(e.AppendJSON(nil))
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, read)
				byPass[e.Pass] = append(byPass[e.Pass], read)
				if e.Last {
					ended++
				}
			}
			took := float64(before-cityStart.UnixMicro()) / 1e6
			if rate := n / took; rate < 0.95*city.Rate || rate > 1.05*city.Rate {
				t.Errorf("%.0f reads a second, want %.0f", rate, city.Rate)
			}
			whole, err := j.Rows(all)
			if err != nil {
				t.Fatal(err)
			}
			var single []oracle.Row
			for _, reads := range byPass {
				rows, err := j.Rows(reads)
				if err != nil {
					t.Fatal(err)
				}
				single = append(single, rows...)
			}
			missing, extra := oracle.Difference(oracle.ChargesLines(whole), oracle.ChargesLines(single))
			if len(missing)+len(extra) > 0 {
				t.Errorf("passes judged alone differ from all together:\nmissing %q\nextra %q", missing, extra)
			}
			sum := oracle.Summarize(whole)
			if ended == 0 || sum.Charged == 0 || sum.Review == 0 || sum.Unpaid == 0 || sum.Exempt == 0 {
				t.Errorf("not a city: %+v", sum)
			}
			t.Logf("%+v", sum)
		})
	}
}

func checkCityRegistry(t *testing.T, city City) {
	t.Helper()
	f := newFleet(city)
	seen := map[string]int{}
	for i := range city.Vehicles {
		v := f.vehicle(i)
		marks := []string{v.plate, misread(v.plate)}
		if v.tag != "" {
			marks = append(marks, v.tag)
		}
		for _, mark := range marks {
			if other, twice := seen[mark]; twice {
				t.Fatalf("vehicles %d and %d share %s", other, i, mark)
			}
			seen[mark] = i
		}
	}
}

func TestCityIsReproducible(t *testing.T) {
	city := Typical(3, cityStart)
	a, err := city.New()
	if err != nil {
		t.Fatal(err)
	}
	b, err := city.New()
	if err != nil {
		t.Fatal(err)
	}
	for range 20_000 {
		if x, y := a.Next(), b.Next(); x != y {
			t.Fatalf("one seed, two reads: %+v, %+v", x, y)
		}
	}
}

func TestCityRefuses(t *testing.T) {
	for name, change := range map[string]func(*City){
		"no rate":          func(c *City) { c.Rate = 0 },
		"no reads":         func(c *City) { c.ReadsPerPass = 0 },
		"five lanes":       func(c *City) { c.Lanes = 5 },
		"no vehicles":      func(c *City) { c.Vehicles = 0 },
		"too many":         func(c *City) { c.Vehicles = maxVehicles + 1 },
		"too few for rate": func(c *City) { c.Rate, c.Vehicles = 100_000, 10_000 },
	} {
		city := Typical(3, cityStart)
		change(&city)
		if _, err := city.New(); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func BenchmarkCity(b *testing.B) {
	city := Typical(1, cityStart)
	city.Rate, city.Vehicles = 40_000, 100_000
	traffic, err := city.New()
	if err != nil {
		b.Fatal(err)
	}
	var buf []byte
	for b.Loop() {
		e := traffic.Next()
		buf = e.AppendJSON(buf[:0])
	}
	b.ReportMetric(float64(len(buf)), "B/read")
}
