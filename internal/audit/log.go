package audit

import (
	"context"
	"fmt"
	"log/slog"

	"freeflow/internal/database"
)

// Options are what Open needs beside the address.
type Options struct {
	// Migrate brings the schema up to date first.
	Migrate bool
	// Logger is told when a transaction is tried again; nil tells nobody.
	Logger *slog.Logger
}

// Log is the trail of one database. Safe for concurrent use, also by several
// processes.
type Log struct{ db *database.DB }

// Open opens the trail at url, which is where the stores are that append to
// it: "sqlite:PATH" or "postgres://...". database.ErrAbsent is found in the
// error where there is none.
func Open(ctx context.Context, url string, opts Options) (*Log, error) {
	if opts.Migrate {
		if err := Migrate(ctx, url); err != nil {
			return nil, err
		}
	}
	db, err := database.Open(ctx, url, database.Options{Schema: schema(), Logger: opts.Logger, MaxWriters: 2})
	if err != nil {
		return nil, fmt.Errorf("opening the audit trail: %w", err)
	}
	return &Log{db}, nil
}

// Close ends all connections; it waits for calls under way.
func (l *Log) Close() error { return l.db.Close() }

// Append adds an event in a transaction of its own, for what happens in no
// store: a start, an export.
func (l *Log) Append(ctx context.Context, e Event) error {
	return l.db.Write(ctx, func(db database.Session) error { return Append(ctx, db, e) })
}

// Views is Views, in a snapshot of its own.
func (l *Log) Views(ctx context.Context, account, before string, limit int) (list []Seen, err error) {
	err = l.db.Direct(ctx, func(db database.Session) error {
		list, err = Views(ctx, db, account, before, limit)
		return err
	})
	return list, err
}
