package store

import (
	"context"
	"errors"
)

func (s *Store) claimPostgres(ctx context.Context, r *claimRun) error { return errors.ErrUnsupported }
func (s *Store) departPostgres(ctx context.Context, r *departRun) error { return errors.ErrUnsupported }
