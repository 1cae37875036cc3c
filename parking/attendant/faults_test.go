package attendant

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"freeflow/parking"
	"freeflow/parking/rackemu"
)

func shuttles() *parking.CarPark {
	cp := &parking.CarPark{ID: "shuttle", Code: "SHT", Name: parking.Text{En: "Shuttle"}, Zone: "Asia/Hong_Kong", PromiseSeconds: 180}
	addMachine(cp, parking.Machine{ID: "S1", Level: "G", Mechanism: parking.Shuttle, Tiers: 2, Columns: 3, Depth: 3, Lifts: 1,
		Timing: parking.Timing{GateSeconds: 5, UserSeconds: 20, PitchMM: 2500, TierMM: 2100, SlideMMPerMinute: 30000, LiftMMPerMinute: 15000, TransferSeconds: 10}})
	return cp
}

func towers() *parking.CarPark {
	cp := &parking.CarPark{ID: "tower", Code: "TWR", Name: parking.Text{En: "Tower"}, Zone: "Asia/Hong_Kong", PromiseSeconds: 120}
	addMachine(cp, parking.Machine{ID: "T1", Level: "G", Mechanism: parking.Tower, Tiers: 4, Columns: 6, Depth: 1, Lifts: 1,
		Timing: parking.Timing{GateSeconds: 5, UserSeconds: 20, PitchMM: 2500, TierMM: 2100, SlideMMPerMinute: 30000, LiftMMPerMinute: 15000, TurnSeconds: 20, TransferSeconds: 10}})
	return cp
}

// day is some hours of traffic through machines that fail now and then: at the
// end every car has come back, whatever happened.
func day(t *testing.T, park *parking.CarPark, seed uint64, cars int, faults rackemu.Faults) *sim {
	s := newSim(t, park, rackemu.Settings{Seed: seed, Faults: faults})
	rng := rand.New(rand.NewPCG(seed, 7))
	arrivals, left := 0, 0
	leaves := map[string]time.Time{}
	nextCar := s.clock.Now()
	var ids []string
	end := s.clock.Now().Add(24 * time.Hour)
	for left < cars {
		if s.clock.Now().After(end) {
			t.Fatalf("seed %d: %d of %d cars are back after a day: %s", seed, left, cars, s.picture())
		}
		now := s.clock.Now()
		if arrivals < cars && !now.Before(nextCar) {
			nextCar = now.Add(time.Duration(rng.IntN(150)) * time.Second)
			if c, err := s.Counts(t.Context(), park.ID); err == nil && c.Free > 6 {
				r, err := s.Allocate(t.Context(), AllocateRequest{CarPark: park.ID, Vehicle: car(arrivals)}, Keep[Given]{})
				if err != nil {
					t.Fatalf("%v %s", err, s.picture())
				}
				g := r.Value
				s.court.Arrive(g.ID)
				arrivals++
				ids = append(ids, g.ID)
				leaves[g.ID] = now.Add(time.Duration(5+rng.IntN(20)) * time.Minute)
			}
		}
		left = 0
		for _, id := range ids {
			at, waits := leaves[id]
			if !waits {
				left++
				continue
			}
			if now.Before(at) && !s.wanted[id] {
				continue
			}
			switch s.state(id) {
			case parking.Stored, parking.Moving:
				s.want(id)
			case parking.Gone:
				delete(leaves, id)
				if at := s.where(id); at != rackemu.Left {
					t.Fatalf("seed %d: a car is believed gone and is really: %s", seed, at)
				}
			}
		}
		if rng.IntN(50) == 0 {
			s.help()
		}
		s.step()
	}
	return s
}

func seeds(usual int) []uint64 {
	if one, err := strconv.ParseUint(os.Getenv("FREEFLOW_SEED"), 10, 64); err == nil {
		return []uint64{one}
	}
	n := usual
	if many, err := strconv.Atoi(os.Getenv("FREEFLOW_SEEDS")); err == nil {
		n = many
	}
	out := make([]uint64, n)
	for i := range out {
		out[i] = uint64(i + 1)
	}
	return out
}

func TestEveryCarComesBackFromFailingMachines(t *testing.T) {
	bad := rackemu.Faults{Refuse: 20, Stall: 50, Restart: 8, LoseReply: 30, Repeat: 100, Unsure: 4}
	for _, seed := range seeds(1) {
		for name, park := range map[string]*parking.CarPark{"racks": racks(2), "shuttle": shuttles(), "tower": towers()} {
			t.Run(fmt.Sprintf("%s seed %d", name, seed), func(t *testing.T) {
				s := day(t, park, seed, 12, bad)
				var sum rackemu.Counts
				for _, r := range s.racks {
					c := r.Counts()
					sum.Stored += c.Stored
					sum.Fetched += c.Fetched
					sum.Moved += c.Moved
					sum.Restarts += c.Restarts
					sum.Refused += c.Refused
					sum.Lost += c.Lost
					sum.Repeats += c.Repeats
					sum.Rescued += c.Rescued
					if r.Cars() != 0 {
						t.Errorf("cars left in a machine")
					}
				}
				t.Logf("%+v, staff stepped in %d times", sum, s.staff)
			})
		}
	}
}

func TestMachinesWithoutFaultsNeedNobody(t *testing.T) {
	for _, park := range []*parking.CarPark{racks(2), shuttles(), towers()} {
		t.Run(park.ID, func(t *testing.T) {
			// One busy day in deep lanes says little: what makes way for whom
			// depends on who asks first.
			const days = 8
			kept := 0
			for seed := range uint64(days) {
				s := day(t, park, seed+1, 12, rackemu.Faults{})
				if s.staff != 0 {
					t.Errorf("seed %d: staff stepped in %d times", seed+1, s.staff)
				}
				if got := s.alarms(park.ID); len(got) != 0 {
					t.Errorf("seed %d: alarms: %v", seed+1, got)
				}
				f, err := s.Promises(park.ID)
				if err != nil || f.Samples != 12 {
					t.Fatalf("seed %d: %+v, %v", seed+1, f, err)
				}
				kept += f.KeptPermille
			}
			t.Logf("kept: %d thousandths", kept/days)
			if kept < 850*days {
				t.Errorf("kept: %d thousandths", kept/days)
			}
		})
	}
}
