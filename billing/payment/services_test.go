//go:build services

package payment_test

import (
	"testing"
	"time"

	"freeflow/billing/bankemu"
	"freeflow/billing/books"
	"freeflow/billing/payment"
	"freeflow/internal/database/databasetest"
)

// TestPostgres is what has to hold between processes, and each statement once,
// on PostgreSQL.
func TestPostgres(t *testing.T) {
	t.Run("two processes", func(t *testing.T) { testTwoProcesses(t, databasetest.URL(t)) })
	t.Run("class tags", func(t *testing.T) { testClassTagIsToppedUp(t, databasetest.URL(t)) })
	t.Run("four eyes", func(t *testing.T) { testNobodyMakesMoneyAlone(t, databasetest.URL(t)) })
	t.Run("closing", func(t *testing.T) { testPayOutOnlyOfWhatIsNotOwed(t, databasetest.URL(t)) })
	t.Run("a life", func(t *testing.T) {
		w := newWorld(t, databasetest.URL(t))
		w.pays("A1", payment.Daily, payment.Card, 1000_00)
		token := w.bank.AddToken("", "card", 1000_00, "HKD")
		w.means(payment.Means{Account: "A2", Mode: payment.Prepaid, Kind: payment.Card, Provider: "bank", Token: token, ThresholdCents: 20_00, TopUpCents: 100_00})
		w.must(w.work())
		w.bank.Tell(bankemu.Rule{On: "charge", Do: bankemu.CutAfter, Times: 1}, bankemu.Rule{On: "notice", Do: bankemu.Duplicate, Times: 3})
		tolls := []string{w.toll("A1", 8_00), w.toll("A1", 12_00), w.toll("A2", 90_00)}
		tolls = append(tolls, w.unpaid("N-0000001", 20_00, 175_00)...)
		a, err := w.payNotice("N-0000001", "")
		w.must(err)
		w.must(w.bank.Send(w.ctx, a.Bill, "fps_anna1", 200_00, "HKD"))
		w.later(3*24*time.Hour, 6*time.Hour)
		for _, toll := range tolls {
			if w.rest(toll) != 0 {
				t.Errorf("%s is not paid", toll)
			}
		}
		if w.bank.Balance("fps_anna1") != 5_00 {
			t.Errorf("balance %d", w.bank.Balance("fps_anna1"))
		}
		out, err := w.payOut("A2", "")
		if err != nil || len(out) == 0 {
			t.Errorf("%+v, %v", out, err)
		}
		w.later(time.Hour, 20*time.Minute)
		if w.wallet("A2") != 0 {
			t.Errorf("wallet %d", w.wallet("A2"))
		}
		w.must(w.do(func(tx payment.Tx) error {
			list, err := tx.UntoldPayments(w.ctx, 100)
			if err != nil || len(list) == 0 {
				t.Errorf("%d events, %v", len(list), err)
			}
			var ids []string
			for _, e := range list {
				ids = append(ids, e.ID)
			}
			return tx.TookPayments(w.ctx, ids, w.clock.Now())
		}))
		w.audit()
	})
	t.Run("many pay one notice in two processes", func(t *testing.T) {
		url := databasetest.URL(t)
		w := newWorld(t, url)
		other := w.newService(books.Keep[payment.Tx]{Store: w.open(url), As: func(tx *books.Tx) payment.Tx { return tx }})
		toll := w.unpaid("N-0000001", 20_00)[0]
		won := make(chan bool, 8)
		for i := range 8 {
			card := w.bank.AddToken("", "card", 50_00, "HKD")
			s := []*payment.Service{w.service, other}[i%2]
			go func() {
				var a payment.Attempt
				err := s.Store.Do(w.ctx, func(tx payment.Tx) (err error) {
					a, err = s.PayNotice(w.ctx, tx, payment.NoticeRequest{Vehicle: "AB1234", Number: "N-0000001", Token: card})
					return err
				})
				if err == nil {
					err = s.Step(w.ctx, a.ID)
				}
				won <- err == nil
			}()
		}
		n := 0
		for range 8 {
			if <-won {
				n++
			}
		}
		if got := w.bank.Totals("HKD"); n != 1 || got.TakenCents != 20_00 || w.rest(toll) != 0 {
			t.Errorf("%d won, %+v", n, got)
		}
		w.audit()
	})
}
