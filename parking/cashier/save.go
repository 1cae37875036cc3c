package cashier

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"freeflow/parking"
	"freeflow/parking/stay"
)

// conclude gives each derived stay its id and notes, prices it, and stores what
// has changed together with the orders of the ledger.
func (s *scope) conclude(ctx context.Context) error {
	before := map[string]record{}
	for i := range s.stored {
		before[s.stored[i].ID] = s.stored[i]
	}
	taken, err := s.assign(ctx)
	if err != nil {
		return err
	}
	s.share(taken)
	var orders ledgerOrder
	for i := range s.settled {
		if err := s.conclude1(ctx, &s.derived[i], &s.settled[i], before); err != nil {
			return err
		}
	}
	for i := range s.gone {
		s.supersede(&s.gone[i])
	}
	all := make([]*record, 0, len(s.settled)+len(s.gone))
	for i := range s.settled {
		all = append(all, &s.settled[i])
	}
	for i := range s.gone {
		all = append(all, &s.gone[i])
	}
	for _, r := range all {
		if err := s.orderOf(&orders, r, before[r.ID].details.Ordered); err != nil {
			return err
		}
	}
	for i := range s.settled {
		// After the orders: they note on payments where these stand now.
		if s.settled[i].details.Inputs, err = s.inputs(ctx, &s.derived[i], &s.settled[i]); err != nil {
			return err
		}
	}
	for _, r := range all {
		if err := s.store(ctx, r, before); err != nil {
			return err
		}
	}
	return s.place(ctx, &orders)
}

// conclude1 settles one stay unless nothing that it is settled by has changed.
func (s *scope) conclude1(ctx context.Context, d *stay.Stay, r *record, before map[string]record) error {
	if old, was := before[r.ID]; was && !d.Open && !old.details.Open && !old.details.Superseded {
		digest, err := s.inputs(ctx, d, r)
		if err != nil {
			return err
		}
		if digest == old.details.Inputs {
			notes := r.details.Notes
			*r = old
			r.details.Notes = notes
			return nil
		}
	}
	return s.settle(ctx, d, r)
}

// assign gives each derived stay the id of the stored one that it continues:
// that which has its entry, else its exit, else anything of it. Each stored id
// is given once; what is left over is gone. It returns who took what over.
func (s *scope) assign(ctx context.Context) (taken map[string]int, err error) {
	taken = map[string]int{}
	s.settled = make([]record, len(s.derived))
	has := make([]bool, len(s.derived))
	give := func(match func(d *stay.Stay, r *record) bool) {
		for i := range s.derived {
			for j := range s.stored {
				r := &s.stored[j]
				if _, used := taken[r.ID]; !has[i] && !used && match(&s.derived[i], r) {
					taken[r.ID], has[i] = i, true
					s.settled[i] = record{Stay: r.Stay, details: r.details}
				}
			}
		}
	}
	live := func(r *record) bool { return !r.details.Superseded }
	give(func(d *stay.Stay, r *record) bool { return live(r) && r.EntryEvent != "" && d.Belongs(r.EntryEvent) })
	give(func(d *stay.Stay, r *record) bool { return live(r) && r.ExitEvent != "" && d.Belongs(r.ExitEvent) })
	anything := func(d *stay.Stay, r *record) bool {
		return slices.ContainsFunc(r.details.Events, d.Belongs) ||
			slices.ContainsFunc(r.details.Allocations, func(a string) bool { return d.Belongs(stay.BayAnchor(a)) })
	}
	give(func(d *stay.Stay, r *record) bool { return live(r) && anything(d, r) })
	give(anything)
	s.gone = nil
	for i := range s.stored {
		if _, used := taken[s.stored[i].ID]; !used {
			s.gone = append(s.gone, record{Stay: s.stored[i].Stay, details: s.stored[i].details})
		}
	}
	for i := range s.derived {
		if has[i] {
			continue
		}
		id, err := s.freshID(ctx, s.derived[i].Anchor, taken)
		if err != nil {
			return nil, err
		}
		taken[id] = i
		s.settled[i] = record{Stay: parking.Stay{ID: id}}
	}
	return taken, nil
}

// freshID makes an id of the anchor that no stay has.
func (s *scope) freshID(ctx context.Context, anchor string, taken map[string]int) (string, error) {
	for turn := range maxNames {
		id := stayID(s.site.ID, anchor, turn)
		if _, used := taken[id]; used {
			continue
		}
		_, err := s.tx.Stay(ctx, id)
		if errors.Is(err, parking.ErrNotFound) {
			return id, nil
		}
		if err != nil {
			return "", fmt.Errorf("looking for a stay's id: %w", err)
		}
	}
	return "", fmt.Errorf("no id is left for a stay that begins with %s: %w", anchor, parking.ErrConflict)
}

// share gives every note to the stay that has what it was put on; else to the
// one that continues the stay it was put on; else it stays where it was.
func (s *scope) share(taken map[string]int) {
	mine := make([][]note, len(s.derived))
	left := map[string][]note{}
	for _, n := range s.notes {
		owner := slices.IndexFunc(s.derived, func(d stay.Stay) bool { return d.Belongs(n.Anchor) })
		if owner < 0 {
			if i, ok := taken[n.stay]; ok {
				owner = i
			}
		}
		switch {
		case owner < 0:
			left[n.stay] = append(left[n.stay], n.note)
		default:
			mine[owner] = append(mine[owner], n.note)
		}
	}
	for i := range s.settled {
		sortNotes(mine[i])
		s.settled[i].details.Notes = mine[i]
	}
	for i := range s.gone {
		s.gone[i].details.Notes = left[s.gone[i].ID]
	}
}

// put puts a note on the stay that belongs to the anchor, for conclude.
func (s *scope) put(r *record, n note) error {
	n.Anchor = r.anchor()
	if err := (&record{Stay: r.Stay, details: details{Notes: slices.Clone(r.details.Notes)}}).add(n); err != nil {
		return err
	}
	s.notes = append(s.notes, heldNote{n, r.ID})
	return nil
}

// supersede closes a stored stay of which nothing is left: it costs nothing.
func (s *scope) supersede(r *record) {
	r.State, r.AmountCents, r.Receipt, r.Account, r.Means = parking.Closed, 0, nil, "", ""
	r.Flags = []string{Superseded}
	r.PaidCents = paid(r.details.Notes)
	if r.PaidCents > 0 {
		r.flag(Overpaid)
	}
	r.details.Superseded, r.details.Open, r.details.Problem = true, false, ""
	r.details.Ordered = order{
		TicketCents: r.PaidCents, Ticketed: r.details.Ordered.Ticketed || r.PaidCents > 0, Accounted: r.details.Ordered.Accounted,
	}
}

// store writes the stay if anything of it has changed.
func (s *scope) store(ctx context.Context, r *record, before map[string]record) error {
	old, was := before[r.ID]
	if err := r.write(); err != nil {
		return err
	}
	if was {
		r.Revision = old.Revision
		if same(&r.Stay, &old.Stay) {
			return nil
		}
	}
	r.Revision++
	if err := s.tx.PutStay(ctx, r.Stay); err != nil {
		return fmt.Errorf("keeping stay %s: %w", r.ID, err)
	}
	return s.raise(ctx, r, &old)
}

// same compares two stays as they are stored.
func same(a, b *parking.Stay) bool {
	x, y := *a, *b
	for _, p := range []*parking.Stay{&x, &y} {
		if len(p.Flags) == 0 {
			p.Flags = nil
		}
		if len(p.Receipt) == 0 {
			p.Receipt = nil
		}
		p.Entry, p.Exit, p.ClockFrom, p.ClockTo = p.Entry.UTC(), p.Exit.UTC(), p.ClockFrom.UTC(), p.ClockTo.UTC()
	}
	return reflect.DeepEqual(x, y)
}

// raise keeps the alarm for people in step with whether a person has to decide.
func (s *scope) raise(ctx context.Context, r, old *record) error {
	id := "stay-review/" + r.ID
	if r.State == parking.Review && old.State != parking.Review {
		detail := "A person decides about this stay."
		if r.details.Problem != "" {
			detail = cut(r.details.Problem, 300)
		}
		kind := "stay-review"
		for _, f := range [...]string{stay.MissingExit, stay.TagAndPlateDiffer, stay.MissingEntry, stay.WeakPlate, NoPrice, stay.Reopened} {
			if slices.Contains(r.Flags, f) {
				kind = f
				break
			}
		}
		err := s.tx.Raise(ctx, parking.Alarm{ID: id, CarPark: r.CarPark, Kind: kind, Subject: r.ID, Detail: detail, Raised: s.now})
		if err != nil {
			return fmt.Errorf("raising an alarm: %w", err)
		}
	}
	if r.State != parking.Review && old.State == parking.Review {
		if err := s.tx.Clear(ctx, id, "cashier", "settled", s.now); err != nil && !errors.Is(err, parking.ErrNotFound) {
			return fmt.Errorf("clearing an alarm: %w", err)
		}
	}
	over := "refund-due/" + r.ID
	is, was := slices.Contains(r.Flags, Overpaid), slices.Contains(old.Flags, Overpaid)
	if is && !was {
		err := s.tx.Raise(ctx, parking.Alarm{
			ID: over, CarPark: r.CarPark, Kind: "refund-due", Subject: r.ID, Raised: s.now,
			Detail: "More was paid than the stay costs: " + strconv.FormatInt(r.PaidCents-r.AmountCents, 10) + " hundredths are to be given back.",
		})
		if err != nil {
			return fmt.Errorf("raising an alarm: %w", err)
		}
	}
	if was && !is {
		if err := s.tx.Clear(ctx, over, "cashier", "given back", s.now); err != nil && !errors.Is(err, parking.ErrNotFound) {
			return fmt.Errorf("clearing an alarm: %w", err)
		}
	}
	return nil
}

// cut shortens a text to at most n bytes, at a rune.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}

// find returns the settled stay of that id, nil if it is not in the window.
func (s *scope) find(id string) *record {
	for i := range s.settled {
		if s.settled[i].ID == id {
			return &s.settled[i]
		}
	}
	for i := range s.gone {
		if s.gone[i].ID == id {
			return &s.gone[i]
		}
	}
	return nil
}
