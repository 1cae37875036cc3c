// Package booktest is the conformance suite of the books: what every store of
// them must do, whatever its engine. It knows the contracts of package billing
// and nothing of any store.
//
// Run expects fresh, empty books for every call of fresh, and closes nothing:
// that is fresh's to arrange with t.Cleanup.
package booktest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"freeflow/billing"
)

// Books is everything that a store of books keeps.
type Books interface {
	billing.Posting
	billing.Reading
	billing.Deciding
	billing.Registering
	billing.Outbox
	billing.Credentials
	billing.Retention
	billing.Charging
	billing.Rejudging
}

// Run runs the whole suite, a subtest a behaviour.
func Run(t *testing.T, fresh func(t *testing.T) Books) {
	for _, topic := range []struct {
		name  string
		tests []test
	}{
		{"Posting", postingTests}, {"Money", moneyTests}, {"Overlap", overlapTests}, {"Reading", readingTests},
		{"Deciding", decidingTests}, {"Registry", registryTests}, {"Outbox", outboxTests},
		{"Rejudging", rejudgingTests}, {"Model", modelTests}, {"Concurrency", concurrencyTests},
		{"Charging", chargingTests}, {"Payments", paymentTests}, {"ChargeModel", chargeModelTests}, {"ChargingConcurrency", chargingConcurrencyTests},
	} {
		t.Run(topic.name, func(t *testing.T) {
			for _, test := range topic.tests {
				t.Run(test.name, func(t *testing.T) { test.run(t, fresh(t)) })
			}
		})
	}
}

// test is one behaviour, shown on fresh books.
type test struct {
	name string
	run  func(t *testing.T, b Books)
}

const (
	second = int64(1_000_000)
	gap    = 60 * second
	// base is 2026-11-23 08:00 in Hong Kong.
	base = int64(1_795_392_000) * second
)

// postedAt is the posting date of the suite's batches.
var postedAt = time.Date(2026, 11, 23, 0, 5, 0, 0, time.UTC)

// id makes a pass id of a small number.
func id(n int) string { return fmt.Sprintf("%032x", n) }

// charged is a new pass of one vehicle at CHT-N at a number of seconds after
// base, a second long, charged 8.00 to the account acc-1.
func charged(n int, at int64) billing.Pass {
	return billing.Pass{
		ID: id(n), Facility: "CHT", TollPoint: "CHT-N", Vehicle: "AB1234", Registered: true,
		FirstMicros: base + at*second, LastMicros: base + (at+1)*second, Revision: 1,
		Status: billing.StatusCharged, Class: "private_car", Account: "acc-1", AmountCents: 800, Currency: "HKD",
		Rule: "CHT private_car all day 8.00", TariffVersion: "2026-01", Evidence: []byte{0, 1, 2},
	}
}

// with returns the pass changed, as its next revision.
func with(p billing.Pass, change func(*billing.Pass)) billing.Pass {
	p.Revision++
	p.Marks = slices.Clone(p.Marks)
	change(&p)
	return p
}

// log posts batches of one partition one after the other.
type log struct {
	b         Books
	partition int
	next      int64
}

// batch makes the next batch of the partition, a read a pass.
func (l *log) batch(passes ...billing.Pass) billing.Batch {
	return billing.Batch{
		Partition: l.partition, From: l.next, To: l.next + int64(max(len(passes), 1)), MaxMicros: base, PostedAt: postedAt,
		Passes: passes, Gap: gap,
	}
}

// try posts the passes as the next batch; the log moves on if it is posted.
func (l *log) try(passes ...billing.Pass) error {
	b := l.batch(passes...)
	err := l.b.Post(context.Background(), b)
	if err == nil {
		l.next = b.To
	}
	return err
}

// post posts the passes as the next batch.
func (l *log) post(t *testing.T, passes ...billing.Pass) {
	t.Helper()
	if err := l.try(passes...); err != nil {
		t.Fatalf("posting: %v", err)
	}
}

// balances returns what the accounts owe, those without entries left out.
func balances(t *testing.T, b Books, accounts ...string) map[string]int64 {
	t.Helper()
	list, err := b.Balances(context.Background(), accounts)
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]int64{}
	for _, one := range list {
		if one.Currency != "HKD" {
			t.Errorf("account %s has a balance in %q", one.Account, one.Currency)
		}
		sums[one.Account] += one.AmountCents
	}
	return sums
}

// owe checks balances: pairs of account and cents.
func owe(t *testing.T, b Books, want map[string]int64) {
	t.Helper()
	var accounts []string
	for account := range want {
		accounts = append(accounts, account)
	}
	got := balances(t, b, accounts...)
	for account, cents := range want {
		if got[account] != cents {
			t.Errorf("account %s owes %d cents, want %d", account, got[account], cents)
		}
	}
}

// history returns all about a pass.
func history(t *testing.T, b Books, passID string) billing.History {
	t.Helper()
	h, err := b.History(context.Background(), passID)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// events returns all unpublished events.
func events(t *testing.T, b Books) []billing.Event {
	t.Helper()
	list, err := b.Unpublished(context.Background(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// list returns all standing passes.
func list(t *testing.T, b Books) []billing.Pass {
	t.Helper()
	passes, err := b.List(context.Background(), billing.Filter{Limit: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	return passes
}

// wantError checks for a kind of error.
func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

// sound checks that every invariant holds, and that there was something to
// look at.
func sound(t *testing.T, b Books) {
	t.Helper()
	checks, err := b.Verify(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(checks) < 10 {
		t.Errorf("only %d invariants were checked", len(checks))
	}
	for _, c := range checks {
		for _, v := range c.Violations {
			t.Errorf("%s: %s", v.Invariant, v.Detail)
		}
	}
}

// same compares passes in all that a poster gave.
func same(a, b billing.Pass) bool {
	return a.ID == b.ID && a.Facility == b.Facility && a.TollPoint == b.TollPoint && a.Vehicle == b.Vehicle &&
		a.Registered == b.Registered && a.FirstMicros == b.FirstMicros && a.LastMicros == b.LastMicros &&
		a.Revision == b.Revision && a.Status == b.Status && a.Class == b.Class && a.Account == b.Account &&
		a.AmountCents == b.AmountCents && a.Currency == b.Currency && a.Rule == b.Rule && a.TariffVersion == b.TariffVersion &&
		a.Reasons == b.Reasons && string(a.Evidence) == string(b.Evidence) && slices.Equal(a.Marks, b.Marks) && a.MergedInto == b.MergedInto
}
