package attendant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"freeflow/parking"
	"freeflow/parking/rackemu"
)

// direct is the way from an emulated controller to the attendant without HTTP.
type direct struct {
	a             *Attendant
	park, machine string
}

func (d direct) Inventory(ctx context.Context, boot string, seen []rackemu.Seen) error {
	items := make([]parking.InventoryItem, len(seen))
	for i, s := range seen {
		items[i] = parking.InventoryItem{Bay: s.Bay, Presence: s.Presence}
	}
	_, err := d.a.Inventory(ctx, InventoryReport{CarPark: d.park, Machine: d.machine, Boot: boot, Items: items})
	return refusal(err)
}

func (d direct) Next(ctx context.Context, boot string) (rackemu.Turn, error) {
	turn, err := d.a.Next(ctx, Poll{CarPark: d.park, Machine: d.machine, Boot: boot})
	out := rackemu.Turn{InventoryWanted: turn.InventoryWanted, RetryAfter: turn.RetryAfter}
	if c := turn.Command; c != nil {
		out.Order = &rackemu.Order{ID: c.ID, Kind: c.Kind, Allocation: c.Allocation, Bay: c.Bay, From: c.From}
	}
	return out, refusal(err)
}

func (d direct) Report(ctx context.Context, r rackemu.Report) error {
	return refusal(d.a.Report(ctx, Report{CarPark: d.park, Machine: d.machine, Boot: r.Boot, Command: r.Command, State: r.State,
		Presence: r.Presence, Detail: r.Detail}))
}

func refusal(err error) error {
	for _, e := range []error{parking.ErrNotFound, parking.ErrConflict, parking.ErrInvalid} {
		if errors.Is(err, e) {
			return errors.Join(rackemu.ErrRefused, err)
		}
	}
	return err
}

// sim is a car park with all its machines emulated.
type sim struct {
	*world
	park  *parking.CarPark
	court *rackemu.Forecourt
	racks map[string]*rackemu.Rack
	// wanted are allocations whose drivers have asked for them; staff ask again
	// for them where they had to step in.
	wanted map[string]bool
	staff  int
	// last are the allocations that have not ended, as last read by check.
	last map[string]parking.Allocation
}

func newSim(t testing.TB, park *parking.CarPark, settings rackemu.Settings) *sim {
	t.Helper()
	s := &sim{world: newWorld(t, park), park: park, court: rackemu.NewForecourt(), racks: map[string]*rackemu.Rack{}, wanted: map[string]bool{}}
	for i, m := range park.Machines {
		one := settings
		one.CarPark, one.Machine, one.API = park, m.ID, direct{s.Attendant, park.ID, m.ID}
		one.Clock, one.Log, one.Forecourt = s.clock, slog.New(slog.DiscardHandler), s.court
		one.Seed += uint64(i) * 1000
		r, err := rackemu.New(one)
		if err != nil {
			t.Fatal(err)
		}
		s.racks[m.ID] = r
	}
	return s
}

// where says where a car really is.
func (s *sim) where(allocation string) string {
	for _, m := range s.park.Machines {
		if at := s.racks[m.ID].Where(allocation); at != rackemu.Nowhere {
			return at
		}
	}
	if s.court.Waits(allocation) {
		return "forecourt"
	}
	return rackemu.Nowhere
}

// step does what is due and moves the clock to what comes next. It checks after
// every movement that no bay is believed free in which a car stands.
func (s *sim) step() {
	s.t.Helper()
	now := s.clock.Now()
	next := now.Add(5 * time.Second)
	for _, m := range s.park.Machines {
		at, _ := s.racks[m.ID].Step(context.Background())
		if at.Before(next) {
			next = at
		}
	}
	s.check()
	if floor := now.Add(50 * time.Millisecond); next.Before(floor) {
		next = floor
	}
	s.clock.Set(next)
}

func (s *sim) occupancy() parking.Occupancy {
	s.t.Helper()
	o, err := s.store.Occupancy(context.Background(), s.park.ID, s.clock.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	return o
}

// check holds the books against the world: a belief may be "unknown" or behind
// an order under way, but never wrong.
func (s *sim) check() {
	s.t.Helper()
	o := s.occupancy()
	held := map[string]parking.Allocation{}
	busy := map[string]bool{}
	s.last = map[string]parking.Allocation{}
	for _, x := range o.Active {
		held[x.Bay] = x
		s.last[x.ID] = x
	}
	for _, c := range o.Queue {
		if c.State != parking.Queued {
			busy[c.Allocation] = true
		}
	}
	for _, x := range o.Active {
		at := s.where(x.ID)
		if wrong(x, at, busy[x.ID]) {
			s.t.Fatalf("at %s: allocation %s (bay %s) is believed %s and is really: %s", s.clock.Now().Format("15:04:05.000"), x.ID[:6], x.Bay, x.State, at)
		}
		if bay, in := strings.CutPrefix(at, rackemu.InBay); in {
			if _, ok := held[bay]; !ok {
				s.t.Fatalf("a car stands in bay %s, which the books say is free (allocation %s, %s)", bay, x.ID[:6], x.State)
			}
		}
	}
}

func wrong(x parking.Allocation, at string, busy bool) bool {
	own := rackemu.InBay + x.Bay
	switch x.State {
	case parking.Assigned:
		return at != "forecourt" && at != rackemu.Nowhere && at != rackemu.AtGate
	case parking.Stored:
		return at != own && !busy // a relocation may be under way
	case parking.Retrieving:
		return at != own && !busy
	case parking.Staged:
		return at != rackemu.AtGate && at != rackemu.Left
	default:
		return false
	}
}

// until steps until done, for at most so long by the clock.
func (s *sim) until(limit time.Duration, done func() bool) {
	s.t.Helper()
	for end := s.clock.Now().Add(limit); !done(); s.step() {
		if s.clock.Now().After(end) {
			s.t.Fatalf("not done after %s: %s", limit, s.picture())
		}
	}
}

func (s *sim) picture() string {
	o := s.occupancy()
	var b strings.Builder
	for _, x := range o.Active {
		fmt.Fprintf(&b, "\n%s %s %s really %s %s", x.ID[:6], x.Bay, x.State, s.where(x.ID), x.Reason)
	}
	for _, c := range o.Queue {
		fmt.Fprintf(&b, "\ncommand %s %s %s of %s attempt %d", c.Kind, c.Bay, c.State, c.Allocation, c.Attempt)
	}
	for _, m := range o.Machines {
		fmt.Fprintf(&b, "\nmachine %s out=%v %s %s reconciled=%v", m.ID, m.Out, m.By, m.Reason, m.Reconciled)
	}
	return b.String()
}

// help is staff: they crank cars from lifts, look, and say what is true; and put
// machines back into service.
func (s *sim) help() {
	s.t.Helper()
	ctx := context.Background()
	o := s.occupancy()
	defer s.check()
	for _, m := range o.Machines {
		if m.Out {
			s.racks[m.ID].Rescue()
		}
	}
	for _, x := range o.Active {
		if x.State != parking.Unknown {
			continue
		}
		r := ResolveRequest{Allocation: x.ID, By: "wong", Reason: "looked"}
		at := s.where(x.ID)
		switch bay, in := strings.CutPrefix(at, rackemu.InBay); {
		case in:
			r.To, r.Bay = parking.Stored, bay
		case at == rackemu.AtGate && s.wanted[x.ID]:
			r.To = parking.Staged
		case at == rackemu.AtGate, at == "forecourt":
			r.To = parking.Assigned
		case at == rackemu.Left:
			r.To = parking.Gone
		default:
			continue
		}
		s.staff++
		if _, err := s.Resolve(ctx, r, Keep[parking.Allocation]{}); err != nil {
			s.t.Fatalf("resolving %s as %s: %v\n%s", x.ID[:6], r.To, err, s.picture())
		}
		if r.To == parking.Stored && s.wanted[x.ID] {
			s.want(x.ID)
		}
	}
	for _, m := range o.Machines {
		if m.Out {
			if _, err := s.SetIn(ctx, ServiceRequest{CarPark: s.park.ID, Machine: m.ID, By: "wong", Reason: "mended"}, Keep[parking.MachineStatus]{}); err != nil && !errors.Is(err, parking.ErrConflict) {
				s.t.Fatal(err)
			}
		}
	}
}

func (s *sim) want(id string) Retrieval {
	s.t.Helper()
	s.wanted[id] = true
	r, err := s.Retrieve(context.Background(), RetrieveRequest{Allocation: id}, Keep[Retrieval]{})
	if err != nil {
		s.t.Fatalf("asking for %s: %v\n%s", id[:6], err, s.picture())
	}
	return r.Value
}

// state is the allocation's state after the last step.
func (s *sim) state(id string) parking.State {
	if x, ok := s.last[id]; ok {
		return x.State
	}
	return s.now(id).State
}

// arrive gives a car a bay and drives it up.
func (s *sim) arrive(n int) Given {
	g := s.give(s.park.ID, n)
	s.court.Arrive(g.ID)
	return g
}

func TestACarComesBack(t *testing.T) {
	s := newSim(t, racks(1), rackemu.Settings{})
	g := s.arrive(1)
	s.until(10*time.Minute, func() bool { return s.state(g.ID) == parking.Stored })
	if x := s.now(g.ID); x.StoredAt.IsZero() || s.where(g.ID) != rackemu.InBay+g.Bay {
		t.Fatalf("%+v, really %s", x, s.where(g.ID))
	}
	s.clock.Advance(time.Hour)
	r := s.want(g.ID)
	if r.Position != 1 || !r.PromisedAt.After(s.clock.Now()) || r.PromisedAt.After(s.clock.Now().Add(2*time.Minute)) {
		t.Fatalf("%+v", r)
	}
	s.until(10*time.Minute, func() bool { return s.state(g.ID) == parking.Staged })
	if x := s.now(g.ID); x.StagedAt.After(r.PromisedAt) {
		t.Errorf("promised at %s, staged at %s", r.PromisedAt, x.StagedAt)
	}
	s.until(10*time.Minute, func() bool { return s.state(g.ID) == parking.Gone })
	f, err := s.Promises("racks")
	if err != nil || f.Samples != 1 || f.KeptPermille != 1000 || f.WithinPermille != 1000 || f.WaitP50 <= 0 || f.WithUserP50 <= f.WaitP50 {
		t.Fatalf("%+v, %v", f, err)
	}
}

// crashOnce crashes at the n-th time that a point of a kind is reached.
func crashOnce(kind parking.CommandKind, point string) func(parking.CommandKind, string) bool {
	done := false
	return func(k parking.CommandKind, p string) bool {
		if done || k != kind || p != point {
			return false
		}
		done = true
		return true
	}
}

// The controller starts anew at every point of a movement. What is believed
// afterwards agrees with the world or is Unknown (checked at every step), and
// with the help of staff the car comes back.
func TestRestartsAtEveryPoint(t *testing.T) {
	for _, c := range []struct {
		kind  parking.CommandKind
		point string
		// unknown says that nobody can know without looking.
		unknown bool
	}{
		{parking.Store, rackemu.Received, false}, {parking.Store, rackemu.Begun, false}, {parking.Store, rackemu.Boarded, false},
		{parking.Store, rackemu.Lifted, true}, {parking.Store, rackemu.Carried, true}, {parking.Store, rackemu.Placed, false}, {parking.Store, rackemu.Told, false},
		{parking.Fetch, rackemu.Received, false}, {parking.Fetch, rackemu.Begun, false}, {parking.Fetch, rackemu.Lifted, true},
		{parking.Fetch, rackemu.Carried, true}, {parking.Fetch, rackemu.Placed, false}, {parking.Fetch, rackemu.Told, false}, {parking.Fetch, rackemu.Departed, false},
	} {
		t.Run(string(c.kind)+" "+c.point, func(t *testing.T) {
			s := newSim(t, racks(1), rackemu.Settings{Crash: crashOnce(c.kind, c.point)})
			other := s.arrive(2)
			g := s.arrive(1)
			s.until(20*time.Minute, func() bool {
				return s.settled(g.ID) && s.settled(other.ID)
			})
			doubted := s.unknown()
			s.help()
			s.until(20*time.Minute, func() bool { return s.state(g.ID) == parking.Stored && s.state(other.ID) == parking.Stored })
			s.want(g.ID)
			s.want(other.ID)
			s.until(20*time.Minute, func() bool {
				doubted = doubted || s.unknown()
				s.help()
				return s.state(g.ID) == parking.Gone && s.state(other.ID) == parking.Gone
			})
			if s.racks["R1"].Counts().Restarts != 1 {
				t.Fatalf("restarts: %+v", s.racks["R1"].Counts())
			}
			if doubted != c.unknown {
				t.Errorf("unknown: %v, want %v", doubted, c.unknown)
			}
			if got := s.alarms("racks"); got["bay-disagrees"]+got["machine-out"] != 0 {
				t.Errorf("alarms left: %v", got)
			}
		})
	}
}

// settled says that the machine has done with the car for now.
func (s *sim) settled(id string) bool {
	st := s.state(id)
	return st == parking.Stored || st == parking.Unknown || s.machineOut()
}

func (s *sim) machineOut() bool {
	for _, m := range s.occupancy().Machines {
		if m.Out {
			return true
		}
	}
	return false
}

func (s *sim) unknown() bool {
	for _, x := range s.occupancy().Active {
		if x.State == parking.Unknown {
			return true
		}
	}
	return false
}
