package cashier

import (
	"strings"
	"testing"
	"time"

	"freeflow/parking"
)

// slowEvent is a car at the lane now, as a lane sees it whose clock is slow.
func (w *world) slowEvent(lane, plate string, slow time.Duration) parking.LaneEvent {
	w.Helper()
	e := w.event(lane, plate)
	e.At = e.At.Add(-slow)
	return e
}

func TestASlowClockIsTold(t *testing.T) {
	w := newWorld(t)
	w.at("02:00:00")
	told := func() string {
		var all []string
		for _, a := range w.alarms("lane-clock") {
			all = append(all, a.Subject+": "+a.Detail)
		}
		return strings.Join(all, "\n")
	}
	if r := w.lane(w.slowEvent("IN-1", "AA1", 10*time.Minute))[0]; r.Why == WhyLate || r.Display == (parking.Text{}) || told() != "" {
		t.Errorf("ten minutes: %+v, %q", r, told())
	}
	r := w.lane(w.slowEvent("IN-1", "AA2", 23*time.Minute))[0]
	if r.Why != WhyLate || r.Open || r.Display != (parking.Text{}) {
		t.Errorf("a slow clock: %+v", r)
	}
	if got := told(); !strings.HasPrefix(got, "P-IN-1: ") || !strings.Contains(got, "lane P-IN-1 is 23m0s old") {
		t.Errorf("told %q", got)
	}
	// Another lane's events, and another process, clear nothing; its own in time do.
	w.lane(w.slowEvent("IN-2", "AA3", 0))
	if told() == "" {
		t.Error("cleared by another lane")
	}
	if _, err := w.newCashier(w.open()).Lane(t.Context(), []parking.LaneEvent{w.slowEvent("IN-1", "AA4", time.Second)}); err != nil {
		t.Fatal(err)
	}
	if got := told(); got != "" {
		t.Errorf("in time again: %q", got)
	}
	// A journal up to the present says nothing of the clock, in whatever order;
	// nor does what is sent a second time.
	old := w.slowEvent("OUT-1", "AA5", 3*time.Hour)
	w.lane(w.slowEvent("OUT-1", "AA6", time.Minute), old, w.slowEvent("OUT-1", "AA7", 2*time.Hour))
	w.lane(old)
	bad := w.slowEvent("OUT-2", "", 3*time.Hour)
	w.lane(bad)
	if got := told(); got != "" {
		t.Errorf("a journal: %q", got)
	}
	// It is told again where it was cleared by hand and lasts.
	for range 2 {
		w.lane(w.slowEvent("OUT-1", "AA8", 11*time.Minute))
		if !strings.Contains(told(), "P-OUT-1 is 11m0s old") {
			t.Errorf("told %q", told())
		}
		_, err := w.store.Do(t.Context(), nil, func(tx parking.Tx) (parking.Answer, error) {
			return parking.Answer{}, tx.Clear(t.Context(), "lane-clock/P-OUT-1", "desk", "looking into it", w.clock.Now())
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
