//go:build services

package carparks

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"freeflow/internal/database/databasetest"
)

func TestPostgreSQL(t *testing.T) {
	address := databasetest.URL(t)
	run(t, books{url: address, pairs: func(ctx context.Context, query string) ([][2]string, error) {
		conn, err := pgx.Connect(ctx, address)
		if err != nil {
			return nil, err
		}
		defer conn.Close(ctx)
		rows, err := conn.Query(ctx, query)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, func(row pgx.CollectableRow) (pair [2]string, err error) {
			return pair, row.Scan(&pair[0], &pair[1])
		})
	}}, effort{rushKills: 4, roundKills: 5, leavesABay: 8})
}

// The proof has to be able to fail: without the database's constraint, which is
// what keeps two cars out of one bay, it must, by each of its means.
func TestMutantWithoutTheConstraintIsCaught(t *testing.T) {
	const constraint = "CREATE UNIQUE INDEX parking_allocation_active "
	steps, err := filepath.Abs("../../parking/store/migrations/00002_parking.sql")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(steps)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), constraint) {
		t.Fatalf("%s does not contain %q any more; mend the mutant", steps, constraint)
	}
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	mutated := file("mutated.sql", strings.Replace(string(text), constraint, strings.Replace(constraint, "UNIQUE ", "", 1), 1))
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {steps: mutated}})
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "freeflow")
	if err := build(program, "-overlay", file("overlay.json", string(overlay))); err != nil {
		t.Fatal(err)
	}
	tr := newWorld(t, sqlite(t), program).newTrial(t, ordinary("fifty", "FTY", 50))
	drivers := crew()
	tr.all(drivers, func(d *driver) error {
		_, err := tr.take(d)
		return err
	})
	winners, overlaps, why := len(holders(drivers)), len(tr.query(overlapping)), judge(tr.history, len(tr.site.bays))
	if winners <= len(tr.site.bays) || overlaps == 0 || why == "" {
		t.Errorf("not caught: %d winners, %d overlaps, %q", winners, overlaps, why)
	}
	t.Logf("caught: %d winners, %d overlaps, %s", winners, overlaps, why)
}
