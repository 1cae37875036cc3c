package store

import (
	"errors"
	"fmt"

	"freeflow/internal/database"
	"freeflow/parking"
)

// staleAgain has a transaction that found something changed run again: it may
// have read before another's commit and written after it.
func staleAgain(err error) error {
	if errors.Is(err, parking.ErrStale) {
		return fmt.Errorf("%w: %w", database.ErrRetry, err)
	}
	return err
}
