package tariff

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

var (
	moneyShape   = regexp.MustCompile(`^[+-]?[0-9]{1,9}(\.[0-9]+)?$`)
	percentShape = regexp.MustCompile(`^([0-9]{1,3})% of (\S+)$`)
	minuteShape  = regexp.MustCompile(`^([0-2][0-9]):([0-5][0-9])$`)
	tokenShape   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)
	instantShape = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`)
)

// ParseInstant reads a time in the strict form of RFC 3339: upper-case T and
// Z, offset required. (time.Parse alone also takes a comma for the point and
// hours of one digit.)
func ParseInstant(s string) (time.Time, error) {
	const want = "want RFC 3339 with offset, for instance 2026-03-06T20:03:00+08:00"
	if !instantShape.MatchString(s) {
		return time.Time{}, fmt.Errorf("%.64q is not a time: %s", s, want)
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		var parse *time.ParseError
		if errors.As(err, &parse) {
			return time.Time{}, fmt.Errorf("%.64q is not a time%s: %s", s, parse.Message, want)
		}
		return time.Time{}, fmt.Errorf("%.64q is not a time: %s", s, want)
	}
	return t, nil
}

// FormatAmount writes cents with two decimals.
func FormatAmount(cents int64) string { return decimal.New(cents, -2).StringFixed(2) }

// parseMoney reads an amount of at most two decimals as cents.
func parseMoney(s string) (int64, error) {
	if !moneyShape.MatchString(s) {
		return 0, fmt.Errorf("%q is not an amount; write it like 20 or 8.80", s)
	}
	if _, decimals, ok := strings.Cut(s, "."); ok && len(decimals) > 2 {
		return 0, fmt.Errorf("%s has more than two decimals; the smallest coin is a hundredth", s)
	}
	d, err := decimal.NewFromString(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not an amount: %w", s, err)
	}
	return d.Shift(2).IntPart(), nil
}

// parseMinute reads HH:MM as minutes since midnight; 24:00 is the day's end.
func parseMinute(s string) (int, error) {
	m := minuteShape.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%q is not a whole minute of the day; write HH:MM, 00:00 to 24:00", s)
	}
	hours, _ := strconv.Atoi(m[1])
	minutes, _ := strconv.Atoi(m[2])
	total := hours*60 + minutes
	if total > minutesPerDay {
		return 0, fmt.Errorf("%s is past the end of the day, 24:00", s)
	}
	return total, nil
}

// parseDate reads 2006-01-02 as days since 1970-01-01.
func parseDate(s string) (int64, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a date; write it like 2026-12-25", s)
	}
	return t.Unix() / 86400, nil
}

// parseWhole reads a whole number between bounds.
func parseWhole(s string, least, most int64) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%q is not a whole number from %d to %d", s, least, most)
	}
	return n, nil
}

func formatMinute(m int) string { return fmt.Sprintf("%02d:%02d", m/60, m%60) }

func checkToken(s string) error {
	if !tokenShape.MatchString(s) {
		return fmt.Errorf("%q is not a name; use letters, digits, _ . - (at most 64)", s)
	}
	return nil
}
