//go:build services

package store

import (
	"context"
	"net/url"
	"testing"

	"freeflow/internal/database/databasetest"
	"freeflow/parking"
	"freeflow/parking/storetest"
)

// TestPostgresLostCommitAnswer: the server commits, the answer never comes. The
// same request finds its effect done and its answer kept.
func TestPostgresLostCommitAnswer(t *testing.T) {
	direct := databasetest.URL(t)
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	thief := databasetest.NewCommitThief(t, u.Host)
	u.Host = thief.Addr()
	if err := Migrate(context.Background(), direct); err != nil {
		t.Fatal(err)
	}
	opts := testOptions()
	opts.Migrate = false
	s := openTest(t, u.String(), opts)
	ctx := context.Background()
	c := claimOf("a1", "B1")
	d := parking.Departure{Allocation: "a1", To: parking.Gone, Once: &parking.Once{Scope: "s", Key: "d"}}
	block := func(tx parking.Tx) (parking.Answer, error) {
		return parking.Answer{Status: 201}, tx.PutAllocation(ctx, parking.Allocation{ID: "a2", CarPark: "P", Bay: "B2", State: parking.Blocked, Revision: 1})
	}
	for _, request := range []struct {
		name string
		send func() (parking.Answer, error)
	}{
		{"claim", func() (parking.Answer, error) {
			o, err := s.Claim(ctx, storetest.Now, []parking.Claim{c})
			if err != nil {
				return parking.Answer{}, err
			}
			return o[0].Answer, o[0].Err
		}},
		{"departure", func() (parking.Answer, error) {
			o, err := s.Depart(ctx, storetest.Now, []parking.Departure{d})
			if err != nil {
				return parking.Answer{}, err
			}
			return o[0].Answer, o[0].Err
		}},
		{"do", func() (parking.Answer, error) { return s.Do(ctx, &parking.Once{Scope: "s", Key: "do"}, block) }},
	} {
		thief.Arm()
		if _, err := request.send(); err == nil || thief.Armed() {
			t.Fatalf("%s with a lost answer: %v", request.name, err)
		}
		if a, err := request.send(); err != nil || !a.Replayed || request.name == "do" && a.Status != 201 {
			t.Errorf("%s again: %+v, %v", request.name, a, err)
		}
	}
	o, err := s.Occupancy(ctx, "P", storetest.Now)
	if err != nil || len(o.Active) != 1 || o.Active[0].ID != "a2" {
		t.Errorf("%+v, %v", o.Active, err)
	}
	if broken := violated(t, s); len(broken) != 0 {
		t.Errorf("broken: %v", broken)
	}
}
