package billing

import (
	"fmt"
	"strings"

	"github.com/shopspring/decimal"
)

// maxCentsText bounds the text of an amount: the largest int64 has 17 digits
// before the point, so that nothing longer can be an amount.
const maxCentsText = 1 + 17 + 1 + 2

// FormatCents returns an amount in hundredths as a decimal with exactly two
// places: 2050 is "20.50", -5 is "-0.05".
func FormatCents(cents int64) string {
	return decimal.New(cents, -2).StringFixed(2)
}

// ParseCents reads an amount with at most two decimal places and returns it in
// hundredths. The grammar is an optional minus, digits, and optionally a point
// with one or two digits: no plus, no space, no exponent, no separators. What
// cannot be held exactly is refused, never rounded.
func ParseCents(s string) (int64, error) {
	if err := checkAmountText(s); err != nil {
		return 0, err
	}
	d, err := decimal.NewFromString(s)
	if err != nil {
		return 0, fmt.Errorf("amount %q is not a decimal number: %w", s, err)
	}
	cents := d.Shift(2)
	if !cents.IsInteger() || !cents.BigInt().IsInt64() {
		return 0, fmt.Errorf("amount %q is out of range", s)
	}
	return cents.IntPart(), nil
}

// checkAmountText guards the decimal library, which also takes exponents (cheap
// to send, dear to expand) and other minus signs.
func checkAmountText(s string) error {
	if len(s) > maxCentsText {
		return fmt.Errorf("amount of %d characters is too long", len(s))
	}
	whole, places, pointed := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	if !digits(whole) || (pointed && (!digits(places) || len(places) > 2)) {
		return fmt.Errorf("amount %q is not a number with at most two decimal places, such as 20.50", s)
	}
	return nil
}

// digits reports whether s is one or more ASCII digits.
func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
