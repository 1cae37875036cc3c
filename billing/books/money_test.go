package books

import (
	"context"
	"testing"

	"freeflow/billing"
	"freeflow/billing/booktest"
)

// moneys are books as the suite of collecting sees them.
type moneys struct{ *Store }

func (m moneys) keep() Keep[billing.Money] {
	return Keep[billing.Money]{Store: m.Store, As: func(tx *Tx) billing.Money { return tx }}
}

func (m moneys) Do(ctx context.Context, fn func(billing.Money) error) error {
	return m.keep().Do(ctx, fn)
}

func (m moneys) View(ctx context.Context, fn func(billing.Money) error) error {
	return m.keep().View(ctx, fn)
}

func TestSQLiteCollecting(t *testing.T) {
	booktest.RunCollecting(t, func(t *testing.T) booktest.Moneys { return moneys{openTest(t, sqliteURL(t), testOptions())} })
}
