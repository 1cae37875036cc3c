package attendant

import (
	"context"
	"errors"
	"testing"
	"time"

	"freeflow/parking"
)

// controller speaks for machine R1 by hand.
type controller struct {
	*world
	boot string
}

func byHand(t *testing.T) *controller {
	c := &controller{newWorld(t, racks(1)), "b1"}
	c.inventory(nil)
	return c
}

// inventory says that all is empty but what seen says.
func (c *controller) inventory(seen map[string]parking.Presence) []parking.Discrepancy {
	c.t.Helper()
	park, err := c.CarPark("racks")
	if err != nil {
		c.t.Fatal(err)
	}
	var items []parking.InventoryItem
	for _, b := range park.Bays {
		p := parking.Empty
		if s, ok := seen[b.ID]; ok {
			p = s
		}
		if b.Machine == "R1" && p != "" {
			items = append(items, parking.InventoryItem{Bay: b.ID, Presence: p})
		}
	}
	if p, ok := seen[GateItem]; ok {
		items = append(items, parking.InventoryItem{Bay: GateItem, Presence: p})
	}
	d, err := c.Inventory(context.Background(), InventoryReport{CarPark: "racks", Machine: "R1", Boot: c.boot, Items: items})
	if err != nil {
		c.t.Fatal(err)
	}
	return d
}

func (c *controller) next() *parking.Command {
	c.t.Helper()
	turn, err := c.Next(context.Background(), Poll{CarPark: "racks", Machine: "R1", Boot: c.boot})
	if err != nil {
		c.t.Fatal(err)
	}
	return turn.Command
}

func (c *controller) say(command, state string, presence parking.Presence) {
	c.t.Helper()
	if err := c.try(command, state, presence); err != nil {
		c.t.Fatal(err)
	}
}

func (c *controller) try(command, state string, presence parking.Presence) error {
	return c.Report(context.Background(), Report{CarPark: "racks", Machine: "R1", Boot: c.boot, Command: command, State: state, Presence: presence})
}

// stored takes a car in.
func (c *controller) stored(n int) Given {
	c.t.Helper()
	g := c.give("racks", n)
	order := c.next()
	if order == nil || order.Allocation != g.ID {
		c.t.Fatalf("the order is %+v", order)
	}
	c.say(order.ID, ReportDone, "")
	c.is(g.ID, parking.Stored)
	return g
}

func (c *controller) is(id string, want parking.State) parking.Allocation {
	c.t.Helper()
	x := c.now(id)
	if x.State != want {
		c.t.Fatalf("the allocation is %s (%s), want %s", x.State, x.Reason, want)
	}
	return x
}

func (c *controller) want(id string) Retrieval {
	c.t.Helper()
	r, err := c.Retrieve(context.Background(), RetrieveRequest{Allocation: id}, Keep[Retrieval]{})
	if err != nil {
		c.t.Fatal(err)
	}
	return r.Value
}

func TestNothingIsSentBeforeTheInventory(t *testing.T) {
	w := newWorld(t, racks(1))
	w.give("racks", 1)
	ctx := context.Background()
	poll := Poll{CarPark: "racks", Machine: "R1", Boot: "b1"}
	turn, err := w.Next(ctx, poll)
	if err != nil || turn.Command != nil || !turn.InventoryWanted {
		t.Fatalf("%+v, %v", turn, err)
	}
	c := &controller{w, "b1"}
	c.inventory(nil)
	if turn, err = w.Next(ctx, poll); err != nil || turn.Command == nil || turn.InventoryWanted {
		t.Fatalf("%+v, %v", turn, err)
	}
	poll.Boot = "b2"
	if turn, err = w.Next(ctx, poll); err != nil || turn.Command != nil || !turn.InventoryWanted {
		t.Fatalf("another run: %+v, %v", turn, err)
	}
	for _, bad := range []InventoryReport{
		{CarPark: "racks", Machine: "R1"}, {CarPark: "racks", Machine: "R1", Boot: "b", Items: []parking.InventoryItem{{Bay: "R9-1-1", Presence: parking.Empty}}},
		{CarPark: "racks", Machine: "R1", Boot: "b", Items: []parking.InventoryItem{{Bay: "R1-1-1", Presence: "maybe"}}},
		{CarPark: "racks", Machine: "R1", Boot: "b", Items: []parking.InventoryItem{{Bay: "R1-1-1", Presence: parking.Empty}, {Bay: "R1-1-1", Presence: parking.Empty}}},
	} {
		if _, err := w.Inventory(ctx, bad); !errors.Is(err, parking.ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if _, err := w.Inventory(ctx, InventoryReport{CarPark: "racks", Machine: "R9", Boot: "b"}); !errors.Is(err, parking.ErrNotFound) {
		t.Error(err)
	}
}

func TestReportsRepeatedLateAndOutOfOrder(t *testing.T) {
	c := byHand(t)
	g := c.give("racks", 1)
	order := c.next()
	if again := c.next(); again == nil || again.ID != order.ID {
		t.Fatalf("an order that was not heard of: %+v", again)
	}
	c.is(g.ID, parking.Moving)
	c.say(order.ID, ReportRunning, "")
	if next := c.next(); next != nil {
		t.Fatalf("a second order meanwhile: %+v", next)
	}
	c.say(order.ID, ReportDone, parking.Occupied)
	stored := c.is(g.ID, parking.Stored)
	// Repeated, late and from another run: nothing changes.
	c.clock.Advance(time.Minute)
	for _, state := range []string{ReportDone, ReportRunning, ReportFailed, ReportGone} {
		c.say(order.ID, state, "")
	}
	c.boot = "b0"
	c.say(order.ID, ReportFailed, "")
	c.boot = "b1"
	if x := c.is(g.ID, parking.Stored); x.Revision != stored.Revision {
		t.Fatalf("revision %d, was %d", x.Revision, stored.Revision)
	}
	c.want(g.ID)
	fetch := c.next()
	if fetch == nil || fetch.Kind != parking.Fetch {
		t.Fatalf("%+v", fetch)
	}
	// "gone" overtakes "done".
	c.say(fetch.ID, ReportGone, parking.Empty)
	c.is(g.ID, parking.Gone)
	c.say(fetch.ID, ReportDone, parking.Empty)
	c.say(fetch.ID, ReportGone, parking.Empty)
	c.is(g.ID, parking.Gone)
	if err := c.try("0123456789abcdef0123456789abcdef", ReportDone, ""); !errors.Is(err, parking.ErrNotFound) {
		t.Fatalf("an order that was never given: %v", err)
	}
	for _, bad := range []Report{{Command: "x", State: "finished"}, {State: ReportDone}, {Command: "x", State: ReportDone, Presence: "perhaps"}} {
		if err := c.try(bad.Command, bad.State, bad.Presence); !errors.Is(err, parking.ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestFailedOrdersAreRetriedAndThenTheMachineIsOut(t *testing.T) {
	c := &controller{newWorld(t, racks(2)), "b1"}
	c.inventory(nil)
	// Fill R1's turn: find a car that goes there.
	var g Given
	for n := 1; ; n++ {
		if g = c.give("racks", n); g.Machine == "R1" {
			break
		}
	}
	seen := map[string]bool{}
	for attempt := 1; attempt <= 3; attempt++ {
		order := c.next()
		if order == nil || order.Attempt != attempt || seen[order.ID] {
			t.Fatalf("attempt %d: %+v", attempt, order)
		}
		seen[order.ID] = true
		c.say(order.ID, ReportRunning, "")
		c.say(order.ID, ReportFailed, parking.Empty)
	}
	if order := c.next(); order != nil {
		t.Fatalf("out of service and told to %+v", order)
	}
	// The car at the gate has a bay elsewhere.
	if x := c.is(g.ID, parking.Assigned); x.Machine != "R2" || x.By != byMachine {
		t.Fatalf("%+v", x)
	}
	if got := c.alarms("racks"); got["machine-out"] != 1 {
		t.Fatalf("alarms: %v", got)
	}
	if x := c.give("racks", 50); x.Machine != "R2" {
		t.Fatalf("a bay of a machine that is out: %+v", x)
	}
	if counts, err := c.Counts(context.Background(), "racks"); err != nil || counts.OutOfService != 13 {
		t.Fatalf("%+v, %v", counts, err)
	}
	in := ServiceRequest{CarPark: "racks", Machine: "R1", By: "wong", Reason: "fuse"}
	if _, err := c.SetIn(context.Background(), in, Keep[parking.MachineStatus]{}); err != nil {
		t.Fatal(err)
	}
	if got := c.alarms("racks"); got["machine-out"] != 0 {
		t.Fatalf("alarms: %v", got)
	}
}

func TestASensorThatDisagreesStopsTheMachine(t *testing.T) {
	for _, presence := range []parking.Presence{parking.Empty, parking.Unsure} {
		c := byHand(t)
		g := c.give("racks", 1)
		order := c.next()
		other := c.give("racks", 2)
		c.say(order.ID, ReportDone, presence)
		c.is(g.ID, parking.Unknown)
		if next := c.next(); next != nil {
			t.Fatalf("a car may be on the lift, and it is told to %+v", next)
		}
		if _, err := c.SetIn(context.Background(), ServiceRequest{CarPark: "racks", Machine: "R1", By: "w", Reason: "r"}, Keep[parking.MachineStatus]{}); !errors.Is(err, parking.ErrConflict) {
			t.Fatalf("in before anybody looked: %v", err)
		}
		resolve := ResolveRequest{Allocation: g.ID, To: parking.Stored, By: "wong"}
		if _, err := c.Resolve(context.Background(), resolve, Keep[parking.Allocation]{}); !errors.Is(err, parking.ErrInvalid) {
			t.Fatalf("without a reason: %v", err)
		}
		resolve.Reason = "seen on its pallet"
		if _, err := c.Resolve(context.Background(), resolve, Keep[parking.Allocation]{}); err != nil {
			t.Fatal(err)
		}
		if next := c.next(); next == nil || next.Allocation != other.ID {
			t.Fatalf("afterwards: %+v", next)
		}
		if got := c.alarms("racks"); got["bay-disagrees"]+got["machine-out"] != 0 {
			t.Fatalf("alarms: %v", got)
		}
	}
}

func TestInventoryAgainstTheBooks(t *testing.T) {
	c := byHand(t)
	kept, missing, unsure := c.stored(1), c.stored(2), c.stored(3)
	c.boot = "b2"
	foreign := ""
	park, _ := c.CarPark("racks")
	for _, b := range park.Bays {
		if b.ID != kept.Bay && b.ID != missing.Bay && b.ID != unsure.Bay {
			foreign = b.ID
		}
	}
	d := c.inventory(map[string]parking.Presence{kept.Bay: parking.Occupied, unsure.Bay: parking.Unsure, foreign: parking.Occupied})
	actions := map[string]string{}
	for _, x := range d {
		actions[x.Bay] = x.Action
		if x.Allocation == "" {
			t.Errorf("%+v says of no allocation", x)
		}
	}
	if len(d) != 3 || actions[missing.Bay] != "unknown" || actions[unsure.Bay] != "unknown" || actions[foreign] != "blocked" {
		t.Fatalf("%+v", d)
	}
	c.is(kept.ID, parking.Stored)
	c.is(missing.ID, parking.Unknown)
	c.is(unsure.ID, parking.Unknown)
	// The rest goes on, and nothing is given twice.
	for n := range 9 {
		g := c.give("racks", 10+n)
		if g.Bay == foreign || g.Bay == missing.Bay || g.Bay == unsure.Bay {
			t.Fatalf("bay %s was given", g.Bay)
		}
	}
	if next := c.next(); next == nil {
		t.Fatal("the machine stands still")
	}
	var full *NoBayError
	if _, err := c.Allocate(context.Background(), AllocateRequest{CarPark: "racks", Vehicle: car(99)}, Keep[Given]{}); !errors.As(err, &full) {
		t.Fatal(err)
	}
	// The same again changes nothing.
	if again := c.inventory(map[string]parking.Presence{kept.Bay: parking.Occupied, unsure.Bay: parking.Unsure, foreign: parking.Occupied}); len(again) != 0 {
		t.Fatalf("%+v", again)
	}
}

func TestACarAtTheGateWhoseBayIsOccupiedGetsAnother(t *testing.T) {
	c := byHand(t)
	g := c.give("racks", 1)
	c.boot = "b2"
	d := c.inventory(map[string]parking.Presence{g.Bay: parking.Occupied})
	if len(d) != 1 || d[0].Action != "unknown" {
		t.Fatalf("%+v", d)
	}
	x := c.is(g.ID, parking.Assigned)
	if x.Bay == g.Bay {
		t.Fatalf("%+v", x)
	}
	if next := c.next(); next == nil || next.Bay != x.Bay {
		t.Fatalf("%+v", next)
	}
	if got := c.alarms("racks"); got["bay-blocked"] != 1 || got["bay-disagrees"] != 0 {
		t.Fatalf("alarms: %v", got)
	}
}

func TestReleaseOfACarInAMachine(t *testing.T) {
	c := byHand(t)
	ctx := context.Background()
	none := Keep[parking.Allocation]{}
	g := c.give("racks", 1)
	if _, err := c.Release(ctx, EndRequest{Allocation: g.ID}, none); err != nil {
		t.Fatalf("before it was taken in: %v", err)
	}
	if next := c.next(); next != nil {
		t.Fatalf("an order for a car that left: %+v", next)
	}
	g = c.give("racks", 2)
	order := c.next()
	if _, err := c.Release(ctx, EndRequest{Allocation: g.ID, By: "wong", Reason: "says so"}, none); !errors.Is(err, parking.ErrConflict) {
		t.Fatalf("while it moves: %v", err)
	}
	c.say(order.ID, ReportDone, parking.Occupied)
	for _, end := range []func(context.Context, EndRequest, Keep[parking.Allocation]) (Result[parking.Allocation], error){c.Release, c.Cancel} {
		if _, err := end(ctx, EndRequest{Allocation: g.ID, By: "wong", Reason: "says so"}, none); !errors.Is(err, parking.ErrConflict) {
			t.Fatalf("while it stands in the machine: %v", err)
		}
	}
	c.want(g.ID)
	fetch := c.next()
	if _, err := c.CancelRetrieval(ctx, EndRequest{Allocation: g.ID}, Keep[Retrieval]{}); !errors.Is(err, parking.ErrConflict) {
		t.Fatalf("while it is fetched: %v", err)
	}
	c.say(fetch.ID, ReportDone, parking.Empty)
	if next := c.next(); next != nil {
		t.Fatalf("the gate is taken, and it is told to %+v", next)
	}
	if _, err := c.Release(ctx, EndRequest{Allocation: g.ID}, none); err != nil {
		t.Fatal(err)
	}
	c.is(g.ID, parking.Gone)
}

func TestPromisesOfAQueue(t *testing.T) {
	c := byHand(t)
	var ids []string
	for n := range 8 {
		ids = append(ids, c.stored(n).ID)
		c.clock.Advance(time.Minute)
	}
	var before time.Time
	for i, id := range ids[:6] {
		r := c.want(id)
		if r.Position != i+1 || r.PromisedAt.Before(before) {
			t.Fatalf("car %d: position %d, promised %s after %s", i, r.Position, r.PromisedAt, before)
		}
		if again := c.want(id); !again.PromisedAt.Equal(r.PromisedAt) || again.Allocation.Revision != r.Allocation.Revision {
			t.Fatalf("asked again: %+v", again)
		}
		before = r.PromisedAt
	}
	// A request for later does not hold up those for now, and is kept.
	evening := c.clock.Now().Add(3 * time.Hour)
	r, err := c.Retrieve(context.Background(), RetrieveRequest{Allocation: ids[6], NotBefore: evening}, Keep[Retrieval]{})
	if err != nil || r.Value.PromisedAt.Before(evening) || r.Value.PromisedAt.After(evening.Add(30*time.Minute)) {
		t.Fatalf("%+v, %v", r.Value, err)
	}
	back, err := c.CancelRetrieval(context.Background(), EndRequest{Allocation: ids[0]}, Keep[Retrieval]{})
	if err != nil || back.Value.Allocation.State != parking.Stored {
		t.Fatalf("%+v, %v", back, err)
	}
	if s, err := c.Standing(context.Background(), ids[1]); err != nil || s.Position != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	// Out of service: the places are kept, and nothing is promised.
	service := ServiceRequest{CarPark: "racks", Machine: "R1", By: "wong", Reason: "chain"}
	if _, err := c.SetOut(context.Background(), service, Keep[parking.MachineStatus]{}); err != nil {
		t.Fatal(err)
	}
	for i, id := range ids[1:6] {
		s, err := c.Standing(context.Background(), id)
		if err != nil || s.Position != i+1 || !s.PromisedAt.IsZero() || s.Note == "" {
			t.Fatalf("%+v, %v", s, err)
		}
	}
	c.clock.Advance(time.Hour)
	if _, err := c.SetIn(context.Background(), service, Keep[parking.MachineStatus]{}); err != nil {
		t.Fatal(err)
	}
	for i, id := range ids[1:6] {
		s, err := c.Standing(context.Background(), id)
		if err != nil || s.Position != 1 || !s.PromisedAt.After(c.clock.Now()) {
			t.Fatalf("%+v, %v", s, err)
		}
		order := c.next()
		if order == nil || order.Allocation != id {
			t.Fatalf("car %d: the order is %+v", i, order)
		}
		c.say(order.ID, ReportDone, parking.Empty)
		c.say(order.ID, ReportGone, parking.Empty)
	}
	if order := c.next(); order != nil && order.Kind == parking.Fetch {
		t.Fatalf("the evening's car now: %+v", order)
	}
	c.clock.Set(evening.Add(-20 * time.Second))
	var order *parking.Command
	for range 5 {
		if order = c.next(); order == nil || order.Kind == parking.Fetch {
			break
		}
		c.say(order.ID, ReportDone, "")
	}
	if order == nil || order.Allocation != ids[6] {
		t.Fatalf("in the evening: %+v", order)
	}
}

func TestWantedWhileItIsStored(t *testing.T) {
	c := byHand(t)
	g := c.give("racks", 1)
	store := c.next()
	c.say(store.ID, ReportRunning, "")
	if r := c.want(g.ID); r.Position != 1 || r.PromisedAt.IsZero() {
		t.Fatalf("%+v", r)
	}
	if next := c.next(); next != nil {
		t.Fatalf("fetched before it is stored: %+v", next)
	}
	c.say(store.ID, ReportDone, parking.Occupied)
	if x := c.is(g.ID, parking.Retrieving); x.StoredAt.IsZero() {
		t.Fatalf("%+v", x)
	}
	fetch := c.next()
	if fetch == nil || fetch.Kind != parking.Fetch {
		t.Fatalf("%+v", fetch)
	}
	c.say(fetch.ID, ReportDone, parking.Empty)
	c.is(g.ID, parking.Staged)
	// A controller that has forgotten which car it was.
	c.say("", ReportGone, parking.Empty)
	c.is(g.ID, parking.Gone)
}

// What the inventory of a new run proves of an order under way, and what it does
// not.
func TestWhatAnInventoryProves(t *testing.T) {
	const o, e, u, unsaid = parking.Occupied, parking.Empty, parking.Unsure, parking.Presence("")
	for _, c := range []struct {
		kind    parking.CommandKind
		running bool
		bay     parking.Presence
		gate    parking.Presence
		want    parking.State
	}{
		{parking.Store, true, o, e, parking.Stored}, {parking.Store, true, o, unsaid, parking.Stored}, {parking.Store, false, o, e, parking.Stored},
		{parking.Store, false, e, e, parking.Assigned}, {parking.Store, false, e, unsaid, parking.Assigned}, {parking.Store, false, e, u, parking.Assigned},
		{parking.Store, true, e, o, parking.Assigned}, {parking.Store, true, e, unsaid, parking.Assigned},
		{parking.Store, true, e, e, parking.Unknown}, {parking.Store, true, e, u, parking.Unknown},
		{parking.Store, true, u, o, parking.Unknown}, {parking.Store, false, u, e, parking.Unknown},
		{parking.Fetch, true, o, e, parking.Retrieving}, {parking.Fetch, false, o, unsaid, parking.Retrieving},
		{parking.Fetch, true, e, o, parking.Staged}, {parking.Fetch, true, e, e, parking.Unknown}, {parking.Fetch, true, e, unsaid, parking.Unknown},
		{parking.Fetch, false, e, e, parking.Unknown}, {parking.Fetch, true, e, u, parking.Unknown}, {parking.Fetch, true, u, o, parking.Unknown},
	} {
		w := byHand(t)
		g := w.give("racks", 1)
		order := w.next()
		if c.kind == parking.Fetch {
			w.say(order.ID, ReportDone, o)
			w.want(g.ID)
			order = w.next()
		}
		if c.running {
			w.say(order.ID, ReportRunning, "")
		}
		// The run before is still talking, and another one too: neither counts
		// against what the present one says.
		w.boot = "b0"
		w.say(order.ID, ReportDone, "")
		w.boot = "b2"
		w.say(order.ID, ReportDone, "")
		if x := w.now(g.ID); x.State == parking.Stored || x.State == parking.Staged {
			t.Fatalf("%+v: a run that was not compared was believed: %s", c, x.State)
		}
		seen := map[string]parking.Presence{g.Bay: c.bay}
		if c.gate != unsaid {
			seen[GateItem] = c.gate
		}
		w.inventory(seen)
		if x := w.now(g.ID); x.State != c.want {
			t.Errorf("%+v: it is %s (%s)", c, x.State, x.Reason)
		}
		next := w.next()
		switch {
		case c.want == parking.Unknown && next != nil:
			t.Errorf("%+v: nobody knows where the car is, and the machine is told to %s", c, next.Kind)
		case (c.want == parking.Assigned || c.want == parking.Retrieving) && (next == nil || next.ID == order.ID || next.Kind != c.kind || next.Attempt != 2):
			t.Errorf("%+v: the order is not given again: %+v", c, next)
		}
	}
}
