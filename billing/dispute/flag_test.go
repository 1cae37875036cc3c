package dispute_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/dispute"
	"freeflow/billing/notice"
)

// seconds is an instant of the day of these tests.
func seconds(hour, minute, second int) time.Time {
	return at(11, 25, hour, minute).Add(time.Duration(second) * time.Second)
}

// one returns the only flag.
func one(t *testing.T, flags []dispute.Flag, rule string) dispute.Flag {
	t.Helper()
	if len(flags) != 1 || flags[0].Rule != rule {
		t.Fatalf("the flags are %+v, want one of %s", flags, rule)
	}
	return flags[0]
}

// TestIncidentHongKong2023OneMinuteReturn: TSCA, 12:56 out and 12:57 back, for a
// car with an account and no tag (hk01 897019).
func TestIncidentHongKong2023OneMinuteReturn(t *testing.T) {
	r := newRoad(t, sqliteURL(t))
	r.pass(1, "TSCA-N", seconds(12, 56, 0), nil)
	r.pass(2, "TSCA-S", seconds(12, 57, 0), nil)
	f := one(t, r.scan(), dispute.ReturnTrip)
	d := r.get(f.Reference)
	if d.Receivable != "pass:"+passID(2) || d.Origin != dispute.System || d.State != dispute.Opened || f.Took != time.Minute {
		t.Errorf("the flag %+v opened %+v", f, d)
	}
	// Nothing is decided, collected or told by itself: which is right is for a
	// person.
	if v := r.receivable(d.Receivable); v.Hold == "" || v.AmountCents != 3000 {
		t.Errorf("the charge is %+v", v)
	}
	r.noNotices(0)
	// The motorist says so too: it is their dispute then, with its history.
	joined := r.mustOpen(d.Receivable, dispute.WasNotThere, "I did not come back")
	if joined.Reference != d.Reference || joined.Origin != dispute.Motorist || joined.Flag != f.Key {
		t.Errorf("it was joined as %+v", joined)
	}
	r.noNotices(1)
	r.verify()
}

func (r *road) noNotices(want int) []notice.Notice {
	r.t.Helper()
	var list []notice.Notice
	r.do(func(ctx context.Context, tx *books.Tx) (err error) {
		list, err = tx.NoticesOf(ctx, "A", "", time.Time{}, 100)
		return err
	})
	if len(list) != want {
		r.t.Errorf("%d notices went out, want %d: %+v", len(list), want, list)
	}
	return list
}

// TestIncidentHongKongParkedCars: a car that stands near a gantry, or whose
// plate is what another's is misread as, is charged again and again (LCQ18,
// tvboxnow).
func TestIncidentHongKongParkedCars(t *testing.T) {
	r := newRoad(t, sqliteURL(t))
	for n := range 5 {
		r.pass(n+1, "CHT-N", seconds(9+n, 0, 0), nil)
	}
	flags := r.scan()
	if len(flags) != 2 || flags[0].Rule != dispute.Parked || flags[1].Rule != dispute.Parked {
		t.Fatalf("the flags are %+v", flags)
	}
	open := r.queue()
	if len(open) != 4 {
		t.Fatalf("%d cases are open, want those of the 2nd to 5th pass", len(open))
	}
	for _, d := range open {
		if d.Receivable == "pass:"+passID(1) {
			t.Error("the first pass is doubted too")
		}
	}
	// With a way back each time, it is a commuter.
	r2 := newRoad(t, sqliteURL(t))
	for n := range 8 {
		r2.pass(n+1, []string{"CHT-N", "CHT-S"}[n%2], seconds(9+n, 0, 0), nil)
	}
	if flags := r2.scan(); len(flags) != 0 {
		t.Errorf("a commuter is flagged: %+v", flags)
	}
	r.verify()
}

func (r *road) queue() (open []dispute.Dispute) {
	r.t.Helper()
	r.do(func(ctx context.Context, tx *books.Tx) (err error) {
		open, err = tx.Disputes(ctx, dispute.Filter{Open: true, Limit: 100})
		return err
	})
	return open
}

// TestIncidentTaiwan2014OneSecondApart: one gantry, two charging modules, one
// car one second apart; it gets the second toll back without asking.
func TestIncidentTaiwan2014OneSecondApart(t *testing.T) { testOneSecondApart(t, sqliteURL(t)) }

func testOneSecondApart(t *testing.T, url string) {
	r := newRoad(t, url)
	r.put(10_000)
	r.pass(1, "F1-N-1", seconds(8, 0, 0), nil)
	r.pass(2, "F1-N-2", seconds(8, 0, 1), nil)
	f := one(t, r.scan(), dispute.Twice)
	d := r.get(f.Reference)
	if d.State != dispute.Upheld || d.Ruling.By != "job:flags" || d.Ruling.LessCents != 3000 {
		t.Fatalf("the case is %+v", d)
	}
	if r.passOf(1).AmountCents != 3000 || r.passOf(2).Status != billing.StatusExempt || r.wallet("A") != 7000 {
		t.Errorf("the wallet holds %d", r.wallet("A"))
	}
	if list := r.noNotices(1); list[0].Kind != notice.Refunded || list[0].AmountCents != 3000 {
		t.Errorf("the notice is %+v", list[0])
	}
	// Again, from the start: nothing more.
	r.do(func(ctx context.Context, tx *books.Tx) error {
		from, err := tx.FlagsFrom(ctx)
		if err == nil {
			_, err = tx.PutFlagsFrom(ctx, from, 0)
		}
		return err
	})
	one(t, r.scan(), dispute.Twice)
	r.noNotices(1)
	r.work()
	r.do(func(ctx context.Context, tx *books.Tx) error {
		list, err := tx.EvidenceOf(ctx, f.Reference)
		if len(list) != 1 {
			t.Errorf("there is evidence %d times", len(list))
		}
		return err
	})
	r.verify()
}

// TestIncidentTaiwan2014Opposite: the gantry of the other direction, 1.5 km away
// and about 2 minutes later.
func TestIncidentTaiwan2014Opposite(t *testing.T) {
	r := newRoad(t, sqliteURL(t))
	r.pass(1, "F1-N", seconds(8, 0, 0), nil)
	r.pass(2, "F1-S", seconds(8, 2, 0), nil)
	one(t, r.scan(), dispute.ReturnTrip)
}

// TestIncidentTaiwan2014ImpossibleJourneys: 46 km backwards in 17 minutes (a tag
// put into a second car), 178 km in 16 minutes (a smeared plate).
func TestIncidentTaiwan2014ImpossibleJourneys(t *testing.T) {
	for metres, took := range map[int64]time.Duration{46_000: 17 * time.Minute, 178_000: 16 * time.Minute} {
		t.Run(fmt.Sprint(metres), func(t *testing.T) {
			r := newRoad(t, sqliteURL(t))
			// 140 km/h, assumed: the limit is 110.
			r.flags.Limits.Journeys = dispute.Journeys{}
			r.flags.Limits.Journeys.Add("F1", "F2", dispute.Journey{Metres: metres, Least: dispute.LeastTime(metres, 140), Source: "ettoday 313937"})
			r.pass(1, "F2-S", seconds(8, 0, 0), nil)
			r.pass(2, "F1-S", seconds(8, 0, 0).Add(took), nil)
			// The same way, in time, is none.
			r.pass(3, "F1-S", seconds(12, 0, 0), func(p *billing.Pass) { p.Vehicle = "plate:XY2" })
			r.pass(4, "F2-S", seconds(14, 0, 0), func(p *billing.Pass) { p.Vehicle = "plate:XY2" })
			f := one(t, r.scan(), dispute.Impossible)
			if f.Metres != metres || f.Took != took || f.Least <= took || f.Suspects[0] != passID(2) {
				t.Errorf("the flag is %+v", f)
			}
			r.verify()
		})
	}
}

// TestIncidentHongKongJourney: the assumed least times of Hong Kong's own
// facilities find a car at both ends of the territory.
func TestIncidentHongKongJourney(t *testing.T) {
	r := newRoad(t, sqliteURL(t))
	r.pass(1, "TLT-S", seconds(8, 0, 0), nil)
	r.pass(2, "EHC-S", seconds(8, 5, 0), nil)
	one(t, r.scan(), dispute.Impossible)
}

// TestIncidentMaryland2023TwoCameras: cameras of two lanes read one vehicle, the
// second minutes later or as another mark; a discount plan makes no difference
// to what is a duplicate.
func TestIncidentMaryland2023TwoCameras(t *testing.T) {
	r := newRoad(t, sqliteURL(t))
	r.pass(1, "MD-N", seconds(8, 0, 0), nil)
	r.pass(2, "MD-N", seconds(8, 2, 0), func(p *billing.Pass) { p.AmountCents, p.Rule = 2250, "plan" })
	f := one(t, r.scan(), dispute.Twice)
	if d := r.get(f.Reference); d.State != dispute.Upheld || d.Ruling.LessCents != 2250 {
		t.Errorf("the case is %+v", d)
	}
	r.verify()
}

// TestIncidentMaryland2023BadlyMounted: the transponder is read, and the plate
// for itself a little later; what nobody's account owes is taken back.
func TestIncidentMaryland2023BadlyMounted(t *testing.T) {
	r := newRoad(t, sqliteURL(t))
	r.pass(1, "MD-N-1", seconds(8, 0, 0), func(p *billing.Pass) {
		p.Vehicle, p.Registered, p.Account, p.Status = "plate:MD1", false, "", billing.StatusUnpaid
	})
	r.pass(2, "MD-N-2", seconds(8, 0, 20), func(p *billing.Pass) { p.Vehicle, p.Marks = "A/1", []string{"plate:MD1"} })
	f := one(t, r.scan(), dispute.TwoMarks)
	if r.passOf(1).Status != billing.StatusExempt || r.passOf(2).Status != billing.StatusCharged || r.get(f.Reference).State != dispute.Upheld {
		t.Errorf("the passes are %+v and %+v", r.passOf(1), r.passOf(2))
	}
	r.verify()
}

// TestIncidentNorthCarolina2013TwoTransponders: two transponders in one car, each
// of an account of its own, are billed each; that they always pass together
// tells.
func TestIncidentNorthCarolina2013TwoTransponders(t *testing.T) {
	r := newRoad(t, sqliteURL(t))
	n := 0
	tag := func(account, vehicle string, when time.Time) {
		n++
		r.pass(n, "NC-N", when, func(p *billing.Pass) { p.Vehicle, p.Account = vehicle, account })
	}
	for day := range 3 {
		when := seconds(8, 0, 0).AddDate(0, 0, day-3)
		tag("A", "plate:XY1", when)
		tag("B", "tag:E200", when.Add(400*time.Millisecond))
		// A neighbour in traffic, once.
		tag("C", fmt.Sprintf("tag:E30%d", day), when.Add(900*time.Millisecond))
	}
	f := one(t, r.scan(), dispute.Together)
	if f.Count != 3 || f.Suspects[0] != passID(8) {
		t.Errorf("the flag is %+v", f)
	}
	if d := r.get(f.Reference); d.State != dispute.Opened || d.Reason != dispute.Duplicate {
		t.Errorf("the case is %+v", d)
	}
	r.verify()
}

// TestIncidentNorthCarolina2013Thrice: one driver was billed three ways.
func TestIncidentNorthCarolina2013Thrice(t *testing.T) {
	r := newRoad(t, sqliteURL(t))
	r.pass(1, "NC-N-1", seconds(8, 0, 0), nil)
	r.pass(2, "NC-N-2", seconds(8, 0, 1), nil)
	r.pass(3, "NC-N-3", seconds(8, 0, 2), nil)
	r.scan()
	owed := int64(0)
	for n := 1; n <= 3; n++ {
		owed += r.passOf(n).AmountCents
	}
	if owed != 3000 {
		t.Errorf("%d is owed for one trip", owed)
	}
	r.verify()
}

// TestIncidentOctopus2018PaidTwice: a payment shown as failed that was taken, and
// paid again: the same money twice is in the wallet, the toll is paid once, and
// the dispute ends with nothing done to the charge and the rest going back.
func TestIncidentOctopus2018PaidTwice(t *testing.T) {
	r := newRoad(t, sqliteURL(t))
	id := r.pass(1, "CHT-N", seconds(8, 0, 0), nil)
	r.put(3000)
	r.put(3001) // again, in cash
	d := r.mustOpen(id, dispute.PaidAlready, "Octopus said it failed, so I paid in cash")
	if v := r.receivable(id); v.PaidCents != 3000 || r.wallet("A") != 3001 {
		t.Fatalf("%d is paid, the wallet holds %d", v.PaidCents, r.wallet("A"))
	}
	r.mustDecide(d.Reference, "amy", dispute.Ruling{Outcome: dispute.Upheld, Code: "paid-before", Act: dispute.None, Note: "the second payment stands in the wallet"})
	if r.wallet("A") != 3001 || r.passOf(1).Status != billing.StatusCharged {
		t.Errorf("the wallet holds %d", r.wallet("A"))
	}
	r.verify()
}

// TestAutoLimits: beyond the limits, or where a person has decided, a person
// decides.
func TestAutoLimits(t *testing.T) {
	for name, change := range map[string]func(*road){
		"the amount": func(r *road) { r.flags.Rules.AutoCents = 2999 },
		"the day's":  func(r *road) { r.flags.Rules.AutoDayCents = 2999 },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoad(t, sqliteURL(t))
			change(r)
			r.pass(1, "F1-N", seconds(8, 0, 0), nil)
			r.pass(2, "F1-N", seconds(8, 3, 0), nil)
			f := one(t, r.scan(), dispute.Twice)
			if d := r.get(f.Reference); d.State != dispute.Opened || r.passOf(2).AmountCents != 3000 {
				t.Errorf("the case is %+v", d)
			}
			r.noNotices(0)
		})
	}
	t.Run("a person's word", func(t *testing.T) {
		r := newRoad(t, sqliteURL(t))
		for n := 1; n <= 2; n++ {
			id := r.pass(n, "F1-N", seconds(8, n, 0), nil)
			d := r.mustOpen(id, dispute.WrongClass, "")
			r.mustDecide(d.Reference, "amy", dispute.Ruling{Outcome: dispute.Upheld, Code: "class-corrected", Act: dispute.Rate, Class: "taxi"})
		}
		f := one(t, r.scan(), dispute.Twice)
		if f.Reference != "" || r.passOf(1).AmountCents+r.passOf(2).AmountCents != 4000 {
			t.Errorf("the flag is %+v", f)
		}
	})
}

// TestFlagGoesAway: a case of ours ends when late reads end what it was about.
func TestFlagGoesAway(t *testing.T) {
	r := newRoad(t, sqliteURL(t))
	r.pass(1, "TSCA-N", seconds(12, 56, 0), nil)
	r.pass(2, "TSCA-S", seconds(12, 57, 0), nil)
	f := one(t, r.scan(), dispute.ReturnTrip)
	p := r.passOf(2)
	p.Revision, p.Status, p.AmountCents, p.Reasons = 2, billing.StatusReview, 0, "turn-round"
	r.post(p)
	r.work()
	if d := r.get(f.Reference); d.State != dispute.Withdrawn {
		t.Errorf("the case is %+v", d)
	}
	r.noNotices(0)
	r.verify()
}

// TestYoungPostingsWait: what was just posted is left until its late reads are
// there.
func TestYoungPostingsWait(t *testing.T) {
	r := newRoad(t, sqliteURL(t))
	r.pass(1, "TSCA-N", seconds(11, 56, 0), nil)
	r.pass(2, "TSCA-S", seconds(11, 57, 0), nil)
	if n, raised, err := r.flags.Scan(context.Background(), 100); n != 0 || raised != 0 || err != nil {
		t.Errorf("it looked at %d, raised %d, %v", n, raised, err)
	}
	r.clock.Set(r.clock.Now().Add(3 * time.Minute))
	if n, raised, err := r.flags.Scan(context.Background(), 1); n != 1 || raised != 1 || err != nil {
		t.Errorf("then it looked at %d, raised %d, %v", n, raised, err)
	}
	if n, raised, err := r.flags.Scan(context.Background(), 1); n != 1 || raised != 0 || err != nil {
		t.Errorf("then it looked at %d, raised %d, %v", n, raised, err)
	}
}

func TestJourneys(t *testing.T) {
	j, err := dispute.HongKongJourneys()
	if err != nil || len(j) != 22 {
		t.Fatalf("%d journeys, %v", len(j), err)
	}
	for way, one := range j {
		if !strings.Contains(one.Source, "assumed") || one.Least != dispute.LeastTime(one.Metres, 110) {
			t.Errorf("%v: %+v", way, one)
		}
	}
	there, _ := j.Between("CHT", "TLT")
	back, ok := j.Between("TLT", "CHT")
	if !ok || there != back {
		t.Errorf("there %+v, back %+v", there, back)
	}
	for _, bad := range []string{"", "a,b\n", "from,to,metres,least_seconds,source\nA,A,1,1,x\n", "from,to,metres,least_seconds,source\nA,B,x,1,x\n",
		"from,to,metres,least_seconds,source\nA,B,1,-1,x\n", "from,to,metres,least_seconds,source\nA,B,1,1,x\nB,A,1,1,x\n", "from,to,metres,least_seconds,source\nA,B,1,1,\n"} {
		if _, err := dispute.ParseJourneys(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
