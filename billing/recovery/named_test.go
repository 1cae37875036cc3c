package recovery_test

import (
	"context"
	"slices"
	"testing"

	"freeflow/billing"
	"freeflow/billing/books"
)

// TestOldNoticeNamesOnlyItsOwn: of a notice of two tolls one turns out to be
// another's: another vehicle's, or another account's. Who holds the notice neither
// sees it nor pays it.
func TestOldNoticeNamesOnlyItsOwn(t *testing.T) {
	account := func(id, vehicle string) func(*billing.Pass) {
		return func(p *billing.Pass) {
			p.Status, p.Account, p.Vehicle, p.Registered = billing.StatusCharged, id, vehicle, true
		}
	}
	nobodys := func(vehicle string) func(*billing.Pass) {
		return func(p *billing.Pass) { p.Vehicle = vehicle }
	}
	for name, tc := range map[string]struct {
		was, becomes func(*billing.Pass)
		moved        bool
	}{
		"nothing changes":               {nobodys("plate:XY1"), nobodys("plate:XY1"), false},
		"another vehicle":               {nobodys("plate:XY1"), nobodys("plate:ZZ9"), true},
		"another's vehicle":             {nobodys("plate:XY1"), account("A1", "ZZ9"), true},
		"the vehicle is an account's":   {nobodys("plate:XY1"), account("A1", "XY1"), false},
		"an account's, nothing changes": {account("A1", "XY1"), account("A1", "XY1"), false},
		"another account":               {account("A1", "XY1"), account("A2", "XY1"), true},
		"another account and vehicle":   {account("A1", "XY1"), account("A2", "ZZ9"), true},
	} {
		t.Run(name, func(t *testing.T) {
			r := sqliteRoad(t)
			stays, id := r.pass(1, at(5, 21, 10), tc.was), r.pass(2, at(5, 21, 11), tc.was)
			r.run(at(5, 24, 20))
			r.do(func(ctx context.Context, tx *books.Tx) error {
				c, err := tx.Case(ctx, id)
				if err != nil {
					return err
				}
				number := c.Number
				if n, err := tx.NoticeNames(ctx, "XY1", number); err != nil || len(n) != 2 {
					t.Fatalf("at first it names %v, %v", n, err)
				}
				return nil
			})
			number := r.stands(id).Number
			r.pass(2, at(5, 21, 11), func(p *billing.Pass) { tc.becomes(p); p.Revision = 2; p.Class = "taxi" })
			want := []string{stays, id}
			if tc.moved {
				want = want[:1]
			}
			r.do(func(ctx context.Context, tx *books.Tx) error {
				names, err := tx.NoticeNames(ctx, "XY1", number)
				if err != nil || !slices.Equal(names, want) {
					t.Errorf("it names %v, %v, want %v", names, err, want)
				}
				open, named, err := tx.PayReference(ctx, "XY1", number)
				if err != nil || len(open) != len(want) || named != int64(len(want)) {
					t.Errorf("of %d can be paid %+v, %v", named, open, err)
				}
				return nil
			})
		})
	}
}
