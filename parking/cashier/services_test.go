//go:build services

package cashier

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
)

// postgresURL makes a schema of its own for a test and drops it afterwards.
func postgresURL(t *testing.T, n int) string {
	t.Helper()
	server := os.Getenv("FREEFLOW_TEST_POSTGRES")
	if server == "" {
		t.Fatal("FREEFLOW_TEST_POSTGRES is not set: give the postgres:// address of a database where schemas may be created")
	}
	admin, err := pgx.Connect(t.Context(), server)
	if err != nil {
		t.Fatal("connecting to FREEFLOW_TEST_POSTGRES failed")
	}
	name := fmt.Sprintf("freeflow_cashier_%d_%d", os.Getpid(), n)
	if _, err := admin.Exec(t.Context(), "CREATE SCHEMA "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background() // the test's own has ended by now
		again, err := pgx.Connect(ctx, server)
		if err != nil {
			t.Error("connecting to FREEFLOW_TEST_POSTGRES failed")
			return
		}
		if _, err := again.Exec(ctx, "DROP SCHEMA "+name+" CASCADE"); err != nil {
			t.Error(err)
		}
		if err := again.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := admin.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal("FREEFLOW_TEST_POSTGRES is no URL")
	}
	query := u.Query()
	query.Set("search_path", name)
	u.RawQuery = query.Encode()
	return u.String()
}

// On PostgreSQL transactions really run at once: the locks of a vehicle's names
// have to do what SQLite's one writer does.
func TestTwoCashiersOnPostgres(t *testing.T) {
	for n := range 3 {
		w := newWorldOn(t, postgresURL(t, 10+n))
		twoCashiersChargeOnce(t, w)
	}
}

func TestTwoMachinesOnPostgres(t *testing.T) {
	for n := range 3 {
		w := newWorldOn(t, postgresURL(t, 20+n))
		twoMachinesTakeOnePayment(t, w)
	}
}

func TestADayOnPostgres(t *testing.T) {
	w := newWorldOn(t, postgresURL(t, 30))
	w.busy()
	w.wantConserved(w.fake())
}
