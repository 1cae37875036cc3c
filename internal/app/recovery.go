package app

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"freeflow/billing/books"
	"freeflow/billing/notice"
	"freeflow/billing/notice/spool"
	"freeflow/billing/recovery"
)

// ladderEvery is how often the ladder of unpaid tolls is looked at; its rungs
// are days.
const ladderEvery = 10 * time.Minute

// generalHolidays are the network's, as business days need them.
type generalHolidays struct{ network roads }

// Holiday refuses a date that no published calendar reaches: a deadline is
// never guessed.
func (g generalHolidays) Holiday(date time.Time) (bool, error) {
	day := date.Format(time.DateOnly)
	holiday, known := g.network.Holiday(day)
	if !known {
		return false, fmt.Errorf("the general holidays of %d are not known; add them to the network's files", date.Year())
	}
	return holiday, nil
}

// ladder is the ladder of unpaid tolls.
func (s *system) ladder() *recovery.Ladder {
	return &recovery.Ladder{
		Keeping:  books.Keep[recovery.Tx]{Store: s.parts.books, As: func(tx *books.Tx) recovery.Tx { return tx }},
		Calendar: recovery.Calendar{Holidays: generalHolidays{s.parts.network}}, Rules: recovery.HongKong(), Zone: s.parts.network.Zone(),
		Clock: s.env.Clock, Log: s.log,
	}
}

// startRecovery runs the ladder, the notices' courier, and the end of closing
// accounts, until ctx ends.
func (s *system) startRecovery(ctx context.Context) error {
	dir := s.flags.notices
	if dir == "" {
		dir = filepath.Join(s.flags.parts.data, "notices")
	}
	sender, err := spool.New(dir)
	if err != nil {
		return err
	}
	courier := &notice.Courier{
		Keeping: books.Keep[notice.Tx]{Store: s.parts.books, As: func(tx *books.Tx) notice.Tx { return tx }},
		Sender:  sender, Clock: s.env.Clock, Log: s.log,
	}
	s.group.Go(func() error { return courier.Run(ctx) })
	ladder := s.ladder()
	s.group.Go(func() error {
		tick := time.NewTicker(ladderEvery)
		defer tick.Stop()
		for {
			if _, err := ladder.Run(ctx); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "unpaid tolls were not looked at", "err", err)
			}
			if s.payments != nil {
				if _, err := s.payments.service.SettleClosing(ctx, s.parts.network.Currency()); err != nil && ctx.Err() == nil {
					s.log.ErrorContext(ctx, "closing accounts were not looked at", "err", err)
				}
			}
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	})
	return nil
}
