package statement

import (
	"strings"

	"freeflow/billing"
)

// Languages of statements.
const (
	English = "en"
	Chinese = "zh-HK"
)

// Said is a text in both languages.
type Said struct{ En, Zh string }

// In returns it in a language.
func (s Said) In(language string) string {
	if language == Chinese {
		return s.Zh
	}
	return s.En
}

// Both is it in both, for tables that everybody reads.
func (s Said) Both() string { return s.En + " " + s.Zh }

// Groups of lines, in the order in which a summary shows them.
const (
	Tolls       = "tolls"
	Parking     = "parking"
	Surcharges  = "surcharges"
	Others      = "others"
	Corrections = "corrections"
	TopUps      = "top-ups"
	PaidOut     = "paid-out"
	Payments    = "payments"
	Returned    = "returned"
)

// Groups returns all of them in order.
func Groups() []string {
	return []string{Tolls, Parking, Surcharges, Others, Corrections, TopUps, PaidOut, Payments, Returned}
}

// Group returns the group of a line.
func (l Line) Group() string {
	kind := l.Kind
	if kind == "reversal" {
		switch l.Undoes {
		case "toll", "charge":
			return Corrections
		case billing.Payout:
			return PaidOut
		}
		return Returned
	}
	switch {
	case kind == "toll":
		return Tolls
	case kind == billing.Receipt:
		return TopUps
	case kind == billing.Payout:
		return PaidOut
	case kind != "charge":
		return Payments
	case l.What == "parking":
		return Parking
	case strings.HasPrefix(l.What, "surcharge"):
		return Surcharges
	}
	return Others
}

var groupWords = map[string]Said{
	Tolls: {"Tolls", "隧道費"}, Parking: {"Parking", "泊車"}, Surcharges: {"Surcharges", "附加費"}, Others: {"Other charges", "其他收費"},
	Corrections: {"Corrections: charges taken back", "更正：撤回收費"}, TopUps: {"Money received", "收到款項"}, PaidOut: {"Money paid out", "退還款項"},
	Payments: {"Charges paid", "已繳收費"}, Returned: {"Payments undone", "撤銷付款"},
}

// GroupWords returns what a group is called.
func GroupWords(group string) Said { return groupWords[group] }

// Words says what a line is.
func (l Line) Words() Said {
	what := kindWords(l.Kind, l.What)
	if l.Kind != "reversal" {
		return what
	}
	undone := kindWords(l.Undoes, l.What)
	switch l.Undoes {
	case "toll", "charge":
		return Said{"Correction: taken back: " + undone.En, "更正，撤回：" + undone.Zh}
	}
	return Said{"Undone: " + undone.En, "撤銷：" + undone.Zh}
}

func kindWords(kind, what string) Said {
	switch kind {
	case "toll":
		return Said{"Toll", "隧道費"}
	case "charge":
		switch {
		case what == "parking":
			return Said{"Parking", "泊車"}
		case strings.HasPrefix(what, "surcharge"):
			return Said{"Surcharge", "附加費"}
		}
		return Said{"Charge", "收費"}
	case "collection":
		return Said{"Paid", "繳付"}
	case billing.Receipt:
		return Said{"Money received (" + what + ")", "收到款項（" + what + "）"}
	case billing.Payout:
		return Said{"Money paid out (" + what + ")", "退還款項（" + what + "）"}
	}
	return Said{kind, kind}
}
