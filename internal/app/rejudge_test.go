package app_test

import (
	"strings"
	"testing"
)

// A folder that is continued with another registry ends in what that registry
// makes of all reads, also of those replayed before.
func TestReplayJudgesAnewByAnotherRegistry(t *testing.T) {
	d := newReplayDir(t)
	reads := d.write("reads.ndjson", someRead+"\n"+otherRead+"\n")
	if r := d.replay("", "--data", d.path("data"), reads); r.status != 0 {
		t.Fatalf("status %d: %s", r.status, r.stderr)
	}
	// The car's tag was another account's for an hour; the motorcycle is exempt.
	d.write("registry.csv", "account,plate,class,tag,from,to,exempt\n"+
		"A1,AB1234,private_car,E280110000000001,2025-01-01T00:00:00+08:00,2026-03-06T20:00:00+08:00,\n"+
		"A9,XY99,taxi,E280110000000001,2026-03-06T20:00:00+08:00,2026-03-06T21:00:00+08:00,\n"+
		"A2,CD5678,motorcycle,E280110000000002,2025-01-01T00:00:00+08:00,,true\n")
	for range 2 { // the second time there is nothing to do
		r := d.replay("", "--data", d.path("data"), d.write("none.ndjson", ""))
		if r.status != 0 {
			t.Fatalf("status %d: %s", r.status, r.stderr)
		}
		continued := d.read("charges.csv")
		if s := d.summary(r); s.Passes != 2 || s.Exempt != 1 {
			t.Errorf("summary %+v", s)
		}
		if r := d.replay("", reads); r.status != 0 { // from the start
			t.Fatalf("status %d: %s", r.status, r.stderr)
		}
		if fresh := d.read("charges.csv"); continued != fresh || !strings.Contains(fresh, "XY99,A9,taxi") {
			t.Errorf("continued:\n%sfrom the start:\n%s", continued, fresh)
		}
	}
	if r := run(t, "", "verify", "--data", d.path("data")); r.status != 0 {
		t.Errorf("verify: %s%s", r.stdout, r.stderr)
	}
}
