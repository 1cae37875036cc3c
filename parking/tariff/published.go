package tariff

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"freeflow/billing"
)

// Published is what the Transport Department publishes about the charges of
// one vehicle type, with the JSON names of its One-stop Parking Vacancy
// specification v1.2 (2020-01-14), section 7. Spaces are not tariff and are
// not here; gracePeriods, which the department publishes of the whole car park
// (section 6.5), are.
type Published struct {
	HourlyCharges  []HourlyCharge    `json:"hourlyCharges,omitempty"`
	DayNightParks  []DayNightPark    `json:"dayNightParks,omitempty"`
	MonthlyCharges []MonthlyCharge   `json:"monthlyCharges,omitempty"`
	Unloadings     []UnloadingCharge `json:"unloadings,omitempty"`
	Privileges     []PrivilegePeriod `json:"privileges,omitempty"`
	GracePeriods   []FreePeriod      `json:"gracePeriods,omitempty"`
}

// Dollars is a price in HKD, held as cents and written as a JSON number with
// as few places as it needs.
type Dollars int64

// MarshalJSON writes the number: 20, 10.5.
func (d Dollars) MarshalJSON() ([]byte, error) {
	text := billing.FormatCents(int64(d))
	return []byte(strings.TrimSuffix(strings.TrimRight(text, "0"), ".")), nil
}

// UnmarshalJSON reads a JSON number with at most two places.
func (d *Dollars) UnmarshalJSON(b []byte) error {
	v, err := billing.ParseCents(string(b))
	if err != nil {
		return err
	}
	*d = Dollars(v)
	return nil
}

// Hours is a number of hours, held as whole minutes and written as a JSON
// number. Only multiples of 3 minutes are such with two places.
type Hours int

// MarshalJSON writes the number: 2, 0.5.
func (h Hours) MarshalJSON() ([]byte, error) {
	if h%3 != 0 {
		return nil, fmt.Errorf("%d minutes are not a finite decimal number of hours", int(h))
	}
	return Dollars(int64(h) * 100 / 60).MarshalJSON()
}

// UnmarshalJSON reads a JSON number that is a whole number of minutes.
func (h *Hours) UnmarshalJSON(b []byte) error {
	if len(b) > 16 || strings.ContainsAny(string(b), "eE\"") {
		return fmt.Errorf("%.16q is not a number of hours such as 2 or 0.5", b)
	}
	r, ok := new(big.Rat).SetString(string(b))
	if !ok {
		return fmt.Errorf("%.16q is not a number of hours", b)
	}
	r.Mul(r, big.NewRat(60, 1))
	if !r.IsInt() || !r.Num().IsInt64() || r.Num().Int64() > 1<<30 || r.Sign() < 0 {
		return fmt.Errorf("%.16q hours are not a whole number of minutes", b)
	}
	*h = Hours(r.Num().Int64())
	return nil
}

// UsageThreshold is an element of usageThresholds: the price per unit within
// the first Hours of use.
type UsageThreshold struct {
	Hours Hours   `json:"hours"`
	Price Dollars `json:"price"`
}

// HourlyCharge is an element of hourlyCharges.
type HourlyCharge struct {
	Type                 string           `json:"type"`
	Weekdays             []string         `json:"weekdays"`
	ExcludePublicHoliday bool             `json:"excludePublicHoliday"`
	PeriodStart          string           `json:"periodStart"`
	PeriodEnd            string           `json:"periodEnd"`
	Price                Dollars          `json:"price"`
	UsageThresholds      []UsageThreshold `json:"usageThresholds,omitempty"`
	Covered              string           `json:"covered"`
	Remark               string           `json:"remark,omitempty"`
}

// DayNightPark is an element of dayNightParks.
type DayNightPark struct {
	Type                 string   `json:"type"`
	Weekdays             []string `json:"weekdays"`
	ExcludePublicHoliday bool     `json:"excludePublicHoliday"`
	PeriodStart          string   `json:"periodStart"`
	PeriodEnd            string   `json:"periodEnd"`
	ValidUntil           string   `json:"validUntil"`
	ValidUntilEnd        string   `json:"validUntilEnd,omitempty"`
	Price                Dollars  `json:"price"`
	Covered              string   `json:"covered"`
	Remark               string   `json:"remark,omitempty"`
}

// MonthlyCharge is an element of monthlyCharges.
type MonthlyCharge struct {
	Type     string         `json:"type"`
	Price    Dollars        `json:"price"`
	Ranges   []MonthlyRange `json:"ranges,omitempty"`
	Covered  string         `json:"covered"`
	Reserved string         `json:"reserved"`
	Remark   string         `json:"remark,omitempty"`
}

// MonthlyRange is an element of ranges.
type MonthlyRange struct {
	Weekdays             []string `json:"weekdays"`
	ExcludePublicHoliday bool     `json:"excludePublicHoliday"`
	PeriodStart          string   `json:"periodStart"`
	PeriodEnd            string   `json:"periodEnd"`
}

// UnloadingCharge is an element of unloadings.
type UnloadingCharge struct {
	Type            string           `json:"type"`
	Price           Dollars          `json:"price"`
	UsageThresholds []UsageThreshold `json:"usageThresholds,omitempty"`
	Remark          string           `json:"remark,omitempty"`
}

// PrivilegePeriod is an element of privileges.
type PrivilegePeriod struct {
	Weekdays             []string `json:"weekdays"`
	ExcludePublicHoliday bool     `json:"excludePublicHoliday"`
	PeriodStart          string   `json:"periodStart"`
	PeriodEnd            string   `json:"periodEnd"`
	Description          string   `json:"description"`
}

// FreePeriod is an element of gracePeriods.
type FreePeriod struct {
	Minutes int    `json:"minutes"`
	Remark  string `json:"remark,omitempty"`
}

// importer collects what of a published tariff cannot be read.
type importer struct {
	problems
	language string
}

// FromPublished makes a tariff for one vehicle class of what the department
// publishes in one language (en_US, zh_TW, zh_CN). header gives all that is not
// published: ID, Version, EffectiveFrom, Zone, Currency, Options. Rules are
// called hourly-1, park-1, monthly-1, unloading-1, by their places. Thresholds
// are taken as counted from the first hour on ("first 2 hours", "first 4
// hours"), which the specification does not spell out. The error is a
// *BadTariffError with pointers into the published object.
func FromPublished(header Tariff, class string, p Published, language string) (*Tariff, error) {
	in := &importer{language: language}
	r := &Rules{}
	for i, h := range p.HourlyCharges {
		at := "/hourlyCharges/" + strconv.Itoa(i)
		r.Bands = append(r.Bands, Band{ID: fmt.Sprintf("hourly-%d", i+1), When: in.when(at, h.Weekdays, h.ExcludePublicHoliday, h.PeriodStart, h.PeriodEnd),
			UnitMinutes: in.unit(at, h.Type), Price: Cents(h.Price), Thresholds: thresholds(h.UsageThresholds), Covered: h.Covered, Remark: in.say(h.Remark)})
	}
	for i, d := range p.DayNightParks {
		at := "/dayNightParks/" + strconv.Itoa(i)
		pass := Pass{ID: fmt.Sprintf("park-%d", i+1), Type: d.Type, When: in.when(at, d.Weekdays, d.ExcludePublicHoliday, d.PeriodStart, d.PeriodEnd),
			ValidUntil: d.ValidUntil, Price: Cents(d.Price), Covered: d.Covered, Remark: in.say(d.Remark)}
		if d.ValidUntilEnd != "" {
			end := in.time(at+"/validUntilEnd", d.ValidUntilEnd)
			pass.ValidUntilEnd = &end
		}
		r.Passes = append(r.Passes, pass)
	}
	for i, m := range p.MonthlyCharges {
		monthly := Monthly{ID: fmt.Sprintf("monthly-%d", i+1), Type: m.Type, Price: Cents(m.Price), Reserved: m.Reserved, Covered: m.Covered, Remark: in.say(m.Remark)}
		for j, w := range m.Ranges {
			monthly.Ranges = append(monthly.Ranges, in.when(fmt.Sprintf("/monthlyCharges/%d/ranges/%d", i, j), w.Weekdays, w.ExcludePublicHoliday, w.PeriodStart, w.PeriodEnd))
		}
		r.Monthly = append(r.Monthly, monthly)
	}
	for i, u := range p.Unloadings {
		r.Unloadings = append(r.Unloadings, Unloading{ID: fmt.Sprintf("unloading-%d", i+1), UnitMinutes: in.unit("/unloadings/"+strconv.Itoa(i), u.Type),
			Price: Cents(u.Price), Thresholds: thresholds(u.UsageThresholds), Remark: in.say(u.Remark)})
	}
	for i, v := range p.Privileges {
		r.Privileges = append(r.Privileges, Privilege{When: in.when("/privileges/"+strconv.Itoa(i), v.Weekdays, v.ExcludePublicHoliday, v.PeriodStart, v.PeriodEnd),
			Description: in.say(v.Description)})
	}
	for _, g := range p.GracePeriods {
		r.GracePeriods = append(r.GracePeriods, GracePeriod{Minutes: g.Minutes, Remark: in.say(g.Remark)})
	}
	t := header
	t.Classes = map[string]*Rules{class: r}
	for _, problem := range validate(&t) {
		in.add(problem.Pointer, "%s", problem.Text)
	}
	if len(in.list) > 0 {
		return nil, fmt.Errorf("reading published charges: %w", &BadTariffError{t.ID + " " + t.Version, in.list})
	}
	return &t, nil
}

func (in *importer) say(text string) Words {
	if text == "" {
		return Words{}
	}
	return Say(in.language, text)
}

func (in *importer) time(pointer, text string) TimeOfDay {
	var t TimeOfDay
	if err := t.UnmarshalText([]byte(text)); err != nil {
		in.add(pointer, "%v", err)
	}
	return t
}

func (in *importer) when(at string, weekdays []string, exclude bool, from, to string) When {
	w := When{ExcludePublicHoliday: exclude, From: in.time(at+"/periodStart", from), To: in.time(at+"/periodEnd", to)}
	for _, d := range weekdays {
		w.Days = append(w.Days, Day(d))
	}
	return w
}

func (in *importer) unit(at, kind string) int {
	switch kind {
	case "hourly":
		return 60
	case "half-hourly":
		return 30
	}
	in.add(at+"/type", "%.32q is neither hourly nor half-hourly", kind)
	return 60
}

func thresholds(list []UsageThreshold) []Threshold {
	var out []Threshold
	for _, u := range list {
		out = append(out, Threshold{UntilMinutes: int(u.Hours), Price: Cents(u.Price)})
	}
	return out
}
