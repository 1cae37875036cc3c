package finder

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"freeflow/parking"
)

// most is the greatest number of the drivers that find bays of their own, by
// trying everything.
func most(l *lot, drivers []*parking.SpaceRequest, free []int) int {
	if len(drivers) == 0 {
		return 0
	}
	best := most(l, drivers[1:], free)
	for g := range free {
		if free[g] > 0 && l.suits(drivers[0], l.groups[g].bay) {
			free[g]--
			best = max(best, 1+most(l, drivers[1:], free))
			free[g]++
		}
	}
	return best
}

// A bench seats as many drivers as there are bays for, whatever their order, and
// nobody on a bay that is not for him; who stands up makes room.
func TestBenchSeatsAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &lot{site: &parking.CarPark{ID: "a"}, plain: map[kindOfBay]bool{}}
		var free []int
		for range rapid.IntRange(0, 4).Draw(t, "groups") {
			b := &parking.Bay{Classes: rapid.SampledFrom([][]string{{"car"}, {"van"}, {"car", "van"}}).Draw(t, "classes"),
				EV: rapid.Bool().Draw(t, "charger"), Limits: parking.Limits{HeightMM: rapid.SampledFrom([]int{0, 1600, 2000}).Draw(t, "height")}}
			n := rapid.IntRange(0, 2).Draw(t, "free")
			l.groups, free = append(l.groups, group{bay: b, free: n}), append(free, n)
			if !b.EV {
				for _, class := range b.Classes {
					l.plain[kindOfBay{class, false}] = true
				}
			}
		}
		bench := newBench(l)
		var all []*parking.SpaceRequest
		seated := 0
		for n := range rapid.IntRange(0, 6).Draw(t, "drivers") {
			r := &parking.SpaceRequest{ID: fmt.Sprint(n), Charger: rapid.Bool().Draw(t, "wants a charger")}
			r.Vehicle.Class = rapid.SampledFrom([]string{"car", "van"}).Draw(t, "class")
			r.Vehicle.HeightMM = rapid.SampledFrom([]int{0, 1500, 1900, 2500}).Draw(t, "is high")
			if all = append(all, r); bench.seat(r) {
				seated++
			}
			if want := most(l, all, free); seated != want {
				t.Fatalf("%d of %d are seated, %d can be", seated, len(all), want)
			}
		}
		for g := range bench.seats {
			if len(bench.seats[g]) > l.groups[g].free {
				t.Fatalf("group %d of %d has %d", g, l.groups[g].free, len(bench.seats[g]))
			}
			for _, r := range bench.seats[g] {
				if !l.suits(r, l.groups[g].bay) {
					t.Fatalf("%+v sits on %+v", r, l.groups[g].bay)
				}
			}
		}
		for _, r := range all {
			bench.stand(r)
		}
		for g := range bench.seats {
			if len(bench.seats[g]) != 0 {
				t.Fatalf("group %d still has %d", g, len(bench.seats[g]))
			}
		}
	})
}
