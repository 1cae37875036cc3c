package cashier

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"freeflow/billing"
	"freeflow/internal/clock"
	"freeflow/parking"
	"freeflow/parking/stay"
	"freeflow/parking/store"
	"freeflow/parking/tariff"
)

// The tests' tariff: 20.00 an hour or part of it, 200.00 a day, re-entry within
// 15 minutes, 15 minutes to leave after paying.
const testTariff = `{
 "id": "test", "version": "v1", "effective_from": "2020-01-01T00:00:00+08:00", "zone": "Asia/Hong_Kong", "currency": "HKD",
 "options": {"unit_start": "entry", "straddle": "start", "midnight": "start_day", "threshold_counts": "stay", "threshold_reset": "never",
  "on_change": "entry", "passes": "bought", "rounding": "half_up", "machine_starts": "acceptance", "machine_stops": "request",
  "collect_minutes": 15, "reentry_minutes": 15, "reentry_gap": "charged", "payment_grace_minutes": 15, "quote_minutes": 30},
 "classes": {"private_car": {
  "bands": [{"id": "all", "days": ["MON","TUE","WED","THU","FRI","SAT","SUN"], "from": "00:00", "to": "24:00", "unit_minutes": 60, "price": "20.00"}],
  "passes": [{"id": "night", "type": "night-park", "days": ["MON","TUE","WED","THU","FRI","SAT","SUN"], "from": "19:00", "to": "07:00", "valid_until": "following-day", "price": "50.00"}],
  "monthly": [{"id": "month", "type": "monthly-park", "price": "3000.00", "reserved": "non-reserved"}],
  "discounts": [
   {"code": "shop", "by": "validation", "kind": "minutes", "minutes": 60, "minutes_from": "end", "order": 10},
   {"code": "disabled_permit", "by": "flag", "kind": "percent", "percent": 50, "round_to": "1.00", "order": 20, "stackable": true}],
  "ev": {"price": "21.00", "unit_minutes": 60, "idle_price": "10.00", "idle_unit_minutes": 30, "idle_grace_minutes": 15, "idle_most": "200.00"}
  LOST
 }}}`

// dearTariff is another book's.
const dearer = `"price": "25.00"`

func book(t testing.TB, edit ...string) *tariff.Book {
	t.Helper()
	text := testTariff
	for i := 0; i+1 < len(edit); i += 2 {
		text = strings.ReplaceAll(text, edit[i], edit[i+1])
	}
	text = strings.ReplaceAll(text, "LOST", `, "lost_ticket": {"price": "150.00"}`)
	v, err := tariff.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	b, err := tariff.New([]*tariff.Tariff{v}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// few lowers the number of a property's runs, each of which writes to a real
// store many times; whoever asks for more with -rapid.checks gets them.
func few(t testing.TB, runs string) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	if f == nil || f.Value.String() != f.DefValue {
		return
	}
	if err := f.Value.Set(runs); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Value.Set(f.DefValue); err != nil {
			t.Error(err)
		}
	})
}

// sites: P is an ordinary car park, M a mechanical one, L has no lost-ticket
// fee, N does not take tags.
type sites struct {
	parks map[string]*parking.CarPark
	books map[string]*tariff.Book
}

func (s *sites) CarPark(id string) (*parking.CarPark, bool) { c, ok := s.parks[id]; return c, ok }
func (s *sites) Tariff(id string) (*tariff.Book, bool)      { b, ok := s.books[id]; return b, ok }

func newSites(t testing.TB) *sites {
	s := &sites{parks: map[string]*parking.CarPark{}, books: map[string]*tariff.Book{
		"test": book(t), "nolost": book(t, "LOST", ""),
	}}
	add := func(id, tariff string, limit int64, machine bool) {
		c := &parking.CarPark{
			ID: id, Code: id, Name: parking.Text{En: "Park " + id}, Zone: "Asia/Hong_Kong", Tariff: tariff, TagLimitCents: limit,
			ClockStart: parking.AtEntry, ClockStop: parking.AtExit,
			Lanes: []parking.Lane{
				{Unit: id + "-IN-1", Direction: parking.In}, {Unit: id + "-IN-2", Direction: parking.In},
				{Unit: id + "-OUT-1", Direction: parking.Out}, {Unit: id + "-OUT-2", Direction: parking.Out},
			},
			Bays: []parking.Bay{{ID: "B1", Classes: []string{"private_car"}}},
		}
		if machine {
			c.ClockStart, c.ClockStop = parking.AtAcceptance, parking.AtRequest
			c.Machines = []parking.Machine{{ID: "R1", Mechanism: parking.Puzzle, Tiers: 1, Columns: 2, Depth: 1, Lifts: 1}}
			c.Bays = []parking.Bay{
				{ID: "B1", Machine: "R1", Classes: []string{"private_car"}}, {ID: "B2", Machine: "R1", Classes: []string{"private_car"}},
			}
		}
		s.parks[id] = c
	}
	add("P", "test", 200_00, false)
	add("M", "test", 200_00, true)
	add("L", "nolost", 200_00, false)
	add("N", "test", 0, false)
	return s
}

// payers: vehicle tag T1 and plate AB1 are account one's, T2 and BC2 account
// two's, business; class tag C9 account nine's; TX and EX0 are exempt.
type payers struct {
	mu    sync.Mutex
	calls int
}

func (p *payers) Payer(_ context.Context, tag, plate string, _ time.Time) (Identity, error) {
	p.mu.Lock()
	p.calls++
	p.mu.Unlock()
	vehicles := map[string]Identity{
		"AB1": {Vehicle: "AB1", Account: "one", Class: "private_car", Registered: true},
		"BC2": {Vehicle: "BC2", Account: "two", Business: true, Class: "private_car", Registered: true},
		"CD3": {Vehicle: "CD3", Account: "three", Class: "private_car", Registered: true},
		"EX0": {Vehicle: "EX0", Account: "state", Class: "private_car", Registered: true, Exempt: true},
		"NO4": {Vehicle: "NO4", Class: "private_car", Registered: true},
	}
	tags := map[string]string{"T1": "AB1", "T2": "BC2", "T3": "CD3", "TX": "EX0", "T4": "NO4"}
	if tag == "C9" {
		return Identity{Vehicle: "tag:C9", Account: "nine", Class: "private_car", Registered: true, ClassTag: true, ByTag: true}, nil
	}
	byTag, tagged := vehicles[tags[tag]]
	byPlate, plated := vehicles[plate]
	switch {
	case tagged && (!plated || byPlate.Vehicle == byTag.Vehicle):
		byTag.ByTag = true
		return byTag, nil
	case plated:
		byPlate.Conflict = tagged
		return byPlate, nil
	case tag != "":
		return Identity{Vehicle: stay.TagName(tag), ByTag: true}, nil
	default:
		return Identity{Vehicle: plate}, nil
	}
}

// world is one set of car parks with its cashiers.
type world struct {
	testing.TB
	url     string
	store   *store.Store
	clock   *clock.Fixed
	sites   *sites
	cashier *Cashier
	ledger  *fakeLedger
	seq     int
}

var monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC) // 08:00 in Hong Kong

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldOn(t, "sqlite:"+filepath.Join(t.TempDir(), "parking.db"))
}

// newWorldOn is a world on the database at url.
func newWorldOn(t testing.TB, url string) *world {
	t.Helper()
	w := &world{TB: t, url: url, clock: clock.At(monday), sites: newSites(t), ledger: newFakeLedger()}
	w.store = w.open()
	w.cashier = w.newCashier(w.store)
	return w
}

// open opens the store once more, as another process would.
func (w *world) open() *store.Store {
	w.Helper()
	s, err := store.Open(w.Context(), w.url, store.Options{Migrate: true, Clock: w.clock, Logger: quiet()})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { s.Close() })
	return s
}

func (w *world) newCashier(s *store.Store) *Cashier {
	w.Helper()
	c, err := New(Parts{Keeping: s, Ledger: s, Sites: w.sites, Payers: &payers{}, Clock: w.clock, Log: quiet()})
	if err != nil {
		w.Fatal(err)
	}
	return c
}

// at moves the clock to a time of monday, in UTC.
func (w *world) at(hms string) {
	w.Helper()
	d, err := time.Parse("15:04:05", hms)
	if err != nil {
		w.Fatal(err)
	}
	w.clock.Set(monday.Add(time.Duration(d.Hour())*time.Hour + time.Duration(d.Minute())*time.Minute + time.Duration(d.Second())*time.Second))
}

// event makes an event of now at lane "IN-1" and so on of park P, or of another:
// "M-IN-1"; marks are "plate tag ticket", "-" for none.
func (w *world) event(lane, marks string) parking.LaneEvent {
	w.Helper()
	w.seq++
	if strings.Count(lane, "-") == 1 {
		lane = "P-" + lane
	}
	f := append(strings.Fields(marks), "-", "-", "-")
	for i := range f {
		if f[i] == "-" {
			f[i] = ""
		}
	}
	d := parking.In
	if strings.Contains(lane, "OUT") {
		d = parking.Out
	}
	return parking.LaneEvent{
		ID: fmt.Sprintf("ev%03d", w.seq), CarPark: lane[:1], Lane: lane, Direction: d, At: w.clock.Now(), Plate: f[0], Tag: f[1], Ticket: f[2],
		ConfidencePermille: 1000, Class: "private_car", Source: "reads",
	}
}

func (w *world) lane(events ...parking.LaneEvent) []LaneResult {
	w.Helper()
	r, err := w.cashier.Lane(w.Context(), events)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// pass is one event now, which must be accepted.
func (w *world) pass(hms, lane, marks string) LaneResult {
	w.Helper()
	w.at(hms)
	r := w.lane(w.event(lane, marks))[0]
	if r.Err != nil {
		w.Fatalf("%s %s %s: %v", hms, lane, marks, r.Err)
	}
	return r
}

func (w *world) stay(id string) parking.Stay {
	w.Helper()
	var s parking.Stay
	err := w.store.View(w.Context(), func(tx parking.Tx) (err error) { s, err = tx.Stay(w.Context(), id); return err })
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// stays lists all stays of a car park but superseded ones.
func (w *world) stays(park string) []parking.Stay {
	w.Helper()
	list, err := w.cashier.Stays(w.Context(), park, "", parking.Page{Limit: 1000})
	if err != nil {
		w.Fatal(err)
	}
	return slices.DeleteFunc(list, func(s parking.Stay) bool { return slices.Contains(s.Flags, Superseded) })
}

// show writes a stay as tables have it.
func show(s parking.Stay) string {
	who := s.Account
	if who == "" {
		who = "-"
	}
	text := fmt.Sprintf("%s %s %s %s %s", s.Vehicle, s.State, s.Means, who, billing.FormatCents(s.AmountCents))
	if s.PaidCents != 0 {
		text += " paid=" + billing.FormatCents(s.PaidCents)
	}
	if len(s.Flags) > 0 {
		text += " " + strings.Join(s.Flags, ",")
	}
	return text
}

// wantStays compares the stays of a car park.
func (w *world) wantStays(park string, want ...string) {
	w.Helper()
	var got []string
	for _, s := range w.stays(park) {
		got = append(got, show(s))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.Errorf("stays of %s:\ngot  %q\nwant %q", park, got, want)
	}
}

// fake posts what was ordered to the world's fake ledger.
func (w *world) fake() *fakeLedger {
	w.Helper()
	l := w.ledger
	k, err := NewClerk(ClerkParts{Ledger: w.store, Keeping: w.store, Charging: l, Clock: w.clock, Log: quiet()})
	if err != nil {
		w.Fatal(err)
	}
	for {
		n, err := k.Once(w.Context())
		if err != nil {
			w.Fatal(err)
		}
		if n == 0 {
			return l
		}
	}
}

// wantConserved: what the stays say they cost, owe and were paid is what the
// ledger has, to the cent.
func (w *world) wantConserved(l *fakeLedger) {
	w.Helper()
	for park := range w.sites.parks {
		w.wantConservedAt(l, park)
	}
}

func (w *world) wantConservedAt(l *fakeLedger, park string) {
	w.Helper()
	var cost, credit, charged, receipts, paidSum int64
	list, err := w.cashier.Stays(w.Context(), park, "", parking.Page{Limit: 1000})
	if err != nil {
		w.Fatal(err)
	}
	for _, s := range list {
		cost += s.AmountCents
		paidSum += s.PaidCents
		switch {
		case s.State == parking.Review || s.State == parking.Open && s.AmountCents == 0:
			credit += s.PaidCents // stands in the ledger although no price does
		default:
			credit += max(0, s.PaidCents-s.AmountCents)
		}
		if len(s.Receipt) > 0 && s.State != parking.Review {
			var r tariff.Receipt
			if err := json.Unmarshal(s.Receipt, &r); err != nil {
				w.Fatal(err)
			}
			var lines int64
			for _, line := range r.Lines {
				lines += int64(line.AmountCents)
			}
			if lines != s.AmountCents {
				w.Errorf("stay %s costs %d, its receipt's lines sum to %d", s.ID, s.AmountCents, lines)
			}
			receipts += lines
		}
	}
	for _, c := range l.charges {
		if c.Creditor == park {
			charged += c.AmountCents
		}
	}
	if receipts != cost || charged != cost+credit || l.cashAt(park) != paidSum {
		w.Errorf("stays of %s cost %d, receipts sum to %d, paid too much or in advance %d, the ledger has %d; paid %d, cash %d",
			park, cost, receipts, credit, charged, paidSum, l.cashAt(park))
	}
}
