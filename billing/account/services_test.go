//go:build services

package account_test

import (
	"testing"

	"freeflow/internal/database/databasetest"
)

// TestRegistryFollowsHoldingsPostgreSQL is the same as on SQLite.
func TestRegistryFollowsHoldingsPostgreSQL(t *testing.T) {
	checkModel(t, openBooks(t, databasetest.URL(t)))
}

func TestActivationAgainstClosurePostgreSQL(t *testing.T) {
	testActivationAgainstClosure(t, openBooks(t, databasetest.URL(t)), 100)
}

func TestReadingPostgreSQL(t *testing.T) { testReading(t, openBooks(t, databasetest.URL(t))) }
