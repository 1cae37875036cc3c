package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// errStop ends a walk early.
var errStop = errors.New("enough")

// ledger recomputes the closed days from what was posted.
func (v *verifier) ledger(ctx context.Context, ledger Ledger) error {
	days := v.days
	// Days closed at one instant stand in the chain in no particular order.
	slices.SortStableFunc(days, func(a, b closedDay) int { return cmp.Compare(a.detail.From, b.detail.From) })
	v.report.Days = int64(len(days))
	if len(days) == 0 {
		return nil
	}
	for i := 1; i < len(days); i++ {
		if days[i].detail.From != days[i-1].detail.To {
			v.report.add(Finding{Entry: days[i].entry, Day: days[i].name, Detail: fmt.Sprintf(
				"entry %d closes the day %s, which does not begin where the day %s ends", days[i].entry, days[i].name, days[i-1].name)})
			return nil
		}
	}
	start, end := time.UnixMicro(days[0].detail.From), time.UnixMicro(days[len(days)-1].detail.To)
	err := ledger.Posted(ctx, time.UnixMicro(0), start, func(p *Posted) error {
		v.report.add(Finding{Day: days[0].name, Detail: fmt.Sprintf("transaction %s was posted before the first closed day, %s, after that was closed", p.ID, days[0].name)})
		return errStop
	})
	if err != nil && !errors.Is(err, errStop) {
		return err
	}
	at := 0
	current := newDigest(days[0].detail.From, days[0].detail.To)
	late := ""
	finish := func(until int64) {
		for at < len(days) && until >= days[at].detail.To {
			v.day(&days[at], current.end(), late)
			late = ""
			if at++; at < len(days) {
				current = newDigest(days[at].detail.From, days[at].detail.To)
			}
		}
	}
	err = ledger.Posted(ctx, start, end, func(p *Posted) error {
		finish(p.At.UnixMicro())
		if at < len(days) && late == "" && p.Posting > days[at].detail.LastPosting {
			late = p.ID
		}
		current.add(p)
		return nil
	})
	if err == nil {
		finish(end.UnixMicro())
	}
	return err
}

// day compares a day as it was closed with what is posted now.
func (v *verifier) day(d *closedDay, now dayDetail, late string) {
	then := d.detail
	now.Zone = then.Zone
	if now == then {
		return
	}
	detail := fmt.Sprintf("the ledger of %s is not what it was when it was closed (entry %d): ", d.name, d.entry)
	switch {
	case late != "":
		detail += fmt.Sprintf("transaction %s bears that day and was posted afterwards", late)
	case now.Transactions != then.Transactions:
		detail += fmt.Sprintf("it had %d transactions and has %d", then.Transactions, now.Transactions)
	case now.Entries != then.Entries:
		detail += fmt.Sprintf("it had %d entries and has %d", then.Entries, now.Entries)
	default:
		detail += "a transaction or an entry was rewritten"
	}
	v.report.add(Finding{Entry: d.entry, Day: d.name, Detail: detail})
}
