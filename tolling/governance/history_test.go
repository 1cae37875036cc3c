package governance_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freeflow/internal/clock"
	"freeflow/internal/database"
	"freeflow/tolling/governance"
)

// testHistoryIsOnlyAddedTo: the database refuses what would rewrite history,
// and every step has its event in the audit trail.
func testHistoryIsOnlyAddedTo(t *testing.T, url string) {
	signer, clk := key(1), clock.At(start)
	o := openOffice(t, url, clk, signer, trusting(signer))
	at := start.Add(time.Hour)
	o.published("2026-11-lrt", at, "9")
	if _, err := o.desk.Withdraw(t.Context(), "cy", 1, "not now"); err != nil {
		t.Fatal(err)
	}
	d := o.draft("2026-12-lrt", at, "9")
	if _, err := o.desk.Discard(t.Context(), "ada", d.ID, "not ever"); err != nil {
		t.Fatal(err)
	}
	if _, err := displaysOf(o).Show(t.Context(), "signs", []governance.Shown{{Sign: "a", TollPoint: "LRT-N", Class: "taxi", From: start, Cents: 100}}); err != nil {
		t.Fatal(err)
	}
	db, err := database.Open(t.Context(), url, database.Options{Schema: database.Schema{Name: "tariffs", Table: "tariff_schema", Want: 3}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, table := range []string{"tariff_content", "tariff_revision", "tariff_dry_run", "tariff_approval", "tariff_discard", "tariff_statement", "tariff_key", "tariff_shown", "tariff_gap"} {
		column := map[string]string{"tariff_content": "digest", "tariff_key": "fingerprint", "tariff_shown": "sign", "tariff_gap": "sign"}[table]
		if column == "" {
			column = "draft"
		}
		for _, statement := range []string{"DELETE FROM " + table, "UPDATE " + table + " SET " + column + " = 'x'"} {
			err := db.Write(t.Context(), func(s database.Session) error {
				_, err := s.Exec(t.Context(), statement)
				return err
			})
			if err == nil || !strings.Contains(err.Error(), "only ever added to") {
				t.Errorf("%s: %v", statement, err)
			}
		}
	}
	var actions []string
	err = db.Direct(t.Context(), func(s database.Session) error {
		return database.Each(t.Context(), s, `SELECT action, actor FROM audit_event WHERE subject_kind = 'tariff' ORDER BY id`, nil, func(r database.Rows) error {
			var action, actor string
			err := r.Scan(&action, &actor)
			actions = append(actions, strings.TrimPrefix(action, "tariff.")+" by "+actor)
			return err
		})
	})
	// Events of one instant have no order of their own here.
	for _, want := range []string{"seeded by system", "drafted by ada", "tried by bo", "approved by bo", "published by ada", "withdrawn by cy", "discarded by ada"} {
		if err != nil || !strings.Contains(strings.Join(actions, "\n"), want) {
			t.Errorf("the audit trail lacks %q: %q, %v", want, actions, err)
		}
	}
	if len(actions) != 8 {
		t.Errorf("%q", actions)
	}
}

func TestHistoryIsOnlyAddedTo(t *testing.T) {
	testHistoryIsOnlyAddedTo(t, "sqlite:"+filepath.Join(t.TempDir(), "t.db"))
}
