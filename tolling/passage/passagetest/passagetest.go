// Package passagetest is the conformance suite of passage.Store: every
// implementation has to pass it, on whatever server it speaks to.
package passagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"freeflow/tolling/passage"
)

// Run runs the suite. fresh returns an empty store; several stores of one test
// do not share state. forget makes a store lose everything it holds, as a
// flushed or failed-over server would.
func Run(t *testing.T, fresh func(t *testing.T) (store passage.Store, forget func())) {
	t.Helper()
	tests := map[string]func(*testing.T, passage.Store, func()){
		"nothing is adopted from an empty store": nothingAtFirst,
		"what was put is returned":               putAndGet,
		"a repeated change counts as done":       repeatedChange,
		"another stamp is refused":               otherStamps,
		"another owner is refused":               otherOwner,
		"adopting takes over":                    adopting,
		"only old records are dropped":           dropping,
		"losing all is noticed":                  losing,
		"partitions and books are apart":         apart,
		"thousands of records in one exchange":   large,
		"random changes agree with a model":      random,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			store, forget := fresh(t)
			test(t, store, forget)
		})
	}
}

func stamp(offset int64) passage.Stamp {
	return passage.Stamp{Books: "b1", Offset: offset, Owner: "me"}
}

func key(vehicle string) passage.Key {
	return passage.Key{Facility: "CHT", Vehicle: vehicle, Registered: true}
}

func item(vehicle string, last int64, value string) passage.Item {
	return passage.Item{Key: key(vehicle), LastMicros: last, Value: []byte(value)}
}

func reset(t *testing.T, s passage.Store, at passage.Stamp, horizon int64) {
	t.Helper()
	if err := s.Reset(t.Context(), 0, at, horizon); err != nil {
		t.Fatal(err)
	}
}

func exchange(t *testing.T, s passage.Store, at passage.Stamp, c *passage.Change, want ...passage.Key) []passage.Item {
	t.Helper()
	items, err := s.Exchange(t.Context(), 0, at, c, want)
	if err != nil {
		t.Fatal(err)
	}
	if len(items) != len(want) {
		t.Fatalf("%d items for %d keys", len(items), len(want))
	}
	return items
}

func lost(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, passage.ErrLost) {
		t.Fatalf("got %v, want ErrLost", err)
	}
}

func holds(t *testing.T, got passage.Item, want passage.Item) {
	t.Helper()
	if got.Key != want.Key || got.LastMicros != want.LastMicros || !bytes.Equal(got.Value, want.Value) || (got.Value == nil) != (want.Value == nil) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

func nothingAtFirst(t *testing.T, s passage.Store, _ func()) {
	_, err := s.Adopt(t.Context(), 0, stamp(0))
	lost(t, err)
	_, err = s.Exchange(t.Context(), 0, stamp(0), nil, []passage.Key{key("A")})
	lost(t, err)
}

func putAndGet(t *testing.T, s passage.Store, _ func()) {
	reset(t, s, stamp(10), 5)
	binary := item("粵Z1234港|", 1_700_000_000_000_000, "\x00\xff|@ \n binary")
	tag := passage.Item{Key: passage.Key{Facility: "CHT", Vehicle: "tag:AA"}, LastMicros: 7, Value: []byte{}}
	exchange(t, s, stamp(10), &passage.Change{To: stamp(20), Horizon: 6, Put: []passage.Item{binary, tag}})
	got := exchange(t, s, stamp(20), nil, binary.Key, key("B"), tag.Key, passage.Key{Facility: "CHT", Vehicle: "tag:AA", Registered: true})
	holds(t, got[0], binary)
	holds(t, got[1], passage.Item{Key: key("B")})
	if got[2].Value == nil || len(got[2].Value) != 0 || got[2].LastMicros != 7 {
		t.Fatalf("empty value: got %+v", got[2])
	}
	if got[3].Value != nil {
		t.Fatal("the registered vehicle of the same name has a record of its own")
	}
}

func repeatedChange(t *testing.T, s passage.Store, _ func()) {
	reset(t, s, stamp(0), 0)
	first := &passage.Change{To: stamp(1), Put: []passage.Item{item("A", 1, "one")}}
	exchange(t, s, stamp(0), first)
	again := &passage.Change{To: stamp(1), Put: []passage.Item{item("A", 1, "one")}}
	holds(t, exchange(t, s, stamp(0), again, key("A"))[0], item("A", 1, "one"))
	exchange(t, s, stamp(1), &passage.Change{To: stamp(2), Put: []passage.Item{item("A", 2, "two")}})
	_, err := s.Exchange(t.Context(), 0, stamp(0), first, []passage.Key{key("A")})
	lost(t, err)
	holds(t, exchange(t, s, stamp(2), nil, key("A"))[0], item("A", 2, "two"))
}

func otherStamps(t *testing.T, s passage.Store, _ func()) {
	reset(t, s, stamp(10), 0)
	for _, offset := range []int64{9, 11, 1, 0, 100} {
		_, err := s.Exchange(t.Context(), 0, stamp(offset), nil, nil)
		lost(t, err)
		_, err = s.Exchange(t.Context(), 0, stamp(offset), &passage.Change{To: stamp(offset + 1000), Put: []passage.Item{item("A", 1, "x")}}, nil)
		lost(t, err)
	}
	holds(t, exchange(t, s, stamp(10), nil, key("A"))[0], passage.Item{Key: key("A")})
}

func otherOwner(t *testing.T, s passage.Store, _ func()) {
	reset(t, s, stamp(10), 0)
	other := stamp(10)
	other.Owner = "frozen"
	_, err := s.Exchange(t.Context(), 0, other, nil, nil)
	lost(t, err)
	_, err = s.Exchange(t.Context(), 0, other, &passage.Change{To: passage.Stamp{Books: "b1", Offset: 11, Owner: "frozen"}}, nil)
	lost(t, err)
}

func adopting(t *testing.T, s passage.Store, _ func()) {
	reset(t, s, stamp(0), 3)
	exchange(t, s, stamp(0), &passage.Change{To: stamp(7), Horizon: 42, Put: []passage.Item{item("A", 50, "a")}})
	next := stamp(6)
	next.Owner = "next"
	_, err := s.Adopt(t.Context(), 0, next)
	lost(t, err)
	next.Offset = 7
	horizon, err := s.Adopt(t.Context(), 0, next)
	if err != nil || horizon != 42 {
		t.Fatalf("adopted with horizon %d, %v; want 42", horizon, err)
	}
	_, err = s.Exchange(t.Context(), 0, stamp(7), nil, nil)
	lost(t, err)
	holds(t, exchange(t, s, next, nil, key("A"))[0], item("A", 50, "a"))
	seen := map[passage.Key]int64{}
	if err := s.Keys(t.Context(), 0, next, func(i passage.Item) { seen[i.Key] = i.LastMicros }); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 1 || seen[key("A")] != 50 {
		t.Fatalf("keys are %v", seen)
	}
}

func dropping(t *testing.T, s passage.Store, _ func()) {
	reset(t, s, stamp(0), 0)
	exchange(t, s, stamp(0), &passage.Change{To: stamp(1), Put: []passage.Item{
		item("OLD", 99, "old"), item("EDGE", 100, "edge"), item("NEW", 101, "new"),
	}})
	got := exchange(t, s, stamp(1), &passage.Change{To: stamp(2), Horizon: 100,
		Put:  []passage.Item{item("AGAIN", 500, "again")},
		Drop: []passage.Key{key("OLD"), key("EDGE"), key("NEW"), key("AGAIN"), key("UNKNOWN")}},
		key("OLD"), key("EDGE"), key("NEW"), key("AGAIN"))
	holds(t, got[0], passage.Item{Key: key("OLD")})
	holds(t, got[1], item("EDGE", 100, "edge"))
	holds(t, got[2], item("NEW", 101, "new"))
	holds(t, got[3], item("AGAIN", 500, "again"))
}

func losing(t *testing.T, s passage.Store, forget func()) {
	reset(t, s, stamp(0), 0)
	exchange(t, s, stamp(0), &passage.Change{To: stamp(1), Put: []passage.Item{item("A", 1, "a")}})
	forget()
	_, err := s.Exchange(t.Context(), 0, stamp(1), nil, []passage.Key{key("A")})
	lost(t, err)
	_, err = s.Exchange(t.Context(), 0, stamp(1), &passage.Change{To: stamp(2)}, nil)
	lost(t, err)
	_, err = s.Adopt(t.Context(), 0, stamp(1))
	lost(t, err)
	reset(t, s, stamp(2), 9)
	holds(t, exchange(t, s, stamp(2), nil, key("A"))[0], passage.Item{Key: key("A")})
}

func apart(t *testing.T, s passage.Store, _ func()) {
	reset(t, s, stamp(0), 0)
	exchange(t, s, stamp(0), &passage.Change{To: stamp(1), Put: []passage.Item{item("A", 1, "a")}})
	_, err := s.Exchange(t.Context(), 1, stamp(1), nil, nil)
	lost(t, err)
	_, err = s.Exchange(t.Context(), 0, passage.Stamp{Books: "b2", Offset: 1, Owner: "me"}, nil, nil)
	lost(t, err)
	if err := s.Reset(t.Context(), 1, stamp(1), 0); err != nil {
		t.Fatal(err)
	}
	holds(t, exchange(t, s, stamp(1), nil, key("A"))[0], item("A", 1, "a"))
}

func large(t *testing.T, s passage.Store, _ func()) {
	const n = 5000
	reset(t, s, stamp(0), 0)
	change := &passage.Change{To: stamp(1)}
	var keys []passage.Key
	for i := range n {
		one := item(fmt.Sprintf("V%05d", i), int64(i), fmt.Sprint(i))
		change.Put = append(change.Put, one)
		keys = append(keys, one.Key)
	}
	for i, got := range exchange(t, s, stamp(0), change, keys...) {
		holds(t, got, change.Put[i])
	}
	got := exchange(t, s, stamp(1), &passage.Change{To: stamp(2), Horizon: n / 2, Drop: keys}, keys...)
	for i := range got {
		if (got[i].Value == nil) != (i < n/2) {
			t.Fatalf("record %d: held is %t", i, got[i].Value != nil)
		}
	}
}

func random(t *testing.T, s passage.Store, forget func()) {
	const seed = 11
	rng := rand.New(rand.NewPCG(seed, seed))
	var model passage.Store = passage.NewMemory()
	ctx := context.Background()
	at := stamp(0)
	for step := range 400 {
		call := func(s passage.Store, change *passage.Change, keys []passage.Key) ([]passage.Item, bool) {
			items, err := s.Exchange(ctx, 0, at, change, keys)
			if err != nil && !errors.Is(err, passage.ErrLost) {
				t.Fatalf("seed %d step %d: %v", seed, step, err)
			}
			return items, err == nil
		}
		var change *passage.Change
		if rng.IntN(4) > 0 {
			change = &passage.Change{To: stamp(at.Offset + 1 + rng.Int64N(3)), Horizon: rng.Int64N(1000)}
			for range rng.IntN(6) {
				change.Put = append(change.Put, item(fmt.Sprint(rng.IntN(20)), rng.Int64N(1000), fmt.Sprint(step)))
			}
			for range rng.IntN(6) {
				change.Drop = append(change.Drop, key(fmt.Sprint(rng.IntN(20))))
			}
		}
		keys := []passage.Key{key(fmt.Sprint(rng.IntN(20))), key(fmt.Sprint(rng.IntN(20)))}
		want, wantOK := call(model, change, keys)
		got, gotOK := call(s, change, keys)
		if gotOK != wantOK {
			t.Fatalf("seed %d step %d: held is %t, the model says %t", seed, step, gotOK, wantOK)
		}
		for i := range want {
			holds(t, got[i], want[i])
		}
		if wantOK && change != nil && rng.IntN(3) > 0 {
			at = change.To
		}
		if !wantOK || rng.IntN(40) == 0 {
			forget()
			model = passage.NewMemory()
			for _, each := range []passage.Store{model, s} {
				if err := each.Reset(ctx, 0, at, 0); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
