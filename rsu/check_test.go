package rsu_test

import (
	"strings"
	"testing"
	"time"

	"freeflow/internal/clock"
	"freeflow/rsu"
)

// road is a network of one unit.
type road struct{}

func (road) TollPoint(unit string) (string, string, bool) {
	return "CHT-N", "CHT", unit == "CHT-N-1"
}

func (road) KnowsClass(class string) bool { return class == "private_car" }

func (road) EarliestMicros() int64 { return rsu.UsualEarliest }

func TestCheck(t *testing.T) {
	now := time.Date(2026, 11, 23, 8, 0, 0, 123_456_789, time.UTC)
	checker := rsu.Checker{Roadside: road{}, Clock: clock.At(now)}
	good := rsu.Read{Unit: "CHT-N-1", Seq: 1, TimeMicros: now.UnixMicro(), Tag: "AA"}
	change := func(f func(*rsu.Read)) rsu.Read {
		r := good
		f(&r)
		return r
	}
	floor := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	for _, tc := range []struct {
		name string
		read rsu.Read
		want rsu.Code
	}{
		{"tag", good, ""},
		{"plate", change(func(r *rsu.Read) { r.Tag, r.Plate = "", "AB1234" }), ""},
		{"both", change(func(r *rsu.Read) { r.Plate = "AB1234" }), ""},
		{"neither", change(func(r *rsu.Read) { r.Tag = "" }), rsu.CodeNoMark},
		{"unknown unit", change(func(r *rsu.Read) { r.Unit = "CHT-N-5" }), rsu.CodeUnknownUnit},
		{"unit in another case", change(func(r *rsu.Read) { r.Unit = "cht-n-1" }), rsu.CodeUnknownUnit},
		{"class", change(func(r *rsu.Read) { r.Class = "private_car" }), ""},
		{"unknown class", change(func(r *rsu.Read) { r.Class = "Private_Car" }), rsu.CodeUnknownClass},
		{"confidence 0", change(func(r *rsu.Read) { r.Confidence = rsu.Some(0.0) }), ""},
		{"confidence 1", change(func(r *rsu.Read) { r.Confidence = rsu.Some(1.0) }), ""},
		{"confidence below 0", change(func(r *rsu.Read) { r.Confidence = rsu.Some(-1e-300) }), rsu.CodeConfidence},
		{"confidence above 1", change(func(r *rsu.Read) { r.Confidence = rsu.Some(1.0000000000000002) }), rsu.CodeConfidence},
		{"first instant", change(func(r *rsu.Read) { r.TimeMicros = floor }), ""},
		{"before the first instant", change(func(r *rsu.Read) { r.TimeMicros = floor - 1 }), rsu.CodeTooOld},
		{"long before", change(func(r *rsu.Read) { r.TimeMicros = -1 << 63 }), rsu.CodeTooOld},
		{"five minutes ahead", change(func(r *rsu.Read) { r.TimeMicros += 300_000_000 }), ""},
		{"more than five minutes ahead", change(func(r *rsu.Read) { r.TimeMicros += 300_000_001 }), rsu.CodeInFuture},
		{"far ahead", change(func(r *rsu.Read) { r.TimeMicros = 1<<63 - 1 }), rsu.CodeInFuture},
		{"months late", change(func(r *rsu.Read) { r.TimeMicros -= 90 * 24 * 3600 * 1_000_000 }), ""},
	} {
		err := checker.Check(tc.read)
		if rsu.CodeOf(err) != tc.want || (tc.want == "") != (err == nil) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
		if err != nil && (len(err.Error()) > 200 || strings.Contains(err.Error(), "AB1234")) {
			t.Errorf("%s: message %q", tc.name, err)
		}
	}
	exact := now.Truncate(time.Microsecond)
	if _, err := checker.CheckAt(change(func(r *rsu.Read) { r.TimeMicros = exact.UnixMicro() + 300_000_000 }), exact); err != nil {
		t.Errorf("exactly five minutes ahead: %v", err)
	}
	point, facility, err := checker.Place(change(func(r *rsu.Read) { r.TimeMicros = 0 }))
	if err != nil || point != "CHT-N" || facility != "CHT" {
		t.Errorf("place: %s %s %v", point, facility, err)
	}
}
