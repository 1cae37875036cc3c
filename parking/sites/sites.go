// Package sites owns the form in which a car park is written down, the site
// file, and the sample sites that come with the program.
//
// Invariants: what Parse accepts is a car park with unique bay ids, bays in
// machines exactly as many as the machine has places for, lanes that belong to
// it, and pools that exist; everything wrong with a file is said at once, each
// fault with its place in the file. A field that is not known is refused, so
// that a misspelt limit cannot be taken for none.
//
// Not promised: that a layout is the real one; each file's "source" says what
// was published and what is assumed.
package sites

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"freeflow/billing"
	"freeflow/parking"
	"freeflow/parking/mechanism"
)

// maxFile bounds a site file, maxBays the bays of a site.
const (
	maxFile = 1 << 20
	maxBays = 20_000
	// mostComeWithin is a day: a bay that is kept longer is a reservation.
	mostComeWithin = 24 * 60
)

// maxFaults bounds the faults told of one file.
const maxFaults = 20

//go:embed *.json
var samples embed.FS

// Samples returns the names of the sample sites.
func Samples() []string {
	entries, err := samples.ReadDir(".")
	if err != nil {
		return nil // the folder is compiled in
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".json"))
	}
	return names
}

// Sample returns the sample site of that name and its file's text.
func Sample(name string) (*parking.CarPark, []byte, error) {
	text, err := samples.ReadFile(name + ".json")
	if err != nil {
		return nil, nil, fmt.Errorf("there is no sample site %q; there are %s", name, strings.Join(Samples(), ", "))
	}
	c, err := Parse(text)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the sample site %s: %w", name, err)
	}
	return c, text, nil
}

// file is a site file: a car park whose bays are given in groups.
type file struct {
	parking.CarPark `json:",inline"`

	TagLimit string  `json:"tag_limit,omitempty"`
	Groups   []group `json:"groups"`
}

// group is a number of bays alike: all of a machine, or Count ordinary ones.
type group struct {
	Machine string `json:"machine,omitempty"`
	// EVTiers are the tiers with chargers, from 1.
	EVTiers []int `json:"ev_tiers,omitempty"`

	// Prefix, First and Digits make the ids of ordinary bays: "2A-", 1 and 3
	// are 2A-001, 2A-002 and so on.
	Prefix string `json:"prefix,omitempty"`
	First  int    `json:"first,omitempty"`
	Digits int    `json:"digits,omitempty"`
	Count  int    `json:"count,omitempty"`
	EV     bool   `json:"ev,omitempty"`

	Level      string         `json:"level"`
	Zone       string         `json:"zone,omitempty"`
	Limits     parking.Limits `json:"limits,omitzero"`
	Classes    []string       `json:"classes"`
	Accessible bool           `json:"accessible,omitempty"`
	Pool       string         `json:"pool,omitempty"`
	WalkMetres int            `json:"walk_metres,omitempty"`
	// WalkStepDecimetres is how much further each bay of the group is than the
	// one before.
	WalkStepDecimetres int `json:"walk_step_decimetres,omitempty"`
	DriveSeconds       int `json:"drive_seconds,omitempty"`
}

// Read reads a site file of bounded length.
func Read(r io.Reader) (*parking.CarPark, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading a site file: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%w: a site file has at most %d bytes", parking.ErrInvalid, maxFile)
	}
	return Parse(text)
}

// Parse reads a site file. Its error is parking.ErrInvalid and names every
// fault, up to a bound, with its place as a JSON pointer.
func Parse(text []byte) (*parking.CarPark, error) {
	var f file
	if err := json.Unmarshal(text, &f, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%w: %w", parking.ErrInvalid, err)
	}
	p := parser{file: &f, bays: map[string]bool{}}
	p.head()
	p.machines()
	for i := range f.Groups {
		p.group(i)
	}
	p.lanes()
	if len(p.faults) > 0 {
		return nil, fmt.Errorf("%w: %w", parking.ErrInvalid, errors.Join(p.faults...))
	}
	c := f.CarPark
	return &c, nil
}

var (
	idForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)
	codeForm = regexp.MustCompile(`^[A-Z][A-Z0-9]{1,15}$`)
)

// parser checks a file and spells its bays out.
type parser struct {
	file   *file
	bays   map[string]bool
	faults []error
}

func (p *parser) wrong(pointer, format string, args ...any) {
	if len(p.faults) < maxFaults {
		p.faults = append(p.faults, fmt.Errorf("%s: %s", pointer, fmt.Sprintf(format, args...)))
	}
}

func (p *parser) head() {
	f := p.file
	if !idForm.MatchString(f.ID) {
		p.wrong("/id", "%q is no id: letters, digits, - and _, at most 64", f.ID)
	}
	if !codeForm.MatchString(f.Code) {
		p.wrong("/code", "%q is no code: 2 to 16 capitals and digits", f.Code)
	}
	if f.Name.En == "" {
		p.wrong("/name/en", "is missing")
	}
	if f.Zone == "" {
		p.wrong("/zone", "is missing; write Asia/Hong_Kong")
	} else if _, err := time.LoadLocation(f.Zone); err != nil {
		p.wrong("/zone", "%q is no time zone: %v", f.Zone, err)
	}
	if f.Source == "" {
		p.wrong("/source", "is missing: say where the layout comes from and what is assumed")
	}
	if f.Tariff == "" {
		p.wrong("/tariff", "is missing")
	}
	if f.PromiseSeconds < 0 {
		p.wrong("/promise_seconds", "is negative")
	}
	if f.ComeWithinMinutes < 0 || f.ComeWithinMinutes > mostComeWithin {
		p.wrong("/come_within_minutes", "is %d; a bay is kept for 1 to %d minutes, or as usual (0)", f.ComeWithinMinutes, mostComeWithin)
	}
	if f.ClockStart != parking.AtEntry && f.ClockStart != parking.AtAcceptance {
		p.wrong("/clock_start", "is %q; write entry or acceptance", f.ClockStart)
	}
	if f.ClockStop != parking.AtExit && f.ClockStop != parking.AtRequest {
		p.wrong("/clock_stop", "is %q; write exit or request", f.ClockStop)
	}
	if len(f.Bays) > 0 {
		p.wrong("/bays", "is not written; bays follow from groups")
	}
	if f.TagLimit != "" {
		cents, err := billing.ParseCents(f.TagLimit)
		if err != nil || cents < 0 {
			p.wrong("/tag_limit", "%q is no amount; write \"200.00\"", f.TagLimit)
		}
		f.TagLimitCents = cents
	}
	pools := map[string]bool{}
	for i, pool := range f.Pools {
		at := fmt.Sprintf("/pools/%d", i)
		if !idForm.MatchString(pool.ID) || pools[pool.ID] {
			p.wrong(at+"/id", "%q is no id, or not unique", pool.ID)
		}
		pools[pool.ID] = true
		if pool.Bookable && (pool.NoShowAfterMinutes <= 0 || pool.HoldSeconds <= 0) {
			p.wrong(at, "a bookable pool needs no_show_after_minutes and hold_seconds")
		}
		if pool.NoShowPermille < 0 || pool.NoShowPermille >= 1000 || pool.OverbookPermille < 0 || pool.OverbookPermille >= 1000 {
			p.wrong(at, "no_show_permille and overbook_permille are 0 to 999")
		}
	}
}

func (p *parser) machines() {
	seen := map[string]bool{}
	for i := range p.file.Machines {
		m := &p.file.Machines[i]
		at := fmt.Sprintf("/machines/%d", i)
		if !idForm.MatchString(m.ID) || seen[m.ID] {
			p.wrong(at+"/id", "%q is no id, or not unique", m.ID)
		}
		seen[m.ID] = true
		m.Depth, m.Lifts = max(m.Depth, 1), max(m.Lifts, 1)
		switch m.Mechanism {
		case parking.Puzzle, parking.Tower, parking.Shuttle:
		default:
			p.wrong(at+"/mechanism", "%q is none of puzzle, tower, shuttle", m.Mechanism)
		}
		if m.Mechanism != parking.Shuttle && (m.Depth > 1 || m.Lifts > 1) {
			p.wrong(at, "depth and lifts above 1 are for shuttles")
		}
		if m.Tiers < 1 || m.Columns < 1 || m.Tiers > 100 || m.Columns > 200 || m.Depth > 20 || m.Lifts > 50 {
			p.wrong(at, "tiers are 1 to 100, columns 1 to 200, depth 1 to 20, lifts 1 to 50")
		}
		if m.Mechanism == parking.Puzzle && m.Tiers > 1 && m.Columns < 2 {
			p.wrong(at+"/columns", "a puzzle rack of several tiers needs an empty column, so at least 2")
		}
		t := m.Timing
		if t.GateSeconds < 0 || t.UserSeconds < 0 || t.TurnSeconds < 0 || t.TransferSeconds < 0 || t.PitchMM <= 0 || t.TierMM <= 0 ||
			t.SlideMMPerMinute <= 0 || t.LiftMMPerMinute <= 0 {
			p.wrong(at+"/timing", "distances and speeds must be above 0, times not below")
		}
	}
}

func (p *parser) group(i int) {
	g := &p.file.Groups[i]
	at := fmt.Sprintf("/groups/%d", i)
	if len(g.Classes) == 0 {
		p.wrong(at+"/classes", "is empty: nothing could park there")
	}
	if l := g.Limits; l.LengthMM < 0 || l.WidthMM < 0 || l.HeightMM < 0 || l.WeightKG < 0 {
		p.wrong(at+"/limits", "a limit is negative")
	}
	if g.WalkMetres < 0 || g.WalkStepDecimetres < 0 || g.DriveSeconds < 0 {
		p.wrong(at, "a way is negative")
	}
	if g.Level == "" {
		p.wrong(at+"/level", "is missing")
	}
	if _, ok := p.file.Pool(g.Pool); g.Pool != "" && !ok {
		p.wrong(at+"/pool", "there is no pool %q", g.Pool)
	}
	bay := parking.Bay{
		Level: g.Level, Zone: g.Zone, Machine: g.Machine, Limits: g.Limits, Classes: g.Classes,
		EV: g.EV, Accessible: g.Accessible, Pool: g.Pool, WalkMetres: g.WalkMetres, DriveSeconds: g.DriveSeconds,
	}
	if g.Machine != "" {
		p.machineGroup(at, g, bay)
		return
	}
	if g.Count < 1 || g.Count > maxBays || len(p.file.Bays)+g.Count > maxBays {
		p.wrong(at+"/count", "is %d; a site has 1 to %d bays", g.Count, maxBays)
		return
	}
	if !idForm.MatchString(g.Prefix + "1") {
		p.wrong(at+"/prefix", "%q cannot begin an id", g.Prefix)
	}
	if g.Digits < 0 || g.Digits > 9 || g.First < 0 {
		p.wrong(at, "digits are 0 to 9, first not below 0")
		return
	}
	if len(g.EVTiers) > 0 {
		p.wrong(at+"/ev_tiers", "is for machines; write \"ev\": true")
	}
	for n := range g.Count {
		bay.ID = fmt.Sprintf("%s%0*d", g.Prefix, g.Digits, max(g.First, 1)+n)
		bay.WalkMetres = g.WalkMetres + n*g.WalkStepDecimetres/10
		p.add(at, bay)
	}
}

// machineGroup adds the bays of a machine.
func (p *parser) machineGroup(at string, g *group, bay parking.Bay) {
	m, ok := p.file.Machine(g.Machine)
	if !ok {
		p.wrong(at+"/machine", "there is no machine %q", g.Machine)
		return
	}
	if g.Count != 0 || g.Prefix != "" || g.First != 0 || g.Digits != 0 || g.EV || g.WalkStepDecimetres != 0 {
		p.wrong(at, "the bays of a machine follow from it; write ev_tiers, not count, prefix or ev")
	}
	for _, tier := range g.EVTiers {
		if tier < 1 || tier > m.Tiers {
			p.wrong(at+"/ev_tiers", "there is no tier %d", tier)
		}
	}
	if slices.ContainsFunc(p.file.Bays, func(b parking.Bay) bool { return b.Machine == m.ID }) {
		p.wrong(at+"/machine", "machine %q has a group already", m.ID)
		return
	}
	if m.Tiers < 1 || m.Columns < 1 || m.Tiers*m.Columns*m.Depth > maxBays {
		return // said already, or too many
	}
	for _, slot := range mechanism.Slots(*m) {
		bay.ID, bay.Slot = mechanism.BayID(*m, slot), slot
		bay.EV = slices.Contains(g.EVTiers, slot.Tier+1)
		p.add(at, bay)
	}
}

func (p *parser) add(at string, bay parking.Bay) {
	if p.bays[bay.ID] {
		p.wrong(at, "bay %s is there already", bay.ID)
		return
	}
	p.bays[bay.ID] = true
	p.file.Bays = append(p.file.Bays, bay)
}

func (p *parser) lanes() {
	if len(p.file.Groups) == 0 {
		p.wrong("/groups", "is empty: the site has no bays")
	}
	for i := range p.file.Machines {
		m := &p.file.Machines[i]
		if !slices.ContainsFunc(p.file.Groups, func(g group) bool { return g.Machine == m.ID }) {
			p.wrong(fmt.Sprintf("/machines/%d", i), "machine %q has no group, so its bays have no level and no classes", m.ID)
		}
	}
	units := map[string]bool{}
	for i, lane := range p.file.Lanes {
		at := fmt.Sprintf("/lanes/%d", i)
		middle := map[parking.Direction]string{parking.In: "IN", parking.Out: "OUT"}[lane.Direction]
		if middle == "" {
			p.wrong(at+"/direction", "is %q; write in or out", lane.Direction)
			continue
		}
		if want := regexp.MustCompile(`^` + regexp.QuoteMeta(p.file.Code+"-"+middle) + `-[1-9][0-9]?$`); !want.MatchString(lane.Unit) {
			p.wrong(at+"/unit", "is %q; write %s-%s-1 and so on", lane.Unit, p.file.Code, middle)
		}
		if units[lane.Unit] {
			p.wrong(at+"/unit", "%s is there already", lane.Unit)
		}
		units[lane.Unit] = true
		if _, ok := p.file.Machine(lane.Machine); lane.Machine != "" && !ok {
			p.wrong(at+"/machine", "there is no machine %q", lane.Machine)
		}
	}
}
