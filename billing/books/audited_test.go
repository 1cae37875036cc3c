package books

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/internal/audit"
	"freeflow/internal/database"
)

func TestDecisionsAndRegistriesAreTold(t *testing.T) {
	testTold(t, "sqlite:"+filepath.Join(t.TempDir(), "books.db"))
}

func testTold(t *testing.T, url string) {
	s := openBooks(t, url)
	ctx := audit.WithActor(context.Background(), audit.Actor{Name: "chan", Role: "finance"})
	at := time.Date(2026, 11, 24, 1, 0, 0, 0, time.UTC)
	version, err := s.PutRegistry(ctx, []billing.Assignment{{Account: "A1", Plate: "AB1234", FromMicros: 1}}, at)
	if err != nil {
		t.Fatal(err)
	}
	p := billing.Pass{ID: strings.Repeat("a", 32), Facility: "CHT", TollPoint: "CHT-N", Vehicle: "AB1234", Registered: true,
		FirstMicros: at.UnixMicro(), LastMicros: at.UnixMicro(), Revision: 1, Status: billing.StatusReview, Class: "taxi", Account: "A1", Currency: "HKD", Reasons: "weak-plate"}
	if err := s.Post(ctx, billing.Batch{From: 0, To: 1, PostedAt: at, Passes: []billing.Pass{p}}); err != nil {
		t.Fatal(err)
	}
	d := billing.Decision{Status: billing.StatusCharged, Class: "taxi", Account: "A1", AmountCents: 2500, Rule: "by hand", By: "chan", Note: "seen on the picture", At: at}
	if _, err := s.Decide(ctx, p.ID, 1, d); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Decide(ctx, p.ID, 1, d); err == nil {
		t.Fatal("decided twice")
	}
	var got []string
	err = s.db.Direct(ctx, func(db database.Session) error {
		return database.Each(ctx, db, `SELECT e.action || ' ' || e.subject_kind || ' ' || e.subject || ' ' || e.actor || ' ' || e.role || ' ' || e.account || ' ' || e.detail || ' ' || coalesce(p.body, '')
			FROM audit_event e LEFT JOIN audit_private p ON p.event_id = e.id ORDER BY e.action`, nil, func(r database.Rows) error {
			var text string
			err := r.Scan(&text)
			got = append(got, text)
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`pass.decided pass ` + p.ID + ` chan finance A1 {"amount_cents":2500,"class":"taxi","revision":2,"rule":"by hand","status":"charged"} {"personal":null,"reason":"seen on the picture"}`,
		`registry.put registry 1 chan finance  {"added":1,"removed":0} `,
	}
	if version != 1 || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
