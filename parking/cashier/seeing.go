package cashier

import (
	"context"
	"fmt"

	"freeflow/parking"
)

// SeeStays is Stays for a member of staff: what seen makes of the list is kept
// in the same transaction, and where that fails nothing is shown. seen may be
// called again.
func (c *Cashier) SeeStays(ctx context.Context, carPark, vehicle string, p parking.Page, seen func([]parking.Stay) []parking.View) (list []parking.Stay, err error) {
	_, err = c.p.Keeping.Do(ctx, nil, func(tx parking.Tx) (parking.Answer, error) {
		if list, err = tx.Stays(ctx, carPark, vehicle, p); err != nil {
			return parking.Answer{}, err
		}
		return parking.Answer{}, noteAll(ctx, tx, seen(list))
	})
	if err != nil {
		return nil, fmt.Errorf("listing stays: %w", err)
	}
	return list, nil
}

// SeeEvidence is Evidence for a member of staff, as SeeStays is Stays.
func (c *Cashier) SeeEvidence(ctx context.Context, id string, seen func(Evidence) []parking.View) (e Evidence, err error) {
	_, err = c.p.Keeping.Do(ctx, nil, func(tx parking.Tx) (parking.Answer, error) {
		if e, err = c.evidence(ctx, tx, id); err != nil {
			return parking.Answer{}, err
		}
		return parking.Answer{}, noteAll(ctx, tx, seen(e))
	})
	return e, err
}

// SeeAllocations lists allocations for a member of staff, as SeeStays does
// stays. Allocations bear no account, so that seen is given, beside them, the
// accounts of the vehicle's last stays; none where no vehicle is named.
func (c *Cashier) SeeAllocations(ctx context.Context, carPark, vehicle string, p parking.Page,
	seen func(list []parking.Allocation, accounts []string) []parking.View) (list []parking.Allocation, err error) {
	_, err = c.p.Keeping.Do(ctx, nil, func(tx parking.Tx) (parking.Answer, error) {
		if list, err = tx.Allocations(ctx, carPark, vehicle, p); err != nil {
			return parking.Answer{}, err
		}
		var accounts []string
		if vehicle != "" {
			stays, err := tx.Stays(ctx, carPark, vehicle, parking.Page{Limit: mostSeen})
			if err != nil {
				return parking.Answer{}, err
			}
			for _, s := range stays {
				if s.Account != "" {
					accounts = append(accounts, s.Account)
				}
			}
		}
		return parking.Answer{}, noteAll(ctx, tx, seen(list, accounts))
	})
	if err != nil {
		return nil, fmt.Errorf("listing allocations: %w", err)
	}
	return list, nil
}

// mostSeen bounds the stays that are looked through for accounts.
const mostSeen = 1000

func noteAll(ctx context.Context, tx parking.Tx, views []parking.View) error {
	for _, v := range views {
		if err := tx.NoteView(ctx, v); err != nil {
			return err
		}
	}
	return nil
}
