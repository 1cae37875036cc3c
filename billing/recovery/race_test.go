package recovery_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"

	"freeflow/billing/books"
	"freeflow/billing/recovery"
)

// testDisputeAgainstRung opens disputes while the ladder climbs: where the
// dispute was there first, which the case's stage in its transaction says, no
// surcharge may follow.
func testDisputeAgainstRung(t *testing.T, url string) {
	r := newRoad(t, url)
	const tolls = 60
	ids := make([]string, tolls)
	for n := range ids {
		ids[n] = r.pass(n+1, at(5, 21, 10), nil)
	}
	r.run(at(5, 22, 1))
	for _, id := range ids {
		r.serve(id, at(5, 22, 9))
	}
	r.clock.Set(at(6, 10, 0))
	seen := make([]string, tolls)
	var wg sync.WaitGroup
	for worker := range 3 {
		wg.Go(func() {
			for n := tolls - 1 - worker; n >= 0; n -= 3 {
				err := r.books.Do(context.Background(), func(tx *books.Tx) error {
					if err := r.ladder.Stop(context.Background(), tx, "dispute:"+ids[n], ids[n], r.deed("wrong plate")); err != nil {
						return err
					}
					c, err := tx.Case(context.Background(), ids[n])
					seen[n] = c.Stage
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		if _, err := r.ladder.Run(context.Background()); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	r.follow()
	first := 0
	for n, id := range ids {
		if s := r.stands(id); s.Stage != seen[n] {
			t.Errorf("the dispute of %s found it %s, and it became %s", id, seen[n], s.Stage)
		}
		if seen[n] == recovery.Opened {
			first++
		}
	}
	t.Logf("%d of %d disputes were first", first, tolls)
	r.sound()
}

func TestDisputeAgainstRung(t *testing.T) {
	testDisputeAgainstRung(t, "sqlite:"+filepath.Join(t.TempDir(), "books.db"))
}
