// Package oracle says what a set of reads must come to: the passes and charges
// of section 4 of the contract, rule by rule, each interpretation written
// beside the code that follows it.
//
// It is the judge in tests and load runs, so it is written apart from the
// product: it imports nothing of freeflow, has its own types, its own parsers
// and its own copy of the tolls, and prefers the obvious to the quick. It holds
// all reads in memory and looks at every pair of passes of a vehicle.
//
// Invariants: the result depends on the set of reads only, not on their order
// or on repetitions; nothing is remembered between calls.
//
// Not promised: speed beyond some hundred thousand reads, and any opinion on
// malformed input; reads are taken as accepted (section 3), rows of the
// registry as consistent (section 5).
package oracle

import (
	"fmt"
	"strings"
	"time"
)

// Number is a number that may be absent.
type Number struct {
	Value   float64
	Present bool
}

// Read is one accepted read in its normal form: plate compared form, tag in
// upper case, the time in whole microseconds since the Unix epoch. Empty means
// absent. Two reads are the same read if the two values are equal.
type Read struct {
	Unit, Boot string
	Seq        uint64
	TimeMicros int64
	Tag, Plate string
	Confidence Number
	Class      string
	Antenna    Number
	RSSI       Number
	Image      string
}

// Assignment is one row of the registry, in force over [FromMicros, ToMicros),
// microseconds since the Unix epoch; ToMicros 0 means without end.
type Assignment struct {
	Account, Plate, Class, Tag string
	FromMicros, ToMicros       int64
	Exempt                     bool
}

func (a Assignment) inForce(at int64) bool {
	return a.FromMicros <= at && (a.ToMicros == 0 || at < a.ToMicros)
}

// TollPoint is one direction of one facility.
type TollPoint struct{ Name, Facility, Direction string }

// Network is what the rules need to know of the road.
type Network struct {
	TollPoints []TollPoint
	// GapMicros is rule 2's gap, TurnRoundMicros rule 6's bound.
	GapMicros, TurnRoundMicros int64
	Currency                   string
	// Zone is where pass times are read.
	Zone *time.Location
	// Toll gives what a class owes at a facility in the minute that begins at
	// the instant given (in Zone), in hundredths; ok is false if the network
	// has no tariff for it.
	Toll func(facility, class string, minute time.Time) (cents int64, ok bool)
}

// The statuses of rule 8.
const (
	Review  = "review"
	Exempt  = "exempt"
	Charged = "charged"
	Unpaid  = "unpaid"
)

// Reasons why a pass is under review. They are the oracle's own words; the
// contract does not name them.
const (
	ReasonConflict   = "conflict"
	ReasonNoClass    = "no_class"
	ReasonNoTariff   = "no_tariff"
	ReasonWeakPlate  = "weak_plate"
	ReasonTurnRound  = "turn_round"
	ReasonSeenBefore = "same_car_twice"
)

// Row is one pass as it must stand at the end.
type Row struct {
	// FirstMicros and LastMicros are the earliest and the latest read.
	FirstMicros, LastMicros int64
	TollPoint               string
	Vehicle                 string
	// Registered tells a class tag's vehicle from an unassigned tag's, which
	// has the same name.
	Registered bool
	Account    string
	Class      string
	// Cents is what is owed; 0 when exempt and under review.
	Cents    int64
	Currency string
	Status   string
	// Reasons are in the order of the constants above; empty unless under
	// review.
	Reasons []string
	// Reads is the number of different reads in the pass.
	Reads int
}

// Summary is the sum over rows.
type Summary struct {
	Passes, Charged, Exempt, Unpaid, Review int
	ChargedCents, UnpaidCents               int64
}

// Result is what the reads come to.
type Result struct {
	// Rows are sorted by pass time, toll point and vehicle.
	Rows    []Row
	Summary Summary
	// Cases counts how often each situation of interest occurred; see cases.go.
	Cases map[string]int
}

// Judge knows one registry and one network and answers for any set of reads.
// It is not changed by use and safe for concurrent use.
type Judge struct {
	net      Network
	points   map[string]TollPoint
	registry registry
}

// New returns a judge.
func New(net Network, rows []Assignment) *Judge {
	j := &Judge{net: net, points: map[string]TollPoint{}, registry: newRegistry(rows)}
	for _, p := range net.TollPoints {
		j.points[p.Name] = p
	}
	return j
}

// Compute applies the ten rules. An error means that a read is not one that
// the gateway could have accepted.
func (j *Judge) Compute(reads []Read) (Result, error) {
	passes, err := j.passes(reads)
	if err != nil {
		return Result{}, err
	}
	j.judge(passes)
	rows := rowsOf(passes)
	return Result{Rows: rows, Summary: Summarize(rows), Cases: j.cases(reads, passes)}, nil
}

// Rows is Compute without the counting of cases, which compares every pass
// with every other.
func (j *Judge) Rows(reads []Read) ([]Row, error) {
	passes, err := j.passes(reads)
	if err != nil {
		return nil, err
	}
	j.judge(passes)
	return rowsOf(passes), nil
}

// rowsOf gives the passes' rows by pass time, toll point and vehicle, which is
// the order that passes come in.
func rowsOf(passes []*pass) []Row {
	rows := make([]Row, len(passes))
	for i, p := range passes {
		rows[i] = p.row
	}
	return rows
}

// Summarize adds up rows.
func Summarize(rows []Row) Summary {
	var s Summary
	for _, r := range rows {
		s.Passes++
		switch r.Status {
		case Charged:
			s.Charged++
			s.ChargedCents += r.Cents
		case Unpaid:
			s.Unpaid++
			s.UnpaidCents += r.Cents
		case Exempt:
			s.Exempt++
		case Review:
			s.Review++
		}
	}
	return s
}

// tollPoint returns where the unit stands: a unit is named after its toll
// point with a lane after the last hyphen.
func (j *Judge) tollPoint(unit string) (TollPoint, error) {
	if i := strings.LastIndexByte(unit, '-'); i > 0 {
		if p, ok := j.points[unit[:i]]; ok {
			return p, nil
		}
	}
	return TollPoint{}, fmt.Errorf("unit %q stands at no toll point of the network", unit)
}
