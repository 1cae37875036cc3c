package opendata

import (
	"fmt"
	"slices"
	"strings"

	"freeflow/parking"
)

// The specification's languages.
const (
	english     = "en_US"
	traditional = "zh_TW"
	simplified  = "zh_CN"
)

// say returns the text in the language; where it is missing, in the one that
// the specification falls back to (traditional for simplified), then in any.
func say(t parking.Text, language string) string {
	order := [3]string{t.En, t.ZhHant, t.ZhHans}
	switch language {
	case traditional:
		order = [3]string{t.ZhHant, t.ZhHans, t.En}
	case simplified:
		order = [3]string{t.ZhHans, t.ZhHant, t.En}
	}
	for _, text := range order {
		if text != "" {
			return text
		}
	}
	return ""
}

// languageOf is the language in which a car park can be told where the given
// one is asked for: simplified falls back to traditional where its name or
// address is missing, and both to English.
func languageOf(c *parking.CarPark, asked string) string {
	name, address := c.Name, c.Published.Address
	if asked == simplified && (name.ZhHans == "" || address.ZhHans == "") {
		asked = traditional
	}
	if asked == traditional && (name.ZhHant == "" || address.ZhHant == "") {
		asked = english
	}
	return asked
}

// heightLimit is a limit of height in millimetres, 0 for none, and what it is
// of.
type heightLimit struct {
	limits parking.Limits
	// automated says that it is of machines; mixed that the site has bays of
	// both kinds, so that the remark has to say which.
	automated, mixed bool
}

// heightsOf returns the limits of height of the site's bays, the lowest first.
// For one height and kind of bay the widest of the other limits is told.
func heightsOf(c *parking.CarPark) []heightLimit {
	type key struct {
		height    int
		automated bool
	}
	found := map[key]parking.Limits{}
	automated, ordinary := false, false
	for i := range c.Bays {
		b := &c.Bays[i]
		automated, ordinary = automated || b.Machine != "", ordinary || b.Machine == ""
		if b.Limits.HeightMM == 0 {
			continue
		}
		k := key{b.Limits.HeightMM, b.Machine != ""}
		have, ok := found[k]
		if !ok {
			found[k] = b.Limits
			continue
		}
		have.LengthMM = wider(have.LengthMM, b.Limits.LengthMM)
		have.WidthMM = wider(have.WidthMM, b.Limits.WidthMM)
		have.WeightKG = wider(have.WeightKG, b.Limits.WeightKG)
		found[k] = have
	}
	out := make([]heightLimit, 0, len(found))
	for k, limits := range found {
		out = append(out, heightLimit{limits, k.automated, automated && ordinary})
	}
	slices.SortFunc(out, func(a, b heightLimit) int {
		if a.limits.HeightMM != b.limits.HeightMM {
			return a.limits.HeightMM - b.limits.HeightMM
		}
		if a.automated {
			return -1
		}
		return 1
	})
	return out
}

// wider is the less strict of two limits; 0 is none.
func wider(a, b int) int {
	if a == 0 || b == 0 {
		return 0
	}
	return max(a, b)
}

// thousandths is a whole number of thousandths, written as the exact decimal
// number: 2450 is 2.45.
type thousandths int

// MarshalJSON writes the number without passing through a float.
func (t thousandths) MarshalJSON() ([]byte, error) { return []byte(t.String()), nil }

func (t thousandths) String() string {
	sign := ""
	if t < 0 {
		sign, t = "-", -t
	}
	text := fmt.Sprintf("%s%d.%03d", sign, t/1000, t%1000)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// remark says what the limit is of and, of machines, the limits for which the
// specification has no field. Empty where there is nothing to say.
func (h heightLimit) remark(language string) string {
	var parts []string
	if h.automated {
		parts = append(parts, say(parking.Text{En: "automated parking system", ZhHant: "自動泊車系統", ZhHans: "自动泊车系统"}, language))
	} else if h.mixed {
		parts = append(parts, say(parking.Text{En: "conventional spaces", ZhHant: "傳統泊車位", ZhHans: "传统泊车位"}, language))
	}
	for _, m := range []struct {
		value int
		text  parking.Text
	}{
		{h.limits.LengthMM, parking.Text{En: "length at most %s m", ZhHant: "車長不超過%s米", ZhHans: "车长不超过%s米"}},
		{h.limits.WidthMM, parking.Text{En: "width at most %s m", ZhHant: "車闊不超過%s米", ZhHans: "车宽不超过%s米"}},
		{h.limits.WeightKG, parking.Text{En: "weight at most %s tonnes", ZhHant: "車重不超過%s公噸", ZhHans: "车重不超过%s公吨"}},
	} {
		if m.value > 0 {
			parts = append(parts, fmt.Sprintf(say(m.text, language), thousandths(m.value).String()))
		}
	}
	if language == english {
		return strings.Join(parts, ", ")
	}
	return strings.Join(parts, "，")
}
