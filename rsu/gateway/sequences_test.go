package gateway

import (
	"log/slog"
	"math"
	"math/bits"
	"testing"
	"time"

	"pgregory.net/rapid"

	"freeflow/rsu"
)

// TestRunAgainstAModel compares the window of bits with a set of all numbers.
func TestRunAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Uint64Range(0, 1<<40).Draw(t, "first")
		r := &run{}
		r.begin(first)
		seen := map[uint64]bool{first: true}
		top, lost := first, uint64(0)
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			step := rapid.OneOf(rapid.Int64Range(-20, 20), rapid.Int64Range(-window, window+3), rapid.Int64Range(window, 5*window)).Draw(t, "step")
			if step < 0 && uint64(-step) > top {
				continue
			}
			seq := uint64(int64(top) + step)
			// A number counts as lost once it is a window behind the top.
			for n := top + 1; n <= seq; n++ {
				if n >= first+window && !seen[n-window] {
					lost++
				}
			}
			if got := r.note(seq); seq <= top && got != 0 {
				t.Fatalf("%d is no progress and loses %d", seq, got)
			} else {
				lost -= got
			}
			if seq > top {
				top = seq
			}
			if top-seq < window {
				seen[seq] = true
			}
			open := 0
			for n := top; top-n < window && n > first; n-- {
				if !seen[n] {
					open++
				}
			}
			zeros := window
			for _, word := range r.seen {
				zeros -= bits.OnesCount64(word)
			}
			if lost != 0 || r.open != open || zeros != open {
				t.Fatalf("at %d: lost differs by %d, open %d (bits %d), want %d", seq, int64(lost), r.open, zeros, open)
			}
		}
	})
}

func TestRunThatBeginsAnew(t *testing.T) {
	r := &run{}
	r.begin(5_000_000)
	if lost := r.note(5_000_000 + jump); lost != 0 || r.open != 0 {
		t.Errorf("a jump loses %d, open %d", lost, r.open)
	}
	for i := range uint64(behind) {
		if lost := r.note(1 + i); lost != 0 {
			t.Errorf("reads of a new count lose %d", lost)
		}
	}
	if r.top != behind {
		t.Errorf("top %d after a new count", r.top)
	}
	r.begin(math.MaxUint64 - 2)
	if lost := r.note(math.MaxUint64); lost != 0 || r.top != math.MaxUint64 || r.open != 1 {
		t.Errorf("at the end of all numbers: %+v", r)
	}
	if r.note(math.MaxUint64); r.open != 1 {
		t.Errorf("at the end of all numbers, again: open %d", r.open)
	}
}

func TestRunsOfAUnit(t *testing.T) {
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := newSequences(m, newAlarms(slog.New(slog.DiscardHandler)))
	note := func(boot string, seq uint64) {
		s.note(time.UnixMicro(0), []*rsu.Read{{Unit: "u", Boot: boot, Seq: seq}})
	}
	// Two runs in turn do not disturb each other.
	for seq := range uint64(100) {
		note("a", 1000+seq)
		note("b", 1+seq)
	}
	if gaps := s.units["u"].gaps(); gaps != 0 {
		t.Errorf("gaps %d", gaps)
	}
	for i := range 3 * boots {
		note(string(rune('c'+i)), 9)
	}
	if n := len(s.units); n != 1 {
		t.Errorf("%d units", n)
	}
	note("a", 5000)
	if gaps := s.units["u"].gaps(); gaps != 0 {
		t.Errorf("a forgotten run has %d gaps", gaps)
	}
}
