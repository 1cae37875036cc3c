package allocator

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"freeflow/parking/mechanism"
)

// Policy is a way of choosing. Not safe for concurrent use where it draws
// numbers.
type Policy interface {
	// Name is what it was asked for by.
	Name() string
	// Choose ranks the bays for the request. Each policy gives every free bay
	// that fits.
	Choose(r Request, v *View) Decision
	// Foresees reports whether View.Outlook matters to it.
	Foresees() bool
}

// The names of the policies. Random and Nearest are what Freeflow is measured
// against.
const (
	// Freeflow is Standard().
	Freeflow = "freeflow"
	// Random is uniform over the free bays that fit.
	Random = "random"
	// Nearest takes the bay that could be ready soonest if its machine began at
	// once, and knows neither queues nor forecasts. Equal bays in the order of
	// the file.
	Nearest = "nearest"
	// NearestSpread is Nearest with equal bays in random order.
	NearestSpread = "nearest-spread"
	// NearestQueue is Nearest with the machine's queue in the cost.
	NearestQueue = "nearest-queue"
)

// Names lists the policies.
func Names() []string { return []string{Freeflow, NearestQueue, NearestSpread, Nearest, Random} }

// NewPolicy returns the policy of that name; draws come from r.
func NewPolicy(name string, r *rand.Rand) (Policy, error) {
	switch name {
	case Freeflow:
		return weighed{name, Standard()}, nil
	case Random, Nearest, NearestSpread, NearestQueue:
		return plain{name, r}, nil
	default:
		return nil, fmt.Errorf("there is no policy %q; there are %q", name, Names())
	}
}

// Weighed returns the policy with other weights, under a name of the caller's.
func Weighed(name string, w Weights) Policy { return weighed{name, w} }

type weighed struct {
	name    string
	weights Weights
}

func (p weighed) Name() string                       { return p.name }
func (p weighed) Foresees() bool                     { return true }
func (p weighed) Choose(r Request, v *View) Decision { return p.weights.Choose(r, v) }

type plain struct {
	name string
	rand *rand.Rand
}

func (p plain) Name() string   { return p.name }
func (p plain) Foresees() bool { return false }

func (p plain) Choose(r Request, v *View) Decision {
	c := Standard().chooser(r, v)
	var keys []key
	v.each(func(i int) {
		b := &v.layout.bays[i]
		if !c.fits[b.group] {
			return
		}
		var cost mechanism.Millis
		switch {
		case p.name == Random:
		case b.machine == none:
			cost = b.drive
		default:
			// Its own cycle without the driver, who is as slow everywhere: ready
			// at the gate, and back.
			cost = v.now[i] + b.drive
			if v.Early {
				cost = max(v.now[i], b.drive)
			}
			if p.name == NearestQueue {
				cost = v.in(i, v.wait[b.machine])
			}
		}
		keys = append(keys, keyOf(cost, i))
	})
	if p.name == Random || p.name == NearestSpread {
		p.rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	}
	switch p.name {
	case Random:
	case NearestSpread:
		slices.SortStableFunc(keys, func(a, b key) int { return cmp.Compare(a.cost(), b.cost()) })
	default:
		slices.Sort(keys)
	}
	return c.decide(r, keys)
}
