package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"freeflow/internal/clock"
	"freeflow/parking"
	parkstore "freeflow/parking/store"
	parktariff "freeflow/parking/tariff"
	"freeflow/tolling/tariff"
)

// siteText is a small site file with the lanes given, each "CODE-IN-n" or
// "CODE-OUT-n".
func siteText(id, code string, lanes ...string) []byte {
	var list []string
	for _, unit := range lanes {
		direction := "in"
		if strings.Contains(unit, "-OUT-") {
			direction = "out"
		}
		list = append(list, fmt.Sprintf(`{"unit":%q,"direction":%q}`, unit, direction))
	}
	return fmt.Appendf(nil, `{"id":%q,"code":%q,"name":{"en":"P"},"zone":"Asia/Hong_Kong","source":"made up","tariff":"rumsey-street",
		"clock_start":"entry","clock_stop":"exit","groups":[{"prefix":"A-","count":4,"level":"1","classes":["private_car"]}],
		"lanes":[%s],"published":{"address":{"en":"A"},"district":{"en":"D"},"latitude":22.3,"longitude":114.1}}`, id, code, strings.Join(list, ","))
}

// keepersOf opens site keepers over one store, as processes of their own.
func keepersOf(t *testing.T, n int) ([]*siteKeeper, *parkstore.Store, *clock.Fixed) {
	t.Helper()
	clk := clock.At(time.Date(2026, 11, 25, 4, 0, 0, 0, time.UTC))
	network, err := tariff.Open("hongkong")
	if err != nil {
		t.Fatal(err)
	}
	sample, err := parktariff.Sample("rumsey-street")
	if err != nil {
		t.Fatal(err)
	}
	book, err := parktariff.New([]*parktariff.Tariff{sample}, calendar{network})
	if err != nil {
		t.Fatal(err)
	}
	url := "sqlite:" + filepath.Join(t.TempDir(), "parking.db")
	if err := parkstore.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	var keepers []*siteKeeper
	var first *parkstore.Store
	for range n {
		s, err := parkstore.Open(t.Context(), url, parkstore.Options{Clock: clk, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		if first == nil {
			first = s
		}
		keepers = append(keepers, newSiteKeeper(s, network, clk, slog.New(slog.DiscardHandler), map[string]*parktariff.Book{"rumsey-street": book}))
	}
	return keepers, first, clk
}

// Two processes that put car parks of one code at the same time: one wins, and
// neither has to have heard of the other's.
func TestOneCodeOneCarPark(t *testing.T) {
	keepers, _, _ := keepersOf(t, 2)
	ctx := context.Background()
	if _, err := keepers[0].Put(ctx, "first", siteText("first", "PAA", "PAA-IN-1"), 0, "desk"); err != nil {
		t.Fatal(err)
	}
	// The second process has not read the first one's since.
	_, err := keepers[1].Put(ctx, "second", siteText("second", "PAA", "PAA-IN-1"), 0, "desk")
	if !errors.Is(err, parking.ErrInvalid) || !strings.Contains(err.Error(), "/code: PAA is car park first's") {
		t.Errorf("the same code: %v", err)
	}
	if _, err := keepers[1].Put(ctx, "first", siteText("first", "PAA", "PAA-IN-1", "PAA-IN-2"), 1, "desk"); err != nil {
		t.Errorf("its own code again: %v", err)
	}
	var wg sync.WaitGroup
	won := make([]error, 6)
	for i := range won {
		wg.Go(func() {
			id := fmt.Sprint("p", i)
			_, won[i] = keepers[i%2].Put(ctx, id, siteText(id, "PBB", "PBB-IN-1"), 0, "desk")
		})
	}
	wg.Wait()
	winners := 0
	for _, err := range won {
		if err == nil {
			winners++
		} else if !errors.Is(err, parking.ErrInvalid) {
			t.Error(err)
		}
	}
	if winners != 1 {
		t.Errorf("%d car parks have one code", winners)
	}
}

func TestLanesInUseStay(t *testing.T) {
	keepers, store, clk := keepersOf(t, 1)
	k, ctx := keepers[0], context.Background()
	put := func(lanes ...string) error {
		_, err := k.Put(ctx, "p", siteText("p", "PAA", lanes...), -1, "desk")
		return err
	}
	if err := put("PAA-IN-1", "PAA-IN-2", "PAA-IN-3", "PAA-OUT-1", "PAA-OUT-2"); err != nil {
		t.Fatal(err)
	}
	sees := func(id, lane string, direction parking.Direction) {
		do(t, store, func(tx parking.Tx) error {
			_, err := tx.PutLaneEvent(ctx, parking.LaneEvent{ID: id, CarPark: "p", Lane: lane, Direction: direction, At: clk.Now(), Plate: "AB1"})
			return err
		})
	}
	sees("e1", "PAA-IN-1", parking.In)
	stay := parking.Stay{ID: "s1", CarPark: "p", State: parking.Open, Revision: 1, Vehicle: "AB1", Plate: "AB1", EntryEvent: "e1", Entry: clk.Now()}
	do(t, store, func(tx parking.Tx) error { return tx.PutStay(ctx, stay) })
	refused := func(says string, lanes ...string) {
		t.Helper()
		if err := put(lanes...); !errors.Is(err, parking.ErrConflict) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v, want %q", lanes, err, says)
		}
	}
	refused("PAA-IN-1 is not in the new file, and saw a car at 2026-11-25T04:00:00Z", "PAA-IN-2", "PAA-IN-3", "PAA-OUT-1", "PAA-OUT-2")
	if err := put("PAA-IN-1", "PAA-IN-2", "PAA-OUT-1", "PAA-OUT-2"); err != nil {
		t.Errorf("a lane that nobody ever used: %v", err)
	}
	clk.Advance(laneIdle)
	refused("1 stays that are open came in by it", "PAA-IN-2", "PAA-OUT-1", "PAA-OUT-2")
	if err := put("PAA-IN-1", "PAA-IN-2", "PAA-OUT-2"); err != nil {
		t.Errorf("one of two exits: %v", err)
	}
	refused("it is the last exit; there are 1 open stays", "PAA-IN-1", "PAA-IN-2")
	sees("e2", "PAA-OUT-2", parking.Out)
	stay.State, stay.Revision, stay.Exit, stay.ExitEvent = parking.Closed, 2, clk.Now(), "e2"
	do(t, store, func(tx parking.Tx) error { return tx.PutStay(ctx, stay) })
	refused("PAA-OUT-2 is not in the new file, and saw a car", "PAA-IN-2")
	clk.Advance(laneIdle - time.Microsecond)
	refused("PAA-OUT-2", "PAA-IN-2")
	clk.Advance(time.Microsecond)
	if err := put("PAA-IN-2"); err != nil {
		t.Errorf("when all are idle and nobody is inside: %v", err)
	}
}

func do(t *testing.T, s *parkstore.Store, fn func(tx parking.Tx) error) {
	t.Helper()
	_, err := s.Do(t.Context(), nil, func(tx parking.Tx) (parking.Answer, error) { return parking.Answer{}, fn(tx) })
	if err != nil {
		t.Fatal(err)
	}
}
