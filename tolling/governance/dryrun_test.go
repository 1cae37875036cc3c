package governance_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"freeflow/tolling/governance"
)

// TestTrialAgainstAnAccount compares a dry run with sums made the plain way.
func TestTrialAgainstAnAccount(t *testing.T) {
	base := someFiles(t)
	before, err := base.Load("before")
	if err != nil {
		t.Fatal(err)
	}
	from := time.Date(2026, 11, 17, 0, 0, 0, 0, hk)
	files, err := base.With(dearer(t, base, "2026-11-lrt", from, "9.50"))
	if err != nil {
		t.Fatal(err)
	}
	after, err := files.Load("after")
	if err != nil {
		t.Fatal(err)
	}
	points, classes := []string{"LRT-N", "LRT-S", "CHT-N", "WHC-S", "NONE-N"}, []string{"private_car", "taxi", "motorcycle", "tram"}
	rapid.Check(t, func(t *rapid.T) {
		weeks := rapid.IntRange(0, 3).Draw(t, "weeks")
		trial := governance.NewTrial(before, after, weeks)
		type group struct{ passes, differ, was, is int64 }
		groups := map[string]*group{}
		vehicles := map[string]bool{}
		var notOwing, unrated, higher, booked int64
		var sizes []int64
		for i := range rapid.IntRange(0, 60).Draw(t, "passes") {
			p := governance.Pass{ID: fmt.Sprint(i), Vehicle: fmt.Sprint("V", rapid.IntRange(0, 5).Draw(t, "vehicle")),
				TollPoint: rapid.SampledFrom(points).Draw(t, "point"), Class: rapid.SampledFrom(classes).Draw(t, "class"),
				Owing: rapid.IntRange(0, 9).Draw(t, "owing") > 0, AmountCents: rapid.SampledFrom([]int64{0, 800, 950}).Draw(t, "amount"),
				FirstMicros: from.Add(-time.Hour).Add(time.Duration(rapid.Int64Range(0, 7*24*3600).Draw(t, "second")) * time.Second).UnixMicro()}
			p.Facility = p.TollPoint[:len(p.TollPoint)-2]
			if err := trial.Add(&p); err != nil {
				t.Fatal(err)
			}
			if !p.Owing {
				notOwing++
				continue
			}
			at := time.UnixMicro(p.FirstMicros).Add(time.Duration(weeks) * 7 * 24 * time.Hour)
			was, err := before.Rate(p.TollPoint, p.Class, at)
			if err != nil {
				unrated++
				continue
			}
			is := was.Cents
			if p.Facility == "LRT" && p.Class == "private_car" && !at.Before(from) {
				is = 950
				vehicles[p.Vehicle] = true
				higher++
				sizes = append(sizes, is-was.Cents)
			}
			if weeks == 0 && p.AmountCents != was.Cents {
				booked++
			}
			day := "mon_fri"
			switch local := at.In(hk); local.Weekday() {
			case time.Saturday:
				day = "sat"
			case time.Sunday:
				day = "sun_gh"
			}
			key := p.Facility + p.Class + day
			if groups[key] == nil {
				groups[key] = &group{}
			}
			g := groups[key]
			g.passes, g.was, g.is = g.passes+1, g.was+was.Cents, g.is+is
			if is != was.Cents {
				g.differ++
			}
		}
		r := trial.Result()
		var sum group
		if len(r.Groups) != len(groups) || !slices.IsSortedFunc(r.Groups, func(a, b governance.Group) int {
			return cmp.Or(cmp.Compare(a.Facility, b.Facility), cmp.Compare(a.Class, b.Class), cmp.Compare(a.DayType, b.DayType))
		}) {
			t.Fatalf("%+v", r.Groups)
		}
		for _, g := range r.Groups {
			want := groups[g.Facility+g.Class+g.DayType]
			if want == nil || *want != (group{g.Passes, g.Differ, g.BeforeCents, g.AfterCents}) {
				t.Fatalf("%+v, want %+v", g, want)
			}
			sum = group{sum.passes + g.Passes, sum.differ + g.Differ, sum.was + g.BeforeCents, sum.is + g.AfterCents}
		}
		if sum != (group{r.Passes, r.Differ, r.BeforeCents, r.AfterCents}) {
			t.Fatalf("the groups come to %+v, the whole to %+v", sum, r)
		}
		if r.NotOwing != notOwing || r.Unrated != unrated || r.Higher != higher || r.Lower != 0 || r.Lost != 0 || r.Gained != 0 ||
			r.Vehicles != int64(len(vehicles)) || r.VehiclesMore || r.BookedOtherwise != booked || len(r.Largest) != min(20, len(sizes)) {
			t.Fatalf("%+v", r)
		}
		if !slices.IsSortedFunc(r.Largest, func(a, b governance.Change) int { return cmp.Compare(a.Micros, b.Micros) }) {
			t.Fatalf("equal changes are not in order of time: %+v", r.Largest)
		}
	})
}

// TestDryRunMovesPasses: tolls to come are tried on the passes of last week,
// moved to the first weeks in which they differ, weekday by weekday.
func TestDryRunMovesPasses(t *testing.T) {
	o := newOffice(t)
	day := time.Date(2026, 11, 18, 8, 30, 0, 0, hk) // a Wednesday
	for i := range 7 {
		o.passes.add(governance.Pass{ID: fmt.Sprint(i), Vehicle: fmt.Sprint("V", i%3), TollPoint: "LRT-N", Facility: "LRT", Class: "private_car",
			Owing: true, FirstMicros: day.AddDate(0, 0, i).UnixMicro(), AmountCents: 800})
	}
	d := o.draft("2027-01-lrt", time.Date(2027, 1, 4, 0, 0, 0, 0, hk), "9")
	run := o.try("bo", d)
	if run.Weeks != 7 || !run.From.Equal(time.Date(2026, 11, 18, 0, 0, 0, 0, hk)) || !run.To.Equal(time.Date(2026, 11, 25, 0, 0, 0, 0, hk)) {
		t.Errorf("from %s to %s, %d weeks on", run.From, run.To, run.Weeks)
	}
	r := run.Result
	if r.Passes != 7 || r.Differ != 7 || r.Vehicles != 3 || r.AfterCents-r.BeforeCents != 700 || r.Higher != 7 || r.BookedOtherwise != 0 {
		t.Errorf("%+v", r)
	}
	if at := time.UnixMicro(r.Largest[0].Micros).In(hk); !at.Equal(time.Date(2027, 1, 6, 8, 30, 0, 0, hk)) {
		t.Errorf("the first pass was tried at %s", at)
	}
	as := func(p governance.Period) (governance.DryRun, error) {
		return o.desk.DryRun(t.Context(), "bo", d.ID, d.Last().Digest, p)
	}
	o.clock.Advance(time.Second)
	if run, err := as(governance.Period{}); err != nil || run.Result.Differ != 0 {
		t.Errorf("not moved: %+v, %v", run.Result, err)
	}
	kept, err := o.desk.Get(t.Context(), d.ID)
	if err != nil || len(kept.DryRuns) != 2 || kept.DryRuns[0].Result.Differ != 7 || len(kept.DryRuns[0].Result.Groups) != len(r.Groups) {
		t.Errorf("kept %+v, %v", kept.DryRuns, err)
	}
	for name, p := range map[string]governance.Period{
		"half a period":  {From: day},
		"turned round":   {From: day, To: day.AddDate(0, 0, -1)},
		"far too long":   {From: day.AddDate(-3, 0, 0), To: day},
		"too many weeks": {Weeks: 521},
	} {
		if _, err := as(p); !errors.Is(err, governance.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := o.desk.DryRun(t.Context(), "bo", d.ID, "other", governance.Period{}); !errors.Is(err, governance.ErrStale) {
		t.Errorf("another digest: %v", err)
	}
}

// meddlingPasses change the draft while it is tried.
type meddlingPasses struct{ meddle func() }

func (m meddlingPasses) Each(context.Context, time.Time, time.Time, func(*governance.Pass) error) error {
	m.meddle()
	return nil
}

func TestADraftChangedWhileItIsTriedIsNotTried(t *testing.T) {
	o := newOffice(t)
	at := start.Add(time.Hour)
	d := o.draft("2026-11-lrt", at, "9")
	desk, err := governance.NewDesk(governance.Parts{Store: o.store, Live: o.live, Clock: o.clock, Keys: func() governance.Keys { return o.keys },
		Passes: meddlingPasses{func() {
			if _, err := o.desk.Revise(t.Context(), "cy", d.ID, 1, governance.Wish{Effective: at, Reason: "meanwhile"}); err != nil {
				t.Fatal(err)
			}
		}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := desk.DryRun(t.Context(), "bo", d.ID, d.Last().Digest, governance.Period{}); !errors.Is(err, governance.ErrStale) {
		t.Errorf("%v", err)
	}
	if d, err := o.desk.Get(t.Context(), d.ID); err != nil || len(d.DryRuns) != 0 {
		t.Errorf("%+v, %v", d.DryRuns, err)
	}
}
