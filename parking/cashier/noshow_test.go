package cashier

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"freeflow/parking"
	"freeflow/parking/tariff"
)

// feeTariff edits the tests' tariff: 40.00 for not coming, 10.00 for booking.
var feeTariff = []string{`"ev":`, `"reservation": {"price": "10.00"}, "no_show": {"price": "40.00"}, "ev":`}

// lapse books from 02:00 on and lets the driver not come.
func (w *world) lapse(id, park string, edit func(*parking.Reservation)) string {
	w.Helper()
	r := parking.Reservation{
		ID: fmt.Sprintf("%032x", []byte(id)), CarPark: park, Pool: "p", State: parking.Confirmed, Revision: 1,
		Vehicle: parking.Vehicle{Plate: "ZZ9", Class: "private_car"}, Start: monday.Add(2 * time.Hour), End: monday.Add(4 * time.Hour),
		NoShowAfter: monday.Add(150 * time.Minute), CreatedAt: monday,
	}
	if edit != nil {
		edit(&r)
	}
	for _, state := range []parking.ReservationState{parking.Confirmed, parking.NoShow} {
		if r.State != parking.Confirmed {
			state = r.State
		}
		_, err := w.store.Do(w.Context(), nil, func(tx parking.Tx) (parking.Answer, error) {
			r.State = state
			return parking.Answer{}, tx.PutReservation(w.Context(), r)
		})
		if err != nil {
			w.Fatal(err)
		}
		r.Revision++
	}
	return r.ID
}

func TestNoShowsPayTheTariffsFee(t *testing.T) {
	for name, c := range map[string]struct {
		tariff []string
		park   string
		edit   func(*parking.Reservation)
		prefer *parking.Preference
		// want is the charge: "account kind amount", empty for none.
		want    string
		problem bool
	}{
		"none in the tariff":         {park: "P"},
		"by nobody's account":        {tariff: feeTariff, park: "P", want: "- parking 5000"},
		"by the plate's account":     {tariff: feeTariff, park: "P", edit: func(r *parking.Reservation) { r.Vehicle.Plate = "AB1" }, want: "one parking 5000"},
		"by the tag's account":       {tariff: feeTariff, park: "P", edit: func(r *parking.Reservation) { r.Vehicle.Plate, r.Vehicle.Tag = "", "T3" }, want: "three parking 5000"},
		"by the account named":       {tariff: feeTariff, park: "P", edit: func(r *parking.Reservation) { r.Vehicle.Plate, r.Account = "AB1", "other" }, want: "other parking 5000"},
		"an account that said no":    {tariff: feeTariff, park: "P", edit: func(r *parking.Reservation) { r.Account = "other" }, prefer: &parking.Preference{Account: "other", Said: true}, want: "- parking 5000"},
		"a business that never said": {tariff: feeTariff, park: "P", edit: func(r *parking.Reservation) { r.Vehicle.Plate = "BC2" }, want: "- parking 5000"},
		"a site without tags":        {tariff: feeTariff, park: "N", edit: func(r *parking.Reservation) { r.Vehicle.Plate = "AB1" }, want: "- parking 5000"},
		"an exempt vehicle":          {tariff: feeTariff, park: "P", edit: func(r *parking.Reservation) { r.Vehicle.Plate = "EX0" }, want: "- parking 5000"},
		"above the limit":            {tariff: []string{`"ev":`, `"no_show": {"price": "200.00"}, "ev":`}, park: "P", edit: func(r *parking.Reservation) { r.Vehicle.Plate = "AB1" }, want: "one parking-card 20000"},
		"a booking fee alone":        {tariff: []string{`"ev":`, `"reservation": {"price": "10.00"}, "ev":`}, park: "P"},
		"a class without prices":     {tariff: feeTariff, park: "P", edit: func(r *parking.Reservation) { r.Vehicle.Class = "tank" }, problem: true},
		"cancelled in time":          {tariff: feeTariff, park: "P", edit: func(r *parking.Reservation) { r.State = parking.ReservationCancelled }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.sites.books["test"] = book(t, c.tariff...)
			if c.prefer != nil {
				if _, err := w.cashier.SetPreference(t.Context(), *c.prefer, Keep[parking.Preference]{}); err != nil {
					t.Fatal(err)
				}
			}
			id := w.lapse("r", c.park, c.edit)
			w.at("02:31:00")
			for range 3 {
				if _, err := w.cashier.SettleNoShows(t.Context(), 10); err != nil {
					t.Fatal(err)
				}
			}
			l := w.fake()
			got := ""
			for chargeID, charge := range l.charges {
				account := charge.Account
				if account == "" {
					account = "-"
				}
				got += fmt.Sprintf("%s %s %d", account, charge.Kind, charge.AmountCents)
				if chargeID != NoShowChargeID(id) || charge.Creditor != c.park || !strings.Contains(charge.Description, "reservation from 2026-03-02 10:00 to 2026-03-02 12:00, not come") {
					t.Errorf("%s: %+v", chargeID, charge)
				}
				var detail struct {
					Lines []struct {
						Amount tariff.Cents `json:"amount"`
					} `json:"lines"`
				}
				var sum int64
				if err := json.Unmarshal(charge.Detail, &detail); err != nil {
					t.Fatal(err)
				}
				for _, line := range detail.Lines {
					sum += int64(line.Amount)
				}
				if sum != charge.AmountCents || len(detail.Lines) == 0 {
					t.Errorf("the receipt's lines sum to %d: %s", sum, charge.Detail)
				}
			}
			if got != c.want || len(l.charges) > 1 {
				t.Errorf("charged %q, want %q", got, c.want)
			}
			if alarms := w.alarms("no-show-without-price"); (len(alarms) == 1) != c.problem {
				t.Errorf("alarms: %+v", alarms)
			}
		})
	}
}

// Several processes settle the same reservations at once: each fee is ordered
// once, and a clerk that repeats itself posts it once.
func TestNoShowFeesAreOrderedOnce(t *testing.T) {
	w := newWorld(t)
	w.sites.books["test"] = book(t, feeTariff...)
	const n = 12
	for i := range n {
		w.lapse(fmt.Sprint("r", i), "P", func(r *parking.Reservation) { r.Vehicle.Plate = "AB1" })
	}
	w.at("02:31:00")
	var wg sync.WaitGroup
	for range 3 {
		c := w.newCashier(w.open())
		wg.Go(func() {
			for {
				done, err := c.SettleNoShows(t.Context(), 5)
				if err != nil {
					t.Error(err)
				}
				if done == 0 || err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	l := w.fake()
	if len(l.charges) != n || l.owed("one") != n*50_00 || l.postings != n {
		t.Errorf("%d charges, %d owed, %d postings", len(l.charges), l.owed("one"), l.postings)
	}
	err := w.store.View(t.Context(), func(tx parking.Tx) error {
		f, err := tx.NoShowFee(t.Context(), fmt.Sprintf("%032x", []byte("r0")))
		var r tariff.Receipt
		if err == nil {
			err = json.Unmarshal(f.Receipt, &r)
		}
		if f.AmountCents != 50_00 || f.Account != "one" || f.SettledAt.IsZero() || r.TotalCents != 50_00 || len(r.Lines) != 2 {
			t.Errorf("%+v, %+v", f, r)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
