package tariff

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// applied is a discount that the stay asks for.
type applied struct {
	*Discount
	reference string
}

// discount adds the lines of the discounts: of those that do not stack the
// one that is best for the driver, or all that stack, if these are better.
// start and end are the charged seconds that were priced, lines their lines.
func (j *job) discount(start, end int64, lines []Line) error {
	all, err := j.discounts()
	if err != nil || len(all) == 0 {
		return err
	}
	var sets [][]applied
	var stack []applied
	for _, d := range all {
		if d.Stackable {
			stack = append(stack, d)
		} else {
			sets = append(sets, []applied{d})
		}
	}
	if len(stack) > 0 {
		sets = slices.Insert(sets, 0, stack)
	}
	fee := sumOf(j.receipt.Lines)
	var best []Line
	used := 0
	for i, set := range sets {
		cuts, err := j.apply(set, fee, start, end, sumOf(lines))
		if err != nil {
			return err
		}
		if i == 0 || sumOf(cuts) < sumOf(best) {
			best, used = cuts, len(set)
		}
	}
	if used < len(all) {
		j.receipt.flag(FlagValidationUnused)
	}
	j.receipt.Lines = append(j.receipt.Lines, best...)
	return nil
}

// discounts lists what the stay's validations and flags ask for, each once and
// in the stated order.
func (j *job) discounts() ([]applied, error) {
	if len(j.stay.Validations) == 0 && len(j.stay.Flags) == 0 {
		return nil, nil
	}
	var all []applied
	rules := j.class.rules.Discounts
	for _, v := range j.stay.Validations {
		i := slices.IndexFunc(rules, func(d Discount) bool { return d.By == "validation" && d.Code == v.Code })
		if i < 0 {
			known := []string{}
			for _, d := range rules {
				if d.By == "validation" {
					known = append(known, d.Code)
				}
			}
			return nil, &UnknownNameError{Kind: "validation code", Name: v.Code, Tariff: j.class.version.tariff.ID, Known: known}
		}
		all = append(all, applied{&rules[i], v.Reference})
	}
	for i := range rules {
		if rules[i].By == "flag" && slices.Contains(j.stay.Flags, rules[i].Code) {
			all = append(all, applied{&rules[i], ""})
		}
	}
	slices.SortStableFunc(all, func(a, b applied) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), strings.Compare(a.reference, b.reference))
	})
	// A validation given twice counts once.
	return slices.CompactFunc(all, func(a, b applied) bool { return a.Discount == b.Discount }), nil
}

// apply takes a set of discounts off a fee, in order, and gives the lines.
// priced is the part of the fee that minutes can take off.
func (j *job) apply(set []applied, fee, start, end, priced int64) ([]Line, error) {
	var lines []Line
	for _, d := range set {
		off := int64(0)
		switch d.Kind {
		case "full":
			off = fee
		case "amount":
			off = int64(d.Amount)
		case "percent":
			off = divide(fee, int64(d.Percent), 100, "half_up")
			if d.RoundTo > 0 {
				// The rounding is of what is left, once, so that the cent must
				// not be rounded before it.
				left := divide(fee, int64(100-d.Percent), 100*int64(d.RoundTo), "half_up") * int64(d.RoundTo)
				off = fee - left
			}
		case "minutes":
			if d.MinutesFrom == "start" {
				start = min(end, start+int64(d.Minutes)*60)
			} else {
				end = max(start, end-int64(d.Minutes)*60)
			}
			less, err := j.parking(start, end)
			if err != nil {
				return nil, err
			}
			now := min(priced, sumOf(less))
			off, priced = priced-now, now
		}
		if d.Most > 0 {
			off = min(off, int64(d.Most))
		}
		if d.RoundTo > 0 && d.Kind != "percent" || d.RoundTo > 0 && d.Most > 0 {
			off = fee - divide(max(0, fee-off), 1, int64(d.RoundTo), "half_up")*int64(d.RoundTo)
		}
		// Never below nothing, and never dearer than without.
		off = max(0, min(off, fee))
		fee -= off
		at := j.class.zone
		lines = append(lines, Line{Kind: LineDiscount, Text: discountText(d), From: time.Unix(j.entry, 0).In(at), To: time.Unix(j.end, 0).In(at),
			Units: 1, UnitCents: Cents(-off), AmountCents: Cents(-off), Rule: "discounts/" + d.Code})
	}
	return lines, nil
}

func discountText(d applied) string {
	var text string
	switch d.Kind {
	case "full":
		text = "Free"
	case "amount":
		text = d.Amount.String() + " off"
	case "percent":
		text = fmt.Sprintf("%d %% off", d.Percent)
	case "minutes":
		text = fmt.Sprintf("%d min at the %s free", d.Minutes, d.MinutesFrom)
	}
	text += ", " + d.Code
	if d.Most > 0 {
		text += ", at most " + d.Most.String()
	}
	if d.RoundTo > 0 {
		text += ", rounded to the nearest " + d.RoundTo.String()
	}
	if d.reference != "" {
		text += fmt.Sprintf(" (%.64s)", d.reference)
	}
	return text
}
