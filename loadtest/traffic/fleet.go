package traffic

import (
	"fmt"
	"strconv"
)

// vehicle is what is true of one vehicle.
type vehicle struct {
	plate, tag, class, account string
	registered                 bool
	classTag                   bool
	exempt                     bool
}

// fleet makes the vehicles of a city out of their numbers, so that a million
// of them need no memory.
type fleet struct {
	city City
}

func newFleet(c City) fleet { return fleet{city: c} }

// Plates are two letters and four digits, as in Hong Kong; I, O and Q are not
// used there.
const (
	plateLetters = "ABCDEFGHJKLMNPRSTUVWXYZ"
	plateNumbers = 9000
	// maxVehicles is how many such plates there are.
	maxVehicles = len(plateLetters) * len(plateLetters) * plateNumbers
	// plateStep is prime to maxVehicles, so that steps meet every plate once.
	plateStep = 1_000_003
)

// vehicle gives the vehicle with the number. Plates and tags of different
// numbers differ.
func (f fleet) vehicle(number int) vehicle {
	bits := mix(f.city.Seed<<32 ^ uint64(number))
	share := func() float64 {
		bits = mix(bits)
		return float64(bits>>11) / (1 << 53)
	}
	// Each seed has a block of plates of its own, as far as plates go round, so
	// that the vehicles of one run are not those of the next.
	blocks := uint64(maxVehicles / f.city.Vehicles)
	n := (int(f.city.Seed%blocks)*f.city.Vehicles + number) * plateStep % maxVehicles
	letters := n / plateNumbers
	plate := make([]byte, 0, 8)
	plate = append(plate, plateLetters[letters/len(plateLetters)], plateLetters[letters%len(plateLetters)])
	plate = strconv.AppendInt(plate, int64(1000+n%plateNumbers), 10)

	v := vehicle{plate: string(plate), class: drawClass(share()), registered: true}
	// mix is a bijection, so no two vehicles of a city share a tag.
	tag := fmt.Sprintf("E2801170%016X", mix(uint64(number)^f.city.Seed<<40))
	switch kind := share(); {
	case kind < f.city.Unregistered:
		v.registered = false
	case kind < f.city.Unregistered+f.city.Untagged:
	case kind < f.city.Unregistered+f.city.Untagged+f.city.ClassTags:
		v.tag, v.classTag = tag, true
	default:
		v.tag = tag
	}
	if v.registered {
		v.exempt = share() < f.city.Exempt
		v.account = f.account(number)
	}
	return v
}

func (f fleet) account(number int) string {
	if f.city.Account != nil {
		return f.city.Account(number)
	}
	switch {
	case number%20 == 0: // fleets: few accounts with many passes
		return "fleet-" + strconv.Itoa(number/20%50)
	case number%3 == 0: // a household's second car
		return "m" + strconv.Itoa(number-1)
	default:
		return "m" + strconv.Itoa(number)
	}
}

// classShares are cumulative shares of the classes in passes; an estimate.
var classShares = []struct {
	upTo  float64
	class string
}{
	{0.58, "private_car"}, {0.72, "taxi"}, {0.84, "lgv"}, {0.88, "mgv"}, {0.90, "hgv"},
	{0.93, "motorcycle"}, {0.95, "public_light_bus"}, {0.96, "private_light_bus"}, {0.98, "bus_double"},
}

func drawClass(share float64) string {
	for _, s := range classShares {
		if share < s.upTo {
			return s.class
		}
	}
	return "bus_single"
}

// misread is the plate as a camera gets it wrong: the first digit that looks
// like a letter read as that letter, else the last digit as Q. Real plates hold
// no such letters, so a misread plate is nobody's, and two plates misread
// differ: the truth about a run stays known.
func misread(plate string) string {
	b := []byte(plate)
	for i := 2; i < len(b); i++ {
		switch b[i] {
		case '0':
			b[i] = 'O'
			return string(b)
		case '1':
			b[i] = 'I'
			return string(b)
		}
	}
	// Which digit it was is kept by its own letter after the Q.
	return string(b[:len(b)-1]) + "Q" + string(b[len(b)-1])
}

// mix is a bijection of 64-bit numbers that scatters neighbours (the finisher
// of SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
