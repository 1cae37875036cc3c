package traffic

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Line is one line of a file of reads.
type Line struct {
	// Text has no line end.
	Text string
	// Rejected is true if the contract refuses the line.
	Rejected bool
	// TimeMicros is the time of the read that the line was made of; 0 for a
	// blank line.
	TimeMicros int64
}

// Stream is one adversarial case: a registry, and reads with lines that must
// be refused, in the order in which they were thought of.
type Stream struct {
	Seed uint64
	// Lines are the reads, repetitions and bad lines.
	Lines []Line
	// Registry is a registry.csv.
	Registry string
	// Now is an instant after every acceptable read, for replays: reads lie
	// years ahead of the machine's clock too.
	Now time.Time
	// Cases counts what was put in on purpose; what it comes to is counted by
	// the oracle.
	Cases map[string]int
}

// AllStreamCases are the keys of Stream.Cases.
var AllStreamCases = []string{
	"repeated", "repeated in other writing", "rejected", "blank line", "late by days",
	"overlapping rows of one plate", "adjacent rows of one mark", "open-ended row", "row nobody pays for", "exempt row",
	"row without a class", "class tag row",
}

// Counts returns how many lines are reads, and how many of those must be
// refused; blank lines count for nothing.
func (s Stream) Counts() (reads, rejected int) {
	for _, line := range s.Lines {
		if strings.TrimSpace(line.Text) == "" {
			continue
		}
		reads++
		if line.Rejected {
			rejected++
		}
	}
	return reads, rejected
}

// Text gives the lines as NDJSON.
func (s Stream) Text() string {
	var b strings.Builder
	for _, line := range s.Lines {
		b.WriteString(line.Text)
		b.WriteByte('\n')
	}
	return b.String()
}

// Accepted gives only the lines that the contract accepts, as NDJSON.
func (s Stream) Accepted() string {
	var b strings.Builder
	for _, line := range s.Lines {
		if !line.Rejected {
			b.WriteString(line.Text)
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// InOrder puts the lines into the order in which a living network would
// deliver them: by time, most of them a little out of turn, a few much too
// late.
func (s Stream) InOrder(rng *rand.Rand) {
	arrival := func(l Line) int64 {
		switch rng.IntN(20) {
		case 0, 1: // about as late as a matcher may hold passes open
			return l.TimeMicros + rng.Int64N(420*second)
		case 2:
			return l.TimeMicros + rng.Int64N(90*86400*second)
		default:
			return l.TimeMicros + rng.Int64N(3*second)
		}
	}
	type arriving struct {
		line Line
		at   int64
	}
	all := make([]arriving, len(s.Lines))
	for i, l := range s.Lines {
		all[i] = arriving{l, arrival(l)}
	}
	slices.SortStableFunc(all, func(a, b arriving) int { return cmp.Compare(a.at, b.at) })
	for i := range all {
		s.Lines[i] = all[i].line
	}
}

// Shuffle puts the lines into a random order.
func (s Stream) Shuffle(rng *rand.Rand) {
	rng.Shuffle(len(s.Lines), func(i, k int) { s.Lines[i], s.Lines[k] = s.Lines[k], s.Lines[i] })
}

// Distances that the rules turn on, in microseconds.
const (
	second    = 1_000_000
	gap       = 60 * second
	turnRound = 120 * second
)

// stages are the instants around which reads are made: toll steps, day and
// year ends, Sundays, general holidays, and a year without known holidays.
var stages = []time.Time{
	hkt(2026, time.March, 2, 12, 0, 0),       // a Monday
	hkt(2026, time.March, 2, 7, 28, 30),      // the morning's ramp
	hkt(2026, time.March, 3, 16, 29, 0),      // the evening's
	hkt(2026, time.March, 4, 19, 36, 30),     // and its end
	hkt(2026, time.March, 7, 23, 58, 30),     // Saturday to Sunday
	hkt(2026, time.March, 8, 10, 9, 30),      // a Sunday's ramp
	hkt(2026, time.March, 8, 23, 58, 30),     // Sunday to Monday
	hkt(2026, time.April, 3, 8, 0, 0),        // Good Friday
	hkt(2026, time.September, 26, 16, 45, 0), // a Saturday that is a holiday
	hkt(2025, time.December, 24, 23, 58, 30), // to Christmas Day
	hkt(2025, time.December, 31, 23, 58, 30), // to another year
	hkt(2026, time.December, 26, 19, 15, 0),
	hkt(2031, time.May, 6, 9, 0, 0), // no tariff: nobody knows the holidays of 2031
}

func hkt(year int, month time.Month, day, hour, minute, sec int) time.Time {
	return time.Date(year, month, day, hour, minute, sec, 0, hongKong)
}

// Adversarial makes about n reads of few vehicles at few toll points, in
// scenes of some minutes each, in which exact gaps, turn-rounds, ties, marks
// that change hands and all that makes passes hard are the rule.
func Adversarial(seed uint64, n int) Stream {
	rng := rand.New(rand.NewPCG(seed, 0xfee))
	s := Stream{Seed: seed, Now: hkt(2031, time.June, 1, 0, 0, 0), Cases: map[string]int{}}
	registry := []string{"account,plate,class,tag,from,to,exempt"}
	for scene := 0; len(s.Lines) < n; scene++ {
		c := newScene(rng, &s, scene)
		registry = append(registry, c.registry()...)
		c.play(min(n-len(s.Lines), 20+rng.IntN(50)))
	}
	s.Registry = strings.Join(registry, "\n") + "\n"
	return s
}

// scene is some minutes at one facility, with vehicles of its own.
type scene struct {
	rng    *rand.Rand
	stream *Stream
	start  int64 // microseconds since the Unix epoch
	cuts   []int64
	units  []string
	// plates and tags that the registry knows at times, and ones that it
	// never does.
	plates, tags   []string
	strangePlates  []string
	strangeTags    []string
	reads          []Read
	seq            map[string]uint64
	boots, classes []string
}

var allClasses = []string{
	"motorcycle", "private_car", "taxi", "public_light_bus", "private_light_bus",
	"lgv", "mgv", "hgv", "bus_single", "bus_double",
}

func newScene(rng *rand.Rand, stream *Stream, number int) *scene {
	c := &scene{rng: rng, stream: stream, start: pick(rng, stages).UnixMicro(), seq: map[string]uint64{}}
	name := string(rune('A'+number%26)) + string(rune('A'+number/26%26))
	for i := range 3 {
		c.plates = append(c.plates, fmt.Sprintf("%s%d", name, 100+i))
		c.tags = append(c.tags, fmt.Sprintf("E2%04X%02X", number, i))
	}
	c.tags = append(c.tags, fmt.Sprintf("E2%04X03", number))
	c.strangePlates = []string{name + "900"}
	c.strangeTags = []string{fmt.Sprintf("E2%04XFF", number)}
	c.boots = []string{"", "", "b1", "b2"}
	// Mostly those whose tolls change by the minute.
	facilities := []string{"CHT", "EHC", "WHC", "TLT", "CHT", "EHC", "WHC", "TLT", "TCT", "TSCA"}
	facility := facilities[rng.IntN(len(facilities))]
	for _, direction := range []string{"N", "S"} {
		for lane := 1; lane <= 2; lane++ {
			c.units = append(c.units, fmt.Sprintf("%s-%s-%d", facility, direction, lane))
		}
	}
	if rng.IntN(3) == 0 {
		c.units = append(c.units, facilities[rng.IntN(len(facilities))]+"-N-4")
	}
	c.classes = []string{pick(rng, []string{"private_car", "motorcycle"}), pick(rng, allClasses), pick(rng, allClasses)}
	// Instants at which assignments change: in the middle of what happens.
	for range 1 + rng.IntN(3) {
		c.cuts = append(c.cuts, c.start+int64(rng.IntN(8))*15*second)
	}
	slices.Sort(c.cuts)
	c.cuts = slices.Compact(c.cuts)
	return c
}

// play makes reads, most of them in relation to an earlier one.
func (c *scene) play(n int) {
	for len(c.reads) < n {
		r := c.next()
		c.reads = append(c.reads, r)
		c.emit(r)
	}
}

func (c *scene) next() Read {
	if len(c.reads) == 0 || c.rng.IntN(8) == 0 {
		r := Read{Confidence: absent, Unit: pick(c.rng, c.units), TimeMicros: c.start + int64(c.rng.IntN(300))*second}
		if c.rng.IntN(2) == 0 {
			c.toMinute(&r)
		}
		c.marks(&r)
		c.measure(&r)
		c.number(&r)
		return r
	}
	// Relate to a recent read or, less often, to any.
	near := c.reads[max(0, len(c.reads)-1-c.rng.IntN(5))]
	if c.rng.IntN(4) == 0 {
		near = pick(c.rng, c.reads)
	}
	if c.rng.IntN(8) == 0 {
		return c.sibling(near)
	}
	r := near
	r.TimeMicros += c.step()
	switch c.rng.IntN(20) {
	case 0, 1: // where an assignment changes
		r.TimeMicros = pick(c.rng, c.cuts) - int64(c.rng.IntN(2))
	case 2, 3: // where a toll may change
		c.toMinute(&r)
	case 4: // the same car once more, by one of its marks
		c.alone(&r, near)
		c.number(&r)
		return r
	}
	switch c.rng.IntN(10) {
	case 0: // the way back
		r.Unit = opposite(r.Unit)
	case 1:
		r.Unit = pick(c.rng, c.units)
	}
	switch c.rng.IntN(7) {
	case 0:
		c.marks(&r)
	case 1: // one of the marks alone, or another beside it
		c.loosen(&r)
	}
	c.measure(&r)
	c.number(&r)
	return r
}

// toMinute moves the read to where a toll may change: a full minute, or just
// before it.
func (c *scene) toMinute(r *Read) {
	const minute = 60 * second
	r.TimeMicros += minute - r.TimeMicros%minute
	r.TimeMicros -= pick(c.rng, []int64{0, 0, 1, 1, int64(c.rng.IntN(minute))})
}

// alone makes of a read with two marks one with the mark that did not decide,
// or did, at the gap's edge.
func (c *scene) alone(r *Read, near Read) {
	if r.Tag != "" && r.Plate != "" {
		if c.rng.IntN(4) == 0 {
			r.Plate = ""
		} else {
			r.Tag = ""
		}
	}
	// Nothing else shall be amiss, lest it hide what this is about.
	r.Confidence = absent
	if r.Class == "" {
		r.Class = pick(c.rng, c.classes)
	}
	r.TimeMicros = near.TimeMicros + pick(c.rng, []int64{gap, gap + 1, gap + 1, -gap, -gap - 1, 0})
}

// step is the distance to the read before.
func (c *scene) step() int64 {
	exact := []int64{
		0, 1, gap - 1, gap, gap, gap + 1, gap + 1,
		turnRound - 1, turnRound - 1, turnRound, turnRound, turnRound + 1,
		-gap, -gap - 1, 30 * second, 59 * second, second - 1, second,
	}
	switch c.rng.IntN(4) {
	case 0:
		return int64(c.rng.IntN(5 * second))
	case 1:
		return int64(c.rng.IntN(150 * second))
	default:
		return pick(c.rng, exact)
	}
}

// sibling is a read at the same instant that differs in what orders reads, or
// shares another read's sequence number.
func (c *scene) sibling(near Read) Read {
	r := near
	r.Class = pick(c.rng, c.classes)
	switch c.rng.IntN(4) {
	case 0:
		r.Unit = otherLane(r.Unit)
	case 1:
		r.Boot = pick(c.rng, c.boots)
	case 2:
		r.Seq += uint64(c.rng.IntN(12))
	default: // the same number with another class, or with none
		if c.rng.IntN(3) == 0 {
			r.Class = ""
		}
	}
	return r
}

// marks gives the read a tag, a plate or both.
func (c *scene) marks(r *Read) {
	r.Tag, r.Plate, r.Confidence = "", "", absent
	i := c.rng.IntN(len(c.plates))
	tag, plate := c.tags[i], c.plates[i]
	if c.rng.IntN(12) == 0 {
		tag = pick(c.rng, c.tags)
	}
	if c.rng.IntN(8) == 0 {
		tag = pick(c.rng, c.strangeTags)
	}
	if c.rng.IntN(6) == 0 {
		plate = pick(c.rng, c.strangePlates)
	}
	switch c.rng.IntN(4) {
	case 0:
		r.Tag = tag
	case 1:
		r.Plate = plate
	default:
		r.Tag, r.Plate = tag, plate
	}
	c.see(r)
}

// loosen drops a mark, or puts a stranger's beside the one that stays.
func (c *scene) loosen(r *Read) {
	switch {
	case r.Tag != "" && r.Plate != "" && c.rng.IntN(2) == 0:
		r.Tag = ""
	case r.Tag != "" && r.Plate != "":
		r.Plate = ""
	case r.Tag != "":
		r.Plate = pick(c.rng, append(c.strangePlates, c.plates...))
	default:
		r.Tag = pick(c.rng, append(c.strangeTags, c.tags...))
	}
	c.see(r)
}

// see sets the plate's confidence.
func (c *scene) see(r *Read) {
	r.Confidence = absent
	if r.Plate != "" {
		r.Confidence = pick(c.rng, []float64{absent, absent, absent, 0.9, 0.9, 0.8999999, 0.5, 0.3, 0, 1, 0.97, 0.99})
	}
}

// measure gives the read a class, or none.
func (c *scene) measure(r *Read) {
	r.Class = ""
	if c.rng.IntN(3) > 0 {
		r.Class = pick(c.rng, c.classes)
	}
	r.Antenna, r.RSSI, r.Image = 0, 0, ""
	if c.rng.IntN(3) == 0 {
		r.Antenna = 1 + c.rng.IntN(4)
		r.RSSI = -40 - float64(c.rng.IntN(60))/2
	}
	if c.rng.IntN(6) == 0 {
		r.Image = fmt.Sprintf("img/%d.jpg", c.rng.IntN(1000))
	}
}

// number gives the read its unit's next sequence number; now and then an old
// one again, or the largest that there is.
func (c *scene) number(r *Read) {
	r.Boot = pick(c.rng, c.boots)
	at := r.Unit + "/" + r.Boot
	switch c.rng.IntN(25) {
	case 0:
		r.Seq = uint64(c.rng.IntN(int(c.seq[at]) + 1))
	case 1:
		r.Seq = 1<<64 - 1
	default:
		c.seq[at]++
		r.Seq = c.seq[at]
	}
}

// emit writes the read, perhaps repeats an earlier one, perhaps adds a line
// that must be refused.
func (c *scene) emit(r Read) {
	s := c.stream
	s.Lines = append(s.Lines, Line{Text: c.write(r), TimeMicros: r.TimeMicros})
	switch c.rng.IntN(20) {
	case 0:
		s.Cases["repeated"]++
		s.Lines = append(s.Lines, s.Lines[len(s.Lines)-1])
	case 1, 2:
		s.Cases["repeated in other writing"]++
		again := pick(c.rng, c.reads)
		s.Lines = append(s.Lines, Line{Text: c.write(again), TimeMicros: again.TimeMicros})
	case 3:
		// Right at the end of another scene's reads: a read that comes late by
		// days or months, since scenes lie far apart.
		s.Cases["late by days"]++
		i := c.rng.IntN(len(s.Lines))
		last := len(s.Lines) - 1
		s.Lines[i], s.Lines[last] = s.Lines[last], s.Lines[i]
	case 4:
		s.Cases["rejected"]++
		s.Lines = append(s.Lines, Line{Text: c.spoil(r), Rejected: true, TimeMicros: r.TimeMicros})
	case 5:
		s.Cases["blank line"]++
		s.Lines = append(s.Lines, Line{Text: pick(c.rng, []string{"", " ", "\t"})})
	}
}

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

// opposite is the unit of the same lane in the other direction.
func opposite(unit string) string {
	parts := strings.Split(unit, "-")
	if parts[1] == "N" {
		parts[1] = "S"
	} else {
		parts[1] = "N"
	}
	return strings.Join(parts, "-")
}

// otherLane is another unit of the same toll point.
func otherLane(unit string) string {
	lane := unit[len(unit)-1]
	return unit[:len(unit)-1] + string('1'+(lane-'1'+1)%4)
}
