package trial

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"time"

	"freeflow/parking/city"
)

//go:embed sites/kwun_tong.csv
var kwunTongCSV string

// The grid's origin in degrees × 10⁷, the middle of the sites.
const originLat, originLon = 223_171_000, 1_142_275_000

// The kinds of bays of the trial.
var (
	plain      = city.Kind{Class: "car"}
	charger    = city.Kind{Class: "car", EV: true}
	accessible = city.Kind{Class: "car", Accessible: true}
)

// outside is the cost of a driver who found no space.
const outside = city.OutsideCost

// site is a car park of the trial.
type site struct {
	id, name  string
	position  city.Point
	heightMM  int
	bays      map[city.Kind]int
	tariff    steps
	published bool
}

func (s site) total() int {
	n := 0
	for _, bays := range s.bays {
		n += bays
	}
	return n
}

// steps is a price by begun units of time: the first few at one price each, the
// others at another.
type steps struct {
	unit              time.Duration
	first             int64
	firstCents, cents int64
}

// PriceFor returns the cents for all begun units of the stay.
func (s steps) PriceFor(stay city.Stay) (int64, error) {
	units := int64((stay.Length + s.unit - 1) / s.unit)
	first := min(units, s.first)
	return first*s.firstCents + (units-first)*s.cents, nil
}

// town is the city of the trial.
type town struct {
	sites []site
	index map[string]int
	walk  city.Walker
}

func (t *town) bays() int {
	n := 0
	for _, s := range t.sites {
		n += s.total()
	}
	return n
}

// carParks is the town as a batch sees it, with the given free bays.
func (t *town) carParks(free func(site int, kind city.Kind) int) []city.CarPark {
	parks := make([]city.CarPark, len(t.sites))
	for i, s := range t.sites {
		parks[i] = city.CarPark{ID: s.id, Position: s.position, Free: make(map[city.Kind]int, len(s.bays)), MaxHeightMM: s.heightMM, Tariff: s.tariff}
		for kind := range s.bays {
			parks[i].Free[kind] = free(i, kind)
		}
	}
	return parks
}

func kwunTong() (*town, error) {
	t, err := readTown(kwunTongCSV)
	if err != nil {
		return nil, fmt.Errorf("reading the car parks of Kwun Tong: %w", err)
	}
	return t, nil
}

// readTown reads the columns that sites/SOURCE.md describes.
func readTown(text string) (*town, error) {
	grid, err := city.NewGrid(originLat, originLon)
	if err != nil {
		return nil, err
	}
	lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		return nil, err
	}
	t := &town{index: map[string]int{}, walk: city.Straight{DetourPerMille: detourPerMille}}
	for n, fields := range lines {
		if n == 0 {
			continue
		}
		s, err := readSite(grid, fields)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		if _, twice := t.index[s.id]; twice {
			return nil, fmt.Errorf("line %d: %q is listed twice", n+1, s.id)
		}
		t.index[s.id] = len(t.sites)
		t.sites = append(t.sites, s)
	}
	return t, nil
}

func readSite(grid city.Grid, fields []string) (site, error) {
	if len(fields) != 14 {
		return site{}, fmt.Errorf("%d columns, want 14", len(fields))
	}
	var numbers [10]int64
	for i := range numbers {
		n, err := strconv.ParseInt(fields[3+i], 10, 64)
		if err != nil || n < 0 {
			return site{}, fmt.Errorf("column %d: %q is not a whole number of 0 or more", 4+i, fields[3+i])
		}
		numbers[i] = n
	}
	position, err := grid.Point(numbers[0], numbers[1])
	if err != nil {
		return site{}, err
	}
	if numbers[6] == 0 {
		return site{}, fmt.Errorf("the unit of the price is 0 minutes")
	}
	s := site{id: fields[0], name: fields[1], position: position, heightMM: int(numbers[2]), bays: map[city.Kind]int{},
		tariff:    steps{unit: time.Duration(numbers[6]) * time.Minute, first: numbers[7], firstCents: numbers[8], cents: numbers[9]},
		published: fields[13] == "published"}
	for i, kind := range []city.Kind{plain, charger, accessible} {
		if numbers[3+i] > 0 {
			s.bays[kind] = int(numbers[3+i])
		}
	}
	return s, nil
}
