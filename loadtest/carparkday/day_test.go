package carparkday

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/parking"
	"freeflow/parking/rackemu"
)

// visit is one driver's stay.
type visit struct {
	n          int
	plate, tag string
	ev         bool
	arrives    time.Time
	stays      time.Duration
	// offline: the exit lane cannot reach the centre when the driver leaves.
	offline bool

	phase      phase
	due        time.Time
	allocation string
	machine    string
	// mismatch: the tag is another car's; a person decides.
	mismatch bool
}

type phase int

const (
	coming phase = iota
	storing
	inside
	wanted
	leaving
	away
)

type laneEvent struct {
	ID    string  `json:"id"`
	Lane  string  `json:"lane"`
	Time  string  `json:"time"`
	Tag   string  `json:"tag,omitempty"`
	Plate string  `json:"plate,omitempty"`
	Sure  float64 `json:"plate_confidence"`
	Class string  `json:"class"`
}

type laneResult struct {
	Open             bool
	Why, Stay, Error string
	Due              string
	Flags            []string
}

type allocation struct {
	ID, Bay, State, Machine string
}

// day is a day of drivers.
type day struct {
	*world
	rng     *rand.Rand
	visits  []*visit
	journal []laneEvent
	// outage is when the exit lane is offline.
	outageFrom, outageTo time.Time
	sent                 bool
	resolved             int
}

func newDay(w *world, seed uint64, cars int) *day {
	d := &day{world: w, rng: rand.New(rand.NewPCG(seed, 25)), outageFrom: dawn.Add(6 * time.Hour), outageTo: dawn.Add(8 * time.Hour)}
	for n := range cars {
		v := &visit{n: n, arrives: dawn.Add(time.Duration(d.rng.Int64N(int64(12 * time.Hour))))}
		// Commuters in the morning stay long, others come all day.
		if d.rng.IntN(3) == 0 {
			v.arrives = dawn.Add(time.Hour + time.Duration(d.rng.Int64N(int64(2*time.Hour))))
			v.stays = 7*time.Hour + time.Duration(d.rng.Int64N(int64(3*time.Hour)))
		} else {
			v.stays = 5*time.Minute + time.Duration(d.rng.Int64N(int64(3*time.Hour)))
		}
		switch kind := d.rng.IntN(20); {
		case kind < 9: // an individual's account, by tag and plate
			v.plate = fmt.Sprintf("A%05d", n)
			v.tag = tagOf(v.plate)
		case kind < 11: // an individual's account, by plate alone
			v.plate = fmt.Sprintf("A%05d", n)
		case kind < 13: // a business account; the even ones have opted in
			v.plate = fmt.Sprintf("B%05d", n)
			v.tag = tagOf(v.plate)
		case kind < 14: // another car's tag
			v.plate, v.mismatch = fmt.Sprintf("A%05d", n), true
			v.tag = tagOf(fmt.Sprintf("A%05d", n+50_000))
		default: // nobody's
			v.plate = fmt.Sprintf("X%05d", n)
		}
		v.ev = d.rng.IntN(6) == 0
		v.due = v.arrives
		d.visits = append(d.visits, v)
	}
	slices.SortFunc(d.visits, func(a, b *visit) int { return a.arrives.Compare(b.arrives) })
	return d
}

// lane sends what the lane saw, twice now and then, or keeps it while offline.
func (d *day) lane(v *visit, direction string) laneResult {
	d.t.Helper()
	now := d.clock.Now()
	d.calls++
	e := laneEvent{
		ID: fmt.Sprintf("lane-%d-%d", v.n, d.calls), Lane: "TKO-" + direction + "-1", Time: now.Format(time.RFC3339Nano),
		Tag: v.tag, Plate: v.plate, Sure: 0.98, Class: "private_car",
	}
	if direction == "OUT" && d.rng.IntN(4) == 0 && !v.mismatch && v.tag != "" {
		e.Plate = "" // the camera missed it; the tag is enough
	}
	if direction == "OUT" && !now.Before(d.outageFrom) && now.Before(d.outageTo) {
		v.offline = true
		d.journal = append(d.journal, e)
		return laneResult{Open: true, Why: "offline"}
	}
	events := []laneEvent{e}
	if d.rng.IntN(10) == 0 {
		events = append(events, e)
	}
	return d.send(events)[0]
}

func (d *day) send(events []laneEvent) []laneResult {
	d.t.Helper()
	var answer struct{ Results []laneResult }
	d.good(http.MethodPost, d.park("/lane-events"), map[string]any{"events": events}, &answer)
	if len(answer.Results) != len(events) {
		d.t.Fatalf("%d results of %d events", len(answer.Results), len(events))
	}
	for i, r := range answer.Results {
		if r.Error != "" {
			d.t.Fatalf("event %+v: %s", events[i], r.Error)
		}
	}
	return answer.Results
}

// sendJournal is the lane that is online again: all it saw, in any order, some
// of it twice.
func (d *day) sendJournal() {
	d.sent = true
	journal := append(slices.Clone(d.journal), d.journal[:len(d.journal)/3]...)
	d.rng.Shuffle(len(journal), func(i, j int) { journal[i], journal[j] = journal[j], journal[i] })
	for chunk := range slices.Chunk(journal, 7) {
		d.send(chunk)
	}
}

// go1 lets one driver do what is due.
func (d *day) go1(v *visit) {
	d.t.Helper()
	now := d.clock.Now()
	switch v.phase {
	case coming:
		if r := d.lane(v, "IN"); !r.Open {
			d.t.Fatalf("car %d is not let in: %+v", v.n, r)
		}
		var a allocation
		d.good(http.MethodPost, d.park("/allocations"), map[string]any{
			"vehicle":               map[string]any{"plate": v.plate, "tag": v.tag, "class": "private_car", "length_mm": 4500, "width_mm": 1800, "height_mm": 1500, "weight_kg": 1500, "ev": v.ev},
			"expected_stay_minutes": int(v.stays / time.Minute),
		}, &a)
		v.allocation, v.machine, v.phase = a.ID, a.Machine, storing
		if a.Machine == "" {
			v.phase, v.due = inside, now.Add(v.stays)
			return
		}
		d.court.Arrive(a.ID)
		v.due = now
	case storing:
		if d.state(v) == parking.Stored {
			v.phase, v.due = inside, now.Add(v.stays)
		} else {
			v.due = now.Add(5 * time.Second)
		}
	case inside:
		if v.machine == "" {
			d.good(http.MethodPost, "/v1/allocations/"+v.allocation+"/release", nil, nil)
			v.phase, v.due = leaving, now.Add(2*time.Minute)
			return
		}
		status := d.call(http.MethodPost, "/v1/allocations/"+v.allocation+"/retrieval", nil, nil)
		v.due = now.Add(5 * time.Second)
		if status == http.StatusAccepted {
			v.phase = wanted
		} else if status != http.StatusConflict { // staff has to look first
			d.t.Fatalf("car %d is asked for: %d", v.n, status)
		}
	case wanted:
		switch d.state(v) {
		case parking.Gone:
			v.phase, v.due = leaving, now.Add(2*time.Minute)
		case parking.Stored: // staff put it back
			v.phase, v.due = inside, now
		default:
			v.due = now.Add(5 * time.Second)
		}
	case leaving:
		r := d.lane(v, "OUT")
		if r.Why == "due" {
			d.pay(r.Stay, r.Due)
			r = d.lane(v, "OUT")
		}
		if !r.Open {
			d.t.Fatalf("car %d is not let out: %+v", v.n, r)
		}
		v.phase = away
	}
}

func (d *day) pay(stay, amount string) {
	d.t.Helper()
	d.calls++
	d.good(http.MethodPost, "/v1/stays/"+stay+"/payments", map[string]any{"amount": amount, "means": "octopus", "payment_id": fmt.Sprintf("pay-%d", d.calls)}, nil)
}

func (d *day) state(v *visit) parking.State {
	d.t.Helper()
	var a allocation
	d.good(http.MethodGet, "/v1/allocations/"+v.allocation, nil, &a)
	return parking.State(a.State)
}

// staff look at what stands still, say what is true, and put machines back.
func (d *day) staff() {
	d.t.Helper()
	var machines struct {
		Items []struct {
			ID  string
			Out bool
		}
	}
	d.good(http.MethodGet, d.park("/machines"), nil, &machines)
	for _, m := range machines.Items {
		if m.Out {
			d.racks[m.ID].Rescue()
		}
	}
	for _, v := range d.visits {
		if v.phase != storing && v.phase != wanted && v.phase != inside || v.machine == "" {
			continue
		}
		if d.state(v) != parking.Unknown {
			continue
		}
		rack := d.racks[v.machine]
		at := rack.Where(v.allocation)
		body := map[string]any{"by": "wong", "reason": "looked at the rack"}
		bay, inBay := strings.CutPrefix(at, rackemu.InBay)
		switch {
		case inBay:
			body["state"], body["bay"] = "stored", bay
		case at == rackemu.AtGate && v.phase == wanted:
			body["state"] = "staged"
		case at == rackemu.AtGate, at == rackemu.Nowhere && d.court.Waits(v.allocation):
			body["state"] = "assigned"
		case at == rackemu.Left:
			body["state"] = "gone"
		default:
			rack.Rescue()
			continue
		}
		d.resolved++
		d.good(http.MethodPost, "/v1/allocations/"+v.allocation+"/resolve", body, nil)
	}
	for _, m := range machines.Items {
		if m.Out {
			d.call(http.MethodPost, d.park("/machines/"+m.ID+"/in"), map[string]any{"by": "wong", "reason": "mended"}, nil)
		}
	}
}

// settle posts what is ordered until nothing is left.
func (d *day) settle() {
	d.t.Helper()
	for {
		followed, err := d.follower.Once(d.t.Context())
		must(d.t, err)
		posted, err := d.clerk.Once(d.t.Context())
		must(d.t, err)
		if followed+posted == 0 {
			return
		}
	}
}

// run lets the day pass. Racks that nobody waits for are asked every few
// minutes only; the simulated clock goes from one thing to do to the next.
func (d *day) run() {
	d.t.Helper()
	ctx := d.t.Context()
	quiet := map[string]time.Time{}
	nextStaff, nextSettle := dawn, dawn
	for end := dawn.Add(40 * time.Hour); ; {
		now := d.clock.Now()
		if now.After(end) {
			d.t.Fatalf("the day does not end: %s", d.picture())
		}
		if !d.sent && !now.Before(d.outageTo) {
			d.sendJournal()
		}
		busy := map[string]bool{}
		left := 0
		next := now.Add(5 * time.Minute)
		for _, v := range d.visits {
			for v.phase != away && !v.due.After(now) {
				before := v.due
				d.go1(v)
				if v.phase != away && v.due == before && v.phase != coming {
					break // a rack has to move first
				}
			}
			if v.phase == away {
				continue
			}
			left++
			if (v.phase == storing || v.phase == wanted) && v.machine != "" {
				busy[v.machine] = true
			}
			if v.due.After(now) && v.due.Before(next) {
				next = v.due
			}
		}
		if left == 0 && d.sent {
			return
		}
		for _, m := range d.site.Machines {
			if !busy[m.ID] && now.Before(quiet[m.ID]) {
				continue
			}
			at, err := d.racks[m.ID].Step(ctx)
			if err != nil && !errors.Is(err, rackemu.ErrRefused) && ctx.Err() != nil {
				d.t.Fatal(err)
			}
			quiet[m.ID] = now.Add(5 * time.Minute)
			if busy[m.ID] && at.Before(next) {
				next = at
			}
		}
		if !now.Before(nextStaff) {
			d.staff()
			nextStaff = now.Add(3 * time.Minute)
		}
		if !now.Before(nextSettle) {
			d.settle()
			nextSettle = now.Add(30 * time.Minute)
		}
		if floor := now.Add(200 * time.Millisecond); next.Before(floor) {
			next = floor
		}
		d.clock.Set(next)
	}
}

func (d *day) picture() string {
	var b strings.Builder
	for _, v := range d.visits {
		if v.phase != away && v.phase != coming {
			fmt.Fprintf(&b, "\ncar %d, phase %d, %s, really %s", v.n, v.phase, d.state(v), d.racks[v.machine].Where(v.allocation))
		}
	}
	return b.String()
}

// seed is the day's, or the one that the environment names.
func seed(t *testing.T) uint64 {
	text := cmp.Or(os.Getenv("FREEFLOW_SEED"), "1")
	n, err := strconv.ParseUint(text, 10, 32)
	must(t, err)
	t.Logf("FREEFLOW_SEED=%d", n)
	return n
}

func TestDayAtTseungKwanO(t *testing.T) {
	n := seed(t)
	cars := 90
	if testing.Short() {
		cars = 25
	}
	w := newWorld(t, n, rackemu.Faults{Refuse: 30, Stall: 30, Restart: 6, LoseReply: 20, Repeat: 50, Unsure: 3})
	d := newDay(w, n, cars)
	for _, v := range d.visits {
		if v.plate[0] == 'B' && v.n%2 == 0 {
			d.good(http.MethodPut, "/v1/parking-preferences/acc-"+v.plate, map[string]any{"business": true, "pays": true, "by": "fleet"}, nil)
		}
	}
	d.closeOrdinaryBays()
	d.run()
	d.decide()
	d.payByPlate()
	d.settle()
	d.openBlocked()
	d.checkCars()
	stays := d.checkStays()
	d.checkBooks(stays)
	var sum rackemu.Counts
	for _, r := range d.racks {
		c := r.Counts()
		sum.Stored, sum.Fetched, sum.Restarts, sum.Refused = sum.Stored+c.Stored, sum.Fetched+c.Fetched, sum.Restarts+c.Restarts, sum.Refused+c.Refused
		sum.Lost, sum.Repeats, sum.Rescued = sum.Lost+c.Lost, sum.Repeats+c.Repeats, sum.Rescued+c.Rescued
	}
	t.Logf("%d cars; racks: %+v; staff said %d times what is true; %d exits while the lane was offline; %d calls",
		cars, sum, d.resolved, len(d.journal), d.calls)
	if !testing.Short() && (sum.Restarts == 0 || sum.Refused == 0 || sum.Lost == 0 || len(d.journal) == 0) {
		t.Error("nothing went wrong: the day proves less than it should")
	}
}

// openBays are how many ordinary bays for cars stay open: the racks are what
// the day is about.
const openBays = 3

func (d *day) closeOrdinaryBays() {
	d.t.Helper()
	open := 0
	for _, bay := range d.site.Bays {
		if bay.Machine != "" || !slices.Contains(bay.Classes, "private_car") {
			continue
		}
		if open++; open > openBays {
			d.good(http.MethodPost, d.park("/bays/"+bay.ID+"/block"), map[string]any{"by": "wong", "reason": "painting"}, nil)
		}
	}
}

// openBlocked is staff who look into every bay that is blocked, and open it: at
// the end of the day there is no car in any.
func (d *day) openBlocked() {
	d.t.Helper()
	occupancy, err := d.store.Occupancy(context.Background(), d.site.ID, d.clock.Now())
	must(d.t, err)
	for _, al := range occupancy.Active {
		if al.State == parking.Blocked {
			d.good(http.MethodPost, d.park("/bays/"+al.Bay+"/unblock"), map[string]any{"by": "wong", "reason": "looked: it is empty"}, nil)
		}
	}
}

// checkCars: nothing is left, in the books or in the racks.
func (d *day) checkCars() {
	d.t.Helper()
	occupancy, err := d.store.Occupancy(context.Background(), d.site.ID, d.clock.Now())
	must(d.t, err)
	for _, al := range occupancy.Active {
		d.t.Errorf("allocation %s of bay %s is %s (%s)", al.ID, al.Bay, al.State, al.Reason)
	}
	for id, rack := range d.racks {
		if n := rack.Cars(); n != 0 {
			d.t.Errorf("%d cars are left in rack %s", n, id)
		}
	}
	checks, err := d.store.Verify(context.Background())
	must(d.t, err)
	for _, c := range checks {
		for _, v := range c.Violations {
			d.t.Errorf("%s: %s", c.Invariant, v)
		}
	}
}

// checkBooks: what the ledger says is what the stays say.
func (d *day) checkBooks(stays []stayRow) {
	d.t.Helper()
	ctx := context.Background()
	checks, err := d.books.Verify(ctx)
	must(d.t, err)
	for _, c := range checks {
		for _, v := range c.Violations {
			d.t.Errorf("%s: %s", c.Invariant, v.Detail)
		}
	}
	charges, next, err := d.books.Charges(ctx, billing.ChargeFilter{Creditor: d.site.ID, Limit: 1000})
	must(d.t, err)
	if next != "" {
		d.t.Fatal("more charges than one page")
	}
	owed, paid := map[string]int64{}, int64(0)
	for _, c := range charges {
		owed[c.Account] += c.AmountCents
		paid += c.PaidCents
	}
	want, wantPaid := map[string]int64{}, int64(0)
	for _, s := range stays {
		want[s.Account] += s.cents
		if s.Account == "" {
			wantPaid += s.paid
		}
	}
	for account := range want {
		if owed[account] != want[account] {
			d.t.Errorf("account %q owes %d cents in the ledger and %d by its stays", account, owed[account], want[account])
		}
	}
	for account := range owed {
		if _, ok := want[account]; !ok && owed[account] != 0 {
			d.t.Errorf("account %q owes %d cents for no stay", account, owed[account])
		}
	}
	if paid != wantPaid || paid != want[""] {
		d.t.Errorf("%d cents were paid in the ledger, %d by the stays, which cost %d", paid, wantPaid, want[""])
	}
	balances, err := d.books.Balances(ctx, []string{billing.UnpaidPrefix + d.site.ID, "cash:octopus"})
	must(d.t, err)
	for _, b := range balances {
		if b.Account == billing.UnpaidPrefix+d.site.ID && b.AmountCents != 0 {
			d.t.Errorf("%d cents are unpaid", b.AmountCents)
		}
		if b.Account == "cash:octopus" && b.AmountCents != paid {
			d.t.Errorf("the till has %d cents, taken were %d", b.AmountCents, paid)
		}
	}
}
