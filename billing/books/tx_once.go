package books

import (
	"context"
	"time"

	"freeflow/internal/database"
	"freeflow/internal/once"
)

// DoOnce is Do for a request that may come again: its answer is kept in the
// same transaction. See once.Keeper.
func (s *Store) DoOnce(ctx context.Context, r once.Request, fn func(*Tx) (once.Answer, error)) (once.Answer, error) {
	return s.answers.Do(ctx, r, func(db database.Session) (once.Answer, error) {
		t := s.transaction(db)
		a, err := fn(t)
		if err == nil {
			err = t.flush(ctx)
		}
		return a, err
	})
}

// PruneOnce forgets answers kept before the instant, and says how many.
func (s *Store) PruneOnce(ctx context.Context, before time.Time) (int64, error) {
	return s.answers.Prune(ctx, before)
}
