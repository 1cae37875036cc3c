package parking

import (
	"fmt"
	"slices"
)

// Vehicle is what is known of a vehicle at the gate.
type Vehicle struct {
	// Plate and Tag are in normal form (see rsu: NFKC, no blanks, capitals);
	// both may be empty: then the driver's ticket stands for the vehicle.
	Plate string `json:"plate,omitempty"`
	Tag   string `json:"tag,omitempty"`
	// Class is one of the toll table's classes.
	Class string `json:"class"`
	// The measurements; 0 means not measured.
	LengthMM int `json:"length_mm,omitempty"`
	WidthMM  int `json:"width_mm,omitempty"`
	HeightMM int `json:"height_mm,omitempty"`
	WeightKG int `json:"weight_kg,omitempty"`
	// EV says that the vehicle can charge.
	EV bool `json:"ev,omitempty"`
	// Accessible says that the driver holds a disabled person's permit.
	Accessible bool `json:"accessible,omitempty"`
}

// Obstacle is one reason why a vehicle may not stand in a bay.
type Obstacle struct {
	// Limit is "class", "length_mm", "width_mm", "height_mm", "weight_kg",
	// "accessible" or "pool".
	Limit string
	// Allowed and Given are the bay's limit and the vehicle's measure where
	// the limit is one. Given 0 means that it was not measured.
	Allowed, Given int
}

// Text says the obstacle in words, without marks of the vehicle.
func (o Obstacle) Text() string {
	switch {
	case o.Limit == "class":
		return "the class is not admitted"
	case o.Limit == "accessible":
		return "the bay is for holders of a disabled person's permit"
	case o.Limit == "pool":
		return "the bay is set aside for holders of a right to it"
	case o.Given == 0:
		return fmt.Sprintf("%s is at most %d here and was not measured", o.Limit, o.Allowed)
	default:
		return fmt.Sprintf("%s is %d and at most %d here", o.Limit, o.Given, o.Allowed)
	}
}

// Obstacles returns every hard reason why the vehicle may not stand in the bay;
// none means that it fits. pool is the pool that the driver has a right to,
// empty for none. A measure that is limited but was not taken is an obstacle:
// what is not known to fit does not go onto a pallet.
func (b *Bay) Obstacles(v Vehicle, pool string) []Obstacle {
	var found []Obstacle
	if !slices.Contains(b.Classes, v.Class) {
		found = append(found, Obstacle{Limit: "class"})
	}
	if b.Accessible && !v.Accessible {
		found = append(found, Obstacle{Limit: "accessible"})
	}
	if b.Pool != "" && b.Pool != pool {
		found = append(found, Obstacle{Limit: "pool"})
	}
	for _, m := range [...]struct {
		name           string
		allowed, given int
	}{
		{"length_mm", b.Limits.LengthMM, v.LengthMM}, {"width_mm", b.Limits.WidthMM, v.WidthMM},
		{"height_mm", b.Limits.HeightMM, v.HeightMM}, {"weight_kg", b.Limits.WeightKG, v.WeightKG},
	} {
		if m.allowed > 0 && (m.given <= 0 || m.given > m.allowed) {
			found = append(found, Obstacle{m.name, m.allowed, m.given})
		}
	}
	return found
}

// Fits reports whether the vehicle may stand in the bay.
func (b *Bay) Fits(v Vehicle, pool string) bool {
	return slices.Contains(b.Classes, v.Class) &&
		(!b.Accessible || v.Accessible) && (b.Pool == "" || b.Pool == pool) &&
		within(v.LengthMM, b.Limits.LengthMM) && within(v.WidthMM, b.Limits.WidthMM) &&
		within(v.HeightMM, b.Limits.HeightMM) && within(v.WeightKG, b.Limits.WeightKG)
}

func within(given, allowed int) bool { return allowed == 0 || given > 0 && given <= allowed }
