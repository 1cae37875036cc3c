package payment

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"freeflow/billing"
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{billing.ErrInvalid}, args...)...)
}

func conflict(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{billing.ErrConflict}, args...)...)
}

// tokens begin with letters and an underscore, so that no number of anything is
// one.
var tokens = regexp.MustCompile(`^[a-z]{2,16}_[A-Za-z0-9_-]{4,100}$`)

// CheckToken refuses what is no provider's token. billing.ErrInvalid, which
// does not repeat the text.
func CheckToken(token string) error {
	if LooksLikeCard(token) {
		return invalid("this looks like a card's number: only the provider may see that; give its token")
	}
	if !tokens.MatchString(token) {
		return invalid("this is no token of a payment provider, such as tok_7Jw2Xq")
	}
	return nil
}

// LooksLikeCard reports whether a text holds 13 to 19 digits, with spaces,
// points or hyphens between them or without, whose check digit is that of a
// card's number (ISO/IEC 7812-1, Luhn).
func LooksLikeCard(text string) bool {
	var run []byte
	for i := 0; i <= len(text); i++ {
		switch {
		case i < len(text) && text[i] >= '0' && text[i] <= '9':
			run = append(run, text[i]-'0')
			continue
		case i < len(text) && strings.IndexByte(" -.", text[i]) >= 0:
			continue
		}
		if hasCard(run) {
			return true
		}
		run = run[:0]
	}
	return false
}

// hasCard reports whether a run of digits is a card's number, or so long that
// one may be hidden in it.
func hasCard(run []byte) bool {
	if len(run) <= 19 {
		return len(run) >= 13 && luhn(run)
	}
	for from := range run {
		for n := 13; n <= 19 && from+n <= len(run); n++ {
			if luhn(run[from : from+n]) {
				return true
			}
		}
	}
	return false
}

// luhn reports whether digits end with their check digit. Nothing but zeros is
// nobody's card.
func luhn(digits []byte) bool {
	sum, any := 0, false
	for i := range digits {
		d := int(digits[len(digits)-1-i])
		any = any || d != 0
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return any && sum%10 == 0
}

const (
	maxName = 256
	maxText = 1000
	// mostItems bounds what one payment pays.
	mostItems = 1000
	// maxCents bounds one payment: ten million.
	maxCents = 1_000_000_000
)

// checkWords refuses what is no name at all. It is for names that are not
// typed in by payers: a vehicle's may be a tag of nothing but digits, and one in
// ten of those passes for a card's number.
func checkWords(what, text string) error {
	if text == "" || len(text) > maxName || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
		return invalid("the %s is not text of 1 to %d bytes", what, maxName)
	}
	return nil
}

func checkName(what, text string) error {
	if err := checkWords(what, text); err != nil {
		return err
	}
	if LooksLikeCard(text) {
		return invalid("the %s looks like a card's number, which is not kept here", what)
	}
	return nil
}

func checkText(what, text string) error {
	if strings.TrimSpace(text) == "" || len(text) > maxText || !utf8.ValidString(text) {
		return invalid("the %s is not text of 1 to %d bytes", what, maxText)
	}
	if LooksLikeCard(text) {
		return invalid("the %s holds what looks like a card's number, which is not kept here", what)
	}
	return nil
}

func checkAmount(what string, cents int64) error {
	if cents <= 0 || cents > maxCents {
		return invalid("%s of %s; it must be above 0 and at most %s", what, billing.FormatCents(cents), billing.FormatCents(maxCents))
	}
	return nil
}

// CheckMeans refuses means that nobody could pay by. billing.ErrInvalid.
func CheckMeans(m *Means) error {
	if err := checkName("account", m.Account); err != nil {
		return err
	}
	if err := checkName("currency", m.Currency); err != nil {
		return err
	}
	switch m.Mode {
	case Prepaid:
	case PerTrip, Daily:
		if m.Token == "" {
			return invalid("paying %s needs a token", m.Mode)
		}
		if m.ThresholdCents != 0 || m.TopUpCents != 0 {
			return invalid("threshold and top-up are for prepaid accounts")
		}
	default:
		return invalid("mode %q; there are %s, %s and %s", m.Mode, Prepaid, PerTrip, Daily)
	}
	if m.Token == "" {
		if m.Kind != "" || m.Provider != "" || m.TopUpCents != 0 {
			return invalid("kind, provider and top-up need a token")
		}
	} else {
		if err := CheckToken(m.Token); err != nil {
			return err
		}
		if m.Kind != Card && m.Kind != Bank && m.Kind != StoredValue {
			return invalid("kind %q; there are %s, %s and %s", m.Kind, Card, Bank, StoredValue)
		}
		if m.Provider == "" {
			return invalid("the provider of the token is missing")
		}
	}
	// The default of July 2024 concerned cards alone: banks and stored value are
	// debited per trip.
	if m.Mode == Daily && m.Kind != Card {
		return invalid("one debit a day is for cards; a %s account is debited per trip", m.Kind)
	}
	if m.ThresholdCents < 0 || m.ThresholdCents > maxCents || m.TopUpCents < 0 || m.TopUpCents > maxCents {
		return invalid("threshold or top-up is below 0 or above %s", billing.FormatCents(maxCents))
	}
	if m.TopUpCents > 0 && m.ThresholdCents == 0 {
		return invalid("an automatic top-up needs a threshold")
	}
	// Else a wallet below its threshold would be topped up again at once, once a
	// second.
	if m.TopUpCents > 0 && m.TopUpCents < m.ThresholdCents {
		return invalid("an automatic top-up of %s does not bring the wallet to its threshold of %s", billing.FormatCents(m.TopUpCents), billing.FormatCents(m.ThresholdCents))
	}
	if m.From.IsZero() {
		return invalid("the instant from which it counts is missing")
	}
	return nil
}

var numbers = regexp.MustCompile(`^[A-Za-z0-9-]{8,64}$`)

// CheckReference refuses a reference that could not be printed.
// billing.ErrInvalid.
func CheckReference(r *Reference) error {
	if !numbers.MatchString(r.Number) {
		return invalid("the notice's number is not 8 to 64 letters, digits and hyphens")
	}
	if len(r.Receivables) == 0 || len(r.Receivables) > mostItems {
		return invalid("a notice names 1 to %d receivables", mostItems)
	}
	return checkWords("vehicle", r.Vehicle)
}
