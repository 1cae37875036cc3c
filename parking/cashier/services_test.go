//go:build services

package cashier

import (
	"testing"

	"freeflow/internal/database/databasetest"
)

// On PostgreSQL transactions really run at once: the locks of a vehicle's names
// have to do what SQLite's one writer does.
func TestTwoCashiersOnPostgres(t *testing.T) {
	for range 3 {
		w := newWorldOn(t, databasetest.URL(t))
		twoCashiersChargeOnce(t, w)
	}
}

func TestTwoMachinesOnPostgres(t *testing.T) {
	for range 3 {
		w := newWorldOn(t, databasetest.URL(t))
		twoMachinesTakeOnePayment(t, w)
	}
}

func TestADayOnPostgres(t *testing.T) {
	w := newWorldOn(t, databasetest.URL(t))
	w.busy()
	w.wantConserved(w.fake())
}
