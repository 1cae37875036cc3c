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
	"fmt"
	"log/slog"
	"strings"
	"sync"
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

	mu sync.Mutex
	// waiting are re-rates that failed, by id.
	waiting map[int64]putOff
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
		WasCents: p.AmountCents, NowCents: p.AmountCents, State: billing.ReratePending, Stood: stood(p),
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

// stood is a digest of all of a pass that its toll and its payer follow from.
// When it ended, its marks, the evidence and its revision may become more
// without changing either.
func stood(p *billing.Pass) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %t %d %q %q %q %d %q %q %q %q %t", p.Facility, p.TollPoint, p.Vehicle, p.Registered, p.FirstMicros, p.Status, p.Class, p.Account,
		p.AmountCents, p.Currency, p.TariffVersion, p.Rule, p.MergedInto, p.Decision != nil)
	return hex.EncodeToString(h.Sum(nil))
}

// asPlanned reports whether a pass still is the one that the dry run saw.
func asPlanned(p *billing.Pass, row *billing.RerateRow) bool {
	if row.Stood == "" { // worked out before this was kept
		return p.Revision == row.Revision
	}
	return stood(p) == row.Stood
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
