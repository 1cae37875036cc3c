//go:build services

package settlement_test

import (
	"testing"

	"freeflow/internal/database/databasetest"
)

func TestTwoSettlersPostgreSQL(t *testing.T) { testTwoSettlers(t, databasetest.URL(t)) }

func TestBatchesAreWhatWasPostedPostgreSQL(t *testing.T) { property(t, databasetest.URL) }

func TestCashPostgreSQL(t *testing.T) { testCash(t, databasetest.URL(t)) }
