package attendant

import (
	"context"
	"errors"
	"strings"
	"testing"

	"freeflow/parking"
)

// A wait far beyond the site's promise is explained; one within it is not.
func TestALongWaitIsExplained(t *testing.T) {
	w := newWorld(t, racks(1))
	first := w.give("racks", 1)
	if first.Hint != "" {
		t.Fatalf("nobody is before it: %q", first.Hint)
	}
	var last Given
	for n := 2; n <= 9; n++ {
		last = w.give("racks", n)
	}
	if last.ReadySeconds <= 120 || !strings.Contains(last.Hint, "machine R1 has 8 orders before this car") ||
		!strings.Contains(last.Hint, "120 s that the site promises") || !strings.Contains(last.Hint, "no other entrance") {
		t.Fatalf("%d s: %q", last.ReadySeconds, last.Hint)
	}
	if w.give("racks", 1).Same != true {
		t.Fatal("it has another bay")
	}
}

// The hint names an entrance that is sooner, where the best bay by all else is
// not the one that is ready first.
func TestTheHintNamesASoonerEntrance(t *testing.T) {
	park := racks(2)
	for i := range park.Bays {
		if park.Bays[i].Machine == "R2" {
			park.Bays[i].WalkMetres = 3000 // nobody would walk that far for it
		}
	}
	w := newWorld(t, park)
	for n := range 13 {
		g := w.give("racks", n)
		if g.Machine == "R1" && g.ReadySeconds > 240 {
			if !strings.Contains(g.Hint, "the entrance of machine R2 is ready in") {
				t.Fatalf("%d s: %q", g.ReadySeconds, g.Hint)
			}
			return
		}
	}
	t.Fatal("no car had to wait at R1")
}

// What is not there is said in one sentence, without what was being done inside.
func TestWhatIsNotThereIsOneSentence(t *testing.T) {
	w := newWorld(t, racks(1))
	ctx := context.Background()
	for want, err := range map[string]error{
		`there is no allocation "nope"`: func() error { _, err := w.Standing(ctx, "nope"); return err }(),
		`there is no allocation "nix"`: func() error {
			_, err := w.Release(ctx, EndRequest{Allocation: "nix"}, Keep[parking.Allocation]{})
			return err
		}(),
		`there is no reservation "nil"`: func() error {
			_, err := w.Confirm(ctx, "nil", Keep[parking.Reservation]{})
			return err
		}(),
		`there is no car park "where"`: func() error { _, err := w.Counts(ctx, "where"); return err }(),
		`there is no bay "R9-1-1" at racks`: func() error {
			_, err := w.Block(ctx, BlockRequest{CarPark: "racks", Bay: "R9-1-1", By: "w", Reason: "r"}, Keep[parking.Allocation]{})
			return err
		}(),
		`there is no machine "R9" at racks`: func() error { _, err := w.Next(ctx, Poll{CarPark: "racks", Machine: "R9", Boot: "b"}); return err }(),
		`there is no pool "web" at racks`:   func() error { _, _, err := w.Availability(ctx, "racks", "web", morning, morning); return err }(),
	} {
		var none *parking.NotFoundError
		if !errors.As(err, &none) || err.Error() != want || !errors.Is(err, parking.ErrNotFound) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
