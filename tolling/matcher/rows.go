package matcher

import (
	"freeflow/billing"
	"freeflow/tolling"
)

// PassOf reads a row of the books: the pass that the rules know, and the
// verdict that stands.
func PassOf(row *billing.Pass) (*tolling.Pass, tolling.Verdict, error) {
	h, err := fromBooks(row)
	if err != nil {
		return nil, tolling.Verdict{}, err
	}
	return h.Pass, h.verdict, nil
}

// RowOf is the opposite: the row of a pass with its verdict, at a revision.
func RowOf(p *tolling.Pass, v tolling.Verdict, revision int64, facility, currency string) billing.Pass {
	return toBooks(&held{Pass: p, verdict: v, revision: revision}, facility, currency)
}

// Ruled turns the rules' verdict on a pass into the one that counts, given what
// a person has decided of it: the decision as long as it was made on what is
// seen now, or the rules come to the same; else the pass is open for review
// again. Nil is no decision.
func Ruled(p *tolling.Pass, d *billing.Decision, rules tolling.Verdict) tolling.Verdict {
	if d == nil {
		return rules
	}
	return decided(&held{Pass: p, decision: d}, rules)
}

// SameVerdict reports whether two verdicts say the same.
func SameVerdict(a, b tolling.Verdict) bool { return sameVerdict(a, b) }
