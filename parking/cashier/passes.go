package cashier

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"freeflow/parking"
	"freeflow/parking/reserve"
	"freeflow/parking/stay"
	"freeflow/parking/tariff"
)

// Bounds of passes.
const (
	// longestPass is the longest time that one pass can be sold for.
	longestPass = 5 * 366 * 24 * time.Hour
	// passAhead is how long before it begins a pass can be sold.
	passAhead = 366 * 24 * time.Hour
)

// PassOutcome is a pass of the register, and whether it was there already.
type PassOutcome struct {
	Pass  parking.Pass
	Known bool
}

// PutPass sells a pass: the vehicle's stays at the car park cost nothing within
// the pass's time and its permit's hours. PutAt is set here. The pass is never
// changed afterwards; the same again changes nothing. What the vehicle's stays
// of now and earlier today cost follows in the same transaction. Errors:
// parking.ErrInvalid (no such permit or class in the tariff; a time that began
// before today in the site's zone, is too long or too far ahead),
// parking.ErrNotFound (the car park), parking.ErrConflict (the id is another
// pass's; the vehicle holds one; as many as the tariff allows are sold).
func (c *Cashier) PutPass(ctx context.Context, p parking.Pass, keep Keep[PassOutcome]) (Result[PassOutcome], error) {
	fail := func(err error) (Result[PassOutcome], error) {
		return Result[PassOutcome]{}, fmt.Errorf("putting pass %.64q: %w", p.ID, err)
	}
	now := c.p.Clock.Now().UTC().Truncate(time.Microsecond)
	p.From, p.To, p.PutAt = p.From.UTC().Truncate(time.Microsecond), p.To.UTC().Truncate(time.Microsecond), now
	rule, err := c.checkPass(&p)
	if err != nil {
		return fail(err)
	}
	r, err := do(ctx, c, keep, func(tx parking.Tx) (PassOutcome, error) {
		if rule.Most > 0 {
			if err := tx.Lock(ctx, "permit/"+p.CarPark+"/"+p.Permit); err != nil {
				return PassOutcome{}, err
			}
		}
		known, err := tx.AddPass(ctx, p)
		if err != nil {
			return PassOutcome{}, err
		}
		if known {
			old, err := tx.Pass(ctx, p.ID)
			return PassOutcome{old, true}, err
		}
		if err := c.checkNewPass(ctx, tx, &p, rule); err != nil {
			return PassOutcome{}, err
		}
		return PassOutcome{p, false}, c.settleHolder(ctx, tx, &p)
	})
	if err != nil {
		return fail(err)
	}
	return r, nil
}

// checkPass refuses what no tariff of the car park sells.
func (c *Cashier) checkPass(p *parking.Pass) (*tariff.Monthly, error) {
	fault := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), parking.ErrInvalid)
	}
	mark, tagged := strings.CutPrefix(p.Vehicle, "tag:")
	switch {
	case p.ID == "" || !text(p.ID, maxID):
		return nil, fault("a pass's id has 1 to %d bytes", maxID)
	case mark == "" || !text(mark, maxMark) || !tagged && strings.Contains(mark, ":"):
		return nil, fault("the vehicle is a plate, or \"tag:\" and a tag")
	case p.By == "" || !text(p.By, maxText) || !text(p.Reason, maxText):
		return nil, fault("who sells it must be said, in at most %d bytes", maxText)
	case !p.From.Before(p.To) || p.To.Sub(p.From) > longestPass:
		return nil, fault("it ends after it begins, and within 5 years")
	}
	_, book, err := c.site(p.CarPark)
	if err != nil {
		return nil, err
	}
	version := versionAt(book, "", p.From)
	if version == nil {
		return nil, fault("car park %s has no tariff at %s", p.CarPark, p.From.Format(time.RFC3339))
	}
	rules := version.Classes[p.Class]
	if rules == nil {
		return nil, fault("tariff %s has no class %.64q", version.ID, p.Class)
	}
	for i := range rules.Monthly {
		if rules.Monthly[i].ID == p.Permit {
			return &rules.Monthly[i], nil
		}
	}
	return nil, fault("tariff %s has no permit %.64q for class %s", version.ID, p.Permit, p.Class)
}

// checkNewPass refuses a pass, which was just added, that nobody may sell now.
func (c *Cashier) checkNewPass(ctx context.Context, tx parking.Tx, p *parking.Pass, rule *tariff.Monthly) error {
	s, err := c.newScope(tx, p.CarPark, true)
	if err != nil {
		return err
	}
	year, month, day := s.now.In(s.zone()).Date()
	if today := time.Date(year, month, day, 0, 0, 0, 0, s.zone()); p.From.Before(today) || p.From.After(s.now.Add(passAhead)) {
		return fmt.Errorf("it begins today, %s, at the earliest, and within a year: %w", today.Format(time.DateOnly), parking.ErrInvalid)
	}
	if rule.Most == 0 {
		return nil
	}
	var spans []reserve.Span
	after := ""
	for {
		list, err := tx.Passes(ctx, p.CarPark, "", p.From, p.To, after, pageSize)
		if err != nil {
			return err
		}
		for i := range list {
			if list[i].Permit == p.Permit {
				spans = append(spans, reserve.Span{Start: list[i].From, End: list[i].Until()})
			}
		}
		if len(list) < pageSize {
			break
		}
		after = list[len(list)-1].ID
	}
	if reserve.Peak(spans, p.From, p.To) > rule.Most {
		return fmt.Errorf("all %d passes of %s are sold for some of that time: %w", rule.Most, p.Permit, parking.ErrConflict)
	}
	return nil
}

// settleHolder derives and prices the stays of a pass's vehicle anew.
func (c *Cashier) settleHolder(ctx context.Context, tx parking.Tx, p *parking.Pass) error {
	tag, plate := "", p.Vehicle
	if mark, ok := strings.CutPrefix(p.Vehicle, "tag:"); ok {
		tag, plate = mark, ""
	}
	s, err := c.newScope(tx, p.CarPark, true)
	if err != nil {
		return err
	}
	id, err := c.identify(ctx, tag, plate, s.now)
	if err != nil {
		return err
	}
	if err := s.gather(ctx, stay.Names(tag, plate, "", id), s.now, s.now); err != nil {
		return fmt.Errorf("deriving the stays of a pass's vehicle: %w", err)
	}
	return s.conclude(ctx)
}

// EndPass takes a pass back from now on; a second time changes nothing. What
// the vehicle's present stay costs follows. parking.ErrNotFound: the car park
// has no such pass.
func (c *Cashier) EndPass(ctx context.Context, carPark, id, by, reason string, keep Keep[parking.Pass]) (Result[parking.Pass], error) {
	if err := said(by, reason); err != nil {
		return Result[parking.Pass]{}, fmt.Errorf("ending a pass: %w", err)
	}
	r, err := do(ctx, c, keep, func(tx parking.Tx) (parking.Pass, error) {
		p, err := passAt(ctx, tx, carPark, id)
		if err != nil || !p.EndedAt.IsZero() {
			return p, err
		}
		if err := tx.EndPass(ctx, id, c.p.Clock.Now().UTC().Truncate(time.Microsecond), by, reason); err != nil {
			return p, err
		}
		if p, err = tx.Pass(ctx, id); err != nil {
			return p, err
		}
		return p, c.settleHolder(ctx, tx, &p)
	})
	if err != nil {
		return r, fmt.Errorf("ending pass %.64q: %w", id, err)
	}
	return r, nil
}

func passAt(ctx context.Context, tx parking.Tx, carPark, id string) (parking.Pass, error) {
	p, err := tx.Pass(ctx, id)
	if err == nil && p.CarPark != carPark {
		err = fmt.Errorf("pass %.64q is not of car park %.64q: %w", id, carPark, parking.ErrNotFound)
	}
	return p, err
}

// Pass returns one of the car park. ErrNotFound.
func (c *Cashier) Pass(ctx context.Context, carPark, id string) (p parking.Pass, err error) {
	err = c.p.Keeping.View(ctx, func(tx parking.Tx) error {
		p, err = passAt(ctx, tx, carPark, id)
		return err
	})
	if err != nil {
		return parking.Pass{}, fmt.Errorf("reading a pass: %w", err)
	}
	return p, nil
}

// Passes lists the car park's that hold at some instant of [from, to), as
// parking.Passes does.
func (c *Cashier) Passes(ctx context.Context, carPark, vehicle string, from, to time.Time, after string, limit int) (list []parking.Pass, err error) {
	err = c.p.Keeping.View(ctx, func(tx parking.Tx) error {
		list, err = tx.Passes(ctx, carPark, vehicle, from, to, after, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing passes: %w", err)
	}
	return list, nil
}

// held lists what of the register holds during the stay, up to now if it is
// open, in order: of all names that it surely goes by, and of the permits that
// its class has. A plate that was read without confidence holds nothing: it may
// be another's.
func (s *scope) held(ctx context.Context, d *stay.Stay, version string) ([]tariff.HeldPermit, error) {
	if d.Has(stay.WeakPlate) || s.book == nil {
		return nil, nil
	}
	v := versionAt(s.book, version, d.Began())
	if v == nil || v.Classes[d.Class] == nil {
		return nil, nil
	}
	from, to := d.Began(), d.Exit
	if d.Open || to.IsZero() {
		to = s.now
	}
	if to.Before(from) {
		to = from
	}
	names := slices.Clone(d.Names)
	if !slices.Contains(names, d.Vehicle) {
		names = append(names, d.Vehicle)
	}
	var out []tariff.HeldPermit
	for _, name := range names {
		if name == "" || strings.HasPrefix(name, stay.TicketName("")) {
			continue
		}
		list, err := s.tx.Passes(ctx, s.site.ID, name, from, to.Add(time.Microsecond), "", pageSize)
		if err != nil {
			return nil, fmt.Errorf("reading a vehicle's passes: %w", err)
		}
		for i := range list {
			p := &list[i]
			sold := slices.ContainsFunc(v.Classes[d.Class].Monthly, func(m tariff.Monthly) bool { return m.ID == p.Permit })
			if h := (tariff.HeldPermit{ID: p.Permit, From: p.From, To: p.Until()}); sold && !slices.Contains(out, h) {
				out = append(out, h)
			}
		}
	}
	slices.SortFunc(out, func(a, b tariff.HeldPermit) int {
		if c := a.From.Compare(b.From); c != 0 {
			return c
		}
		return compareText(a.ID, b.ID)
	})
	return out, nil
}
