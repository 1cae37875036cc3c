package attendant

import (
	"context"
	"errors"
	"testing"
	"time"

	"freeflow/parking"
)

func TestAllocateGivesEveryBayAndThenNone(t *testing.T) {
	w := newWorld(t, racks(2))
	bays := map[string]bool{}
	for i := range 26 {
		g := w.give("racks", i)
		if bays[g.Bay] {
			t.Fatalf("bay %s twice", g.Bay)
		}
		bays[g.Bay] = true
		if g.Why == "" || g.ReadySeconds <= 0 || g.Level != "G" || g.State != parking.Assigned {
			t.Fatalf("given %+v", g)
		}
		if i < 25 && g.Next == "" {
			t.Errorf("car %d: nothing is said of the next bay", i)
		}
	}
	_, err := w.Allocate(context.Background(), AllocateRequest{CarPark: "racks", Vehicle: car(99)}, Keep[Given]{})
	var full *NoBayError
	if !errors.As(err, &full) {
		t.Fatalf("a 27th car: %v", err)
	}
}

func TestLimitsComeFirst(t *testing.T) {
	w := newWorld(t, racks(1))
	for i := range 13 {
		w.give("racks", 100+i)
	}
	// Full, and yet what is said is that this one may never enter.
	tall := car(2)
	tall.HeightMM = 2001
	_, err := w.Allocate(context.Background(), AllocateRequest{CarPark: "racks", Vehicle: tall}, Keep[Given]{})
	var limit *LimitError
	if !errors.As(err, &limit) || len(limit.Obstacles) != 1 || limit.Obstacles[0] != (parking.Obstacle{Limit: "height_mm", Allowed: 2000, Given: 2001}) {
		t.Fatalf("a tall car: %v", err)
	}
	unmeasured := car(3)
	unmeasured.WeightKG = 0
	if _, err := w.Allocate(context.Background(), AllocateRequest{CarPark: "racks", Vehicle: unmeasured}, Keep[Given]{}); !errors.As(err, &limit) {
		t.Fatalf("a car that was not weighed: %v", err)
	}
	if _, err := w.Allocate(context.Background(), AllocateRequest{CarPark: "elsewhere", Vehicle: car(4)}, Keep[Given]{}); !errors.Is(err, parking.ErrNotFound) {
		t.Fatalf("another car park: %v", err)
	}
}

func keep(key string) Keep[Given] {
	return Keep[Given]{Once: &parking.Once{Scope: "test", Key: key, Fingerprint: [32]byte{1}},
		Encode: func(g Given) parking.Answer { return parking.Answer{Status: 201, Body: []byte(g.Bay)} }}
}

func TestRepetitionsAreAnsweredAlike(t *testing.T) {
	w := newWorld(t, plain(1))
	ctx := context.Background()
	request := AllocateRequest{CarPark: "plain", Vehicle: car(1), Refuse: func(err error) (parking.Answer, bool) {
		return parking.Answer{Status: 409, Body: []byte(err.Error())}, true
	}}
	first, err := w.Allocate(ctx, request, keep("a"))
	if err != nil || first.Answer.Replayed || string(first.Answer.Body) != "1-001" {
		t.Fatalf("%+v, %v", first, err)
	}
	// Full now; the repetition is answered as the first time all the same.
	again, err := w.Allocate(ctx, request, keep("a"))
	if err != nil || !again.Answer.Replayed || again.Answer.Status != 201 || string(again.Answer.Body) != "1-001" {
		t.Fatalf("%+v, %v", again, err)
	}
	var full *NoBayError
	request.Vehicle = car(2)
	refused, err := w.Allocate(ctx, request, keep("b"))
	if !errors.As(err, &full) || refused.Answer.Status != 409 {
		t.Fatalf("%+v, %v", refused, err)
	}
	if _, err := w.Release(ctx, EndRequest{Allocation: first.Value.ID}, Keep[parking.Allocation]{}); err != nil {
		t.Fatal(err)
	}
	// Free again; the refusal was kept.
	kept, err := w.Allocate(ctx, request, keep("b"))
	if err != nil || !kept.Answer.Replayed || kept.Answer.Status != 409 {
		t.Fatalf("%+v, %v", kept, err)
	}
	// What is not kept is tried anew.
	request.Refuse = nil
	if got, err := w.Allocate(ctx, request, keep("c")); err != nil || got.Answer.Status != 201 {
		t.Fatalf("%+v, %v", got, err)
	}
	request.Vehicle = car(3)
	if _, err := w.Allocate(ctx, request, keep("d")); !errors.As(err, &full) {
		t.Fatal(err)
	}
	other := keep("a")
	other.Once.Fingerprint[0] = 2
	if _, err := w.Allocate(ctx, request, other); !errors.Is(err, parking.ErrKeyReused) {
		t.Fatalf("another request under the same key: %v", err)
	}
}

func TestAnotherProcessTookTheBays(t *testing.T) {
	w := newWorld(t, plain(3))
	other, _ := start(t, w.store, w.clock, Settings{SweepEvery: time.Hour}, plain(3))
	w.give("plain", 1)
	var first []string
	for i := range 2 {
		r, err := other.Allocate(context.Background(), AllocateRequest{CarPark: "plain", Vehicle: car(i + 2)}, Keep[Given]{})
		if err != nil {
			t.Fatal(err)
		}
		first = append(first, r.Value.ID)
	}
	var full *NoBayError
	if _, err := w.Allocate(context.Background(), AllocateRequest{CarPark: "plain", Vehicle: car(9)}, Keep[Given]{}); !errors.As(err, &full) {
		t.Fatalf("the fourth: %v", err)
	}
	// The picture of w does not know that this bay was given back, and the
	// driver is not turned away for that.
	if _, err := other.Release(context.Background(), EndRequest{Allocation: first[0]}, Keep[parking.Allocation]{}); err != nil {
		t.Fatal(err)
	}
	w.give("plain", 9)
}

func TestStaff(t *testing.T) {
	park := plain(8)
	park.Pools = []parking.Pool{{ID: "pass"}}
	park.Bays[3].Pool = "pass"
	w := newWorld(t, park)
	ctx := context.Background()
	none := Keep[parking.Allocation]{}
	if _, err := w.Block(ctx, BlockRequest{CarPark: "plain", Bay: "1-001"}, none); !errors.Is(err, parking.ErrInvalid) {
		t.Fatalf("a block without a reason: %v", err)
	}
	block := BlockRequest{CarPark: "plain", Bay: "1-001", By: "wong", Reason: "oil"}
	if _, err := w.Block(ctx, block, none); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Block(ctx, block, none); !errors.Is(err, parking.ErrBayTaken) {
		t.Fatalf("a second block: %v", err)
	}
	if _, err := w.Assign(ctx, AssignRequest{CarPark: "plain", Bay: "1-001", Vehicle: car(1), By: "wong", Reason: "asked"}, Keep[Given]{}); !errors.Is(err, parking.ErrBayTaken) {
		t.Fatalf("a blocked bay: %v", err)
	}
	tall := car(2)
	tall.HeightMM = 2500
	var limit *LimitError
	if _, err := w.Assign(ctx, AssignRequest{CarPark: "plain", Bay: "1-002", Vehicle: tall, By: "wong", Reason: "asked"}, Keep[Given]{}); !errors.As(err, &limit) {
		t.Fatalf("a hard limit: %v", err)
	}
	for i, soft := range []string{"1-004", "1-008"} { // the pool's, the accessible one
		if _, err := w.Assign(ctx, AssignRequest{CarPark: "plain", Bay: soft, Vehicle: car(20 + i), By: "wong", Reason: "goodwill"}, Keep[Given]{}); err != nil {
			t.Fatalf("bay %s: %v", soft, err)
		}
	}
	g := w.give("plain", 4)
	if _, err := w.Move(ctx, MoveRequest{Allocation: g.ID, Bay: "1-004", By: "wong", Reason: "asked"}, Keep[Given]{}); !errors.Is(err, parking.ErrBayTaken) {
		t.Fatalf("to a taken bay: %v", err)
	}
	moved, err := w.Move(ctx, MoveRequest{Allocation: g.ID, Bay: "1-007", By: "wong", Reason: "asked"}, Keep[Given]{})
	if err != nil || moved.Value.Bay != "1-007" || moved.Value.By != "wong" {
		t.Fatalf("%+v, %v", moved, err)
	}
	if got := w.now(g.ID); got.Bay != "1-007" || got.Reason != "asked" {
		t.Fatalf("%+v", got)
	}
	if _, err := w.Unblock(ctx, BlockRequest{CarPark: "plain", Bay: "1-007", By: "wong", Reason: "clean"}, none); !errors.Is(err, parking.ErrConflict) {
		t.Fatalf("unblocking an allocation: %v", err)
	}
	block.Reason = "clean"
	if _, err := w.Unblock(ctx, block, none); err != nil {
		t.Fatal(err)
	}
	c, err := w.Counts(ctx, "plain")
	if err != nil || c.Total != 8 || c.Free != 5 || c.Blocked != 0 || c.Classes["private_car"].AccessibleFree != 0 || c.Pools["pass"].Free != 0 {
		t.Fatalf("%+v, %v", c, err)
	}
}

func TestPlainBaysAreWalkedTo(t *testing.T) {
	w := newWorld(t, plain(2))
	ctx := context.Background()
	g := w.give("plain", 1)
	w.clock.Advance(time.Hour)
	r, err := w.Retrieve(ctx, RetrieveRequest{Allocation: g.ID}, Keep[Retrieval]{})
	if err != nil || r.Value.Position != 0 || !r.Value.PromisedAt.Equal(w.clock.Now()) {
		t.Fatalf("%+v, %v", r, err)
	}
	w.clock.Advance(time.Minute)
	if again, err := w.Retrieve(ctx, RetrieveRequest{Allocation: g.ID}, Keep[Retrieval]{}); err != nil || !again.Value.PromisedAt.Equal(r.Value.PromisedAt) {
		t.Fatalf("%+v, %v", again, err)
	}
	gone, err := w.Release(ctx, EndRequest{Allocation: g.ID}, Keep[parking.Allocation]{})
	if err != nil || gone.Value.State != parking.Gone {
		t.Fatalf("%+v, %v", gone, err)
	}
	if _, err := w.Release(ctx, EndRequest{Allocation: g.ID}, Keep[parking.Allocation]{}); !errors.Is(err, parking.ErrConflict) {
		t.Fatalf("twice: %v", err)
	}
	if _, err := w.Retrieve(ctx, RetrieveRequest{Allocation: g.ID}, Keep[Retrieval]{}); !errors.Is(err, parking.ErrConflict) {
		t.Fatalf("after it left: %v", err)
	}
}
