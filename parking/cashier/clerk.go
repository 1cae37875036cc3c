package cashier

import (
	"context"
	"log/slog"

	"freeflow/billing"
	"freeflow/internal/clock"
	"freeflow/parking"
)

// ClerkParts are what a Clerk is made of. Store and Keeping are usually one.
type ClerkParts struct {
	Ledger   parking.Ledger
	Keeping  parking.Keeping
	Charging billing.Charging
	Clock    clock.Clock
	Log      *slog.Logger
}

// Clerk posts what the cashier has ordered of the ledger.
type Clerk struct{ p ClerkParts }

// NewClerk returns a clerk.
func NewClerk(p ClerkParts) (*Clerk, error) { return &Clerk{p: p}, nil }

// Run posts until the context ends.
func (k *Clerk) Run(ctx context.Context) error { return errSoon }

// Once posts one batch and says how many orders are done.
func (k *Clerk) Once(ctx context.Context) (int, error) { return 0, errSoon }
