package tolling

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

const (
	testGap  = 60
	testTurn = 120
)

func sightings(t *rapid.T) []Sighting {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Sighting {
		micros := rapid.Int64Range(0, 600).Draw(t, "micros")
		return Sighting{
			Vehicle: Vehicle{Name: "V", Registered: true},
			Point:   rapid.SampledFrom([]string{"CHT-N", "CHT-S"}).Draw(t, "point"),
			Order: Order{
				Micros: micros,
				Unit:   rapid.SampledFrom([]string{"u1", "u2"}).Draw(t, "unit"),
				Boot:   rapid.SampledFrom([]string{"", "b"}).Draw(t, "boot"),
				Seq:    rapid.Uint64Range(0, 2).Draw(t, "seq"),
				Class:  rapid.SampledFrom([]string{"", "taxi", "lgv"}).Draw(t, "class"),
			},
			// The holder is a function of the time, as the registry makes it.
			Holder:   Holder{Account: fmt.Sprint(micros / 100)},
			Strong:   rapid.Bool().Draw(t, "strong"),
			Conflict: rapid.IntRange(0, 9).Draw(t, "conflict") == 0,
			Mark:     rapid.SampledFrom([]string{"", "", "plate:P", "plate:Q"}).Draw(t, "mark"),
		}
	}), 0, 30).Draw(t, "sightings")
}

func fold(all []Sighting) []Pass {
	var passes []*Pass
	for _, s := range all {
		passes, _ = Add(passes, s, testGap)
	}
	slices.SortFunc(passes, func(a, b *Pass) int {
		return cmp.Or(cmp.Compare(a.Point, b.Point), cmp.Compare(a.First, b.First))
	})
	out := make([]Pass, len(passes))
	for i, p := range passes {
		out[i] = *p
		out[i].ID = "" // minted from whichever sighting came first
	}
	return out
}

func equalPasses(a, b []Pass) bool {
	return slices.EqualFunc(a, b, func(p, q Pass) bool {
		marks := slices.Equal(p.Marks, q.Marks)
		p.Marks, q.Marks = nil, nil
		return marks && fmt.Sprintf("%+v", p) == fmt.Sprintf("%+v", q)
	})
}

// The join is commutative and idempotent: any order, any repetition.
func TestOrderAndRepetitionDoNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := sightings(t)
		want := fold(all)
		again := append(slices.Clone(all), rapid.SliceOf(rapid.SampledFrom(append(all, Sighting{Point: "CHT-N"}))).Draw(t, "repeated")...)
		again = slices.DeleteFunc(again, func(s Sighting) bool { return s.Vehicle.Name == "" })
		again = rapid.Permutation(again).Draw(t, "permuted")
		if got := fold(again); !equalPasses(got, want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
	})
}

// Passes are what rule 2 says: within one, each read follows the one before by
// at most the gap; two of one toll point are further apart.
func TestPassesAreChains(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := sightings(t)
		passes := fold(all)
		for _, p := range passes {
			var times []int64
			for _, s := range all {
				if s.Point == p.Point && s.Order.Micros >= p.First && s.Order.Micros <= p.Last {
					times = append(times, s.Order.Micros)
				}
			}
			slices.Sort(times)
			if times[0] != p.First || times[len(times)-1] != p.Last {
				t.Fatalf("pass %+v does not begin and end with a read", p)
			}
			for i := range times[1:] {
				if times[i+1]-times[i] > testGap {
					t.Fatalf("pass %+v has a hole", p)
				}
			}
		}
		for i := range passes {
			for k := range passes[:i] {
				if passes[i].Point == passes[k].Point && passes[i].Near(&passes[k], testGap) {
					t.Fatalf("%+v and %+v should be one", passes[i], passes[k])
				}
			}
		}
	})
}

func TestAddReports(t *testing.T) {
	at := func(micros int64, mark string) Sighting {
		return Sighting{Vehicle: Vehicle{Name: "V"}, Point: "CHT-N", Order: Order{Micros: micros}, Mark: mark}
	}
	passes, e := Add(nil, at(1000, ""), testGap)
	if !e.New || !e.Changed || e.From != 1000 {
		t.Fatalf("first: %+v", e)
	}
	if passes, e = Add(passes, at(1000+testGap, ""), testGap); e.New || e.Changed || e.Pass.Last != 1000+testGap {
		t.Fatalf("a later read only moves Last: %+v", e)
	}
	if passes, e = Add(passes, at(1010, ""), testGap); e.Changed {
		t.Fatalf("a read within changes nothing: %+v", e)
	}
	if passes, e = Add(passes, at(1010, "plate:X"), testGap); !e.Changed {
		t.Fatalf("a mark is news: %+v", e)
	}
	if passes, e = Add(passes, at(990, ""), testGap); !e.Changed || e.From != 990 {
		t.Fatalf("an earlier read moves First: %+v", e)
	}
	early := passes[0].ID
	if passes, e = Add(passes, at(1000-2*testGap, ""), testGap); !e.New || len(passes) != 2 {
		t.Fatalf("a read beyond the gap is another pass: %+v", e)
	}
	late := e.Pass.ID
	passes, e = Add(passes, at(990-testGap, ""), testGap)
	if len(passes) != 1 || len(e.Swallowed) != 1 || e.Swallowed[0].ID != early || e.Pass.ID != late || e.From != 1000-2*testGap {
		t.Fatalf("a bridge joins both under the earlier's id: %+v", e)
	}
}

func TestJudge(t *testing.T) {
	good := Pass{Vehicle: Vehicle{Name: "V", Registered: true}, Point: "CHT-S", First: 1000, Last: 1000,
		Holder: Holder{Account: "A", Class: "taxi"}, Strong: true}
	// The toll is that of the toll point, and south costs more than others.
	rate := func(point, class string, _ int64) (Price, bool) {
		cents := int64(800)
		if point == "CHT-S" {
			cents = 2500
		}
		return Price{Cents: cents, Version: "v", Rule: "r"}, class != "unrated"
	}
	north := func(first int64) []*Pass { return []*Pass{{Point: "CHT-N", First: first}} }
	tests := []struct {
		name     string
		change   func(*Pass)
		opposite []*Pass
		status   Status
		reasons  []Reason
		cents    int64
	}{
		{"charged", nil, nil, Charged, nil, 2500},
		{"nobody's", func(p *Pass) { p.Holder.Account = "" }, nil, Unpaid, nil, 2500},
		{"exempt", func(p *Pass) { p.Holder.Exempt = true }, nil, Exempt, nil, 0},
		{"class as measured", func(p *Pass) { p.Holder.Class, p.Measured.Class = "", "lgv" }, nil, Charged, nil, 2500},
		{"no class", func(p *Pass) { p.Holder.Class = "" }, nil, Review, []Reason{NoClass}, 0},
		{"exempt without a class", func(p *Pass) { p.Holder = Holder{Exempt: true} }, nil, Review, []Reason{NoClass}, 0},
		{"no tariff", func(p *Pass) { p.Holder.Class = "unrated" }, nil, Review, []Reason{NoTariff}, 0},
		{"conflict and weak", func(p *Pass) { p.Conflict, p.Strong = true, false }, nil, Review, []Reason{MarkConflict, WeakPlate}, 0},
		{"same car", func(p *Pass) { p.SameCar = true }, nil, Review, []Reason{SameCarTwice}, 0},
		{"turns round", nil, north(1000 - testTurn + 1), Review, []Reason{TurnRound}, 0},
		{"just long enough", nil, north(1000 - testTurn), Charged, nil, 2500},
		{"the earlier one stays", nil, north(1001), Charged, nil, 2500},
		{"at one instant the point that sorts last", nil, north(1000), Review, []Reason{TurnRound}, 0},
		{"at one instant the point that sorts first", func(p *Pass) { p.Point = "CHT-A" }, north(1000), Charged, nil, 800},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := good
			if test.change != nil {
				test.change(&p)
			}
			v := Judge(&p, test.opposite, testTurn, rate)
			if v.Status != test.status || !slices.Equal(v.Reasons, test.reasons) || v.Cents != test.cents {
				t.Errorf("got %+v", v)
			}
			if v.Account != p.Holder.Account || v.Class != p.Class() {
				t.Errorf("account and class also stand under review: %+v", v)
			}
		})
	}
}
