package books

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"freeflow/billing"
	"freeflow/billing/statement"
	"freeflow/internal/database"
)

// described is what a transaction was for, as it stood when it was posted.
type described struct {
	statement.Line
	creditor string
}

// version is one state of a pass or charge: from its revision on, until it was
// replaced (0: it stands).
type version struct {
	described
	revision, replacedAt int64
}

// describe reads what the transactions were for, and returns who knows it.
func (t *Tx) describe(ctx context.Context, chunk []*posted) (func(*posted) described, error) {
	var passes, charges, moves []string
	for _, p := range chunk {
		item := p.item()
		if id, ok := strings.CutPrefix(item, billing.ReceivablePass); ok {
			passes = append(passes, id)
		} else if id, ok := strings.CutPrefix(item, billing.ReceivableCharge); ok {
			charges = append(charges, id)
		} else if id, ok := strings.CutPrefix(item, movementMoney("")); ok {
			moves = append(moves, id)
		}
	}
	for _, list := range []*[]string{&passes, &charges, &moves} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	states := map[string][]version{}
	if err := t.describePasses(ctx, passes, states); err != nil {
		return nil, fmt.Errorf("reading passes: %w", err)
	}
	if err := t.describeCharges(ctx, charges, states); err != nil {
		return nil, fmt.Errorf("reading charges: %w", err)
	}
	err := t.eachIn(ctx, `SELECT m.id, m.means, m.moved_at, m.note FROM movement m WHERE m.id`, moves, "", func(r database.Rows) error {
		var (
			id string
			v  version
		)
		err := r.Scan(&id, &v.What, &v.OccurredMicros, &v.Text)
		states[movementMoney(id)] = append(states[movementMoney(id)], v)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading movements: %w", err)
	}
	for _, list := range states {
		slices.SortFunc(list, func(a, b version) int { return int(a.revision - b.revision) })
	}
	return func(p *posted) described { return stateOf(p, states[p.item()]) }, nil
}

// stateOf picks the state that held: by the revision where the transaction is
// the pass's or charge's own, else by time. The last one has not been replaced.
func stateOf(p *posted, states []version) described {
	for i, v := range states {
		own := p.moneyID == "" && p.was() != kindPayment
		if i == len(states)-1 || (own && v.revision >= p.revision) || (!own && v.replacedAt > p.originAt) {
			return v.described
		}
	}
	return described{}
}

func (t *Tx) describePasses(ctx context.Context, ids []string, states map[string][]version) error {
	scan := func(r database.Rows) error {
		var (
			id string
			v  version
		)
		err := r.Scan(&id, &v.revision, &v.replacedAt, &v.OccurredMicros, &v.creditor, &v.Place, &v.Vehicle, &v.Class)
		v.What = billing.ReceivableToll
		states[billing.ReceivablePass+id] = append(states[billing.ReceivablePass+id], v)
		return err
	}
	if err := t.eachIn(ctx, `SELECT p.id, p.revision, 0, p.first_micros, p.facility, p.toll_point, p.vehicle, p.class FROM pass p WHERE p.id`, ids, "", scan); err != nil {
		return err
	}
	return t.eachIn(ctx, `SELECT p.pass_id, p.revision, p.replaced_at, p.first_micros, p.facility, p.toll_point, p.vehicle, p.class FROM pass_revision p WHERE p.pass_id`, ids, "", scan)
}

func (t *Tx) describeCharges(ctx context.Context, ids []string, states map[string][]version) error {
	scan := func(r database.Rows) error {
		var (
			id string
			v  version
		)
		err := r.Scan(&id, &v.revision, &v.replacedAt, &v.OccurredMicros, &v.What, &v.creditor, &v.Vehicle, &v.Text)
		v.Place = v.creditor
		states[billing.ReceivableCharge+id] = append(states[billing.ReceivableCharge+id], v)
		return err
	}
	if err := t.eachIn(ctx, `SELECT c.id, c.revision, 0, c.occurred_micros, c.kind, c.creditor, c.vehicle, c.description FROM charge c WHERE c.id`, ids, "", scan); err != nil {
		return err
	}
	return t.eachIn(ctx, `SELECT c.charge_id, c.revision, c.replaced_at, c.occurred_micros, c.kind, c.creditor, c.vehicle, c.description FROM charge_revision c WHERE c.charge_id`, ids, "", scan)
}
