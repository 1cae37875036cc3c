package cashier

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"freeflow/parking"
	"freeflow/parking/stay"

	"pgregory.net/rapid"
)

// TestMoneyIsConserved does anything in any order: reads in time and late ones,
// payments, validations, refunds, decisions, charging and claims, by vehicles
// that turn out to be one or two, with the clerk coming by now and then. After
// each step what the stays cost is what the ledger has, to the cent.
func TestMoneyIsConserved(t *testing.T) {
	few(t, "20")
	w := newWorld(t)
	template := *w.sites.parks["P"]
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		park := fmt.Sprintf("Y%d", run)
		c := template
		c.ID, c.Code = park, park
		w.sites.parks[park] = &c
		w.clock.Set(monday.Add(48 * time.Hour * time.Duration(run)))
		start := w.clock.Now()
		payment := 0
		pick := func() (parking.Stay, bool) {
			list := w.stays(park)
			if len(list) == 0 {
				return parking.Stay{}, false
			}
			return rapid.SampledFrom(list).Draw(rt, "stay"), true
		}
		bear := func(what string, err error) {
			if err != nil && !errors.Is(err, parking.ErrConflict) && !errors.Is(err, parking.ErrInvalid) && !errors.Is(err, parking.ErrNotFound) {
				rt.Fatalf("%s: %v", what, err)
			}
		}
		read := func(rt *rapid.T, at time.Time) {
			m := rapid.SampledFrom([][3]string{
				{"AB1", "", ""}, {"", "T1", ""}, {"ZZ9", "F0", ""}, {"ZZ9", "", ""}, {"", "F0", ""}, {"ZZ9", "", "K1"}, {"", "", "K1"}, {"AB1", "T3", ""},
				{"YY8", "", ""}, {"", "C9", ""}, {"YY8", "C9", ""},
			}).Draw(rt, "marks")
			lane := rapid.SampledFrom([]string{"IN-1", "IN-2", "OUT-1", "OUT-2"}).Draw(rt, "lane")
			w.seq++
			e := parking.LaneEvent{
				ID: fmt.Sprintf("%s/%d", park, w.seq), CarPark: park, Lane: "P-" + lane, Direction: parking.In, At: at, Plate: m[0], Tag: m[1],
				Ticket: m[2], ConfidencePermille: 1000, Class: "private_car", Source: "reads",
			}
			if strings.HasPrefix(lane, "OUT") {
				e.Direction = parking.Out
			}
			if r := w.lane(e)[0]; r.Err != nil {
				rt.Fatal(r.Err)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"": func(rt *rapid.T) {
				w.wantConservedAt(w.fake(), park)
				if w.Failed() {
					rt.Fatal("money is not conserved")
				}
			},
			"a read": func(rt *rapid.T) {
				w.clock.Advance(time.Duration(rapid.SampledFrom([]int{10, 50, 240, 1000, 3500}).Draw(rt, "step")) * time.Second)
				read(rt, w.clock.Now())
			},
			"a late read": func(rt *rapid.T) {
				span := int(w.clock.Now().Sub(start)/time.Second) + 1
				read(rt, start.Add(time.Duration(rapid.IntRange(0, span).Draw(rt, "at"))*time.Second))
			},
			"pay": func(rt *rapid.T) {
				s, ok := pick()
				if !ok {
					return
				}
				b, err := w.cashier.Bill(w.Context(), s.ID)
				bear("bill", err)
				if b.DueCents == 0 {
					return
				}
				payment++
				amount := b.DueCents
				if rapid.Bool().Draw(rt, "part") {
					amount = max(1, amount/3)
				}
				_, err = w.pay(PayRequest{Stay: s.ID, AmountCents: amount, PaymentID: fmt.Sprint(park, "-", payment), Means: "octopus"})
				bear("pay", err)
			},
			"validate": func(*rapid.T) {
				if s, ok := pick(); ok {
					_, err := w.cashier.Validate(w.Context(), ValidationRequest{Stay: s.ID, Code: "shop", By: "shop"}, Keep[Bill]{})
					bear("validate", err)
				}
			},
			"refund": func(*rapid.T) {
				if s, ok := pick(); ok {
					_, err := w.cashier.Refund(w.Context(), RefundRequest{Stay: s.ID, By: "staff", Reason: "too much"}, Keep[Bill]{})
					bear("refund", err)
				}
			},
			"decide": func(rt *rapid.T) {
				if s, ok := pick(); ok {
					d := rapid.SampledFrom([]DecideRequest{
						{Kind: stay.Waived}, {Kind: stay.Amount, AmountCents: 7_77}, {Kind: stay.Amount, AmountCents: 9_99, Account: "three"},
						{Kind: stay.ByAccount, Account: "three"},
					}).Draw(rt, "decision")
					d.Stay, d.By, d.Reason = s.ID, "staff", "reason"
					_, err := w.cashier.Decide(w.Context(), d, Keep[Bill]{})
					bear("decide", err)
				}
			},
			"claim": func(rt *rapid.T) {
				if s, ok := pick(); ok {
					q := rapid.SampledFrom([]ClaimRequest{
						{Set: []string{"disabled_permit"}}, {Clear: []string{"disabled_permit"}}, {Permit: "month"},
					}).Draw(rt, "claim")
					q.Stay, q.By = s.ID, "staff"
					_, err := w.cashier.Claim(w.Context(), q, Keep[Bill]{})
					bear("claim", err)
				}
			},
			"sell a pass": func(rt *rapid.T) {
				from := w.clock.Now().Add(time.Duration(rapid.IntRange(-6, 6).Draw(rt, "from")) * time.Hour)
				vehicle := rapid.SampledFrom([]string{"AB1", "ZZ9", "tag:C9", "YY8"}).Draw(rt, "vehicle")
				w.seq++
				_, err := w.cashier.PutPass(w.Context(), parking.Pass{
					ID: fmt.Sprint(park, "/", w.seq), CarPark: park, Vehicle: vehicle, Permit: "month", Class: "private_car", From: from,
					To: from.Add(time.Duration(rapid.IntRange(1, 12).Draw(rt, "hours")) * time.Hour), By: "desk",
				}, Keep[PassOutcome]{})
				bear("sell a pass", err)
			},
			"take a pass back": func(rt *rapid.T) {
				list, err := w.cashier.Passes(w.Context(), park, "", start, start.Add(96*time.Hour), "", 100)
				bear("list passes", err)
				if len(list) > 0 {
					_, err := w.cashier.EndPass(w.Context(), park, rapid.SampledFrom(list).Draw(rt, "pass").ID, "desk", "moved", Keep[parking.Pass]{})
					bear("take a pass back", err)
				}
			},
			"lost ticket": func(*rapid.T) {
				_, err := w.cashier.LostTicket(w.Context(), LostTicketRequest{CarPark: park, Plate: "ZZ9", Class: "private_car", By: "s", Reason: "r"}, Keep[Bill]{})
				bear("lost ticket", err)
			},
			"reorder": func(*rapid.T) {
				if s, ok := pick(); ok {
					_, err := w.cashier.Reorder(w.Context(), s.ID, Keep[Bill]{})
					bear("reorder", err)
				}
			},
		})
		if a := w.alarms("ledger-refused"); len(a) != 0 {
			rt.Fatalf("the ledger refused %+v", a)
		}
	})
}
