package cashier

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"freeflow/parking"
	"freeflow/parking/stay"
	"freeflow/parking/tariff"
)

func TestQuotesBind(t *testing.T) {
	w := newWorld(t)
	w.at("01:50:00")
	ask := QuoteRequest{CarPark: "P", Class: "private_car", From: monday.Add(2 * time.Hour), To: monday.Add(4 * time.Hour)}
	price, err := w.cashier.Price(t.Context(), ask)
	if err != nil || price.TotalCents != 40_00 || price.ID != "" {
		t.Fatalf("%+v, %v", price, err)
	}
	r, err := w.cashier.Quote(t.Context(), ask, Keep[Quote]{})
	q := r.Value
	if err != nil || q.TotalCents != 40_00 || q.ID == "" || !q.Expires.Equal(monday.Add(2*time.Hour+20*time.Minute)) || q.Receipt.Hash == "" {
		t.Fatalf("%+v, %v", q, err)
	}
	if found, err := w.cashier.FindQuote(t.Context(), q.ID); err != nil || found.TotalCents != 40_00 || found.CarPark != "P" {
		t.Errorf("found %+v, %v", found, err)
	}
	// The tariff rises after the quote was given; the book keeps both versions.
	dear := strings.ReplaceAll(strings.ReplaceAll(testTariff, `"20.00"`, `"30.00"`), `"v1", "effective_from": "2020-01-01T00:00:00+08:00"`, `"v2", "effective_from": "2026-03-02T09:55:00+08:00"`)
	versions := []*tariff.Tariff{}
	for _, text := range []string{testTariff, dear} {
		v, err := tariff.Parse(strings.NewReader(strings.ReplaceAll(text, "LOST", `, "lost_ticket": {"price": "150.00"}`)))
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
	if _, err := w.cashier.FindQuote(t.Context(), "q-none"); !errors.Is(err, parking.ErrNotFound) {
		t.Errorf("no such quote: %v", err)
	}
	for _, plate := range []string{"ZZ9", "YY8"} {
		id := w.pass("02:00:00", "IN-1", plate).Stay
		if plate == "YY8" {
			w.at("02:10:00")
			if _, err := w.cashier.Claim(t.Context(), ClaimRequest{Stay: id, Quote: q.ID, By: "driver"}, Keep[Bill]{}); err != nil {
				t.Fatal(err)
			}
		}
		w.pass("04:00:00", "OUT-1", plate)
	}
	w.wantStays("P", "ZZ9 closed ticket - 60.00", "YY8 closed ticket - 40.00")
	w.wantConserved(w.fake())
}

func TestAQuoteIsTakenUpOnce(t *testing.T) {
	w := newWorld(t)
	w.at("01:50:00")
	r, err := w.cashier.Quote(t.Context(), QuoteRequest{CarPark: "P", Class: "private_car", From: monday.Add(2 * time.Hour), To: monday.Add(4 * time.Hour)}, Keep[Quote]{})
	if err != nil {
		t.Fatal(err)
	}
	id := w.pass("02:00:00", "IN-1", "ZZ9").Stay
	claim := ClaimRequest{Stay: id, Quote: r.Value.ID, By: "driver"}
	if _, err := w.cashier.Claim(t.Context(), claim, Keep[Bill]{}); err != nil {
		t.Fatal(err)
	}
	w.at("03:00:00") // expired, but taken up already
	if _, err := w.cashier.Claim(t.Context(), claim, Keep[Bill]{}); !errors.Is(err, parking.ErrConflict) {
		t.Errorf("expired: %v", err)
	}
	w.pass("04:00:00", "OUT-1", "ZZ9")
	s := w.stays("P")[0]
	if s.Quote != r.Value.ID || !strings.Contains(string(s.Receipt), r.Value.ID) {
		t.Errorf("the bill does not show the quote: %+v %s", s, s.Receipt)
	}
	for name, bad := range map[string]QuoteRequest{
		"class": {CarPark: "P", Class: "tank", From: monday, To: monday.Add(time.Hour)},
		"times": {CarPark: "P", Class: "private_car", From: monday, To: monday},
	} {
		if _, err := w.cashier.Price(t.Context(), bad); !errors.Is(err, parking.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.cashier.Price(t.Context(), QuoteRequest{CarPark: "Q"}); !errors.Is(err, parking.ErrNotFound) {
		t.Errorf("no such car park: %v", err)
	}
}

func TestWhatIsPutOnAStay(t *testing.T) {
	do := func(w *world, err error) {
		w.Helper()
		if err != nil {
			w.Fatal(err)
		}
	}
	claim := func(q ClaimRequest) func(w *world, id string) {
		return func(w *world, id string) {
			q.Stay, q.By = id, "staff"
			_, err := w.cashier.Claim(w.Context(), q, Keep[Bill]{})
			do(w, err)
		}
	}
	charge := func(session string, plug, end, unplug time.Duration) func(w *world, id string) {
		return func(w *world, id string) {
			r := ChargingRequest{Stay: id, Session: session, PlugIn: monday.Add(plug)}
			_, err := w.cashier.Charging(w.Context(), r, Keep[Bill]{})
			do(w, err)
			r.ChargeEnd, r.Unplug = monday.Add(end), monday.Add(unplug)
			_, err = w.cashier.Charging(w.Context(), r, Keep[Bill]{})
			do(w, err)
		}
	}
	for _, c := range []struct {
		name string
		put  []func(w *world, id string)
		want string
	}{
		{"nothing", nil, "ZZ9 closed ticket - 60.00"},
		{"a merchant's hour", []func(*world, string){func(w *world, id string) {
			for range 2 { // the same again is one
				_, err := w.cashier.Validate(w.Context(), ValidationRequest{Stay: id, Code: "shop", Reference: "1", By: "shop"}, Keep[Bill]{})
				do(w, err)
			}
		}}, "ZZ9 closed ticket - 40.00"},
		{"a disabled person's permit", []func(*world, string){claim(ClaimRequest{Set: []string{"disabled_permit"}})}, "ZZ9 closed ticket - 30.00"},
		{"put on and taken off", []func(*world, string){
			claim(ClaimRequest{Set: []string{"disabled_permit"}}), claim(ClaimRequest{Clear: []string{"disabled_permit"}}),
		}, "ZZ9 closed ticket - 60.00"},
		{"a monthly permit", []func(*world, string){claim(ClaimRequest{Permit: "month"})}, "ZZ9 closed pass - 0.00"},
		// 2 h of charging at 21.00, then from 15 minutes after the end 45 minutes
		// idle, two half-hours of 10.00.
		{"an electric car", []func(*world, string){charge("s1", 2*time.Hour, 3*time.Hour+30*time.Minute, 4*time.Hour+30*time.Minute)},
			"ZZ9 closed ticket - 122.00"},
		{"charged twice", []func(*world, string){
			charge("s1", 2*time.Hour, 3*time.Hour, 3*time.Hour), charge("s2", 3*time.Hour+30*time.Minute, 4*time.Hour, 4*time.Hour),
		}, "ZZ9 closed ticket - 102.00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			id := w.pass("02:00:00", "IN-1", "ZZ9").Stay
			w.at("02:05:00")
			for _, put := range c.put {
				put(w, id)
			}
			w.pass("04:30:00", "OUT-1", "ZZ9")
			w.wantStays("P", c.want)
			w.wantConserved(w.fake())
		})
	}
}

func TestWhatTheTariffDoesNotKnowIsRefused(t *testing.T) {
	w := newWorld(t)
	id := w.pass("02:00:00", "IN-1", "ZZ9").Stay
	w.at("02:30:00")
	if _, err := w.cashier.Validate(t.Context(), ValidationRequest{Stay: id, Code: "none", By: "x"}, Keep[Bill]{}); !errors.Is(err, parking.ErrInvalid) {
		t.Errorf("validation: %v", err)
	}
	for _, q := range []ClaimRequest{{Permit: "none"}, {Pass: "none"}} {
		q.Stay, q.By = id, "staff"
		if _, err := w.cashier.Claim(t.Context(), q, Keep[Bill]{}); !errors.Is(err, parking.ErrInvalid) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if _, err := w.cashier.Charging(t.Context(), ChargingRequest{Stay: id, Session: "s"}, Keep[Bill]{}); !errors.Is(err, parking.ErrInvalid) {
		t.Errorf("charging: %v", err)
	}
	w.pass("03:00:00", "OUT-1", "ZZ9")
	w.wantStays("P", "ZZ9 closed ticket - 20.00")
}

func TestLostTicket(t *testing.T) {
	w := newWorld(t)
	ask := func(plate, ticket string) (Bill, error) {
		r, err := w.cashier.LostTicket(t.Context(), LostTicketRequest{
			CarPark: "P", Plate: plate, Ticket: ticket, Class: "private_car", By: "staff", Reason: "says that it is lost",
		}, Keep[Bill]{})
		return r.Value, err
	}
	// A plate that was seen needs no ticket.
	known := w.pass("02:00:00", "IN-1", "ZZ9 - K1").Stay
	w.at("03:30:00")
	if b, err := ask("ZZ9", ""); err != nil || b.Stay.ID != known || b.DueCents != 40_00 {
		t.Errorf("known plate: %+v, %v", b, err)
	}
	b, err := ask("YY8", "")
	if err != nil || b.DueCents != 150_00 {
		t.Fatalf("%+v, %v", b, err)
	}
	w.at("03:32:00")
	if again, err := ask("YY8", ""); err != nil || again.Stay.ID != b.Stay.ID || again.DueCents != 150_00 {
		t.Errorf("asked again: %+v, %v", again, err)
	}
	w.mustPay(b.Stay.ID, 150_00, "p1")
	if r := w.pass("03:35:00", "OUT-1", "YY8"); !r.Open || r.Stay != b.Stay.ID {
		t.Errorf("at the exit: %+v", r)
	}
	w.wantConserved(w.fake())
	// The entry turns up in a journal.
	late := w.event("IN-2", "YY8")
	late.At = monday.Add(2*time.Hour + 40*time.Minute)
	w.lane(late)
	s := w.stay(b.Stay.ID)
	if s.AmountCents != 20_00 || s.PaidCents != 150_00 || !slices.Contains(s.Flags, Overpaid) || slices.Contains(s.Flags, stay.MissingEntry) {
		t.Errorf("after the entry was found: %s", show(s))
	}
	w.wantConserved(w.fake())
}

// allocate puts an allocation of machine R1's bay at park M, and moves it on.
func (w *world) allocate(id, bay, plate string, steps ...func(a *parking.Allocation)) {
	w.Helper()
	a := parking.Allocation{
		ID: fmt.Sprintf("%032x", []byte(id)), CarPark: "M", Bay: bay, Machine: "R1", Vehicle: parking.Vehicle{Plate: plate, Class: "private_car"},
		State: parking.Assigned, Revision: 0, AssignedAt: w.clock.Now(),
	}
	_, err := w.store.Do(w.Context(), nil, func(tx parking.Tx) (parking.Answer, error) {
		if old, err := tx.Allocation(w.Context(), a.ID); err == nil {
			a = old
		}
		for _, step := range append([]func(*parking.Allocation){func(*parking.Allocation) {}}, steps...) {
			step(&a)
		}
		a.Revision++
		return parking.Answer{}, tx.PutAllocation(w.Context(), a)
	})
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) follower(c *Cashier) *Follower {
	w.Helper()
	f, err := NewFollower(FollowerParts{Changes: w.store, Cashier: c, Clock: w.clock, Log: quiet()})
	if err != nil {
		w.Fatal(err)
	}
	return f
}

func (w *world) follow(f *Follower) {
	w.Helper()
	for {
		n, err := f.Once(w.Context())
		if err != nil {
			w.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

func stored(w *world) func(*parking.Allocation) {
	return func(a *parking.Allocation) { a.State, a.StoredAt = parking.Stored, w.clock.Now() }
}

func requested(w *world) func(*parking.Allocation) {
	return func(a *parking.Allocation) { a.State, a.RequestedAt = parking.Retrieving, w.clock.Now() }
}

func gone(w *world) func(*parking.Allocation) {
	return func(a *parking.Allocation) { a.State, a.EndedAt = parking.Gone, w.clock.Now() }
}

func TestTheMachinesTimeIsChargedToNobody(t *testing.T) {
	w := newWorld(t)
	f := w.follower(w.cashier)
	w.pass("02:00:00", "M-IN-1", "AB1")
	w.allocate("a", "B1", "AB1")
	w.at("02:10:00")
	w.allocate("a", "B1", "AB1", stored(w))
	w.follow(f)
	w.at("03:09:00")
	w.allocate("a", "B1", "AB1", requested(w))
	w.at("03:20:00")
	w.allocate("a", "B1", "AB1", gone(w))
	w.follow(f)
	w.pass("03:21:00", "M-OUT-1", "AB1")
	// 80 minutes from lane to lane, 59 in the bay and not asked for.
	w.wantStays("M", "AB1 closed account one 20.00")
	s := w.stays("M")[0]
	if !s.ClockFrom.Equal(monday.Add(2*time.Hour+10*time.Minute)) || !s.ClockTo.Equal(monday.Add(3*time.Hour+9*time.Minute)) || s.Allocation == "" {
		t.Errorf("the clock ran %s to %s", s.ClockFrom, s.ClockTo)
	}
	w.wantConserved(w.fake())
}

func TestABayWithoutLanesMakesAStay(t *testing.T) {
	w := newWorld(t)
	f := w.follower(w.cashier)
	w.at("02:00:00")
	w.allocate("a", "B1", "AB1")
	w.follow(f)
	w.wantStays("M")
	w.at("02:05:00")
	w.allocate("a", "B1", "AB1", stored(w))
	w.follow(f)
	w.wantStays("M", "AB1 open account one 0.00 entry-by-bay")
	w.at("03:00:00")
	w.allocate("a", "B1", "AB1", gone(w))
	w.follow(f)
	w.wantStays("M", "AB1 closed account one 20.00 entry-by-bay,exit-by-bay")
	w.wantConserved(w.fake())
}

func TestABrokenMachineStopsTheClock(t *testing.T) {
	w := newWorld(t)
	f := w.follower(w.cashier)
	w.pass("02:00:00", "M-IN-1", "AB1")
	w.allocate("a", "B1", "AB1")
	w.allocate("a", "B1", "AB1", stored(w))
	w.follow(f)
	w.at("03:30:00")
	o := Outage{CarPark: "M", Machine: "R1", From: monday.Add(2*time.Hour + 30*time.Minute), To: monday.Add(3*time.Hour + 30*time.Minute), By: "staff", Reason: "the lift"}
	for range 2 {
		if n, err := w.cashier.StopClock(t.Context(), o, Keep[int]{}); err != nil || n.Value != 1 {
			t.Errorf("%+v, %v", n, err)
		}
	}
	w.at("03:58:00")
	w.allocate("a", "B1", "AB1", requested(w))
	w.allocate("a", "B1", "AB1", gone(w))
	w.pass("04:10:00", "M-OUT-1", "AB1")
	w.wantStays("M", "AB1 closed account one 20.00") // 58 minutes of 118
	o.Machine = "R9"
	if _, err := w.cashier.StopClock(t.Context(), o, Keep[int]{}); !errors.Is(err, parking.ErrNotFound) {
		t.Errorf("no such machine: %v", err)
	}
}

func TestTheMachinesTimesCountForATicketToo(t *testing.T) {
	w := newWorld(t)
	f := w.follower(w.cashier)
	id := w.pass("02:00:00", "M-IN-1", "- - K7").Stay
	w.allocate("a", "B1", "", func(a *parking.Allocation) { a.Stay = id })
	w.follow(f)
	w.at("02:10:00")
	w.allocate("a", "B1", "", stored(w))
	w.follow(f)
	w.at("03:09:00")
	w.allocate("a", "B1", "", requested(w))
	w.follow(f)
	if due, err := w.cashier.Due(t.Context(), "M", "K7"); err != nil || due.AmountCents != 20_00 {
		t.Errorf("%+v, %v", due, err)
	}
	w.mustPay(id, 20_00, "p1")
	w.at("03:20:00")
	w.allocate("a", "B1", "", gone(w))
	w.follow(f)
	if r := w.pass("03:21:00", "M-OUT-1", "- - K7"); !r.Open || r.Stay != id {
		t.Errorf("%+v", r)
	}
	w.wantStays("M", "ticket:K7 closed ticket - 20.00 paid=20.00")
	w.wantConserved(w.fake())
}

func TestAReservationsQuoteBinds(t *testing.T) {
	w := newWorld(t)
	f := w.follower(w.cashier)
	w.at("01:50:00")
	q, err := w.cashier.Quote(t.Context(), QuoteRequest{CarPark: "M", Class: "private_car", From: monday.Add(2 * time.Hour), To: monday.Add(4 * time.Hour)}, Keep[Quote]{})
	if err != nil {
		t.Fatal(err)
	}
	booked := parking.Reservation{
		ID: strings.Repeat("9", 32), CarPark: "M", Pool: "p", State: parking.Confirmed, Revision: 1, Vehicle: parking.Vehicle{Plate: "ZZ9"},
		Start: monday.Add(2 * time.Hour), End: monday.Add(4 * time.Hour), ExpiresAt: w.clock.Now(), NoShowAfter: monday.Add(3 * time.Hour),
		CreatedAt: w.clock.Now(), Quote: q.Value.ID,
	}
	_, err = w.store.Do(t.Context(), nil, func(tx parking.Tx) (parking.Answer, error) {
		return parking.Answer{}, tx.PutReservation(t.Context(), booked)
	})
	if err != nil {
		t.Fatal(err)
	}
	w.pass("02:00:00", "M-IN-1", "ZZ9")
	w.allocate("a", "B1", "ZZ9", func(a *parking.Allocation) { a.Reservation = booked.ID }, stored(w))
	w.follow(f)
	w.at("04:00:00")
	w.allocate("a", "B1", "ZZ9", requested(w), gone(w))
	w.pass("04:00:00", "M-OUT-1", "ZZ9")
	s := w.stays("M")[0]
	if s.Quote != q.Value.ID || s.AmountCents != 40_00 || !strings.Contains(string(s.Receipt), tariff.FlagQuoteBinds) {
		t.Errorf("%s, quote %q, %s", show(s), s.Quote, s.Receipt)
	}
}
