package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"freeflow/billing/books"
	"freeflow/internal/clock"
	"freeflow/internal/database"
	"freeflow/parking"
	"freeflow/parking/storetest"
)

// exec changes the database behind the store's back.
func exec(s *Store, query string) error {
	return s.db.Write(context.Background(), func(db database.Session) error {
		_, err := db.Exec(context.Background(), query)
		return err
	})
}

// violated names the invariants that do not hold.
func violated(t *testing.T, s *Store) []string {
	t.Helper()
	checks, err := s.Verify(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var broken []string
	for _, c := range checks {
		if len(c.Violations) > 0 {
			broken = append(broken, c.Invariant)
		}
	}
	return broken
}

func claimOf(id, bay string) parking.Claim {
	return parking.Claim{Allocation: parking.Allocation{ID: id, CarPark: "P", Bay: bay, State: parking.Assigned, Revision: 1, AssignedAt: storetest.Now,
		Vehicle: parking.Vehicle{Plate: "AB" + id, Class: "taxi"}}, Once: &parking.Once{Scope: "s", Key: id}}
}

// furnish puts one of everything into the store.
func furnish(t *testing.T, s *Store) {
	t.Helper()
	ctx := context.Background()
	now := storetest.Now
	moved := claimOf("a3", "B3")
	moved.Command = &parking.Command{ID: "c1", CarPark: "P", Machine: "R1", Kind: parking.Store, Allocation: "a3", Bay: "B3", State: parking.Sent, Revision: 1, DueAt: now}
	if _, err := s.Claim(ctx, now, []parking.Claim{claimOf("a1", "B1"), claimOf("a2", "B2"), moved}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Depart(ctx, now.Add(time.Minute), []parking.Departure{{Allocation: "a1", To: parking.Gone}}); err != nil {
		t.Fatal(err)
	}
	_, err := s.Do(ctx, nil, func(tx parking.Tx) (parking.Answer, error) {
		a, err := tx.Allocation(ctx, "a3")
		a.Revision, a.Bay, a.State = 2, "B4", parking.Stored
		return parking.Answer{}, errors.Join(err, tx.PutAllocation(ctx, a),
			tx.PutDefinition(ctx, parking.Definition{CarPark: "P", Version: 1}),
			tx.PutReservation(ctx, parking.Reservation{ID: "r1", CarPark: "P", State: parking.CheckedIn, Revision: 1, Allocation: "a2"}),
			tx.PutReservation(ctx, parking.Reservation{ID: "r2", CarPark: "P", State: parking.Held, Revision: 1, ExpiresAt: now}),
			tx.PutStay(ctx, parking.Stay{ID: "s1", CarPark: "P", State: parking.Closed, Revision: 1, AmountCents: 1900, Allocation: "a1"}),
			tx.Order(ctx, parking.LedgerOrder{ID: "s1-charge", Kind: "charge"}),
			tx.PutReservation(ctx, parking.Reservation{ID: "r3", CarPark: "P", State: parking.NoShow, Revision: 1}),
			tx.SettleNoShow(ctx, parking.NoShowFee{Reservation: "r3", CarPark: "P", SettledAt: now, AmountCents: 4000}),
			tx.Order(ctx, parking.LedgerOrder{ID: "no-show/r3/1", Kind: "charge"}),
			addPass(ctx, tx, "p1", 0, 24), addPass(ctx, tx, "p2", 24, 48),
			tx.EndPass(ctx, "p2", now.Add(36*time.Hour), "desk", "moved"), addPass(ctx, tx, "p3", 36, 48))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// onlyAdded are the tables that are never changed.
var onlyAdded = []string{"parking_allocation_event", "parking_hold", "parking_definition", "parking_pass", "parking_pass_end"}

// addPass sells one of the vehicle AB1 over hours.
func addPass(ctx context.Context, tx parking.Tx, id string, from, to int) error {
	_, err := tx.AddPass(ctx, parking.Pass{ID: id, CarPark: "P", Vehicle: "AB1", Permit: "m", From: storetest.Now.Add(time.Duration(from) * time.Hour), To: storetest.Now.Add(time.Duration(to) * time.Hour)})
	return err
}

// damages are changes that no call makes, and the invariant that tells.
var damages = []struct{ query, want string }{
	{`UPDATE parking_allocation SET bay = 'B4' WHERE id = 'a1'`, "bays-hold-one history-complete"},
	{`UPDATE parking_allocation SET car_park = 'P', bay = 'B3', since_micros = since_micros - 1 WHERE id = 'a2'`, "bays-hold-one"},
	{`UPDATE parking_allocation SET ended_micros = 0, state = 'stored' WHERE id = 'a1'`, "history-complete"},
	{`UPDATE parking_allocation SET ended_micros = 0 WHERE id = 'a1'`, "ended-means-final"},
	{`UPDATE parking_allocation SET ended_micros = 5, state = 'gone' WHERE id = 'a2'`, "intervals-run-forward"},
	{`UPDATE parking_allocation SET state = 'moving' WHERE id = 'a2'`, "history-complete"},
	{`UPDATE parking_allocation SET state = 'parked' WHERE id = 'a2'`, "ended-means-final"},
	{`UPDATE parking_allocation SET revision = 7 WHERE id = 'a2'`, "history-complete"},
	{`UPDATE parking_allocation SET id = 'a9' WHERE id = 'a1'`, "history-complete answers-have-effects changes-have-allocations stays-have-allocations"},
	{`DELETE FROM parking_allocation WHERE id = 'a3'`, "commands-have-allocations intervals-run-forward"},
	{`UPDATE parking_command SET state = 'done'`, "ended-means-final"},
	{`UPDATE parking_command SET allocation = 'a9'`, "commands-have-allocations"},
	{`INSERT INTO parking_command SELECT due_micros, created_micros, sent_micros, ended_micros, revision, attempt, 'c2', car_park, machine, kind, allocation, bay, from_bay, 'running', detail FROM parking_command`, "one-command-a-lift"},
	{`DELETE FROM parking_ledger_order`, "closed-stays-are-ordered"},
	{`UPDATE parking_stay SET id = 's2'`, "closed-stays-are-ordered"},
	{`UPDATE parking_reservation SET allocation = '' WHERE id = 'r1'`, "reservations-are-bound"},
	{`UPDATE parking_reservation SET expires_micros = 7 WHERE id = 'r2'`, "reservations-are-bound"},
	{`UPDATE parking_stay SET allocation = 'a9'`, "stays-have-allocations"},
	{`UPDATE parking_once SET allocation = 'a9'`, "answers-have-effects"},
	{`DELETE FROM parking_hold`, "moves-on-record"},
	{`UPDATE parking_hold SET to_micros = to_micros + 99999999`, "intervals-run-forward"},
	{`DELETE FROM parking_allocation_event WHERE allocation = 'a3' AND revision = 1`, "history-complete"},
	{`UPDATE parking_allocation_event SET from_state = 'staged' WHERE allocation = 'a1' AND revision = 2`, "history-complete"},
	{`UPDATE parking_definition SET version = 2`, "definitions-continuous"},
	{`UPDATE parking_pass SET to_micros = to_micros + 1 WHERE id = 'p1'`, "passes-hold-one"},
	{`DELETE FROM parking_pass_end`, "passes-hold-one"},
	{`UPDATE parking_pass_end SET pass = 'p9'`, "passes-hold-one"},
	{`DELETE FROM parking_ledger_order WHERE id LIKE 'no-show/%'`, "no-shows-are-ordered"},
	{`UPDATE parking_reservation SET state = 'cancelled' WHERE id = 'r3'`, "no-shows-are-ordered"},
}

// testEngine is what is to be seen of an engine from inside. unlock takes away
// what refuses change to history.
func testEngine(t *testing.T, address func(t testing.TB) string, unlock []string) {
	t.Run("damage is found", func(t *testing.T) {
		for i, damage := range damages {
			s := openTest(t, address(t), testOptions())
			furnish(t, s)
			if i == 0 {
				if broken := violated(t, s); len(broken) != 0 {
					t.Fatalf("broken before: %v", broken)
				}
			}
			for _, query := range unlock {
				if err := exec(s, query); err != nil {
					t.Fatal(err)
				}
			}
			if err := exec(s, damage.query); err != nil {
				t.Errorf("%s: %v", damage.query, err)
				continue
			}
			broken := violated(t, s)
			for _, want := range strings.Fields(damage.want) {
				if !slices.Contains(broken, want) {
					t.Errorf("after %s: broken are %v, want %s", damage.query, broken, want)
				}
			}
		}
	})
	t.Run("two in a bay is found without the index", func(t *testing.T) {
		s := openTest(t, address(t), testOptions())
		furnish(t, s)
		insert := `UPDATE parking_allocation SET bay = 'B4' WHERE id = 'a2'`
		if err := exec(s, insert); err == nil {
			t.Fatal("the index let a second one in")
		}
		if err := errors.Join(exec(s, `DROP INDEX parking_allocation_active`), exec(s, insert)); err != nil {
			t.Fatal(err)
		}
		if broken := violated(t, s); !slices.Contains(broken, "bays-hold-one") {
			t.Errorf("broken: %v", broken)
		}
	})
	t.Run("history is only added to", func(t *testing.T) {
		s := openTest(t, address(t), testOptions())
		furnish(t, s)
		for _, table := range onlyAdded {
			for _, query := range []string{"DELETE FROM " + table, "UPDATE " + table + " SET car_park = 'x'"} {
				switch table {
				case "parking_allocation_event":
					query = strings.Replace(query, "car_park", "bay", 1)
				case "parking_pass_end":
					query = strings.Replace(query, "car_park", "pass", 1)
				}
				if err := exec(s, query); err == nil || !strings.Contains(err.Error(), "only ever added to") {
					t.Errorf("%s: %v", query, err)
				}
			}
		}
	})
	t.Run("lifts are counted where they are known", func(t *testing.T) {
		opts := testOptions()
		opts.Lifts = func(string, string) int { return 0 }
		s := openTest(t, address(t), opts)
		furnish(t, s)
		if broken := violated(t, s); !slices.Equal(broken, []string{"one-command-a-lift"}) {
			t.Errorf("broken: %v", broken)
		}
	})
	t.Run("schema", func(t *testing.T) {
		url := address(t)
		if _, err := Open(context.Background(), url, Options{}); err == nil || !strings.Contains(err.Error(), "freeflow migrate") {
			t.Errorf("an empty place: %v", err)
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := Migrate(context.Background(), url); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		s := openTest(t, url, testOptions())
		if err := exec(s, `INSERT INTO parking_schema (version_id, is_applied) VALUES (99, true)`); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(context.Background(), url, testOptions()); err == nil || !strings.Contains(err.Error(), "newer") {
			t.Errorf("a newer schema: %v", err)
		}
	})
	t.Run("beside the books", func(t *testing.T) {
		url := address(t)
		ctx := context.Background()
		b, err := books.Open(ctx, url, books.Options{Migrate: true, Clock: clock.At(storetest.Now)})
		if err != nil {
			t.Fatal(err)
		}
		s := openTest(t, url, testOptions())
		var wg sync.WaitGroup
		for n := range 4 {
			wg.Go(func() {
				for i := range 10 {
					if n%2 == 0 {
						if err := b.PrunePublished(ctx, storetest.Now); err != nil {
							t.Error(err)
						}
						continue
					}
					id := fmt.Sprint(n, "-", i)
					if o, err := s.Claim(ctx, storetest.Now, []parking.Claim{claimOf(id, "B"+id)}); err != nil || o[0].Err != nil {
						t.Errorf("%+v, %v", o, err)
					}
				}
			})
		}
		wg.Wait()
		if broken := violated(t, s); len(broken) != 0 {
			t.Errorf("broken: %v", broken)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestSQLiteEngine(t *testing.T) {
	var unlock []string
	for _, table := range onlyAdded {
		unlock = append(unlock, "DROP TRIGGER "+table+"_no_update", "DROP TRIGGER "+table+"_no_delete")
	}
	testEngine(t, sqliteURL, unlock)
}
