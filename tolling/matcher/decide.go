package matcher

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"freeflow/billing"
	"freeflow/tolling"
)

// Basis is a digest of what a person sees who decides on a pass under review:
// the vehicle, the place, the minute, the class, the account and the reasons.
// A decision stands as long as later reads leave it the same.
func Basis(p billing.Pass) string {
	return basis(p.Vehicle, p.Registered, p.TollPoint, p.FirstMicros, p.Class, p.Account, splitReasons(p.Reasons))
}

func basis(vehicle string, registered bool, point string, first int64, class, account string, reasons []tolling.Reason) string {
	reasons = slices.DeleteFunc(slices.Clone(reasons), func(r tolling.Reason) bool { return r == tolling.Reopened })
	const minute = 60_000_000
	h := sha256.New()
	fmt.Fprintf(h, "%q %t %q %d %q %q %q", vehicle, registered, point, first/minute, class, account, joinReasons(reasons))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// decided turns the rules' verdict on a pass that a person has decided into the
// one that counts: the decision if it was made on what is seen now, or if the
// rules have come to the same; else the pass is open for review again.
func decided(h *held, rules tolling.Verdict) tolling.Verdict {
	d := h.decision
	word := tolling.Verdict{
		Status: tolling.Status(d.Status), Class: d.Class, Account: d.Account, Cents: d.AmountCents, Rule: d.Rule,
	}
	same := rules.Status == word.Status && rules.Class == word.Class && rules.Account == word.Account && rules.Cents == word.Cents
	if same || d.Basis == basis(h.Vehicle.Name, h.Vehicle.Registered, h.Point, h.First, rules.Class, rules.Account, rules.Reasons) {
		return word
	}
	reasons := append(slices.Clone(rules.Reasons), tolling.Reopened)
	slices.Sort(reasons)
	return tolling.Verdict{Status: tolling.Review, Class: rules.Class, Account: rules.Account, Reasons: slices.Compact(reasons)}
}
