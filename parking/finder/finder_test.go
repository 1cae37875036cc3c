package finder

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"freeflow/parking"
	"freeflow/parking/attendant"
)

func TestTheJourney(t *testing.T) {
	w := newTown(t, sqliteURL(t), map[string]int64{"a": 2000, "b": 1000}, site("a", 100, 1, 1), site("b", 400, 2, 0))
	id := w.ask(wish("AB1"))
	seen := w.stands(id, parking.SpaceWaiting, "")
	if !seen.NextRound.Equal(noon.Add(5 * time.Second)) {
		t.Errorf("the next round is at %s", seen.NextRound)
	}
	if _, held, err := w.finder.Round(t.Context()); held || err != nil {
		t.Errorf("a round before its time: %t, %v", held, err)
	}
	w.round()
	seen = w.stands(id, parking.SpaceAssigned, "a")
	if seen.Place.PriceCents != 2000 || seen.Place.Currency != "HKD" || seen.Place.WalkMetres < 125 || seen.Place.WalkMetres > 135 ||
		seen.Reservation == "" || seen.Next == nil || seen.Next.CarPark != "b" || !seen.HeldUntil.Equal(noon.Add(20*time.Minute+5*time.Second)) ||
		!strings.Contains(seen.Why, "20.00 of at most 100.00") {
		t.Errorf("%+v %+v", seen, seen.Place)
	}
	held := w.reservation(seen.Reservation)
	if held.State != parking.Confirmed || held.Vehicle.Plate != "" || !held.NoShowAfter.Equal(seen.HeldUntil) {
		t.Errorf("%+v", held)
	}
	// Who comes without asking does not get the place that is held.
	if walkIn := w.park("a", "ZZ9"); strings.HasPrefix(walkIn.Bay, "P-") {
		t.Errorf("a stranger stands on %s", walkIn.Bay)
	}
	w.clock.Advance(10 * time.Minute)
	if mine := w.park("a", "AB1"); mine.Bay != "P-000" {
		t.Errorf("stands on %s", mine.Bay)
	}
	w.round()
	end := w.stands(id, parking.SpaceArrived, "a")
	if end.NextRound != (time.Time{}) || !end.ForgottenAt.Equal(end.EndedAt.Add(2*time.Hour)) {
		t.Errorf("%+v", end)
	}
	// Nobody is left: no round is due, and the row goes two hours later.
	w.clock.Advance(time.Hour)
	if _, held, err := w.finder.Round(t.Context()); held || err != nil {
		t.Errorf("a round for nobody: %t, %v", held, err)
	}
	w.clock.Advance(time.Hour)
	if err := w.finder.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.finder.Find(t.Context(), id); !errors.Is(err, parking.ErrNotFound) {
		t.Errorf("not forgotten: %v", err)
	}
}

func TestCountedPlaces(t *testing.T) {
	w := newTown(t, sqliteURL(t), map[string]int64{"a": 1000, "b": 1000}, site("a", 100, 2, 0), site("b", 900, 1, 0))
	ids := []string{w.ask(wish("AB1"))}
	w.clock.Advance(time.Millisecond)
	for n := 2; n <= 4; n++ {
		ids = append(ids, w.ask(wish(fmt.Sprint("AB", n))))
		w.clock.Advance(time.Millisecond)
	}
	round := w.round()
	if round.Assigned != 3 || round.Waiting != 1 || round.CarParks["a"].UnderWay != 2 || round.CarParks["a"].Held != 0 {
		t.Errorf("%+v", round)
	}
	// The earlier ones have the better places, the last waits.
	w.stands(ids[0], parking.SpaceAssigned, "a")
	w.stands(ids[1], parking.SpaceAssigned, "a")
	w.stands(ids[2], parking.SpaceAssigned, "b")
	if last := w.stands(ids[3], parking.SpaceWaiting, ""); !strings.Contains(last.Why, "2 car parks are within your limits and full") {
		t.Errorf("%q", last.Why)
	}
	// Cars that did not ask take the bays: the assignment stands, and says so.
	w.park("b", "ZZ1")
	if r := w.round(); r.Short != 1 || r.Kept != 3 {
		t.Errorf("%+v", r)
	}
	if s := w.stands(ids[2], parking.SpaceAssigned, "b"); !s.Short {
		t.Error("is not told that the bays ran short")
	}
	// One at the nearer car park gives up; who is at b moves there, and the one
	// who waits still waits, since b is full.
	if _, err := w.finder.Withdraw(t.Context(), ids[0], parking.Keep[Seen]{}); err != nil {
		t.Fatal(err)
	}
	w.stands(ids[0], parking.SpaceWithdrawn, "")
	r := w.round()
	moved, waits := w.find(ids[2]), w.find(ids[3])
	if r.Moved+r.Assigned != 1 || moved.Short && moved.Place.CarPark == "a" {
		t.Errorf("%+v; %+v; %+v", r, moved, waits)
	}
}

func TestEnds(t *testing.T) {
	w := newTown(t, sqliteURL(t), map[string]int64{"a": 1000, "b": 1000}, site("a", 100, 0, 2), site("b", 5000, 1, 0))
	poor := wish("PO1")
	poor.MaxPriceCents = 500
	unserved, late, elsewhere := w.ask(poor), w.ask(wish("LA1")), w.ask(wish("EL1"))
	w.round()
	if s := w.stands(unserved, parking.SpaceWaiting, ""); !strings.Contains(s.Why, "1 more than 2000 m on foot away, 1 dearer than 5.00") {
		t.Errorf("%q", s.Why)
	}
	w.stands(late, parking.SpaceAssigned, "a")
	first := w.find(elsewhere).Reservation
	w.park("b", "EL1")
	w.round()
	if s := w.stands(elsewhere, parking.SpaceWithdrawn, ""); !strings.Contains(s.Why, "another car park") {
		t.Errorf("%q", s.Why)
	}
	if r := w.reservation(first); r.State != parking.ReservationCancelled {
		t.Errorf("still %s", r.State)
	}
	cancelled := w.ask(wish("CA1"))
	w.round()
	if _, err := w.att.CancelReservation(t.Context(), w.stands(cancelled, parking.SpaceAssigned, "a").Reservation, parking.Keep[parking.Reservation]{}); err != nil {
		t.Fatal(err)
	}
	w.round()
	w.stands(cancelled, parking.SpaceWithdrawn, "")
	// Deadlines count before anybody writes them down.
	w.clock.Advance(30 * time.Minute)
	w.stands(late, parking.SpaceExpired, "a")
	if s := w.stands(unserved, parking.SpaceUnserved, ""); !strings.HasPrefix(s.Why, "no place was found in time: no car park") {
		t.Errorf("%q", s.Why)
	}
	if _, err := w.finder.Withdraw(t.Context(), late, parking.Keep[Seen]{}); !errors.Is(err, parking.ErrConflict) {
		t.Errorf("%v", err)
	}
	if r := w.round(); r.Ended != 2 || r.Drivers != 0 {
		t.Errorf("%+v", r)
	}
	w.stands(late, parking.SpaceExpired, "a")
	w.stands(unserved, parking.SpaceUnserved, "")
}

func TestWhatAVehicleNeeds(t *testing.T) {
	p := site("a", 100, 1, 0)
	p.Bays = append(p.Bays,
		parking.Bay{ID: "E-1", Classes: []string{"private_car"}, EV: true},
		parking.Bay{ID: "D-1", Classes: []string{"private_car"}, Accessible: true},
		parking.Bay{ID: "M-1", Classes: []string{"motorcycle"}, EV: true},
		parking.Bay{ID: "L-1", Classes: []string{"private_car"}, Limits: parking.Limits{HeightMM: 2500}})
	p.Bays[0].Limits.HeightMM = 1600
	w := newTown(t, sqliteURL(t), map[string]int64{"a": 1000}, p)
	make := func(plate string, change func(*parking.SpaceRequest)) string {
		r := wish(plate)
		change(&r)
		w.clock.Advance(time.Millisecond)
		return w.ask(r)
	}
	low := make("LO1", func(r *parking.SpaceRequest) { r.Vehicle.HeightMM = 1500 })
	high := make("HI1", func(r *parking.SpaceRequest) { r.Vehicle.HeightMM = 2000 })
	charger := make("EV1", func(r *parking.SpaceRequest) { r.Charger = true })
	permit := make("DP1", func(r *parking.SpaceRequest) { r.Accessible = true })
	rider := make("MC1", func(r *parking.SpaceRequest) { r.Vehicle.Class = "motorcycle" })
	second := make("EV2", func(r *parking.SpaceRequest) { r.Charger = true })
	giant := make("GI1", func(r *parking.SpaceRequest) { r.Vehicle.HeightMM = 4000 })
	w.round()
	for _, id := range []string{low, high, charger, permit, rider} {
		w.stands(id, parking.SpaceAssigned, "a")
	}
	w.stands(second, parking.SpaceWaiting, "")
	if s := w.stands(giant, parking.SpaceWaiting, ""); !strings.Contains(s.Why, "without a bay for this vehicle") {
		t.Errorf("%q", s.Why)
	}
}

func TestBadRequests(t *testing.T) {
	w := newTown(t, sqliteURL(t), map[string]int64{"a": 1000}, site("a", 100, 1, 0))
	for name, change := range map[string]func(*parking.SpaceRequest){
		"far ahead": func(r *parking.SpaceRequest) { r.Arrives = noon.Add(3 * time.Hour) },
		"no stay":   func(r *parking.SpaceRequest) { r.StayMinutes = 0 },
		"long stay": func(r *parking.SpaceRequest) { r.StayMinutes = 8 * 24 * 60 },
		"no class":  func(r *parking.SpaceRequest) { r.Vehicle.Class = "" },
		"weight":    func(r *parking.SpaceRequest) { r.LambdaPerMille = 1001 },
		"price":     func(r *parking.SpaceRequest) { r.MaxPriceCents = -1 },
	} {
		r := wish("AB1")
		change(&r)
		if _, err := w.finder.Ask(t.Context(), r, parking.Keep[Seen]{}); !errors.Is(err, parking.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	far := wish("FA1")
	far.LatE7, far.LonE7 = -300_000_000, 0
	id := w.ask(far)
	w.round()
	if s := w.stands(id, parking.SpaceWaiting, ""); !strings.Contains(s.Why, "too far from all") {
		t.Errorf("%q", s.Why)
	}
	w.finder.settings.Drivers = 2
	w.ask(wish("AB2"))
	if _, err := w.finder.Ask(t.Context(), wish("AB3"), parking.Keep[Seen]{}); !errors.Is(err, ErrFull) {
		t.Errorf("%v", err)
	}
}

// A key's repetition is one request; two processes see the same, and a second
// start loses nothing.
func TestRepeatedAndRestarted(t *testing.T) {
	w := newTown(t, sqliteURL(t), map[string]int64{"a": 1000}, site("a", 100, 0, 1))
	keep := parking.Keep[Seen]{Once: &parking.Once{Scope: "s", Key: "k"}, Encode: func(s Seen) parking.Answer { return parking.Answer{Status: 201, Body: []byte(s.ID)} }}
	first, err := w.finder.Ask(t.Context(), wish("AB1"), keep)
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.finder.Ask(t.Context(), wish("AB1"), keep)
	if err != nil || !again.Answer.Replayed || string(again.Answer.Body) != first.Value.ID {
		t.Errorf("%+v, %v", again, err)
	}
	w.round()
	w.process = w.start()
	seen := w.stands(first.Value.ID, parking.SpaceAssigned, "a")
	if r := w.round(); r.Number != 2 || r.Kept != 1 {
		t.Errorf("%+v", r)
	}
	if w.find(first.Value.ID).Reservation != seen.Reservation {
		t.Error("the reservation is another after the start")
	}
	there, err := w.finder.At(t.Context(), "a", 10)
	if err != nil || len(there) != 1 {
		t.Errorf("%v, %v", there, err)
	}
	rounds, err := w.finder.Rounds(t.Context(), 10)
	if err != nil || len(rounds) != 2 || rounds[0].Number != 2 {
		t.Errorf("%+v, %v", rounds, err)
	}
}

// Processes that race for rounds while drivers come, arrive and give up: each
// round is held once, no pool is promised beyond its places, and nobody is moved
// to worse.
func TestProcessesRace(t *testing.T) { testProcessesRace(t, sqliteURL(t)) }

func testProcessesRace(t *testing.T, url string) {
	seed := uint64(20261125)
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	w := newTown(t, url, map[string]int64{"a": 3000, "b": 2000, "c": 1000}, site("a", 50, 0, 4), site("b", 300, 3, 2), site("c", 800, 5, 0))
	others := []process{w.process, w.start(), w.start()}
	var ids []string
	costs, free := map[string]int64{}, map[string]bool{}
	var numbers []int64
	for turn := range 40 {
		for range rng.IntN(4) {
			r := wish(fmt.Sprintf("AB%d", len(ids)))
			r.LambdaPerMille, r.MaxWalkMetres = rng.IntN(1001), 200+rng.Int64N(1800)
			r.Arrives = w.clock.Now().Add(time.Duration(rng.IntN(15)) * time.Minute)
			w.process = others[rng.IntN(len(others))]
			ids = append(ids, w.ask(r))
		}
		w.clock.Advance(5 * time.Second)
		var wg sync.WaitGroup
		var held atomic.Int64
		for _, p := range others {
			wg.Go(func() {
				round, mine, err := p.finder.Round(t.Context())
				if err != nil {
					t.Errorf("turn %d: %v", turn, err)
				}
				if mine {
					held.Store(round.Number)
				}
			})
		}
		// A driver who gives up in the middle of it.
		if len(ids) > 0 && rng.IntN(3) == 0 {
			id := ids[rng.IntN(len(ids))]
			if _, err := others[0].finder.Withdraw(t.Context(), id, parking.Keep[Seen]{}); err != nil && !errors.Is(err, parking.ErrConflict) {
				t.Errorf("withdrawing: %v", err)
			}
		}
		wg.Wait()
		if n := held.Load(); n > 0 {
			numbers = append(numbers, n)
		}
		used := map[string]int{}
		for _, id := range ids {
			s := others[rng.IntN(len(others))].find(t, id)
			if s.State != parking.SpaceAssigned {
				continue
			}
			if before, ok := costs[id]; ok && s.Place.Cost > before {
				t.Errorf("turn %d: moved from a cost of %d to %d", turn, before, s.Place.Cost)
			}
			if free[id] && s.Reservation == "" {
				t.Errorf("turn %d: a held place became a counted one", turn)
			}
			costs[id], free[id] = s.Place.Cost, s.Reservation != ""
			if s.Reservation != "" {
				used[s.Place.CarPark+"/"+s.Pool]++
			} else {
				used[s.Place.CarPark]++
			}
		}
		for what, most := range map[string]int{"a/book": 4, "b/book": 2, "b": 3, "c": 5, "a": 0} {
			if used[what] > most {
				t.Errorf("turn %d: %d drivers at %s, which has %d", turn, used[what], what, most)
			}
		}
	}
	rounds, err := w.finder.Rounds(t.Context(), 100)
	if err != nil || len(rounds) < len(numbers) || len(rounds) < 20 {
		t.Errorf("%d rounds, %d seen, %v", len(rounds), len(numbers), err)
	}
	moved := 0
	for i, r := range rounds {
		moved += r.Moved
		if want := int64(len(rounds) - i); r.Number != want {
			t.Errorf("round %d where %d was due", r.Number, want)
		}
	}
	if moved == 0 {
		t.Error("nobody was ever moved: the race shows nothing of moves")
	}
}

func (p process) find(t *testing.T, id string) Seen {
	t.Helper()
	got, err := p.finder.Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Who has waited long comes before a newcomer whom the same bay would suit
// better; and a freed bay goes to whoever has none.
func TestNobodyStarves(t *testing.T) {
	w := newTown(t, sqliteURL(t), map[string]int64{"a": 1000}, site("a", 100, 1, 0))
	inside := w.park("a", "ZZ1")
	patient := wish("PA1")
	patient.MaxPriceCents, patient.LambdaPerMille, patient.Arrives = 1000, 1000, noon.Add(15*time.Minute) // a J of 1 at a
	first := w.ask(patient)
	w.round()
	w.stands(first, parking.SpaceWaiting, "")
	w.clock.Advance(10 * time.Minute)
	w.round()
	second := w.ask(wish("NE1"))
	if _, err := w.att.Release(t.Context(), attendant.EndRequest{Allocation: inside.ID}, attendant.Keep[parking.Allocation]{}); err != nil {
		t.Fatal(err)
	}
	w.round()
	w.stands(first, parking.SpaceAssigned, "a")
	w.stands(second, parking.SpaceWaiting, "")
}

// A driver is moved to a place that has become free and costs less, his old
// place is given back in the same round, and about to arrive he is not moved.
func TestMoves(t *testing.T) {
	w := newTown(t, sqliteURL(t), map[string]int64{"a": 1000, "b": 3000}, site("a", 100, 0, 1), site("b", 900, 0, 1))
	r := wish("AB1")
	r.Arrives = noon.Add(30 * time.Minute)
	first := w.ask(r)
	w.clock.Advance(time.Millisecond)
	second := w.ask(r)
	w.clock.Advance(time.Millisecond)
	late := r
	late.Arrives = noon.Add(3 * time.Minute)
	w.round()
	w.stands(first, parking.SpaceAssigned, "a")
	old := w.stands(second, parking.SpaceAssigned, "b")
	if _, err := w.finder.Withdraw(t.Context(), first, parking.Keep[Seen]{}); err != nil {
		t.Fatal(err)
	}
	third := w.ask(late)
	round := w.round()
	now := w.stands(second, parking.SpaceAssigned, "a")
	if now.Moves != 1 || now.Place.Cost >= old.Place.Cost || now.HeldUntil != old.HeldUntil || now.Reservation == old.Reservation ||
		!strings.Contains(now.Why, "before Park b") || round.Moved != 1 || round.CarParks["b"].Left != 1 {
		t.Errorf("%+v %+v", now, round)
	}
	if held := w.reservation(old.Reservation); held.State != parking.ReservationCancelled {
		t.Errorf("the old place is %s", held.State)
	}
	w.stands(third, parking.SpaceAssigned, "b")
	if _, err := w.finder.Withdraw(t.Context(), second, parking.Keep[Seen]{}); err != nil {
		t.Fatal(err)
	}
	w.round()
	w.stands(third, parking.SpaceAssigned, "b") // it arrives in less than 3 minutes
}

// A place that was only counted becomes a held one as soon as one is free, the
// earliest driver's first.
func TestCountedBecomesHeld(t *testing.T) {
	w := newTown(t, sqliteURL(t), map[string]int64{"a": 1000}, site("a", 100, 2, 1))
	var ids []string
	for n := range 3 {
		ids = append(ids, w.ask(wish(fmt.Sprint("AB", n))))
		w.clock.Advance(time.Millisecond)
	}
	w.round()
	held := -1
	for n, id := range ids {
		if w.stands(id, parking.SpaceAssigned, "a").Reservation != "" {
			held = n
		}
	}
	if held != 0 {
		t.Fatalf("the place is held for driver %d", held)
	}
	if _, err := w.finder.Withdraw(t.Context(), ids[0], parking.Keep[Seen]{}); err != nil {
		t.Fatal(err)
	}
	if r := w.round(); r.Kept != 2 || r.CarParks["a"].Held != 1 || r.CarParks["a"].Sent != 0 {
		t.Errorf("%+v", r)
	}
	if a, b := w.find(ids[1]), w.find(ids[2]); a.Reservation == "" || b.Reservation != "" || a.Moves != 0 || a.Place == nil || a.Place.PriceCents != 1000 {
		t.Errorf("%+v %+v", a, b)
	}
}
