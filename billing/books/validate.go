package books

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"freeflow/billing"
)

// invalid makes an ErrInvalid that says what and where.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", billing.ErrInvalid, fmt.Sprintf(format, args...))
}

// checkBatch refuses what no books could hold, before anything is locked.
func checkBatch(b *billing.Batch) error {
	switch {
	case b.Partition < 0:
		return invalid("partition %d", b.Partition)
	case b.From < 0 || b.To < b.From:
		return invalid("batch of partition %d goes from offset %d to %d", b.Partition, b.From, b.To)
	case b.Gap < 0:
		return invalid("gap of %d microseconds", b.Gap)
	case b.PostedAt.IsZero():
		return invalid("batch of partition %d has no posting date", b.Partition)
	}
	seen := make(map[string]struct{}, len(b.Passes))
	for i := range b.Passes {
		p := &b.Passes[i]
		if _, twice := seen[p.ID]; twice {
			return invalid("pass %s stands twice in one batch", p.ID)
		}
		seen[p.ID] = struct{}{}
		if err := checkPass(p); err != nil {
			return err
		}
	}
	return nil
}

// checkPass refuses a pass that contradicts itself.
func checkPass(p *billing.Pass) error {
	switch {
	case !isPassID(p.ID):
		return invalid("pass id %q is not 32 lower-case hex digits", p.ID)
	case p.Facility == "" || p.TollPoint == "" || p.Vehicle == "":
		return invalid("pass %s lacks facility, toll point or vehicle", p.ID)
	case p.FirstMicros > p.LastMicros:
		return invalid("pass %s ends before it begins", p.ID)
	case p.Revision < 1:
		return invalid("pass %s has revision %d", p.ID, p.Revision)
	case p.MergedInto != "" && (p.Revision == 1 || p.MergedInto == p.ID):
		return invalid("pass %s is merged into %s", p.ID, p.MergedInto)
	case !slices.IsSorted(p.Marks) || len(slices.Compact(slices.Clone(p.Marks))) != len(p.Marks):
		return invalid("the marks of pass %s are not sorted and distinct", p.ID)
	}
	for _, text := range []string{p.Facility, p.TollPoint, p.Vehicle, p.Class, p.Account, p.Currency, p.Rule, p.TariffVersion, p.Reasons, p.MergedInto} {
		if !utf8.ValidString(text) {
			return invalid("pass %s holds text that is not UTF-8", p.ID)
		}
	}
	for _, m := range p.Marks {
		if !utf8.ValidString(m) {
			return invalid("pass %s holds a mark that is not UTF-8", p.ID)
		}
	}
	if p.MergedInto != "" {
		return nil
	}
	return checkMoney("pass "+p.ID, p.Status, p.Account, p.Currency, p.AmountCents)
}

// checkMoney refuses an amount that its status does not allow.
func checkMoney(what, status, account, currency string, cents int64) error {
	switch status {
	case billing.StatusReview, billing.StatusExempt:
		if cents != 0 {
			return invalid("%s is %s and owes %s", what, status, billing.FormatCents(cents))
		}
	case billing.StatusCharged:
		if account == "" {
			return invalid("%s is charged to no account", what)
		}
	case billing.StatusUnpaid:
	default:
		return invalid("%s has the status %q", what, status)
	}
	if cents < 0 {
		return invalid("%s owes %s", what, billing.FormatCents(cents))
	}
	if cents > 0 && currency == "" {
		return invalid("%s owes %s of no currency", what, billing.FormatCents(cents))
	}
	return nil
}

// checkDecision refuses a decision that cannot be.
func checkDecision(p *billing.Pass, d *billing.Decision) error {
	what := "the decision on pass " + p.ID
	switch {
	case d.Status == billing.StatusReview:
		return invalid("%s decides nothing", what)
	case d.By == "":
		return invalid("%s says not who decided", what)
	case d.At.IsZero():
		return invalid("%s says not when", what)
	}
	for _, text := range []string{d.Class, d.Account, d.Rule, d.By, d.Note, d.Basis} {
		if !utf8.ValidString(text) {
			return invalid("%s holds text that is not UTF-8", what)
		}
	}
	return checkMoney(what, d.Status, d.Account, p.Currency, d.AmountCents)
}

// isPassID reports whether s is 32 lower-case hex digits.
func isPassID(s string) bool {
	if len(s) != 32 {
		return false
	}
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && (s[i] < 'a' || s[i] > 'f') {
			return false
		}
	}
	return true
}
