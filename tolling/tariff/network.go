package tariff

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the zone must be known on machines without zone files

	"freeflow/tolling"
)

//go:embed networks/hongkong networks/taiwan
var embedded embed.FS

// Names returns the names of the embedded networks, sorted.
func Names() []string { return []string{"hongkong", "taiwan"} }

// Open returns the embedded network of that name, else the network in the
// folder of that path (write "./hongkong" for a folder that bears an embedded
// name). Errors: *UnknownNetworkError; *BadNetworkError with every mistake in
// the files; else what reading the folder gave.
func Open(nameOrDir string) (*Network, error) {
	files, err := openFiles(nameOrDir)
	if err != nil {
		return nil, err
	}
	return Load(nameOrDir, files)
}

// openFiles finds where a network's files are.
func openFiles(nameOrDir string) (fs.FS, error) {
	if slices.Contains(Names(), nameOrDir) {
		files, err := fs.Sub(embedded, path.Join("networks", nameOrDir))
		if err != nil {
			return nil, fmt.Errorf("opening network %s: %w", nameOrDir, err)
		}
		return files, nil
	}
	info, err := os.Stat(nameOrDir)
	switch {
	case nameOrDir == "" || errors.Is(err, fs.ErrNotExist):
		return nil, &UnknownNetworkError{Name: nameOrDir, Known: Names()}
	case err != nil:
		return nil, fmt.Errorf("opening network: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("opening network: %s is not a folder; give the folder that holds the CSV files", nameOrDir)
	}
	return os.DirFS(nameOrDir), nil
}

// Label is what people call something.
type Label struct {
	En string `json:"en"`
	Zh string `json:"zh"`
}

// Facility is a tunnel, a road or a gantry at which tolls are due.
type Facility struct {
	Code  string
	Names Label
	// Located says whether Lat and Lon (degrees, WGS 84) are known.
	Located  bool
	Lat, Lon float64
}

// Version is one edition of the tolls.
type Version struct {
	Name string
	// Begins is the instant from which it holds, in the network's zone.
	Begins time.Time
	// Source says where its figures come from.
	Source string
}

// Holiday is one general holiday.
type Holiday struct {
	// Date is the local date, as 2006-01-02.
	Date   string
	Name   string
	Source string
}

// Network is a loaded network. It never changes and is safe for concurrent
// use. Slices it returns are the caller's own.
type Network struct {
	settings   settings
	holidays   []Holiday
	calendar   calendar
	classes    []class
	classIndex map[string]int
	facilities []Facility
	points     []point
	pointIndex map[string]int
	units      map[string]int // unit to its toll point's place in points
	versions   []Version
	// plans holds every pair of a facility or toll point and a class of the
	// network, also those without any toll. Places that follow the same rows
	// share one slice.
	plans map[pair][]plan
	rows  int
}

type settings struct {
	name, title, currency, attribution, notes string
	zone                                      *time.Location
	gapSeconds, turnRoundSeconds              int64
	earliestMicros                            int64
	lanes                                     int
	holidaysFrom, holidaysUntil               string // dates; both empty: not needed
}

type class struct {
	name  string
	label Label
}

type point struct {
	tolling.TollPoint
	label Label
}

// pair is a place, that is a facility's code or a toll point's name (none is
// both), and a class.
type pair struct{ place, class string }

// Name returns the network's own name, for instance "hongkong".
func (n *Network) Name() string { return n.settings.name }

// Title returns one line that says what the network is.
func (n *Network) Title() string { return n.settings.title }

// Attribution returns whom the data's licence wants named; empty if nobody.
func (n *Network) Attribution() string { return n.settings.attribution }

// Notes returns what a reader of the data must know; may be empty.
func (n *Network) Notes() string { return n.settings.notes }

// Currency returns the ISO 4217 code of the tolls.
func (n *Network) Currency() string { return n.settings.currency }

// Zone returns the zone in which tolls are read.
func (n *Network) Zone() *time.Location { return n.settings.zone }

// GapMicros returns how far apart, in microseconds, two reads of one pass may
// be at most.
func (n *Network) GapMicros() int64 { return n.settings.gapSeconds * 1_000_000 }

// TurnRoundMicros returns the microseconds under which a pass in the opposite
// direction goes to review.
func (n *Network) TurnRoundMicros() int64 { return n.settings.turnRoundSeconds * 1_000_000 }

// Classes returns the vehicle classes, in the files' order.
func (n *Network) Classes() []string {
	names := make([]string, len(n.classes))
	for i, c := range n.classes {
		names[i] = c.name
	}
	return names
}

// usualEarliest is 2020-01-01T00:00:00Z: reads before it come from units whose
// clock is not set.
const usualEarliest = 1_577_836_800_000_000

// EarliestMicros returns the first read time that the network takes,
// microseconds since the Unix epoch: earliest_read, else the start of 2020.
func (n *Network) EarliestMicros() int64 { return n.settings.earliestMicros }

// KnowsClass reports whether the network has the vehicle class.
func (n *Network) KnowsClass(class string) bool {
	_, ok := n.classIndex[class]
	return ok
}

// ClassLabel returns what people call the class; ok is false for an unknown
// one.
func (n *Network) ClassLabel(class string) (label Label, ok bool) {
	i, ok := n.classIndex[class]
	if !ok {
		return Label{}, false
	}
	return n.classes[i].label, true
}

// Facilities returns the facilities, in the files' order.
func (n *Network) Facilities() []Facility { return append([]Facility(nil), n.facilities...) }

// Points returns the toll points, sorted by name.
func (n *Network) Points() []tolling.TollPoint {
	points := make([]tolling.TollPoint, len(n.points))
	for i, p := range n.points {
		points[i] = p.TollPoint
	}
	return points
}

// Point returns the toll point of that name; ok is false if there is none.
func (n *Network) Point(name string) (tollPoint tolling.TollPoint, ok bool) {
	i, ok := n.pointIndex[name]
	if !ok {
		return tolling.TollPoint{}, false
	}
	return n.points[i].TollPoint, true
}

// PointLabel returns what people call the toll point, direction included; ok
// is false for an unknown one.
func (n *Network) PointLabel(name string) (label Label, ok bool) {
	i, ok := n.pointIndex[name]
	if !ok {
		return Label{}, false
	}
	return n.points[i].label, true
}

// Units returns the roadside units, `<toll point>-<lane>`, by toll point and
// lane.
func (n *Network) Units() []string {
	units := make([]string, 0, len(n.units))
	for _, p := range n.points {
		for lane := 1; lane <= n.settings.lanes; lane++ {
			units = append(units, unitName(p.Name, lane))
		}
	}
	return units
}

// TollPoint returns the toll point at which the unit stands, and its
// facility; ok is false for an unknown unit.
func (n *Network) TollPoint(unit string) (tollPoint, facility string, ok bool) {
	i, ok := n.units[unit]
	if !ok {
		return "", "", false
	}
	return n.points[i].Name, n.points[i].Facility, true
}

// Versions returns the tariff versions, earliest first.
func (n *Network) Versions() []Version { return append([]Version(nil), n.versions...) }

// Holidays returns the general holidays, earliest first.
func (n *Network) Holidays() []Holiday { return append([]Holiday(nil), n.holidays...) }

// HolidaysKnown returns the first and the last local date (2006-01-02) on
// which the network knows whether it is a holiday; both are empty if its tolls
// do not depend on it.
func (n *Network) HolidaysKnown() (from, until string) {
	return n.settings.holidaysFrom, n.settings.holidaysUntil
}

// TollRows returns the number of rows in the network's toll table.
func (n *Network) TollRows() int { return n.rows }

// WithoutTolls returns the facilities that have no toll for any class at any
// time, and of the other facilities the toll points that have none; sorted.
func (n *Network) WithoutTolls() []string {
	tolled := func(place string) bool {
		return slices.ContainsFunc(n.classes, func(c class) bool { return len(n.plans[pair{place, c.name}]) > 0 })
	}
	var without []string
	for _, f := range n.facilities {
		if !tolled(f.Code) {
			without = append(without, f.Code)
		}
	}
	for _, p := range n.points {
		if tolled(p.Facility) && !tolled(p.Name) {
			without = append(without, p.Name)
		}
	}
	slices.Sort(without)
	return without
}

func unitName(tollPoint string, lane int) string { return tollPoint + "-" + strconv.Itoa(lane) }

// Holiday reports whether the local date, as 2006-01-02, is a general holiday
// of the network, and whether the network knows the holidays of that day at
// all. A Sunday alone is none.
func (n *Network) Holiday(date string) (holiday, known bool) {
	day, err := parseDate(date)
	if err != nil || !n.calendar.needed || day < n.calendar.first || day > n.calendar.last {
		return false, false
	}
	_, holiday = slices.BinarySearchFunc(n.holidays, date, func(h Holiday, date string) int { return strings.Compare(h.Date, date) })
	return holiday, true
}
