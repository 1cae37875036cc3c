package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"freeflow/billing"
)

// Vehicle is a vehicle to be registered to an account.
type Vehicle struct {
	// ID names the holding, made by who registers.
	ID      string
	Account string
	// Plate is the compared form (contract section 3).
	Plate string
	// Class is the registered class; the caller knows which there are.
	Class  string
	Exempt bool
	// From is inclusive; To exclusive, the zero value meaning without end.
	From, To time.Time
}

// Register makes a vehicle an account's over an interval. Where it is another
// account's then, that is refused: see Transfer. Doing it again with the same
// content changes nothing.
func Register(ctx context.Context, tx Tx, v Vehicle, d Deed) (Holding, error) {
	h, err := hold(ctx, tx, v, d, false)
	if err != nil {
		return Holding{}, fmt.Errorf("registering a vehicle: %w", err)
	}
	return h, nil
}

// Transfer makes a vehicle an account's over an interval, whoever had it then:
// what others hold before and after stays theirs. It is how a sold vehicle
// changes hands, how a driver pays for a shift (with both ends), and how a
// wrong registration is corrected afterwards.
func Transfer(ctx context.Context, tx Tx, v Vehicle, d Deed) (Holding, error) {
	h, err := hold(ctx, tx, v, d, true)
	if err != nil {
		return Holding{}, fmt.Errorf("transferring a vehicle: %w", err)
	}
	return h, nil
}

func hold(ctx context.Context, tx Tx, v Vehicle, d Deed, over bool) (Holding, error) {
	h := Holding{
		ID: v.ID, Account: v.Account, Plate: v.Plate, Class: v.Class, Exempt: v.Exempt, From: v.From, To: v.To,
		RecordedAt: d.Now, By: d.By, Reason: d.Reason,
	}
	if v.Plate == "" || len(v.Plate) > maxID {
		return Holding{}, invalid("the plate must be 1 to %d bytes", maxID)
	}
	if err := errors.Join(h.check(), d.check(), d.backdated(v.From)); err != nil {
		return Holding{}, err
	}
	err := amend(ctx, tx, []string{"account:" + v.Account, "plate:" + v.Plate}, d.Now, func() error {
		if known, err := same(ctx, tx, &h); known || err != nil {
			return err
		}
		a, err := tx.Account(ctx, v.Account)
		if err != nil {
			return err
		}
		if err := open(a, h.From, h.To); err != nil {
			return err
		}
		standing, err := tx.HoldingsOf(ctx, "plate:"+v.Plate, false)
		if err != nil {
			return err
		}
		for _, was := range standing {
			if was.Tag != "" || !was.Touches(h) {
				continue
			}
			if !over {
				return conflict("the vehicle is registered from %s already; transfer it, or end that first", was.From.Format(time.RFC3339))
			}
			if err := carve(ctx, tx, was, h.From, h.To, d); err != nil {
				return err
			}
		}
		return tx.AddHolding(ctx, h, d)
	})
	return h, err
}

// End ends a vehicle's holding at an instant, which may be past with a reason.
func End(ctx context.Context, tx Tx, id string, at time.Time, d Deed) error {
	if err := errors.Join(d.check(), d.backdated(at)); err != nil {
		return fmt.Errorf("ending holding %s: %w", id, err)
	}
	h, err := tx.Holding(ctx, id)
	if err == nil && h.Plate == "" {
		err = invalid("it is a class tag's; close the tag")
	}
	if err == nil {
		err = amend(ctx, tx, []string{"account:" + h.Account, "plate:" + h.Plate}, d.Now, func() error {
			// Under the lock: it may have been replaced meanwhile.
			if h, err = tx.Holding(ctx, id); err != nil {
				return err
			}
			switch {
			case h.To.Equal(at) && !h.To.IsZero():
				return nil
			case !h.ReplacedAt.IsZero():
				return conflict("it was replaced at %s", h.ReplacedAt.Format(time.RFC3339))
			case at.Before(h.From) || !h.To.IsZero() && at.After(h.To):
				return invalid("it holds from %s, and that is not in it", h.From.Format(time.RFC3339))
			}
			return carve(ctx, tx, h, at, h.To, d)
		})
	}
	if err != nil {
		return fmt.Errorf("ending holding %s: %w", id, err)
	}
	return nil
}

// check refuses what can be no holding.
func (h Holding) check() error {
	switch {
	case h.ID == "" || len(h.ID) > maxID:
		return invalid("the holding's id must be 1 to %d bytes", maxID)
	case h.From.IsZero():
		return invalid("it is not said from when")
	case !h.To.IsZero() && !h.From.Before(h.To):
		return invalid("it would end at %s, no later than it begins", h.To.Format(time.RFC3339))
	}
	return nil
}

// open refuses holdings outside an account's life.
func open(a Account, from, to time.Time) error {
	switch {
	case from.Before(a.OpenedAt):
		return invalid("account %s was opened at %s, after that", a.ID, a.OpenedAt.Format(time.RFC3339))
	case a.State != Open && (to.IsZero() || to.After(a.ClosesAt)):
		return conflict("account %s closes at %s", a.ID, a.ClosesAt.Format(time.RFC3339))
	}
	return nil
}

// same reports whether the holding was added before with the same content; h
// then becomes what stands.
func same(ctx context.Context, tx Tx, h *Holding) (bool, error) {
	was, err := tx.Holding(ctx, h.ID)
	if errors.Is(err, billing.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if was.Account != h.Account || was.Plate != h.Plate || was.Tag != h.Tag || was.Class != h.Class || was.Exempt != h.Exempt ||
		!was.From.Equal(h.From) || !was.To.Equal(h.To) {
		return false, conflict("the id %s is another holding's", h.ID)
	}
	*h = was
	return true, nil
}

// carve takes [from, to) out of a holding: what is left before and after stands
// in its place.
func carve(ctx context.Context, tx Tx, h Holding, from, to time.Time, d Deed) error {
	if err := tx.ReplaceHolding(ctx, h.ID, d); err != nil {
		return err
	}
	rest := func(suffix string, from, to time.Time) error {
		n := h
		n.ID, n.From, n.To = successor(h.ID, suffix, d.Now), from, to
		n.RecordedAt, n.By, n.Reason = d.Now, d.By, d.Reason
		return tx.AddHolding(ctx, n, d)
	}
	if h.From.Before(from) {
		if err := rest("a", h.From, from); err != nil {
			return err
		}
	}
	if !to.IsZero() && (h.To.IsZero() || to.Before(h.To)) {
		return rest("b", to, h.To)
	}
	return nil
}

// successor names what takes a holding's place: its root, when, and which part.
// A holding is replaced once, so that no two meet.
func successor(id, suffix string, now time.Time) string {
	root, parts, _ := strings.Cut(id, "~")
	if len(parts) > 40 {
		parts = parts[len(parts)-40:]
	}
	return fmt.Sprintf("%s~%s%s%x", root, parts, suffix, now.UnixMicro())
}

// cut ends a standing holding at an instant.
func cut(ctx context.Context, tx Tx, h Holding, at time.Time, d Deed) error {
	return amend(ctx, tx, marksOf(h), d.Now, func() error { return carve(ctx, tx, h, at, h.To, d) })
}

func marksOf(h Holding) []string {
	var marks []string
	if h.Account != "" {
		marks = append(marks, "account:"+h.Account)
	}
	if h.Plate != "" {
		marks = append(marks, "plate:"+h.Plate)
	}
	if h.Tag != "" {
		marks = append(marks, "tag:"+h.Tag)
	}
	return marks
}

// amend makes a change of holdings of the marks and brings the registry in line
// with it. What would overlap afterwards is refused.
func amend(ctx context.Context, tx Tx, marks []string, now time.Time, edit func() error) error {
	slices.Sort(marks)
	marks = slices.Compact(marks)
	if err := tx.LockMarks(ctx, marks); err != nil {
		return err
	}
	before, err := rows(ctx, tx, marks)
	if err != nil {
		return err
	}
	if err := edit(); err != nil {
		return err
	}
	after, err := rows(ctx, tx, marks)
	if err != nil {
		return err
	}
	remove, add := difference(before, after), difference(after, before)
	if len(remove) == 0 && len(add) == 0 {
		return nil
	}
	return tx.AmendRegistry(ctx, remove, add, now)
}

// rows returns what the registry shall say of the marks: of a plate and all
// tags bound to it, and of class tags. It refuses holdings that overlap.
func rows(ctx context.Context, tx Tx, marks []string) ([]billing.Assignment, error) {
	var list []billing.Assignment
	for _, mark := range marks {
		if strings.HasPrefix(mark, "account:") {
			continue
		}
		held, err := tx.HoldingsOf(ctx, mark, false)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(mark, "tag:") {
			if err := disjoint(held); err != nil {
				return nil, err
			}
		}
		list = append(list, Assignments(held)...)
		var vehicles []Holding
		for _, h := range held {
			if h.Tag == "" {
				vehicles = append(vehicles, h)
			}
		}
		if err := disjoint(vehicles); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// disjoint refuses holdings of one mark that have an instant in common.
func disjoint(held []Holding) error {
	sorted := slices.SortedFunc(slices.Values(held), func(a, b Holding) int { return a.From.Compare(b.From) })
	for i := 1; i < len(sorted); i++ {
		if sorted[i-1].Touches(sorted[i]) {
			return conflict("it is held from %s already, and would be twice from %s",
				sorted[i-1].From.Format(time.RFC3339), sorted[i].From.Format(time.RFC3339))
		}
	}
	return nil
}

// Assignments returns what the registry says by the holdings: each vehicle
// alone, each binding of a tag for as long as its plate is a vehicle of
// somebody's, and each class tag. Bindings count only with their vehicle's
// holdings among those given. The order is that of the rows' fields.
func Assignments(held []Holding) []billing.Assignment {
	var list []billing.Assignment
	for _, v := range held {
		switch {
		case v.Plate == "":
			list = append(list, assignment(v, v.Tag, v.From, v.To))
		case v.Tag == "":
			list = append(list, assignment(v, "", v.From, v.To))
			for _, b := range held {
				if b.Tag == "" || b.Plate != v.Plate || !b.Touches(v) {
					continue
				}
				from, to := v.From, v.To
				if b.From.After(from) {
					from = b.From
				}
				if to.IsZero() || !b.To.IsZero() && b.To.Before(to) {
					to = b.To
				}
				list = append(list, assignment(v, b.Tag, from, to))
			}
		}
	}
	slices.SortFunc(list, compareRows)
	return list
}

func assignment(v Holding, tag string, from, to time.Time) billing.Assignment {
	a := billing.Assignment{Account: v.Account, Plate: v.Plate, Class: v.Class, Tag: tag, Exempt: v.Exempt, FromMicros: from.UnixMicro()}
	if !to.IsZero() {
		a.ToMicros = to.UnixMicro()
	}
	return a
}

func compareRows(a, b billing.Assignment) int {
	return cmp.Or(cmp.Compare(a.Plate, b.Plate), cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.FromMicros, b.FromMicros),
		cmp.Compare(a.ToMicros, b.ToMicros), cmp.Compare(a.Account, b.Account), cmp.Compare(a.Class, b.Class))
}

// difference returns the rows of a that are not in b.
func difference(a, b []billing.Assignment) []billing.Assignment {
	var list []billing.Assignment
	for _, row := range a {
		if !slices.Contains(b, row) && !slices.Contains(list, row) {
			list = append(list, row)
		}
	}
	return list
}
