package cashier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"freeflow/parking"
	"freeflow/parking/stay"
	"freeflow/parking/tariff"

	"pgregory.net/rapid"
)

// TestOrderOfArrivalDoesNotMatter: any permutation, splitting, repetition and
// delay of the same events, on a real store, ends in the same stays and the same
// sums in the ledger as sending them in order.
func TestOrderOfArrivalDoesNotMatter(t *testing.T) {
	few(t, "30")
	park := 0
	w := newWorld(t)
	w.clock.Set(monday.Add(24 * time.Hour))
	// Each run has two car parks of its own in one store: databases are dear.
	fresh := func() string {
		park++
		id := fmt.Sprintf("X%d", park)
		c := *w.sites.parks["P"]
		c.ID, c.Code = id, id
		w.sites.parks[id] = &c
		return id
	}
	rapid.Check(t, func(rt *rapid.T) {
		var events []parking.LaneEvent
		at := monday
		for i := range rapid.IntRange(1, 9).Draw(rt, "events") {
			at = at.Add(time.Duration(rapid.SampledFrom([]int{0, 20, 61, 240, 600, 1200, 5400}).Draw(rt, "step")) * time.Second)
			m := rapid.SampledFrom([][3]string{
				{"AB1", "", ""}, {"AB1", "T1", ""}, {"", "T1", ""}, {"ZZ9", "F0", ""}, {"ZZ9", "", ""}, {"", "F0", ""}, {"ZZ9", "", "K1"},
				{"", "", "K1"}, {"AB1", "T3", ""}, {"CD3", "", ""}, {"YY8", "C9", ""},
			}).Draw(rt, "marks")
			d := rapid.SampledFrom([]string{"IN-1", "IN-2", "OUT-1", "OUT-2"}).Draw(rt, "lane")
			e := parking.LaneEvent{
				ID: fmt.Sprintf("e%d", i), Lane: "P-" + d, Direction: parking.In, At: at, Plate: m[0], Tag: m[1], Ticket: m[2], Class: "private_car",
				ConfidencePermille: rapid.SampledFrom([]int{1000, 1000, 500}).Draw(rt, "sure"), Source: "reads",
			}
			if strings.HasPrefix(d, "OUT") {
				e.Direction = parking.Out
			}
			events = append(events, e)
		}
		send := func(park string, list []parking.LaneEvent, cut int) {
			own := slices.Clone(list)
			for i := range own {
				own[i].CarPark, own[i].ID = park, park+"/"+own[i].ID
			}
			for len(own) > 0 {
				n := min(cut, len(own))
				for _, r := range w.lane(own[:n]...) {
					if r.Err != nil {
						rt.Fatalf("%v", r.Err)
					}
				}
				own = own[n:]
			}
		}
		a, b := fresh(), fresh()
		send(a, events, len(events))
		shuffled := rapid.Permutation(events).Draw(rt, "order")
		for range rapid.IntRange(0, 3).Draw(rt, "repeats") {
			shuffled = append(shuffled, rapid.SampledFrom(events).Draw(rt, "repeated"))
		}
		send(b, shuffled, rapid.IntRange(1, 4).Draw(rt, "batch"))
		ledger := w.fake()
		got, want := summary(w, b, ledger), summary(w, a, ledger)
		if !slices.Equal(got, want) {
			rt.Fatalf("shuffled: %s\nin order: %s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for _, s := range w.stays(a) {
			if s.State == parking.Review && s.AmountCents != 0 {
				rt.Fatalf("under review and not free: %s", show(s))
			}
		}
	})
	w.wantConserved(w.fake())
}

// summary is what must not depend on the order: stays with their times, and what
// each account owes at the car park.
func summary(w *world, park string, l *fakeLedger) []string {
	var out []string
	for _, s := range w.stays(park) {
		out = append(out, fmt.Sprint(show(s), " ", s.Entry.Format("15:04:05"), " ", s.Exit.Format("15:04:05"), " ", len(s.Receipt)))
	}
	owed := map[string]int64{}
	for _, c := range l.charges {
		if c.Creditor == park && c.AmountCents != 0 {
			owed[c.Account+" "+c.Kind] += c.AmountCents
		}
	}
	for who, cents := range owed {
		out = append(out, fmt.Sprint("owes ", who, " ", cents))
	}
	slices.Sort(out)
	return out
}

func TestTwoCashiersOnOneStoreChargeOnce(t *testing.T) { twoCashiersChargeOnce(t, newWorld(t)) }

func twoCashiersChargeOnce(t *testing.T, w *world) {
	cashiers := []*Cashier{w.cashier, w.newCashier(w.open())}
	w.at("12:00:00")
	var events []parking.LaneEvent
	for i := range 6 {
		plate := fmt.Sprintf("ZZ%d", i)
		marks := [2]string{plate + " F" + fmt.Sprint(i), "- F" + fmt.Sprint(i)}
		if i == 0 {
			marks = [2]string{"AB1", "- T1"}
		}
		for j, lane := range []string{"IN-1", "OUT-1"} {
			e := w.event(lane, marks[j])
			e.At = monday.Add(time.Duration(2+2*j) * time.Hour).Add(time.Duration(i) * 10 * time.Minute)
			events = append(events, e)
		}
	}
	var group sync.WaitGroup
	for n := range 4 {
		list := slices.Clone(events)
		if n%2 == 1 {
			slices.Reverse(list)
		}
		group.Go(func() {
			for _, e := range list {
				for range 20 {
					results, err := cashiers[n%2].Lane(t.Context(), []parking.LaneEvent{e})
					if err == nil {
						if results[0].Err != nil {
							t.Error(results[0].Err)
						}
						break
					}
					if !errors.Is(err, parking.ErrStale) {
						t.Error(err)
						break
					}
				}
			}
		})
	}
	group.Wait()
	if n := len(w.stays("P")); n != 6 {
		t.Errorf("%d stays of 6 vehicles", n)
	}
	l := w.fake()
	if len(l.charges) != 6 || l.owed("one") != 40_00 || l.owed("") != 5*40_00 {
		t.Errorf("charges %+v", l.charges)
	}
	w.wantConserved(l)
}

func TestTwoMachinesTakeOnePaymentTwice(t *testing.T) { twoMachinesTakeOnePayment(t, newWorld(t)) }

func twoMachinesTakeOnePayment(t *testing.T, w *world) {
	cashiers := []*Cashier{w.cashier, w.newCashier(w.open())}
	id := w.pass("02:00:00", "IN-1", "ZZ9").Stay
	w.at("02:30:00")
	var group sync.WaitGroup
	for n := range 6 {
		group.Go(func() {
			_, err := cashiers[n%2].Pay(t.Context(), PayRequest{
				Stay: id, AmountCents: 20_00, Means: "octopus", PaymentID: fmt.Sprint("p", n%3),
			}, Keep[Bill]{})
			if err != nil && !errors.Is(err, parking.ErrInvalid) && !errors.Is(err, parking.ErrStale) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if s := w.stay(id); s.PaidCents != 20_00 {
		t.Errorf("paid %d", s.PaidCents)
	}
	if l := w.fake(); l.cash() != 20_00 {
		t.Errorf("cash %d", l.cash())
	}
}

func TestReconcileToTheCent(t *testing.T) {
	w := newWorld(t)
	w.busy()
	w.pass("06:00:00", "IN-1", "YY8")  // inside
	w.pass("06:00:00", "IN-2", "XX7")  // leaves unpaid
	w.pass("07:00:00", "OUT-2", "XX7") //
	w.pass("07:00:00", "IN-2", "AB1 T3")
	w.pass("08:00:00", "OUT-2", "AB1") // for review
	d, err := w.cashier.Reconcile(t.Context(), "P", w.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if d.AmountCents != d.AccountCents+d.PaidCents+d.DueCents-d.CreditCents || d.AmountCents == 0 {
		t.Errorf("%+v", d)
	}
	want := Day{AmountCents: 120_00, AccountCents: 80_00, PaidCents: 20_00, DueCents: 20_00, Open: 1, Review: 1}
	if d.AmountCents != want.AmountCents || d.AccountCents != want.AccountCents || d.PaidCents != want.PaidCents || d.DueCents != want.DueCents ||
		d.Open != 1 || d.Review != 1 || d.Unposted == 0 {
		t.Errorf("%+v", d)
	}
	if len(d.Taken) != 1 || d.Taken[0] != (Taken{Means: "octopus", Payments: 2, Cents: 40_00, RefundedCents: 20_00}) {
		t.Errorf("taken %+v", d.Taken)
	}
	if got := d.From.Format(time.RFC3339) + " " + d.To.Format(time.RFC3339); got != "2026-03-02T00:00:00+08:00 2026-03-03T00:00:00+08:00" {
		t.Errorf("the day is %s", got)
	}
	l := w.fake()
	var charged int64
	for _, c := range l.charges {
		charged += c.AmountCents
	}
	if charged != d.AmountCents+d.CreditCents || l.cash() != d.PaidCents {
		t.Errorf("the ledger has %d and %d, the day %+v", charged, l.cash(), d)
	}
	if d, err := w.cashier.Reconcile(t.Context(), "P", w.clock.Now().AddDate(0, 0, 1)); err != nil || d.AmountCents != 0 || d.Unposted != 0 {
		t.Errorf("the next day: %+v, %v", d, err)
	}
}

func TestDryRunComparesWithAnotherTariff(t *testing.T) {
	w := newWorld(t)
	w.busy()
	other := book(t, `"price": "20.00"`, dearer)
	c, err := w.cashier.DryRun(t.Context(), "P", other, monday, monday.Add(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	cars := c.Classes["private_car"]
	if c.FailureCount != 0 || cars == nil || cars.Stays != 3 || cars.OldCents != 100_00 || cars.NewCents != 125_00 || cars.Dearer != 3 {
		t.Errorf("%+v %+v", c, cars)
	}
	if c, err := w.cashier.DryRun(t.Context(), "P", other, monday.Add(24*time.Hour), monday.Add(48*time.Hour)); err != nil || len(c.Classes) != 0 {
		t.Errorf("another day: %+v, %v", c, err)
	}
}

// brokenPayers cannot say who answers for one plate.
type brokenPayers struct {
	payers
	plate string
}

func (b *brokenPayers) Payer(ctx context.Context, tag, plate string, at time.Time) (Identity, error) {
	if plate == b.plate {
		return Identity{}, errors.New("the registry has a hole")
	}
	return b.payers.Payer(ctx, tag, plate, at)
}

func TestOneBadVehicleDoesNotStopTheFollower(t *testing.T) {
	w := newWorld(t)
	bad := &brokenPayers{plate: "BAD"}
	w.cashier.p.Payers = bad
	w.at("02:00:00")
	w.allocate("bad", "B1", "BAD", stored(w))
	w.allocate("good", "B2", "AB1", stored(w))
	f := w.follower(w.cashier)
	for i := range 12 {
		// Others come by, so that it is not the store that fails.
		w.clock.Advance(time.Minute)
		w.allocate("good", "B2", "AB1", func(a *parking.Allocation) { a.ReadySeconds = i })
		if _, err := f.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.wantStays("M", "AB1 open account one 0.00 entry-by-bay")
	if left, err := w.store.Unseen(t.Context(), 10); err != nil || len(left) != 0 {
		t.Errorf("left %+v, %v", left, err)
	}
	if a := w.alarms("stay-not-derived"); len(a) != 1 {
		t.Errorf("alarms %+v", a)
	}
	// Alone, it is a fault and tried again.
	w.allocate("bad", "B1", "BAD", func(a *parking.Allocation) { a.ReadySeconds = 99 })
	if _, err := f.Once(t.Context()); err == nil {
		t.Error("a fault of all was taken for one of the vehicle")
	}
	bad.plate = ""
	w.follow(f)
	w.wantStays("M", "AB1 open account one 0.00 entry-by-bay", "BAD open ticket - 0.00 entry-by-bay")
}

func TestPermitsHeldOutside(t *testing.T) {
	w := newWorld(t)
	w.cashier.p.Rights = holders{"AB1": {Permit: "month"}, "ZZ9": {Flags: []string{"disabled_permit"}}}
	for _, plate := range []string{"AB1", "ZZ9"} {
		w.pass("02:00:00", "IN-1", plate)
		w.pass("05:00:00", "OUT-1", plate)
	}
	w.pass("06:00:00", "OUT-1", "AB1") // whoever holds a permit loses no ticket
	w.wantStays("P", "AB1 closed pass - 0.00", "AB1 closed pass - 0.00 missing-entry", "ZZ9 closed ticket - 30.00")
	w.wantConserved(w.fake())
}

type holders map[string]Right

func (h holders) Right(_ context.Context, _, vehicle string, _ time.Time) (Right, error) {
	return h[vehicle], nil
}

func TestAPlateThatAReaderMakesUpDrawsNoCarParkTogether(t *testing.T) {
	w := newWorld(t)
	w.at("02:00:00")
	var last LaneResult
	for i := range maxNames + 5 {
		w.clock.Advance(time.Minute)
		last = w.lane(w.event("IN-1", fmt.Sprintf("UNKNOWN X%d", i)))[0]
	}
	if last.Err != nil || !slices.Contains(last.Flags, NotDerived) || len(w.alarms("too-many-names")) != 1 {
		t.Errorf("%+v", last)
	}
	if r := w.lane(w.event("IN-2", "AB1"))[0]; r.Err != nil || !r.Open {
		t.Errorf("another car: %+v", r)
	}
}

func TestReceiptsExplainDecisions(t *testing.T) {
	w := newWorld(t)
	id := w.pass("02:00:00", "IN-1", "AB1").Stay
	w.pass("04:00:00", "OUT-1", "AB1")
	r, err := w.cashier.Decide(t.Context(), DecideRequest{Stay: id, Kind: stay.Waived, By: "ann", Reason: "the lift was broken"}, Keep[Bill]{})
	if err != nil {
		t.Fatal(err)
	}
	lines := r.Value.Receipt.Lines
	last := lines[len(lines)-1]
	if len(lines) != 2 || last.Kind != LineDecision || last.AmountCents != tariff.Cents(-40_00) || !strings.Contains(last.Text, "the lift was broken") {
		t.Errorf("lines %+v", lines)
	}
}

// The version in force at the entry counts, also where the exit came first.
func TestTheTariffAtTheEntryCountsWhateverCameFirst(t *testing.T) {
	w := newWorld(t)
	lost := []string{"LOST", `, "lost_ticket": {"price": "150.00"}`}
	later := strings.ReplaceAll(strings.ReplaceAll(testTariff, `"price": "20.00"`, dearer), `"v1", "effective_from": "2020-01-01T00:00:00+08:00"`,
		`"v2", "effective_from": "2026-03-02T11:00:00+08:00"`) // 03:00 in UTC
	var versions []*tariff.Tariff
	for _, text := range []string{testTariff, later} {
		v, err := tariff.Parse(strings.NewReader(strings.ReplaceAll(text, lost[0], lost[1])))
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, v)
	}
	b, err := tariff.New(versions, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.sites.books["test"] = b
	w.pass("04:00:00", "OUT-1", "AB1")
	late := w.event("IN-1", "AB1")
	late.At = monday.Add(2 * time.Hour)
	w.lane(late)
	w.wantStays("P", "AB1 closed account one 40.00")
	if s := w.stays("P")[0]; s.TariffVersion != "v1" {
		t.Errorf("priced by %s", s.TariffVersion)
	}
}
