//go:build services

package month

import (
	"context"
	"testing"

	"freeflow/internal/database/databasetest"
)

// TestPostgreSQL plays the month with two processes at once.
func TestPostgreSQL(t *testing.T) {
	play(t, Config{Accounts: 200, Days: 24, Seed: 3, Database: databasetest.URL(t), Crashes: 40}, func(context.Context, *world) error { return nil })
}
