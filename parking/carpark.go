package parking

import "time"

// Text is what people read, in English and Chinese as written in Hong Kong
// (traditional) and on the mainland (simplified).
type Text struct {
	En     string `json:"en"`
	ZhHant string `json:"zh_hant,omitempty"`
	ZhHans string `json:"zh_hans,omitempty"`
}

// CarPark is one site: what a site file says, with its bays spelled out. It is
// never changed once made; safe for concurrent use.
type CarPark struct {
	// ID is the id in the Transport Department's open data where the site has
	// one, for instance "tdc335p1".
	ID string `json:"id"`
	// Code begins the names of the site's lanes at the roadside, like a
	// facility of the toll network: "TKO" in "TKO-IN-1". Capitals and digits.
	Code string `json:"code"`
	Name Text   `json:"name"`
	// Zone is the IANA name of the site's time zone.
	Zone string `json:"zone"`
	// Source says where the layout comes from, and what is assumed.
	Source string `json:"source"`
	// Tariff names the tariff by which stays are priced (parking/tariff).
	Tariff string `json:"tariff"`
	// PromiseSeconds is the site's word on how long a retrieval takes; 0 where
	// drivers fetch their cars themselves.
	PromiseSeconds int `json:"promise_seconds,omitempty"`
	// ComeWithinMinutes is how long a bay is kept for a vehicle that does not
	// come, after the bay is ready for it; 0: UsualComeWithin, and then only
	// where lanes or machines of the site are heard of, which would have told of
	// it. At most 1440.
	ComeWithinMinutes int `json:"come_within_minutes,omitempty"`
	// ClockStart and ClockStop say what of a stay is charged: from the entry
	// lane or from the acceptance into the bay; to the exit lane or to the
	// request for the car. The machine's own time is charged to nobody where
	// they are "acceptance" and "request".
	ClockStart string `json:"clock_start"`
	ClockStop  string `json:"clock_stop"`
	// TagLimitCents bounds what one stay may charge to a toll account without
	// asking; 0 means that toll tags do not pay here.
	TagLimitCents int64 `json:"-"`

	Machines []Machine `json:"machines,omitempty"`
	// Bays are all bays, those of machines too, in the order of the file;
	// ids are unique.
	Bays  []Bay  `json:"bays"`
	Lanes []Lane `json:"lanes"`
	// Pools are the bays set aside for those who hold a right.
	Pools []Pool `json:"pools,omitempty"`
	// Published is what the open-data feed says beside what follows from the
	// rest.
	Published Published `json:"published"`
}

// What a stay's clock starts and stops at.
const (
	AtEntry      = "entry"
	AtAcceptance = "acceptance"
	AtExit       = "exit"
	AtRequest    = "request"
)

// Limits are what a bay or machine can take; 0 means no limit of its own.
type Limits struct {
	LengthMM int `json:"length_mm,omitempty"`
	WidthMM  int `json:"width_mm,omitempty"`
	HeightMM int `json:"height_mm,omitempty"`
	WeightKG int `json:"weight_kg,omitempty"`
}

// Bay is one place for one vehicle. In a machine it is a pallet, known by where
// it was built in; it may stand elsewhere for the moment.
type Bay struct {
	// ID is unique within the car park, for instance "R2-3-1" (rack 2, third
	// tier, first pallet) or "2A-014".
	ID    string `json:"id"`
	Level string `json:"level"`
	// Zone is the part of the level, as signed.
	Zone string `json:"zone,omitempty"`
	// Machine is the id of the machine that serves the bay; empty for a bay
	// that drivers drive into.
	Machine string `json:"machine,omitempty"`
	// Slot is the bay's place in its machine.
	Slot   Slot   `json:"slot,omitzero"`
	Limits Limits `json:"limits,omitzero"`
	// Classes are the vehicle classes admitted, as in the toll table.
	Classes []string `json:"classes"`
	// EV says that the bay has a charger.
	EV bool `json:"ev,omitempty"`
	// Accessible bays are for holders of a disabled person's permit alone.
	Accessible bool `json:"accessible,omitempty"`
	// Pool is the id of the pool whose holders alone may use the bay.
	Pool string `json:"pool,omitempty"`
	// WalkMetres is the driver's way on foot from the bay (from the gate, in a
	// machine) to the site's exit for people.
	WalkMetres int `json:"walk_metres,omitempty"`
	// DriveSeconds is the driver's way from the entry lane to the bay or to
	// the machine's gate.
	DriveSeconds int `json:"drive_seconds,omitempty"`
}

// Slot is a place in a machine; all count from 0. Tier 0 is the gate's level.
type Slot struct {
	Tier   int `json:"tier"`
	Column int `json:"column"`
	// Depth is how many other bays stand before it in its lane.
	Depth int `json:"depth,omitempty"`
}

// Mechanism is a kind of machine.
type Mechanism string

// The kinds of machines.
const (
	// Puzzle is a lift-slide rack: every tier but the top has one empty place,
	// so that L tiers of C columns hold L*C-(L-1) cars.
	Puzzle Mechanism = "puzzle"
	// Tower is a circular shaft: one lift with a turntable, Columns bays around
	// it on each of Tiers levels.
	Tower Mechanism = "tower"
	// Shuttle is a set of lifts and, on each tier, a shuttle along lanes that
	// are Depth bays deep.
	Shuttle Mechanism = "shuttle"
)

// Machine is a rack, tower, or lift-and-shuttle system: one gate through which
// one car moves at a time, unless Lifts says more.
type Machine struct {
	ID        string    `json:"id"`
	Level     string    `json:"level"`
	Mechanism Mechanism `json:"mechanism"`
	Tiers     int       `json:"tiers"`
	Columns   int       `json:"columns"`
	// Depth is how many bays stand behind each other in a lane; 1 but in
	// shuttles.
	Depth int `json:"depth"`
	// Lifts is how many cycles can run at once; 1 but in shuttles.
	Lifts  int    `json:"lifts"`
	Timing Timing `json:"timing"`
}

// Timing is how fast a machine moves.
type Timing struct {
	// GateSeconds pass between the command and the first movement, gate and
	// safety checks included.
	GateSeconds int `json:"gate_seconds"`
	// UserSeconds is what a driver takes at the gate.
	UserSeconds int `json:"user_seconds"`
	// PitchMM and TierMM are the distances between columns and between tiers.
	PitchMM int `json:"pitch_mm"`
	TierMM  int `json:"tier_mm"`
	// SlideMMPerMinute and LiftMMPerMinute are the speeds along them.
	SlideMMPerMinute int `json:"slide_mm_per_minute"`
	LiftMMPerMinute  int `json:"lift_mm_per_minute"`
	// TurnSeconds is a full turn of a tower's turntable.
	TurnSeconds int `json:"turn_seconds,omitempty"`
	// TransferSeconds is handing a car between lift, shuttle and bay.
	TransferSeconds int `json:"transfer_seconds,omitempty"`
}

// Direction of a lane.
type Direction string

// The directions of lanes.
const (
	In  Direction = "in"
	Out Direction = "out"
)

// Lane is an entry or exit, with a tag and plate reader.
type Lane struct {
	// Unit is the roadside unit's name, Code-IN-n or Code-OUT-n.
	Unit      string    `json:"unit"`
	Direction Direction `json:"direction"`
	// Machine is set where the lane is a machine's own gate.
	Machine string `json:"machine,omitempty"`
}

// Pool is a number of bays set aside for reservations or pass holders: a right
// to one of them, bound to a bay on arrival.
type Pool struct {
	ID   string `json:"id"`
	Name Text   `json:"name"`
	// Bookable says that motorists can reserve; otherwise the pool is for
	// holders of passes.
	Bookable bool `json:"bookable,omitempty"`
	// NoShowAfterMinutes after a reservation's start it lapses.
	NoShowAfterMinutes int `json:"no_show_after_minutes,omitempty"`
	// HoldSeconds is how long an unconfirmed reservation keeps its place.
	HoldSeconds int `json:"hold_seconds,omitempty"`
	// NoShowPermille is the share of reservations, in thousandths, that are
	// known not to arrive; OverbookPermille the accepted chance, in
	// thousandths, that more arrive than the pool has bays. 0: never overbook.
	NoShowPermille   int `json:"no_show_permille,omitempty"`
	OverbookPermille int `json:"overbook_permille,omitempty"`
}

// Published is the part of the Transport Department's carpark-info-vacancy
// (One-stop Parking Vacancy, specification 1.2) that follows from nothing else.
type Published struct {
	Address  Text `json:"address"`
	District Text `json:"district"`
	// Parts are the address in its parts, where they are known.
	Parts     AddressParts `json:"parts,omitzero"`
	Latitude  float64      `json:"latitude"`
	Longitude float64      `json:"longitude"`
	// Nature is "government" or "commercial".
	Nature string `json:"nature,omitempty"`
	// Kind is "multi-storey", "off-street" or "metered".
	Kind    string `json:"kind,omitempty"`
	Contact string `json:"contact,omitempty"`
	Website Text   `json:"website,omitzero"`
	// Photo is the address of a picture of the entrance.
	Photo      string   `json:"photo,omitempty"`
	Remark     Text     `json:"remark,omitzero"`
	Facilities []string `json:"facilities,omitempty"`
	Payments   []string `json:"payments,omitempty"`
	// Opening are the hours; none means always open.
	Opening []OpeningHours `json:"opening,omitempty"`
	Created string         `json:"created,omitempty"`
	Changed string         `json:"changed,omitempty"`
}

// AddressParts are an address in its parts. Without SubDistrict and Region it
// counts as not given.
type AddressParts struct {
	Building    Text `json:"building,omitzero"`
	Street      Text `json:"street,omitzero"`
	BuildingNo  Text `json:"building_no,omitzero"`
	SubDistrict Text `json:"sub_district,omitzero"`
	Region      Text `json:"region,omitzero"`
}

// OpeningHours are one period of the day on some days of the week.
type OpeningHours struct {
	// Weekdays are MON to SUN, and PH for public holidays.
	Weekdays             []string `json:"weekdays"`
	ExcludePublicHoliday bool     `json:"exclude_public_holiday,omitempty"`
	From                 string   `json:"from"`
	To                   string   `json:"to"`
}

// Bay returns the bay of that id.
func (c *CarPark) Bay(id string) (*Bay, bool) {
	for i := range c.Bays {
		if c.Bays[i].ID == id {
			return &c.Bays[i], true
		}
	}
	return nil, false
}

// Machine returns the machine of that id.
func (c *CarPark) Machine(id string) (*Machine, bool) {
	for i := range c.Machines {
		if c.Machines[i].ID == id {
			return &c.Machines[i], true
		}
	}
	return nil, false
}

// Pool returns the pool of that id.
func (c *CarPark) Pool(id string) (*Pool, bool) {
	for i := range c.Pools {
		if c.Pools[i].ID == id {
			return &c.Pools[i], true
		}
	}
	return nil, false
}

// Promise is the site's promised retrieval time.
func (c *CarPark) Promise() time.Duration { return time.Duration(c.PromiseSeconds) * time.Second }

// UsualComeWithin is how long a bay is kept where the site does not say.
const UsualComeWithin = 15 * time.Minute

// ComeWithin is how long a bay is kept for a vehicle that does not come.
func (c *CarPark) ComeWithin() time.Duration {
	if c.ComeWithinMinutes <= 0 {
		return UsualComeWithin
	}
	return time.Duration(c.ComeWithinMinutes) * time.Minute
}
