package traffic

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"time"
)

// City describes realistic traffic through Hong Kong's tolled tunnels and
// roads. The zero value of a share means none.
type City struct {
	Seed uint64
	// Start is the time of the first pass.
	Start time.Time
	// Boot is the boot of every unit; another one for each run keeps the
	// sequence numbers of two runs apart.
	Boot string
	// Rate is the mean number of reads a second over all units.
	Rate float64
	// ReadsPerPass is how often a vehicle is read at a toll point.
	ReadsPerPass int
	// Vehicles is how many different ones there are.
	Vehicles int
	// Lanes is the number of lanes, hence units, of a toll point: 1 to 4.
	Lanes int

	// Untagged is the share of registered vehicles without a tag, ClassTags
	// that of vehicles with a class tag, Unregistered that of vehicles that
	// nobody knows, Exempt that of vehicles that pay nothing.
	Untagged, ClassTags, Unregistered, Exempt float64
	// MissedTag is the share of passes in which the tag was not read at all;
	// Misread the share of camera frames with a wrong plate, Unsure that of
	// frames with a low confidence.
	MissedTag, Misread, Unsure float64

	// Account names the account of a registered vehicle; nil means one of
	// about two thirds as many accounts as vehicles, some of them fleets.
	Account func(vehicle int) string
}

// Typical returns shares as a tolled city has them: nearly all vehicles carry
// a tag, nearly all tags are read.
func Typical(seed uint64, start time.Time) City {
	return City{
		Seed: seed, Start: start, Rate: 100, ReadsPerPass: 5, Vehicles: 10_000, Lanes: 2,
		Untagged: 0.04, ClassTags: 0.01, Unregistered: 0.02, Exempt: 0.005,
		MissedTag: 0.01, Misread: 0.01, Unsure: 0.03,
	}
}

// facilities with their weight in the city's traffic, in tens of thousands of
// passes a day: annual figures implied by published revenue forecasts where
// there are any, estimates elsewhere.
var facilities = []struct {
	name   string
	weight int
}{
	{"CHT", 10}, {"EHC", 7}, {"WHC", 8}, {"TLT", 5}, {"TCT", 6}, {"ABT", 5}, {"SMT", 5}, {"LRT", 9}, {"TSCA", 5},
}

// tollPoints is the number of toll points: two directions a facility.
var tollPoints = 2 * len(facilities)

const (
	// spread is the longest time between two reads of a pass.
	spread = 60 * time.Millisecond
	// roomy is the time between two passes of a vehicle from which on the next
	// one may be anywhere: no turn-round, no joining of passes.
	roomy = 150 * time.Second
	// tight is the time between two passes of a vehicle in one place below
	// which they could join.
	tight = 70 * time.Second
)

// Event is one read of a city with the truth about it.
type Event struct {
	Read
	// UnitIndex numbers the units from 0, as in Units.
	UnitIndex int
	// Pass numbers the physical passes from 0, about in order of their start.
	Pass uint64
	// Vehicle is the index of the vehicle that was really there.
	Vehicle int
	// Last is true for the last read of the physical pass.
	Last bool
}

// CityTraffic makes a city's reads in order of time. It is used by one
// goroutine.
type CityTraffic struct {
	city  City
	rng   *rand.Rand
	fleet fleet
	units []string
	seq   []uint64
	// everywhere is true if a vehicle's passes are far enough apart for the
	// next to be anywhere; otherwise vehicles tour the facilities in turn.
	everywhere bool

	passes  uint64
	waiting eventHeap
}

// New checks the configuration and returns the traffic, or says what is wrong.
func (c City) New() (*CityTraffic, error) {
	switch {
	case c.Rate <= 0 || c.ReadsPerPass < 1 || c.ReadsPerPass > 100:
		return nil, fmt.Errorf("rate %v and %d reads a pass: the rate must be positive, reads a pass 1 to 100", c.Rate, c.ReadsPerPass)
	case c.Lanes < 1 || c.Lanes > 4:
		return nil, fmt.Errorf("%d lanes: a toll point has 1 to 4", c.Lanes)
	case c.Vehicles < 1 || c.Vehicles > maxVehicles:
		return nil, fmt.Errorf("%d vehicles: there must be 1 to %d", c.Vehicles, maxVehicles)
	}
	round := time.Duration(float64(c.Vehicles) * float64(c.ReadsPerPass) / c.Rate * float64(time.Second))
	tour := round * time.Duration(len(facilities))
	if tour < tight {
		return nil, fmt.Errorf("%d vehicles are too few for %v reads a second: each would come back within %v, and its passes would join; use at least %d",
			c.Vehicles, c.Rate, tour.Round(time.Millisecond), int(math.Ceil(float64(c.Vehicles)*float64(tight)/float64(tour))))
	}
	t := &CityTraffic{
		city:       c,
		rng:        rand.New(rand.NewPCG(c.Seed, 0xc17)),
		fleet:      newFleet(c),
		seq:        make([]uint64, tollPoints*c.Lanes),
		everywhere: round >= roomy,
	}
	for _, f := range facilities {
		for _, direction := range []string{"N", "S"} {
			for lane := 1; lane <= c.Lanes; lane++ {
				t.units = append(t.units, fmt.Sprintf("%s-%s-%d", f.name, direction, lane))
			}
		}
	}
	return t, nil
}

// Units returns the names of the units, by index.
func (t *CityTraffic) Units() []string { return t.units }

// Next returns the next read in order of time; there is always another.
func (t *CityTraffic) Next() Event {
	// A pass not yet begun cannot have a read before its nominal time.
	for len(t.waiting) == 0 || t.nominal(t.passes) <= t.waiting[0].TimeMicros {
		t.begin()
	}
	e := t.waiting.pop()
	t.seq[e.UnitIndex]++
	e.Seq = t.seq[e.UnitIndex]
	return e
}

// interval is the mean time between two passes, in microseconds.
func (t *CityTraffic) interval() float64 {
	return float64(t.city.ReadsPerPass) / t.city.Rate * 1e6
}

// nominal is when the pass would begin if passes came at regular intervals.
func (t *CityTraffic) nominal(pass uint64) int64 {
	return t.city.Start.UnixMicro() + int64(float64(pass)*t.interval())
}

// begin makes the reads of the next pass. It begins up to twenty intervals
// after its nominal time, at most a second: neighbours come as unevenly as in
// real traffic, while in the long run neither the rate nor the distance
// between two passes of a vehicle drifts.
func (t *CityTraffic) begin() {
	number := t.passes
	t.passes++
	start := t.nominal(number) + int64(t.rng.Float64()*min(20*t.interval(), 1e6))

	// Vehicles come round one after the other, so that each is far from its
	// own last pass.
	index := int(number % uint64(t.city.Vehicles))
	v := t.fleet.vehicle(index)
	lane := t.rng.IntN(t.city.Lanes)
	unit := t.place(index, number/uint64(t.city.Vehicles))*t.city.Lanes + lane

	missed := v.tag != "" && t.rng.Float64() < t.city.MissedTag
	camera := t.rng.IntN(t.city.ReadsPerPass) // the read that comes with a frame
	at := start
	for i := range t.city.ReadsPerPass {
		e := Event{UnitIndex: unit, Pass: number, Vehicle: index, Last: i == t.city.ReadsPerPass-1}
		e.Unit, e.Boot, e.TimeMicros, e.Confidence = t.units[unit], t.city.Boot, at, absent
		e.Antenna = 1 + 2*lane + i%2
		if v.tag != "" && !missed {
			e.Tag = v.tag
			// Stronger towards the middle of the pass under the gantry.
			middle := math.Abs(float64(2*i-t.city.ReadsPerPass+1)) / float64(t.city.ReadsPerPass)
			e.RSSI = math.Round(-480-120*middle-60*t.rng.Float64()) / 10
		}
		if e.Tag == "" || i == camera {
			t.frame(&e, v)
		}
		t.waiting.push(e)
		at += 20_000 + t.rng.Int64N(int64(spread/time.Microsecond)-20_000)
	}
}

// place draws where the vehicle's pass is: the index of a toll point.
func (t *CityTraffic) place(vehicle int, round uint64) int {
	if !t.everywhere {
		// At high rates a vehicle tours the facilities in its own direction,
		// so that it is back at none before its last pass there is closed.
		facility := (uint64(vehicle) + round) % uint64(len(facilities))
		return 2*int(facility) + vehicle/len(facilities)%2
	}
	total := 0
	for _, f := range facilities {
		total += f.weight
	}
	n := t.rng.IntN(2 * total)
	for i, f := range facilities {
		if n < 2*f.weight {
			return 2*i + n%2
		}
		n -= 2 * f.weight
	}
	return 0
}

// frame adds what the camera and the classifier saw.
func (t *CityTraffic) frame(e *Event, v vehicle) {
	e.Plate, e.Class = v.plate, v.class
	e.Confidence = math.Round(9000+990*t.rng.Float64()) / 10000
	e.Image = fmt.Sprintf("%s/%d.jpg", e.Unit, e.TimeMicros)
	switch draw := t.rng.Float64(); {
	case draw < t.city.Misread:
		e.Plate = misread(v.plate)
		e.Confidence = math.Round(4000+4500*t.rng.Float64()) / 10000
	case draw < t.city.Misread+t.city.Unsure:
		e.Confidence = math.Round(5000+3900*t.rng.Float64()) / 10000
	}
}

// WriteRegistry writes the city's registry.csv, valid from long before Start.
func (c City) WriteRegistry(w io.Writer) error {
	b := bufio.NewWriter(w)
	b.WriteString("account,plate,class,tag,from,to,exempt\n")
	f := newFleet(c)
	for i := range c.Vehicles {
		v := f.vehicle(i)
		if !v.registered {
			continue
		}
		plate, exempt := v.plate, ""
		if v.classTag {
			plate = ""
		}
		if v.exempt {
			exempt = "true"
		}
		fmt.Fprintf(b, "%s,%s,%s,%s,2025-01-01T00:00:00+08:00,,%s\n", v.account, plate, v.class, v.tag, exempt)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("writing the registry: %w", err)
	}
	return nil
}

// eventHeap orders events by time, then by pass, the earliest first.
type eventHeap []Event

func (h eventHeap) less(i, k int) bool {
	if h[i].TimeMicros != h[k].TimeMicros {
		return h[i].TimeMicros < h[k].TimeMicros
	}
	return h[i].Pass < h[k].Pass
}

func (h *eventHeap) push(e Event) {
	*h = append(*h, e)
	q := *h
	for i := len(q) - 1; i > 0; {
		parent := (i - 1) / 2
		if !q.less(i, parent) {
			break
		}
		q[i], q[parent] = q[parent], q[i]
		i = parent
	}
}

func (h *eventHeap) pop() Event {
	q := *h
	top := q[0]
	last := len(q) - 1
	q[0] = q[last]
	q[last] = Event{}
	q = q[:last]
	*h = q
	for i := 0; ; {
		least := i
		for _, child := range []int{2*i + 1, 2*i + 2} {
			if child < len(q) && q.less(child, least) {
				least = child
			}
		}
		if least == i {
			return top
		}
		q[i], q[least] = q[least], q[i]
		i = least
	}
}
