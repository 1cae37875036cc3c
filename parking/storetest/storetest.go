// Package storetest is the conformance suite of parking's store: what every
// store must do, whatever its engine. It knows the contract of package parking
// and nothing of any store.
//
// Run expects a fresh, empty database for every call of its function, whose
// result opens one more store on that database, as another process would. It
// closes nothing: that is for the caller to arrange with t.Cleanup. The stores'
// clock is to stand at Now.
package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"freeflow/parking"
)

// Now is where the stores' clock has to stand.
var Now = time.Date(2026, 11, 24, 1, 0, 0, 0, time.UTC)

// Store is everything that a store of car parks keeps.
type Store interface {
	parking.Bays
	parking.Keeping
	parking.Ledger
	parking.Histories
	parking.Changes
	Verify(ctx context.Context) ([]parking.Check, error)
	Prune(ctx context.Context, before time.Time) (int64, error)
}

// Run runs what every store must do, a subtest a behaviour.
func Run(t *testing.T, fresh func(t *testing.T) func() Store) {
	for _, topic := range []struct {
		name  string
		tests []test
	}{
		{"Claim", claimTests}, {"Depart", departTests}, {"Once", onceTests}, {"Allocation", allocationTests},
		{"Records", recordTests}, {"Stays", stayTests}, {"Feeds", feedTests}, {"Do", doTests},
		{"Spaces", spaceTests}, {"Vehicles", vehicleTests}, {"Passes", passTests}, {"Concurrency", concurrencyTests}, {"Model", modelTests},
	} {
		t.Run(topic.name, func(t *testing.T) { runAll(t, topic.tests, fresh) })
	}
}

// RunSeveralWriters runs what a store must do besides on a database that lets
// several transactions write at once. With one writer it would wait for ever.
func RunSeveralWriters(t *testing.T, fresh func(t *testing.T) func() Store) {
	t.Run("Late", func(t *testing.T) { runAll(t, lateTests, fresh) })
	t.Run("Processes", func(t *testing.T) { runAll(t, processTests, fresh) })
}

func runAll(t *testing.T, tests []test, fresh func(t *testing.T) func() Store) {
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			open := fresh(t)
			s := open()
			test.run(t, s, open)
			sound(t, s)
		})
	}
}

// test is one behaviour, shown on a fresh database; open opens one more store
// on it. What holds of every database is checked at its end.
type test struct {
	name string
	run  func(t *testing.T, s Store, open func() Store)
}

// id makes an id of a small number.
func id(n int) string { return fmt.Sprintf("%032x", n) }

// later is an instant a number of seconds after Now.
func later(seconds int) time.Time { return Now.Add(time.Duration(seconds) * time.Second) }

// claim asks for a bay of car park "P" under an allocation's number.
func claim(n int, bay string) parking.Claim {
	return parking.Claim{
		Allocation: parking.Allocation{
			ID: id(n), CarPark: "P", Bay: bay, State: parking.Assigned, Revision: 1, AssignedAt: Now,
			Vehicle: parking.Vehicle{Plate: fmt.Sprint("AB", n), Class: "private_car", LengthMM: 4500, HeightMM: 1500},
			Why:     "nearest", ReadySeconds: 90,
		},
		Answer: parking.Answer{Status: 201, Body: fmt.Appendf(nil, `{"id":%q}`, id(n)), Location: "/v1/allocations/" + id(n)},
	}
}

// once names a request; content is what its fingerprint is of.
func once(key, content string) *parking.Once {
	return &parking.Once{Scope: "suite", Key: key, Fingerprint: sha256.Sum256([]byte(content))}
}

// departure ends an allocation as gone.
func departure(n int) parking.Departure {
	return parking.Departure{Allocation: id(n), To: parking.Gone, By: "desk", Reason: "left", Answer: parking.Answer{Status: 200, Body: fmt.Appendf(nil, "bye %d", n)}}
}

// mustClaim claims at Now and fails on an error of the store.
func mustClaim(t *testing.T, s parking.Bays, at time.Time, claims ...parking.Claim) []parking.ClaimOutcome {
	t.Helper()
	outcomes, err := s.Claim(context.Background(), at, claims)
	if err != nil {
		t.Fatalf("claiming: %v", err)
	}
	if len(outcomes) != len(claims) {
		t.Fatalf("%d outcomes of %d claims", len(outcomes), len(claims))
	}
	return outcomes
}

// take claims one bay and wants it.
func take(t *testing.T, s parking.Bays, n int, bay string) {
	t.Helper()
	if o := mustClaim(t, s, Now, claim(n, bay))[0]; o.Err != nil || o.Answer.Replayed {
		t.Fatalf("claim %d of %s: %+v", n, bay, o)
	}
}

// mustDepart ends allocations and fails on an error of the store.
func mustDepart(t *testing.T, s parking.Bays, at time.Time, departures ...parking.Departure) []parking.DepartureOutcome {
	t.Helper()
	outcomes, err := s.Depart(context.Background(), at, departures)
	if err != nil {
		t.Fatalf("departing: %v", err)
	}
	if len(outcomes) != len(departures) {
		t.Fatalf("%d outcomes of %d departures", len(outcomes), len(departures))
	}
	return outcomes
}

// do runs fn in a transaction that has to succeed.
func do(t *testing.T, s parking.Keeping, fn func(tx parking.Tx) error) {
	t.Helper()
	if err := try(s, fn); err != nil {
		t.Fatal(err)
	}
}

// try runs fn in a transaction.
func try(s parking.Keeping, fn func(tx parking.Tx) error) error {
	_, err := s.Do(context.Background(), nil, func(tx parking.Tx) (parking.Answer, error) { return parking.Answer{}, fn(tx) })
	return err
}

// view runs fn on a snapshot.
func view(t *testing.T, s parking.Keeping, fn func(tx parking.Tx) error) {
	t.Helper()
	if err := s.View(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

// get reads one allocation.
func get(t *testing.T, s parking.Keeping, n int) (a parking.Allocation) {
	t.Helper()
	view(t, s, func(tx parking.Tx) (err error) {
		a, err = tx.Allocation(context.Background(), id(n))
		return err
	})
	return a
}

// active returns the allocation that holds each bay of car park P.
func active(t *testing.T, s parking.Bays) map[string]string {
	t.Helper()
	o, err := s.Occupancy(context.Background(), "P", later(3600))
	if err != nil {
		t.Fatal(err)
	}
	held := map[string]string{}
	for _, a := range o.Active {
		if other, twice := held[a.Bay]; twice {
			t.Fatalf("bay %s is held by %s and %s", a.Bay, other, a.ID)
		}
		held[a.Bay] = a.ID
	}
	return held
}

// wantError checks for a kind of error.
func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

// sound checks that every invariant holds.
func sound(t *testing.T, s Store) {
	t.Helper()
	checks, err := s.Verify(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(checks) < 10 {
		t.Errorf("only %d invariants were checked", len(checks))
	}
	for _, c := range checks {
		for _, v := range c.Violations {
			t.Errorf("%s: %s", c.Invariant, v)
		}
	}
}
