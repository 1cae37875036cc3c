// Package tariff owns what parking costs: tariffs as data, the pricing of one
// stay with a receipt that explains every cent, quotes, permits, the checks
// that an operator sees before a tariff is saved, and the comparison of two
// tariffs over past stays.
//
// A Tariff is one version, for all vehicle classes of a car park; a Book holds
// all versions of one car park and rates. What the Transport Department of
// Hong Kong publishes (One-stop Parking Vacancy specification v1.2) can be
// turned into a Tariff and back without loss (FromPublished, Published).
//
// Rules of time. All intervals are half open, [start, end), in whole seconds;
// instants are cut to the second. Minutes, weekdays and holidays are those of
// the tariff's zone; durations are elapsed seconds, so that the hour which a
// clock change repeats is charged twice and the one it skips is not charged.
// What is charged is the stay without its pauses (Stay.Paused, the machine's
// waiting time, the gap of a re-entry): units, free minutes and thresholds
// count charged seconds, bands and days are those of the wall clock at which
// they fall.
//
// Order of a price: covered time (permit, bought passes) is taken out; free
// minutes; units by band, threshold and straddle option; caps, inner first;
// passes by the tariff's mode; overnight fees; discounts in their stated
// order; EV fees, reservation fees; then what was paid is set off. The total
// is the sum of the lines.
//
// Invariants: money is whole cents and no division is without a stated
// rounding; rating is pure and deterministic, and the order in which rules
// stand in a file never changes a price; a Book never changes and is safe for
// concurrent use if its Calendar is. What is not known (a year without
// published holidays, a minute without a price, a class without rules) is an
// error, never a guess.
//
// It does not know accounts, does not take money, reads no clock, and does
// not tell whether an operator's figures are lawful.
package tariff

import "time"

// Tariff is one version of one car park's tariff. Parse makes one from JSON;
// whoever fills one by hand gets its mistakes from New or Check.
type Tariff struct {
	// ID names the tariff, the same in all its versions.
	ID string `json:"id"`
	// Version names this edition; no two of a Book's may be equal.
	Version string `json:"version"`
	// EffectiveFrom is when this version begins; it ends where the next begins.
	EffectiveFrom time.Time `json:"effective_from"`
	// Zone is an IANA name such as Asia/Hong_Kong.
	Zone string `json:"zone"`
	// Currency is three capitals, such as HKD; it must have hundredths.
	Currency string `json:"currency"`
	Title    Words  `json:"title,omitzero"`
	// Source says who published the figures, and when.
	Source  string  `json:"source,omitempty"`
	Remark  Words   `json:"remark,omitzero"`
	Options Options `json:"options"`
	// Events are dates on which bands of an event hold.
	Events []Event `json:"events,omitempty"`
	// Classes are the rules by vehicle class (private_car, motorcycle, ...).
	Classes map[string]*Rules `json:"classes"`
}

// Options are the decisions that a table of prices leaves open. Each must be
// stated: what is not written is refused, so that no price rests on a habit
// of this program.
type Options struct {
	// UnitStart: "entry" counts units from the first charged second, "clock"
	// from whole multiples of the unit since local midnight.
	UnitStart string `json:"unit_start"`
	// Straddle prices a unit that reaches into another band: "start" by the
	// band at its start; "split" each part pro rata by its band; "dearer" by
	// the dearer of the bands that the stay reached within it; "cut" ends it
	// at the band's end, where a new unit begins.
	Straddle string `json:"straddle"`
	// Midnight: a band past midnight belongs with "start_day" to the day on
	// which it began; with "split" what lies after 00:00 needs the new day.
	Midnight string `json:"midnight"`
	// ThresholdCounts says which charged time counts towards thresholds: of
	// the whole "stay", or of the same "band" only.
	ThresholdCounts string `json:"threshold_counts"`
	// ThresholdReset says when that count begins anew: "never", when the
	// "band" changes, when the local "day" changes, or "band_or_day".
	ThresholdReset string `json:"threshold_reset"`
	// OnChange: a later version that begins during the stay is left alone
	// ("entry"), or prices what lies after its beginning ("split"; a unit
	// begun before is finished at its old price).
	OnChange string `json:"on_change"`
	// Passes: day, night and N-hour parks count only if "bought"; or the
	// cheapest combination with hourly charges is found ("best_price"); or a
	// stay wholly within one pays its price ("automatic").
	Passes string `json:"passes"`
	// Rounding of every division to the cent: "half_up", "up" or "down".
	Rounding string `json:"rounding"`
	// MachineStarts: in a mechanical car park the clock starts at "entry" or
	// at the car's "acceptance" into the machine.
	MachineStarts string `json:"machine_starts"`
	// MachineStops: the clock stops at the "exit", at the retrieval "request",
	// or at the time that was promised for the car ("promise").
	MachineStops string `json:"machine_stops"`
	// CollectMinutes is how long after the car was ready a stopped clock
	// stands still before it runs on.
	CollectMinutes int `json:"collect_minutes,omitzero"`
	// ReentryMinutes is how soon after an exit an entry continues the earlier
	// stay; 0 is never.
	ReentryMinutes int `json:"reentry_minutes,omitzero"`
	// ReentryGap: the time away is "charged" or "not_charged".
	ReentryGap string `json:"reentry_gap"`
	// PaymentGraceMinutes is how long after a payment one may take to leave.
	PaymentGraceMinutes int `json:"payment_grace_minutes,omitzero"`
	// QuoteMinutes is how long a quote can be accepted.
	QuoteMinutes int `json:"quote_minutes,omitzero"`
}

// Event is a set of dates with a price of their own.
type Event struct {
	ID    string `json:"id"`
	Dates []Date `json:"dates"`
	Title Words  `json:"title,omitzero"`
}

// Rules are what one vehicle class pays.
type Rules struct {
	// FreeMinutes cost nothing; a stay of exactly that length is free.
	FreeMinutes int `json:"free_minutes,omitzero"`
	// FreeFromStart must be stated if FreeMinutes is: true takes the free
	// minutes off the start, so that a longer stay is charged from their end;
	// false charges a longer stay from its entry.
	FreeFromStart *bool `json:"free_from_start,omitempty"`
	// GracePeriods let whoever leaves again within them go free; a longer stay
	// is charged from its entry. A stay that several hold for has the longest.
	GracePeriods []GracePeriod `json:"grace_periods,omitempty"`
	Bands        []Band        `json:"bands,omitempty"`
	Caps         []Cap         `json:"caps,omitempty"`
	Passes       []Pass        `json:"passes,omitempty"`
	// PassMode is Options.Passes for this class alone, where it is stated: a
	// class that has passes and no other prices pays by "best_price".
	PassMode    string      `json:"pass_mode,omitempty"`
	Monthly     []Monthly   `json:"monthly,omitempty"`
	Unloadings  []Unloading `json:"unloadings,omitempty"`
	Privileges  []Privilege `json:"privileges,omitempty"`
	Overnight   []Overnight `json:"overnight,omitempty"`
	Discounts   []Discount  `json:"discounts,omitempty"`
	EV          *EV         `json:"ev,omitempty"`
	LostTicket  *Fee        `json:"lost_ticket,omitempty"`
	Reservation *Fee        `json:"reservation,omitempty"`
	NoShow      *Fee        `json:"no_show,omitempty"`
}

// When says on which days and from when to when something holds. A day
// matches if its weekday is listed (and it is no public holiday, where those
// are excluded), or if it is a public holiday and PH is listed, or the day
// before one and PH_EVE is. From equal to To is the whole day from From on; To
// before From runs into the next day.
type When struct {
	Days                 []Day     `json:"days,omitempty"`
	ExcludePublicHoliday bool      `json:"exclude_public_holiday,omitzero"`
	From                 TimeOfDay `json:"from"`
	To                   TimeOfDay `json:"to"`
}

// Band is a price by time. Where several bands hold, that of the highest
// Priority counts; among equals the one that names the day most closely: an
// event, then PH, then PH_EVE, then a weekday. Two that are still equal are
// refused.
type Band struct {
	ID string `json:"id"`
	When
	// UnitMinutes is the length of a unit; a part counts as a whole one.
	UnitMinutes int `json:"unit_minutes,omitzero"`
	// StepMinutes, if not 0, charges Price pro rata in steps of that many
	// minutes, of which a part counts as a whole one.
	StepMinutes int `json:"step_minutes,omitzero"`
	// PerEntry charges Price once a stay, for all the time in the band.
	PerEntry bool  `json:"per_entry,omitzero"`
	Price    Cents `json:"price"`
	// Thresholds are other prices while less than so many minutes have been
	// charged; ascending.
	Thresholds []Threshold `json:"thresholds,omitempty"`
	Priority   int         `json:"priority,omitzero"`
	// Event names the event on whose dates alone the band holds.
	Event string `json:"event,omitempty"`
	// Covered is covered, semi-covered, open-air or mixed; for publication.
	Covered string `json:"covered,omitempty"`
	Remark  Words  `json:"remark,omitzero"`
}

// Threshold is the price of a unit that begins before UntilMinutes have been
// counted.
type Threshold struct {
	UntilMinutes int   `json:"until_minutes"`
	Price        Cents `json:"price"`
}

// Cap bounds what units cost within a window. Caps of named bands come before
// caps of all, shorter windows before longer ones; each sees what the one
// before has left. A unit belongs to the window in which it begins.
type Cap struct {
	ID     string `json:"id"`
	Amount Cents  `json:"amount"`
	// Per is "occurrence" (each stretch of each band), "calendar_day",
	// "24h_from_entry", "reset_time" (24 h from ResetTime on) or "stay".
	Per       string     `json:"per"`
	ResetTime *TimeOfDay `json:"reset_time,omitempty"`
	// Bands are the bands' ids; none means all.
	Bands []string `json:"bands,omitempty"`
}

// Pass is a flat price for a stretch of time: the Transport Department's
// dayNightParks. It can begin within From to To on a day that matches.
// Without ValidUntilEnd: a day or night park ends with its period, or at To on
// the day that ValidUntil names; an N-hours park ends after its hours, at the
// latest at 24:00 of that day, if ValidUntil names one.
type Pass struct {
	ID string `json:"id"`
	// Type is day-park, night-park, 6-hours-park, 12-hours-park or
	// 24-hours-park.
	Type string `json:"type"`
	When
	// ValidUntil is no-restrictions, same-day or following-day.
	ValidUntil    string     `json:"valid_until"`
	ValidUntilEnd *TimeOfDay `json:"valid_until_end,omitempty"`
	// LeaveFrom, of automatic passes: leaving earlier does not qualify.
	LeaveFrom *TimeOfDay `json:"leave_from,omitempty"`
	Price     Cents      `json:"price"`
	Covered   string     `json:"covered,omitempty"`
	Remark    Words      `json:"remark,omitzero"`
}

// Monthly is a permit for months. Within its Ranges, or always if it has
// none, its holder's stays cost nothing more.
type Monthly struct {
	ID string `json:"id"`
	// Type is monthly-, bimonthly-, quarterly- or yearly-, followed by park,
	// day-park or night-park.
	Type   string `json:"type"`
	Price  Cents  `json:"price"`
	Ranges []When `json:"ranges,omitempty"`
	// Most is how many can be held at one instant; 0 is no bound. It bounds what
	// is sold, and no price.
	Most int `json:"most,omitzero"`
	// Reserved is reserved or non-reserved.
	Reserved string `json:"reserved,omitempty"`
	Covered  string `json:"covered,omitempty"`
	Remark   Words  `json:"remark,omitzero"`
}

// Unloading is the price of a stay with the flag "unloading", at all times.
type Unloading struct {
	ID          string      `json:"id"`
	UnitMinutes int         `json:"unit_minutes"`
	Price       Cents       `json:"price"`
	Thresholds  []Threshold `json:"thresholds,omitempty"`
	Remark      Words       `json:"remark,omitzero"`
}

// Privilege is an advantage in words; it is published, never rated.
type Privilege struct {
	When
	Description Words `json:"description"`
}

// GracePeriod lets a short stay go free. One with a remark holds under a
// condition in words, and is rated only for stays with the flag If.
type GracePeriod struct {
	Minutes int    `json:"minutes"`
	If      string `json:"if,omitempty"`
	Remark  Words  `json:"remark,omitzero"`
}

// Overnight is a fee for each time that the stay covers the minute At.
type Overnight struct {
	ID                   string    `json:"id"`
	Days                 []Day     `json:"days"`
	ExcludePublicHoliday bool      `json:"exclude_public_holiday,omitzero"`
	At                   TimeOfDay `json:"at"`
	Price                Cents     `json:"price"`
}

// Discount takes something off the parking fee: for a merchant's validation
// or for a flag of the stay, such as disabled_permit or employee. All that
// apply are taken in ascending Order, each from what the last has left. Of
// those that are not Stackable only one counts, and alone: the driver has the
// better of each such one and all stackable ones together.
type Discount struct {
	// Code is the validation's code or the flag.
	Code string `json:"code"`
	// By is "validation" or "flag".
	By string `json:"by"`
	// Kind is "minutes", "amount", "percent" or "full".
	Kind string `json:"kind"`
	// Minutes are taken off the charged time, at MinutesFrom: its "start" or
	// its "end".
	Minutes     int    `json:"minutes,omitzero"`
	MinutesFrom string `json:"minutes_from,omitempty"`
	Amount      Cents  `json:"amount,omitzero"`
	Percent     int    `json:"percent,omitzero"`
	// Most bounds what is taken off; 0 is no bound.
	Most Cents `json:"most,omitzero"`
	// RoundTo rounds what is left, half up, to a multiple (1.00 is the nearest
	// dollar); 0 leaves it.
	RoundTo   Cents `json:"round_to,omitzero"`
	Order     int   `json:"order"`
	Stackable bool  `json:"stackable,omitzero"`
	Remark    Words `json:"remark,omitzero"`
}

// EV is what charging costs, on a clock of its own. All prices zero is free
// charging; without an EV object a stay with a charging session is an error.
type EV struct {
	// Price for each begun UnitMinutes from plug-in to the charge's end.
	Price       Cents `json:"price,omitzero"`
	UnitMinutes int   `json:"unit_minutes,omitzero"`
	// PerKWh is charged by energy, to the watt-hour.
	PerKWh Cents `json:"per_kwh,omitzero"`
	// IdlePrice for each begun IdleUnitMinutes from IdleGraceMinutes after the
	// charge's end until the plug is pulled; pauses of the stay are left out.
	IdlePrice        Cents `json:"idle_price,omitzero"`
	IdleUnitMinutes  int   `json:"idle_unit_minutes,omitzero"`
	IdleGraceMinutes int   `json:"idle_grace_minutes,omitzero"`
	// IdleMost bounds the idle fee; 0 is no bound.
	IdleMost Cents `json:"idle_most,omitzero"`
}

// Fee is a flat amount.
type Fee struct {
	Price  Cents `json:"price"`
	Remark Words `json:"remark,omitzero"`
}
