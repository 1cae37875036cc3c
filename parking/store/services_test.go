//go:build services

package store

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"freeflow/internal/database"
	"freeflow/internal/database/databasetest"
	"freeflow/parking"
	"freeflow/parking/storetest"
)

func freshPostgres(t *testing.T) func() storetest.Store {
	url := databasetest.URL(t)
	return func() storetest.Store { return openTest(t, url, testOptions()) }
}

func TestPostgres(t *testing.T) { storetest.Run(t, freshPostgres) }

func TestPostgresWriters(t *testing.T) { storetest.RunSeveralWriters(t, freshPostgres) }

// BenchmarkAllocatePostgres has one batch of claims and one of departures under
// way at a time: what comes meanwhile makes the next ones larger, and two cores
// have enough to do with them.
func BenchmarkAllocatePostgres(b *testing.B) {
	for _, clients := range []int{8, 64, 128, 256} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			benchAllocate(b, openTest(b, databasetest.URL(b), testOptions()), clients, false)
		})
	}
	b.Run("clients=128, with commands", func(b *testing.B) {
		benchAllocate(b, openTest(b, databasetest.URL(b), testOptions()), 128, true)
	})
}

func TestPostgresEngine(t *testing.T) {
	var unlock []string
	for _, table := range onlyAdded {
		unlock = append(unlock, "DROP TRIGGER "+table+"_append_only ON "+table)
	}
	testEngine(t, databasetest.URL, unlock)
}

// TestPostgresKilledBackends: connections killed at any moment leave batches
// done or not, never in part; the store goes on by itself, and whoever repeats
// a request under its key ends with one bay.
func TestPostgresKilledBackends(t *testing.T) {
	address := databasetest.URL(t)
	s, killer := openTest(t, address, testOptions()), openTest(t, address, testOptions())
	ctx := context.Background()
	done := make(chan struct{})
	kills := 0
	var wg sync.WaitGroup
	stop := sync.OnceFunc(func() {
		close(done)
		wg.Wait()
	})
	t.Cleanup(stop)
	wg.Go(func() {
		for kills < 20 {
			select {
			case <-done:
				return
			default:
			}
			// Whoever is writing allocations of this schema.
			err := killer.db.Write(ctx, func(db database.Session) error {
				return database.Each(ctx, db, `SELECT pg_terminate_backend(l.pid) FROM pg_locks l
					JOIN pg_class c ON c.oid = l.relation AND c.relname = 'parking_allocation' AND c.relnamespace = current_schema()::regnamespace
					WHERE l.mode = 'RowExclusiveLock'`, nil, func(database.Rows) error { kills++; return nil })
			})
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	held, failed, replayed := 0, 0, 0
	for n := 0; n < 400 && (n < 40 || failed < 5); n++ {
		// The driver asks until there is an answer, for another bay each time.
		for attempt := 0; ; attempt++ {
			c := claimOf(fmt.Sprintf("%d-%d", n, attempt), fmt.Sprintf("B%d-%d", n, attempt))
			c.Once.Key = fmt.Sprint("k", n)
			o, err := s.Claim(ctx, storetest.Now, []parking.Claim{c, claimOf(fmt.Sprintf("x%d-%d", n, attempt), fmt.Sprintf("X%d-%d", n, attempt))})
			if err != nil {
				failed++
				if attempt > 1000 {
					t.Fatal(err)
				}
				continue
			}
			if o[0].Err != nil || o[1].Err != nil {
				t.Fatalf("%+v", o)
			}
			if o[0].Answer.Replayed {
				replayed++
			}
			held++
			break
		}
	}
	stop()
	if kills == 0 || failed == 0 {
		t.Errorf("%d kills, %d batches failed: nothing was tried", kills, failed)
	}
	o, err := s.Occupancy(ctx, "P", storetest.Now)
	if err != nil {
		t.Fatal(err)
	}
	drivers := 0
	for _, a := range o.Active {
		if a.Bay[0] == 'B' {
			drivers++
		}
	}
	t.Logf("%d kills, %d batches failed, %d found done when asked again", kills, failed, replayed)
	if drivers != held {
		t.Errorf("%d drivers hold %d bays", held, drivers)
	}
	if broken := violated(t, s); len(broken) != 0 {
		t.Errorf("broken: %v", broken)
	}
}
