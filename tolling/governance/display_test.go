package governance_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"freeflow/internal/clock"
	"freeflow/tolling/governance"
	"freeflow/tolling/tariff"
)

// TestCompareAgainstAnAccount compares the board with a plain walk over all
// that was shown.
func TestCompareAgainstAnAccount(t *testing.T) {
	const tolerance = 10 * time.Second
	rapid.Check(t, func(t *rapid.T) {
		second := rapid.Int64Range(0, 120)
		var shown []governance.Shown
		for _, sign := range []string{"S1", "S2"} {
			used := map[int64]bool{}
			for range rapid.IntRange(0, 5).Draw(t, "displays") {
				from := second.Draw(t, "from")
				if used[from] {
					continue
				}
				used[from] = true
				s := governance.Shown{Sign: sign, TollPoint: "P", Class: "c", From: time.Unix(from, 0), Cents: rapid.Int64Range(1, 3).Draw(t, "cents")}
				if rapid.IntRange(0, 4).Draw(t, "dark") == 0 {
					s.Dark, s.Cents = true, 0
				}
				shown = append(shown, s)
			}
		}
		board := governance.NewBoard(shown, tolerance)
		at := second.Draw(t, "at")
		p := governance.Pass{TollPoint: "P", Class: "c", Owing: true, FirstMicros: at * 1e6, AmountCents: rapid.Int64Range(1, 3).Draw(t, "amount")}
		// The account: which display of a sign was on at each second.
		on := func(sign string, second int64) (governance.Shown, bool) {
			var last governance.Shown
			found := false
			for _, s := range shown {
				if s.Sign == sign && s.From.Unix() <= second && (!found || s.From.After(last.From)) {
					last, found = s, true
				}
			}
			return last, found
		}
		want, wantSign := governance.NoSign, ""
		for _, sign := range []string{"S1", "S2"} {
			agrees := false
			for s := at - 10; s <= at+10; s++ {
				if d, ok := on(sign, s); ok && !d.Dark && d.Cents == p.AmountCents {
					agrees = true
				}
			}
			now, ok := on(sign, at)
			switch {
			case agrees:
				want = max(want, governance.Agrees)
			case ok && !now.Dark && wantSign == "":
				want, wantSign = governance.Differs, sign
			}
		}
		got, s := board.Compare(&p)
		if got != want || got == governance.Differs && s.Sign != wantSign {
			t.Fatalf("%d by %q, want %d by %q", got, s.Sign, want, wantSign)
		}
		if p.Class = "other"; func() governance.Verdict { v, _ := board.Compare(&p); return v }() != governance.NoSign {
			t.Fatal("compared with another class's sign")
		}
	})
}

// board opens an office that compares displays.
func displaysOf(o *office) *governance.Displays {
	return &governance.Displays{Store: o.store, Live: o.live, Passes: o.passes, Clock: o.clock}
}

// testIncident is 18 December 2023 at the Western Harbour Crossing: from 10:02
// to 11:04 some 4,700 vehicles were charged by the old fixed schedule, 60, while
// the signs went on with the plan in force, which leaves 60 at 10:15. It took an
// hour then.
func testIncident(t *testing.T, url string) {
	at := func(hour, minute, second int) time.Time { return time.Date(2023, 12, 18, hour, minute, second, 0, hk) }
	signer, clk := key(1), clock.At(at(10, 0, 0))
	o := openOffice(t, url, clk, signer, trusting(signer))
	plan := o.live.Network()
	d := displaysOf(o)
	var findings []governance.Finding
	d.Raised = func(f governance.Finding) { findings = append(findings, f) }

	// The sign follows the plan, and reports each change as it makes it.
	var last int64 = -1
	report := func(now time.Time) {
		toll, err := plan.Rate("WHC-N", "private_car", now)
		if err != nil {
			t.Fatal(err)
		}
		if toll.Cents == last {
			return
		}
		last = toll.Cents
		if _, err := d.Show(t.Context(), "signs", []governance.Shown{{Sign: "WHC-N-1", TollPoint: "WHC-N", Class: "private_car", From: now, Cents: toll.Cents}}); err != nil {
			t.Fatal(err)
		}
	}
	var firstWrong, alarmed time.Time
	wrong, passes := 0, 0
	for now := at(10, 0, 0); now.Before(at(11, 10, 0)); now = now.Add(time.Second) {
		clk.Set(now)
		report(now)
		// 4,700 in 62 minutes: five every four seconds.
		for i := range 5 {
			if now.Second()%4 != 0 {
				break
			}
			passes++
			p := governance.Pass{ID: fmt.Sprintf("%05d", passes), Vehicle: fmt.Sprint("V", passes), TollPoint: "WHC-N", Facility: "WHC", Class: "private_car",
				Owing: true, FirstMicros: now.UnixMicro() + int64(i)*100_000, AmountCents: last}
			if now.Before(at(11, 4, 0)) && !now.Before(at(10, 2, 0)) {
				p.AmountCents = 6000
				if last != 6000 {
					wrong++
					if firstWrong.IsZero() {
						firstWrong = now
					}
				}
			}
			o.passes.add(p)
		}
		if now.Second()%5 == 0 {
			if _, err := d.Turn(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if len(findings) > 0 && alarmed.IsZero() {
			alarmed = now
		}
	}
	if !firstWrong.Equal(at(10, 15, 0)) || alarmed.IsZero() || alarmed.Sub(firstWrong) > time.Minute {
		t.Errorf("the first wrong toll was at %s, the alarm at %s", firstWrong, alarmed)
	}
	if len(findings) != 1 || findings[0].First.RatedCents != 6000 || findings[0].First.ShownCents != 5800 || findings[0].First.Sign != "WHC-N-1" {
		t.Errorf("%+v", findings)
	}
	clk.Set(at(14, 0, 0)) // the second look, for passes that came late, finds nothing twice
	if _, err := d.Turn(t.Context()); err != nil {
		t.Fatal(err)
	}
	open, err := o.store.Findings(t.Context(), "hongkong", false, 10)
	// Those of the first seconds of a step agree with the sign a moment before.
	if err != nil || len(open) != 1 || int(open[0].Count) > wrong || int(open[0].Count) < wrong-30 || open[0].Last.Before(at(11, 3, 55)) {
		t.Errorf("%+v, %v; %d were wrong", open, err, wrong)
	}
	rows, err := d.Report(t.Context(), at(10, 0, 0), at(11, 10, 0))
	if err != nil || len(rows) != 1 || rows[0].Compared != int64(passes) || rows[0].Differ != open[0].Count || rows[0].NoSign != 0 ||
		rows[0].RatedCents != 6000*rows[0].Differ || rows[0].ShownCents >= rows[0].RatedCents {
		t.Errorf("%+v, %v", rows, err)
	}
	t.Logf("%d passes, %d wrong from %s on, the alarm %s later; %s too much",
		passes, wrong, firstWrong.Format(time.TimeOnly), alarmed.Sub(firstWrong), tariff.FormatAmount(rows[0].RatedCents-rows[0].ShownCents))

	closed, err := o.store.CloseFinding(t.Context(), "hongkong", open[0].ID, "ada", "the tariff was put right, passes are rated again", clk.Now())
	if err != nil || closed.ClosedBy != "ada" || closed.Count != open[0].Count {
		t.Errorf("%+v, %v", closed, err)
	}
	if again, err := o.store.CloseFinding(t.Context(), "hongkong", open[0].ID, "bo", "me too", clk.Now()); err != nil || again.ClosedBy != "ada" {
		t.Errorf("closed again: %+v, %v", again, err)
	}
	if _, err := o.store.CloseFinding(t.Context(), "hongkong", "none", "bo", "x", clk.Now()); !errors.Is(err, governance.ErrNotFound) {
		t.Errorf("%v", err)
	}
	open, err = o.store.Findings(t.Context(), "hongkong", false, 10)
	if all, err2 := o.store.Findings(t.Context(), "hongkong", true, 10); err != nil || err2 != nil || len(open) != 0 || len(all) != 1 {
		t.Errorf("%+v, %+v, %v, %v", open, all, err, err2)
	}
}

func TestIncidentOf18December2023(t *testing.T) {
	testIncident(t, "sqlite:"+filepath.Join(t.TempDir(), "t.db"))
}

// TestASignThatTheTariffDoesNotGiveIsToldAtOnce: before anybody has passed.
func TestASignThatTheTariffDoesNotGiveIsToldAtOnce(t *testing.T) {
	o := newOffice(t)
	d := displaysOf(o)
	monday := time.Date(2026, 11, 23, 10, 21, 0, 0, hk)
	o.clock.Set(monday.Add(time.Second))
	whc := func(sign string, from time.Time, cents int64) governance.Shown {
		return governance.Shown{Sign: sign, TollPoint: "WHC-N", Class: "private_car", From: from, Cents: cents}
	}
	told, err := d.Show(t.Context(), "signs", []governance.Shown{
		whc("a", monday, 5200), whc("b", monday.Add(-5*time.Second), 5200), whc("c", monday, 6000),
		{Sign: "d", TollPoint: "WHC-N", Class: "private_car", From: monday, Dark: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	var agree []bool
	for _, one := range told {
		agree = append(agree, one.Agrees)
	}
	if !slices.Equal(agree, []bool{true, true, false, true}) || told[2].TariffCents != 5200 {
		t.Errorf("%+v", told)
	}
	open, err := o.store.Findings(t.Context(), "hongkong", false, 10)
	if err != nil || len(open) != 1 || open[0].First.Sign != "c" || open[0].First.RatedCents != 5200 || open[0].First.ShownCents != 6000 || open[0].Count != 1 {
		t.Errorf("%+v, %v", open, err)
	}
	// The same again is the same; another toll for the same instant is not.
	if _, err := d.Show(t.Context(), "signs", []governance.Shown{whc("a", monday, 5200)}); err != nil {
		t.Error(err)
	}
	if _, err := d.Show(t.Context(), "signs", []governance.Shown{whc("z", monday, 5200), whc("a", monday, 5400)}); !errors.Is(err, governance.ErrConflict) {
		t.Errorf("%v", err)
	}
	shown, err := o.store.Shown(t.Context(), "hongkong", monday.Add(time.Hour), monday.Add(2*time.Hour))
	if err != nil || len(shown) != 4 {
		t.Errorf("an hour later there is %+v, %v; all or nothing of the refused ones", shown, err)
	}
	for name, bad := range map[string]governance.Shown{
		"an unknown toll point": {Sign: "a", TollPoint: "WHC-E", Class: "private_car", From: monday},
		"an unknown class":      {Sign: "a", TollPoint: "WHC-N", Class: "tram", From: monday},
		"a debt":                whc("a", monday, -1),
		"a dark amount":         {Sign: "a", TollPoint: "WHC-N", Class: "private_car", From: monday, Dark: true, Cents: 1},
		"the future":            whc("a", monday.Add(time.Hour), 1),
		"no time":               whc("a", time.Time{}, 1),
		"no name":               whc(" ", monday, 1),
	} {
		if _, err := d.Show(t.Context(), "signs", []governance.Shown{bad}); !errors.Is(err, governance.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLatePassesAreComparedToo: a pass that arrives an hour after its time is
// found by the second look, and two processes share the work.
func TestLatePassesAreComparedToo(t *testing.T) {
	o := newOffice(t)
	one, two := displaysOf(o), displaysOf(o)
	if _, err := one.Show(t.Context(), "signs", []governance.Shown{{Sign: "a", TollPoint: "LRT-N", Class: "taxi", From: start, Cents: 800}}); err != nil {
		t.Fatal(err)
	}
	raised := 0
	turn := func() {
		for _, d := range []*governance.Displays{one, two} {
			found, err := d.Turn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			raised += len(found)
		}
	}
	turn()
	o.clock.Set(start.Add(time.Hour))
	turn()
	o.passes.add(governance.Pass{ID: "late", TollPoint: "LRT-N", Class: "taxi", Owing: true, FirstMicros: start.Add(time.Minute).UnixMicro(), AmountCents: 900},
		governance.Pass{ID: "owes nothing", TollPoint: "LRT-N", Class: "taxi", FirstMicros: start.Add(time.Minute).UnixMicro()})
	turn()
	if raised != 0 {
		t.Errorf("%d found before the second look", raised)
	}
	o.clock.Set(start.Add(3 * time.Hour))
	turn()
	open, err := o.store.Findings(t.Context(), "hongkong", false, 10)
	if err != nil || raised != 1 || len(open) != 1 || open[0].First.Pass != "late" || open[0].Count != 1 {
		t.Errorf("%d raised, %+v, %v", raised, open, err)
	}
}
