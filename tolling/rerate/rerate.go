// Package rerate owns rating many passes anew after a tariff mistake: a dry run
// with totals, its order by a second person, and its execution.
//
// Invariants: nothing is posted before another person than the one who worked
// it out has ordered it, on passes that still stand as they did; what is posted
// is what the dry run said, as a reversal and a new toll a pass, together with
// the mark that it was done; passes that a person decided on, or is to decide
// on, are left alone; running it again, by whatever process, changes nothing.
//
// Not owned here: which tolls are in force (tolling/tariff, tolling/governance),
// what becomes of money already paid (billing/collect), notices.
package rerate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/internal/clock"
	"freeflow/tolling/tariff"
)

// Network is what rates passes: the one in force, or a chosen one. Safe for
// concurrent use.
type Network interface {
	// Rate returns the toll at a toll point, or an error where there is no
	// tariff.
	Rate(point, class string, at time.Time) (tariff.Toll, error)
	Currency() string
}

// Paid says which passes have been paid wholly; nil knows of none.
type Paid func(ctx context.Context, passIDs []string) (map[string]bool, error)

// Bounds of the work.
const (
	// mostPasses bounds the passes of one period.
	mostPasses = 500_000
	// page is how many passes are read at a time.
	page = 5000
	// batch is how many passes one transaction posts, during which nobody else
	// posts at the facility.
	batch = 100
	// maxReason bounds the reason, in bytes.
	maxReason = 1000
	// longest is the longest period: what lies further apart is two mistakes.
	longest = 400 * 24 * time.Hour
)

// Rerater works out and executes bulk re-rates. Safe for concurrent use.
type Rerater struct {
	Network Network
	Books   billing.Rerating
	Paid    Paid
	Clock   clock.Clock
	Logger  *slog.Logger
}

// Request says what is to be rated anew, by whom and why.
type Request struct {
	Facility string
	// From and To bound the pass times, half-open.
	From, To   time.Time
	Reason, By string
}

// Try works out a dry run and stores it. billing.ErrInvalid for a request that
// makes no sense.
func (r *Rerater) Try(ctx context.Context, q Request) (billing.Rerate, error) {
	switch {
	case q.Facility == "":
		return billing.Rerate{}, fmt.Errorf("%w: the facility is missing", billing.ErrInvalid)
	case !q.From.Before(q.To) || q.To.Sub(q.From) > longest:
		return billing.Rerate{}, fmt.Errorf("%w: the period must end after it begins, and be at most %d days long", billing.ErrInvalid, int(longest.Hours()/24))
	case strings.TrimSpace(q.Reason) == "" || len(q.Reason) > maxReason:
		return billing.Rerate{}, fmt.Errorf("%w: a reason of at most %d bytes is needed", billing.ErrInvalid, maxReason)
	case q.By == "":
		return billing.Rerate{}, fmt.Errorf("%w: it is not said who asks", billing.ErrInvalid)
	}
	v := billing.Rerate{
		Facility: q.Facility, FromMicros: q.From.UnixMicro(), ToMicros: q.To.UnixMicro(),
		Reason: q.Reason, By: q.By, At: r.Clock.Now(), Currency: r.Network.Currency(),
	}
	rows, err := r.rows(ctx, &v)
	if err != nil {
		return billing.Rerate{}, fmt.Errorf("working out a re-rate: %w", err)
	}
	if err := r.markPaid(ctx, rows); err != nil {
		return billing.Rerate{}, fmt.Errorf("working out a re-rate: %w", err)
	}
	vehicles, accounts := map[string]bool{}, map[string]bool{}
	for i := range rows {
		row := &rows[i]
		if row.State != billing.ReratePending {
			v.Left++
			continue
		}
		v.Passes++
		v.WasCents += row.WasCents
		v.NowCents += row.NowCents
		vehicles[row.Vehicle] = true
		if strings.HasPrefix(row.Customer, billing.MotoristPrefix) {
			accounts[row.Customer] = true
		}
		if row.Paid {
			v.PaidPasses++
		}
	}
	v.Vehicles, v.Accounts = int64(len(vehicles)), int64(len(accounts))
	return r.Books.AddRerate(ctx, v, rows)
}

// rows rates the passes of the facility and period anew, and sets what was
// looked at and the digest.
func (r *Rerater) rows(ctx context.Context, v *billing.Rerate) ([]billing.RerateRow, error) {
	var rows []billing.RerateRow
	digest := sha256.New()
	fmt.Fprintf(digest, "%q %d %d\n", v.Facility, v.FromMicros, v.ToMicros)
	v.Looked = 0
	f := billing.Filter{FromMicros: v.FromMicros, ToMicros: v.ToMicros, Limit: page}
	for {
		passes, err := r.Books.List(ctx, f)
		if err != nil {
			return nil, err
		}
		for i := range passes {
			p := &passes[i]
			if p.Facility != v.Facility {
				continue
			}
			if v.Looked++; v.Looked > mostPasses {
				return nil, fmt.Errorf("%w: there are more than %d passes in the period; take a shorter one", billing.ErrInvalid, mostPasses)
			}
			row, differs := r.rate(p)
			if !differs {
				continue
			}
			rows = append(rows, row)
			fmt.Fprintf(digest, "%s %d %d %d %q %q %s\n", row.PassID, row.Revision, row.WasCents, row.NowCents, row.Version, row.Rule, row.State)
		}
		if len(passes) < page {
			break
		}
		last := passes[len(passes)-1]
		f.After = billing.Cursor{FirstMicros: last.FirstMicros, TollPoint: last.TollPoint, Vehicle: last.Vehicle, ID: last.ID}
	}
	v.Digest = hex.EncodeToString(digest.Sum(nil))
	return rows, nil
}

// rate says what a pass would owe; differs is false where nothing is to be done
// or said.
func (r *Rerater) rate(p *billing.Pass) (row billing.RerateRow, differs bool) {
	row = billing.RerateRow{
		PassID: p.ID, Revision: p.Revision, Vehicle: p.Vehicle, FirstMicros: p.FirstMicros,
		WasCents: p.AmountCents, NowCents: p.AmountCents, State: billing.ReratePending,
	}
	row.Customer = customer(p)
	switch {
	case p.Status == billing.StatusReview:
		row.State = billing.RerateReview
		return row, true
	case p.Status == billing.StatusExempt && p.Decision == nil:
		return row, false
	}
	toll, err := r.Network.Rate(p.TollPoint, p.Class, time.UnixMicro(p.FirstMicros))
	switch {
	case err != nil:
		row.State = billing.RerateUnrated
		return row, true
	case toll.Cents == p.AmountCents:
		return row, false
	case p.Decision != nil:
		row.NowCents, row.Version, row.Rule, row.State = toll.Cents, toll.Version, toll.Rule, billing.RerateDecided
		return row, p.Status != billing.StatusExempt
	}
	row.NowCents, row.Version, row.Rule = toll.Cents, toll.Version, toll.Rule
	return row, true
}

// customer names who owes the pass.
func customer(p *billing.Pass) string {
	if p.Status == billing.StatusCharged {
		return billing.MotoristPrefix + p.Account
	}
	return "vehicle:" + p.Vehicle
}

// markPaid notes which of the passes have been paid.
func (r *Rerater) markPaid(ctx context.Context, rows []billing.RerateRow) error {
	if r.Paid == nil || len(rows) == 0 {
		return nil
	}
	ids := make([]string, len(rows))
	for i := range rows {
		ids[i] = rows[i].PassID
	}
	paid, err := r.Paid(ctx, ids)
	if err != nil {
		return fmt.Errorf("asking which passes are paid: %w", err)
	}
	for i := range rows {
		rows[i].Paid = paid[rows[i].PassID]
	}
	return nil
}

// Order has a dry run executed. billing.ErrStale if the digest is another, or
// the passes or the tolls have changed since; billing.ErrConflict if the person
// is the one who worked it out, or it was ordered by another;
// billing.ErrNotFound.
func (r *Rerater) Order(ctx context.Context, id int64, digest, by string) (billing.Rerate, error) {
	v, err := r.Books.Rerate(ctx, id)
	if err != nil {
		return billing.Rerate{}, err
	}
	if v.State == billing.RerateDry && v.Digest == digest {
		now := v
		if _, err := r.rows(ctx, &now); err != nil {
			return billing.Rerate{}, fmt.Errorf("comparing re-rate %d with the passes: %w", id, err)
		}
		if now.Digest != v.Digest {
			return billing.Rerate{}, fmt.Errorf("%w: the passes or the tolls have changed since the dry run; make another", billing.ErrStale)
		}
	}
	return r.Books.OrderRerate(ctx, id, digest, by, r.Clock.Now())
}

// Once executes what is ordered, to its end.
func (r *Rerater) Once(ctx context.Context) error {
	running, err := r.Books.Rerates(ctx, billing.RerateRunning, 0, page)
	if err != nil {
		return err
	}
	for _, v := range running {
		if err := r.execute(ctx, v); err != nil {
			return fmt.Errorf("executing re-rate %d: %w", v.ID, err)
		}
	}
	return nil
}

// Watch executes what is ordered again and again until ctx ends. What fails is
// logged and tried again.
func (r *Rerater) Watch(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := r.Once(ctx); err != nil && ctx.Err() == nil {
				r.Logger.ErrorContext(ctx, "passes not rated anew; trying again", "err", err)
			}
		}
	}
}

// maxStale bounds how often one batch is tried again.
const maxStale = 16

// execute posts batch by batch until none is pending.
func (r *Rerater) execute(ctx context.Context, v billing.Rerate) error {
	stale := 0
	for {
		left := 0
		err := r.Books.Restate(ctx, billing.Restatement{
			Facility: v.Facility, PostedAt: r.Clock.Now(), Rerate: v.ID, OnlyMoney: true, DoneMicros: -1,
			Decide: func(ctx context.Context, view billing.View) (billing.Restated, error) {
				rows, err := view.PendingRerate(ctx, batch)
				left = len(rows)
				if err != nil || left == 0 {
					return billing.Restated{}, err
				}
				return restate(ctx, view, rows)
			},
		})
		switch {
		case errors.Is(err, billing.ErrStale) && stale < maxStale:
			stale++
			continue
		case errors.Is(err, billing.ErrNotFound) && v.Passes == 0:
			left = 0 // no pass was ever posted at the facility
		case err != nil:
			return err
		}
		if left > 0 {
			continue
		}
		done, err := r.Books.FinishRerate(ctx, v.ID, r.Clock.Now())
		if err != nil {
			return err
		}
		r.Logger.InfoContext(ctx, "passes rated anew", "rerate", done.ID, "facility", done.Facility, "done", done.Done, "changed", done.Changed)
		return nil
	}
}

// restate gives the passes of pending rows their new amounts; those that no
// longer stand as they did are left.
func restate(ctx context.Context, view billing.View, rows []billing.RerateRow) (billing.Restated, error) {
	ids := make([]string, len(rows))
	for i := range rows {
		ids[i] = rows[i].PassID
	}
	passes, err := view.ByID(ctx, ids)
	if err != nil {
		return billing.Restated{}, err
	}
	byID := make(map[string]billing.Pass, len(passes))
	for _, p := range passes {
		byID[p.ID] = p
	}
	var out billing.Restated
	for i := range rows {
		row := &rows[i]
		p := byID[row.PassID]
		// One that only became longer since owes what it owed.
		if p.MergedInto != "" || p.Decision != nil || p.AmountCents != row.WasCents || p.FirstMicros != row.FirstMicros ||
			p.Vehicle != row.Vehicle || customer(&p) != row.Customer {
			out.Changed = append(out.Changed, row.PassID)
			continue
		}
		p.Revision++
		p.AmountCents, p.TariffVersion, p.Rule = row.NowCents, row.Version, row.Rule
		out.Passes = append(out.Passes, p)
	}
	return out, nil
}
