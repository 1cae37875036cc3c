package month

import (
	"context"
	"fmt"
	"time"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/payment"
)

// explained bounds for how many accounts a difference is explained.
const explained = 3

// explain tells on the progress what the product and the oracle have of
// somebody, line by line.
func (w *world) explain(ctx context.Context, who string) error {
	if w.explainedOnes++; w.explainedOnes > explained {
		return nil
	}
	f := billing.ReceivableFilter{Account: who, Limit: 500}
	if w.cast.byID[who] == nil {
		f = billing.ReceivableFilter{Vehicle: who, Nobodys: true, Limit: 500}
	} else {
		fmt.Fprintf(w.progress, "%s: %+v\n", who, w.cast.byID[who].habit)
	}
	for _, line := range w.lines[who] {
		fmt.Fprintf(w.progress, "  oracle  %s\n", line)
	}
	return w.sets[0].books.View(ctx, func(tx *books.Tx) error {
		list, err := tx.Receivables(ctx, f)
		if err != nil {
			return err
		}
		for _, r := range list {
			fmt.Fprintf(w.progress, "  product %s %s of %s: %d, paid %d, posted %s, hold %q\n", w.local(time.UnixMicro(r.OccurredMicros)), r.Kind, r.Creditor, r.AmountCents,
				r.PaidCents, w.local(r.PostedAt), r.Hold)
			paid, err := tx.Collections(ctx, r.ID)
			if err != nil {
				return err
			}
			for _, c := range paid {
				fmt.Fprintf(w.progress, "          %d from %.40s at %s, undone %q\n", c.AmountCents, c.Holder, w.local(c.PostedAt), c.Reason)
			}
		}
		return nil
	})
}

// explainPayments tells what the product and the bank have of somebody's
// payments.
func (w *world) explainPayments(ctx context.Context, p *person) error {
	list, err := w.sets[0].pay.History(ctx, p.id, time.Time{}, "", 1000)
	for _, a := range list {
		note := ""
		if taken := w.bank.emulator.Taken(a.ID); a.Kind == payment.Charge && taken != a.MovedCents {
			note = fmt.Sprintf(" THE BANK TOOK %d", taken)
		}
		fmt.Fprintf(w.progress, "  %s %s for %s: %d, moved %d, refunded %d, %s by %s, source %q%s %s\n", w.local(a.CreatedAt), a.Kind, a.Purpose, a.AmountCents, a.MovedCents,
			a.RefundedCents, a.State, a.How, a.Source, note, a.ID)
	}
	return err
}

func (w *world) local(at time.Time) string { return at.In(w.zone).Format("01-02 15:04:05") }
