package app

import (
	"context"
	"fmt"
	"log/slog"

	"freeflow/parking/cashier"
	parkstore "freeflow/parking/store"
	"freeflow/tolling/registry"
	"freeflow/tolling/tariff"
)

// till is a cashier without a running system, for commands that look back.
type till struct {
	cashier  *cashier.Cashier
	calendar calendar
}

// openTill opens the store that the flags name and a cashier over it. The
// second result closes it.
func openTill(ctx context.Context, env Env, f partsFlags, tariffFolder string) (*till, func(), error) {
	network, err := tariff.Open(f.network)
	if err != nil {
		return nil, nil, err
	}
	log := slog.New(slog.NewTextHandler(env.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	store, err := parkstore.Open(ctx, f.booksURL(), parkstore.Options{Clock: env.Clock, Logger: log})
	if err != nil {
		return nil, nil, fmt.Errorf("opening the car parks: %w", err)
	}
	closeStore := func() {
		if err := store.Close(); err != nil {
			log.Error("a part did not close", "part", "the car parks", "err", err)
		}
	}
	tariffs, err := loadParkingTariffs(tariffFolder, network)
	if err != nil {
		closeStore()
		return nil, nil, err
	}
	sites := newSiteKeeper(store, network, env.Clock, log, tariffs)
	if err := sites.load(ctx); err != nil {
		closeStore()
		return nil, nil, err
	}
	c, err := cashier.New(cashier.Parts{
		Keeping: store, Sites: sites, Payers: payers{registry.NewCurrent()}, Clock: env.Clock, Log: log,
	})
	if err != nil {
		closeStore()
		return nil, nil, err
	}
	return &till{c, calendar{network}}, closeStore, nil
}
