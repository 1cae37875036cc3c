package booktest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"freeflow/billing"
)

var overlapTests = []test{
	{"two passes must be further apart than the gap", func(t *testing.T, b Books) {
		l := &log{b: b}
		l.post(t, charged(1, 1000)) // lasts until 1001
		for at, want := range map[int64]error{
			1000: billing.ErrStale, 1001: billing.ErrStale, 1061: billing.ErrStale, // first is 60 s after last
			939: billing.ErrStale, // ends at 940, 60 s before
		} {
			if err := l.try(charged(2, at)); !errors.Is(err, want) {
				t.Errorf("at %d: %v", at, err)
			}
		}
		after := charged(3, 1061)
		after.FirstMicros++
		before := charged(4, 939)
		before.LastMicros--
		l.post(t, after, before)
		sound(t, b)
	}},
	{"other toll points, vehicles and kinds of vehicle are free", func(t *testing.T, b Books) {
		south, stranger, other := charged(2, 0), charged(3, 0), charged(4, 0)
		south.TollPoint = "CHT-S"
		stranger.Registered = false
		other.Vehicle = "AB123"
		(&log{b: b}).post(t, charged(1, 0), south, stranger, other)
		sound(t, b)
	}},
	{"within one batch", func(t *testing.T, b Books) {
		wantError(t, (&log{b: b}).try(charged(1, 0), charged(2, 30)), billing.ErrStale)
		wantError(t, (&log{b: b}).try(charged(1, 0), charged(2, 0)), billing.ErrStale)
	}},
	{"growing into the next pass", func(t *testing.T, b Books) {
		l := &log{b: b}
		p := charged(1, 0)
		l.post(t, p, charged(2, 200))
		wantError(t, l.try(with(p, func(p *billing.Pass) { p.LastMicros = base + 140*second })), billing.ErrStale)
		l.post(t, with(p, func(p *billing.Pass) { p.LastMicros = base + 139*second }))
	}},
	{"a pass hours long is met in its middle", func(t *testing.T, b Books) {
		l := &log{b: b}
		jam := charged(1, 0)
		jam.LastMicros = base + 5*3600*second
		l.post(t, jam)
		// Shorter ones elsewhere must not hide it.
		other := charged(2, 9000)
		other.TollPoint = "CHT-S"
		l.post(t, other)
		wantError(t, l.try(charged(3, 3600)), billing.ErrStale)
		wantError(t, l.try(charged(3, 5*3600+60)), billing.ErrStale)
		got, err := b.Passes(context.Background(), []billing.Window{{Facility: "CHT", Vehicle: "AB1234", Registered: true, FromMicros: base + 4*3600*second, ToMicros: base + 4*3600*second}})
		if err != nil || len(got) != 1 || got[0].ID != jam.ID {
			t.Errorf("found %+v, %v", got, err)
		}
		l.post(t, charged(3, 5*3600+61))
		sound(t, b)
	}},
	{"windows find exactly what touches them", windowsFind},
	{"windows are answered together", func(t *testing.T, b Books) {
		if got, err := b.Passes(context.Background(), nil); err != nil || len(got) != 0 {
			t.Errorf("no windows find %+v, %v", got, err)
		}
		(&log{b: b}).post(t, charged(1, 0), charged(2, 500))
		w := billing.Window{Facility: "CHT", Vehicle: "AB1234", Registered: true, FromMicros: base, ToMicros: base + 900*second}
		got, err := b.Passes(context.Background(), []billing.Window{w, w, {Facility: "EHC", Vehicle: "AB1234", Registered: true, ToMicros: base * 2}, {Facility: "nowhere"}})
		if err != nil || len(got) != 2 {
			t.Errorf("found %+v, %v", got, err)
		}
		all := billing.Window{Facility: "CHT", Vehicle: "AB1234", Registered: true, FromMicros: -1 << 63, ToMicros: 1<<63 - 1}
		if got, err := b.Passes(context.Background(), []billing.Window{all}); err != nil || len(got) != 2 {
			t.Errorf("all of time finds %+v, %v", got, err)
		}
	}},
}

// windowsFind compares Passes with a search through all passes.
func windowsFind(t *testing.T, b Books) {
	l := &log{b: b}
	n := 0
	var all []billing.Pass
	vehicles := []string{"AB1234", "tag:E1", "plate:X"}
	// Passes of all lengths, gaps of all sizes, marks of other vehicles.
	for v, vehicle := range vehicles {
		for _, point := range []string{"CHT-N", "CHT-S"} {
			at := int64(0)
			for i := range 40 {
				n++
				p := charged(n, at)
				p.Vehicle, p.Registered, p.TollPoint = vehicle, v == 0, point
				length := int64((i*i*i*7+v)%200) * int64(1+v*i)
				p.LastMicros = p.FirstMicros + length*second
				at += length + 61 + int64(i*13%400)
				if i%3 == 0 {
					p.Marks = append(p.Marks, vehicles[(v+1)%3])
				}
				if i%5 == 0 {
					p.Marks = append(p.Marks, vehicles[(v+2)%3])
				}
				slices.Sort(p.Marks)
				all = append(all, p)
			}
		}
	}
	l.post(t, all...)
	end := int64(0)
	for _, p := range all {
		end = max(end, p.LastMicros)
	}
	found := 0
	rapid.Check(t, func(rt *rapid.T) {
		var windows []billing.Window
		for range rapid.IntRange(1, 5).Draw(rt, "windows") {
			from := rapid.Int64Range(base-100*second, end+100*second).Draw(rt, "from")
			v := rapid.IntRange(0, 2).Draw(rt, "vehicle")
			windows = append(windows, billing.Window{
				Facility: "CHT", Vehicle: vehicles[v], Registered: rapid.Bool().Draw(rt, "registered"),
				FromMicros: from, ToMicros: from + rapid.Int64Range(0, 300*second).Draw(rt, "length"),
			})
		}
		got, err := b.Passes(context.Background(), windows)
		if err != nil {
			rt.Fatal(err)
		}
		var want []string
		for _, p := range all {
			if slices.ContainsFunc(windows, func(w billing.Window) bool { return finds(w, p) }) {
				want = append(want, p.ID)
			}
		}
		found += len(want)
		var ids []string
		for _, p := range got {
			ids = append(ids, p.ID)
		}
		slices.Sort(ids)
		slices.Sort(want)
		if !slices.Equal(ids, want) {
			rt.Fatalf("windows %+v find %v, want %v", windows, ids, want)
		}
	})
	if found == 0 {
		t.Error("no window found anything")
	}
}

// finds is what billing.Window says, word by word.
func finds(w billing.Window, p billing.Pass) bool {
	if p.Facility != w.Facility || p.MergedInto != "" || p.FirstMicros > w.ToMicros || p.LastMicros < w.FromMicros {
		return false
	}
	if p.Vehicle == w.Vehicle && p.Registered == w.Registered {
		return true
	}
	return slices.Contains(p.Marks, w.Vehicle)
}
