//go:build services

package recovery_test

import (
	"testing"

	"freeflow/internal/database/databasetest"
)

func TestTwoLaddersPostgreSQL(t *testing.T) { testTwoLadders(t, databasetest.URL(t)) }

func TestDisputeAgainstRungPostgreSQL(t *testing.T) {
	for range 5 {
		testDisputeAgainstRung(t, databasetest.URL(t))
	}
}

func TestOutagesPostgreSQL(t *testing.T) {
	testOutages(t, newRoad(t, databasetest.URL(t)))
}
