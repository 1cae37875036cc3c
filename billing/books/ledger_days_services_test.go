//go:build services

package books

import (
	"testing"

	"freeflow/internal/database/databasetest"
)

func TestPostgresLedgerDaysAreProved(t *testing.T) { testLedgerDays(t, databasetest.URL(t)) }

func TestPostgresDecisionsAndRegistriesAreTold(t *testing.T) { testTold(t, databasetest.URL(t)) }
