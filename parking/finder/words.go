package finder

import (
	"fmt"
	"strings"

	"freeflow/billing"
	"freeflow/parking"
	"freeflow/parking/city"
)

// whyThere says to a driver why he is sent where he is sent.
func (r *round) whyThere(x *parking.SpaceRequest, a city.Assignment) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s of at most %s and %d m of at most %d m on foot, cost %s of 1", r.name(a.Place.CarPark),
		billing.FormatCents(a.Place.PriceCents), billing.FormatCents(x.MaxPriceCents), a.Place.WalkMetres, x.MaxWalkMetres, city.FormatCost(a.Place.Cost))
	if a.Outcome == city.Moved && a.Before != nil {
		fmt.Fprintf(&b, "; before %s at %s", r.name(a.Before.CarPark), city.FormatCost(a.Before.Cost))
	}
	if a.Wanted != nil {
		fmt.Fprintf(&b, "; %s at %s suited you better and went to others", r.name(a.Wanted.CarPark), city.FormatCost(a.Wanted.Cost))
	}
	fmt.Fprintf(&b, "; %s within your limits", count(a.Choices, "car park is", "car parks are"))
	return b.String()
}

// whyWaiting says to a driver why there is no place yet.
func (r *round) whyWaiting(x *parking.SpaceRequest, a city.Assignment, known bool) string {
	switch {
	case !known:
		return "the destination is too far from all car parks"
	case a.Choices > 0:
		return fmt.Sprintf("%s within your limits and full, or taken by others; the next round decides again", count(a.Choices, "car park is", "car parks are"))
	}
	t := a.Turned
	var parts []string
	for _, one := range []struct {
		n    int
		text string
	}{
		{t.TooFar, fmt.Sprintf("more than %d m on foot away", x.MaxWalkMetres)},
		{t.TooDear, fmt.Sprintf("dearer than %s", billing.FormatCents(x.MaxPriceCents))},
		{t.Barred, "without a bay for this vehicle and what was asked for, or full"},
		{t.NoSuchBay, "without such a bay"},
		{t.TooLow, "too low"},
		{t.NoPrice, "without a price for this stay"},
	} {
		if one.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", one.n, one.text))
		}
	}
	if len(parts) == 0 {
		return "there are no car parks"
	}
	return "no car park is within your limits: " + strings.Join(parts, ", ")
}

func count(n int, single, several string) string {
	if n == 1 {
		return "1 " + single
	}
	return fmt.Sprintf("%d %s", n, several)
}

// name is how people know a car park.
func (r *round) name(id string) string {
	if l := r.lots[id]; l != nil && l.site.Name.En != "" {
		return l.site.Name.En
	}
	return id
}
