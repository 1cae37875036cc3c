package tolling

// Effect says what adding a sighting did.
type Effect struct {
	// Pass is the pass that the sighting now belongs to.
	Pass *Pass
	// New: the sighting made it.
	New bool
	// Changed: something other than Last changed.
	Changed bool
	// From is the earliest First that any pass concerned had before or has
	// now: verdicts on opposite passes may change from there on (rule 6).
	From int64
	// Swallowed are the passes that the sighting joined to Pass, which no
	// longer stand.
	Swallowed []*Pass
}

// Add puts a sighting where it belongs among the passes of its vehicle at its
// toll point (rule 2). Passes must hold every standing pass of that vehicle
// and toll point that comes within gap of the sighting; passes of the vehicle
// at other toll points may be among them and are left alone. Joined passes
// live on under the id of the earliest. Add returns the passes with the new
// one added and swallowed ones taken out.
func Add(passes []*Pass, s Sighting, gap int64) ([]*Pass, Effect) {
	one := newPass(s)
	var into *Pass
	for _, p := range passes {
		if p.Point == s.Point && p.Near(one, gap) && (into == nil || p.First < into.First) {
			into = p
		}
	}
	if into == nil {
		return append(passes, one), Effect{Pass: one, New: true, Changed: true, From: one.First}
	}
	before := into.First
	effect := Effect{Pass: into, Changed: into.join(one)}
	kept := passes[:0]
	for _, p := range passes {
		if p != into && p.Point == s.Point && p.Near(into, gap) {
			into.join(p)
			effect.Swallowed = append(effect.Swallowed, p)
			effect.Changed = true
			continue
		}
		kept = append(kept, p)
	}
	clear(passes[len(kept):])
	effect.From = min(before, into.First)
	return kept, effect
}
