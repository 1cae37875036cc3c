package carparkday

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"freeflow/billing"
)

// stayRow is a stay as the API gives it.
type stayRow struct {
	ID, State, Vehicle, Account, Means string
	Amount, Paid                       string
	Entry, Exit                        *time.Time
	ClockFrom                          *time.Time `json:"clock_from"`
	ClockTo                            *time.Time `json:"clock_to"`
	Flags                              []string
	Reason                             string

	cents, paid int64
}

// stays walks the whole list, page by page.
func (d *day) stays() []stayRow {
	d.t.Helper()
	var all []stayRow
	after := ""
	for {
		var page struct {
			Items []stayRow
			Next  *string
		}
		d.good(http.MethodGet, d.park("/stays?limit=20&after="+url.QueryEscape(after)), nil, &page)
		all = append(all, page.Items...)
		if page.Next == nil {
			return all
		}
		after = *page.Next
	}
}

// decide is a person who looks at what is under review.
func (d *day) decide() {
	d.t.Helper()
	for _, s := range d.stays() {
		if s.State != "review" {
			continue
		}
		d.good(http.MethodPost, "/v1/stays/"+s.ID+"/decision", map[string]any{
			"kind": "account", "account": "acc-" + s.Vehicle, "by": "chan", "reason": "the plate is the account's",
		}, nil)
	}
}

// payByPlate is drivers who left while the lane was offline and pay afterwards.
func (d *day) payByPlate() {
	d.t.Helper()
	for _, v := range d.visits {
		var due struct{ Amount string }
		if d.call(http.MethodGet, d.park("/due?plate="+v.plate), nil, &due) != http.StatusOK {
			continue
		}
		if !v.offline {
			d.t.Errorf("car %d left through a lane that was online, and %s is due", v.n, due.Amount)
		}
		for _, s := range d.stays() {
			if s.Vehicle == v.plate {
				d.pay(s.ID, due.Amount)
			}
		}
		if d.call(http.MethodGet, d.park("/due?plate="+v.plate), nil, nil) != http.StatusNotFound {
			d.t.Errorf("car %d has paid and something is due", v.n)
		}
	}
}

// checkStays: one stay a driver, closed, paid for by whom it should be, at the
// price that Hours makes of its clock, explained by lines that sum to it.
func (d *day) checkStays() []stayRow {
	d.t.Helper()
	byPlate := map[string]*stayRow{}
	all := d.stays()
	for i := range all {
		s := &all[i]
		if byPlate[s.Vehicle] != nil {
			d.t.Errorf("vehicle %s has two stays", s.Vehicle)
		}
		byPlate[s.Vehicle] = s
		s.cents, s.paid = d.cents(s.Amount), d.cents(s.Paid)
	}
	if len(all) != len(d.visits) {
		d.t.Errorf("%d stays of %d drivers", len(all), len(d.visits))
	}
	for _, v := range d.visits {
		s := byPlate[v.plate]
		if s == nil {
			d.t.Errorf("car %d has no stay", v.n)
			continue
		}
		d.checkStay(v, s)
	}
	return all
}

func (d *day) checkStay(v *visit, s *stayRow) {
	d.t.Helper()
	if s.State != "closed" || s.Entry == nil || s.Exit == nil || s.ClockFrom == nil || s.ClockTo == nil {
		d.t.Errorf("car %d: %+v", v.n, s)
		return
	}
	account := ""
	if v.plate[0] == 'A' || v.plate[0] == 'B' && v.n%2 == 0 {
		account = "acc-" + v.plate
	}
	if s.Account != account || v.mismatch != (s.Reason != "") {
		d.t.Errorf("car %d is paid by %q (%q), want %q: flags %v", v.n, s.Account, s.Reason, account, s.Flags)
	}
	if want := Hours(*s.ClockFrom, *s.ClockTo, d.zone, func(time.Time) bool { return false }); s.cents != want {
		d.t.Errorf("car %d costs %d cents from %v to %v, want %d", v.n, s.cents, s.ClockFrom, s.ClockTo, want)
	}
	// The machine's own time costs nothing: the clock runs from the acceptance
	// to the request, which is what the driver meant to stay.
	if v.machine != "" {
		if ran := s.ClockTo.Sub(*s.ClockFrom); ran < v.stays-2*time.Minute || ran > v.stays+20*time.Minute {
			d.t.Errorf("car %d meant to stay %v and is charged for %v", v.n, v.stays, ran)
		}
	}
	var detail struct {
		Bill struct {
			Receipt struct {
				Total string
				Lines []struct{ Amount, Text, Rule string }
			}
		}
	}
	d.good(http.MethodGet, "/v1/stays/"+s.ID, nil, &detail)
	var sum int64
	for _, line := range detail.Bill.Receipt.Lines {
		sum += d.cents(line.Amount)
		if line.Text == "" || line.Rule == "" {
			d.t.Errorf("car %d: a line explains nothing: %+v", v.n, line)
		}
	}
	if sum != s.cents {
		text, _ := json.Marshal(detail)
		d.t.Errorf("car %d: the lines sum to %d of %d cents: %s", v.n, sum, s.cents, text)
	}
}

func (d *day) cents(text string) int64 {
	d.t.Helper()
	n, err := billing.ParseCents(text)
	must(d.t, err)
	return n
}

// The expectation is a rule of its own: it must tell prices apart.
func TestHours(t *testing.T) {
	zone := time.FixedZone("HKT", 8*3600)
	at := func(day, hour, minute, second int) time.Time {
		return time.Date(2026, 11, day, hour, minute, second, 0, zone)
	}
	none := func(time.Time) bool { return false }
	for i, one := range []struct {
		from, to time.Time
		holiday  func(time.Time) bool
		want     int64
	}{
		{at(25, 9, 0, 0), at(25, 9, 0, 0), none, 0},
		{at(25, 9, 0, 0), at(25, 9, 0, 1), none, 15_00},
		{at(25, 9, 0, 0), at(25, 10, 0, 0), none, 15_00},
		{at(25, 9, 0, 0), at(25, 10, 0, 1), none, 30_00},
		{at(27, 22, 30, 0), at(28, 1, 0, 0), none, 46_00}, // Friday 22:30 and 23:30, Saturday 00:30
		{at(25, 9, 0, 0), at(25, 10, 0, 0), func(time.Time) bool { return true }, 16_00},
	} {
		if got := Hours(one.from, one.to, zone, one.holiday); got != one.want {
			t.Errorf("case %d: %d cents, want %d", i, got, one.want)
		}
	}
	if plates := []string{plateOf(tagOf("A00012")[3:]), plateOf(tagOf("B99999")[3:])}; !slices.Equal(plates, []string{"A00012", "B99999"}) {
		t.Errorf("tags lead to %v", plates)
	}
}
