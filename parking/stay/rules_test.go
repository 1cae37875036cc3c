package stay

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"freeflow/parking"
)

// clock is the day on which the tables play, in UTC.
func clock(t testing.TB, hms string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04:05", "2026-03-02 "+hms)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// registryOf the tables: tag A1 is assigned to AB1 (account a), B2 to BC2
// (account b), C9 is a class tag (account c); plates AB1 and BC2 as well.
func registryOf(tag, plate string) Identity {
	tags := map[string]Identity{
		"A1": {Vehicle: "AB1", Account: "a", Class: "private_car", Registered: true, ByTag: true},
		"B2": {Vehicle: "BC2", Account: "b", Class: "private_car", Registered: true, ByTag: true},
		"C9": {Vehicle: "tag:C9", Account: "c", Class: "private_car", Registered: true, ByTag: true, ClassTag: true},
	}
	plates := map[string]Identity{
		"AB1": {Vehicle: "AB1", Account: "a", Class: "private_car", Registered: true},
		"BC2": {Vehicle: "BC2", Account: "b", Class: "private_car", Registered: true},
	}
	byTag, tagged := tags[tag]
	byPlate, plated := plates[plate]
	switch {
	case tagged && byTag.ClassTag, tagged && (!plated || byPlate.Vehicle == byTag.Vehicle):
		return byTag
	case plated:
		byPlate.Conflict = tagged
		return byPlate
	case tag != "":
		return Identity{Vehicle: TagName(tag), ByTag: true}
	default:
		return Identity{Vehicle: plate}
	}
}

// seen reads "in 10:00:00 plate tag ticket permille" where "-" is nothing; the
// lane is IN-1 or OUT-1, in2 and out2 are other lanes, gate is a machine's.
func seen(t testing.TB, line string) Sighting {
	t.Helper()
	f := strings.Fields(line)
	for len(f) < 6 {
		f = append(f, "-")
	}
	word := func(i int) string {
		if f[i] == "-" {
			return ""
		}
		return f[i]
	}
	lanes := map[string]struct {
		unit string
		d    parking.Direction
	}{
		"in": {"IN-1", parking.In}, "in2": {"IN-2", parking.In}, "out": {"OUT-1", parking.Out}, "out2": {"OUT-2", parking.Out},
		"gate": {"GATE", parking.In},
	}
	e := parking.LaneEvent{
		ID: strings.ReplaceAll(line, " ", "/"), CarPark: "p", Lane: lanes[f[0]].unit, Direction: lanes[f[0]].d, At: clock(t, f[1]),
		Plate: word(2), Tag: word(3), Ticket: word(4), ConfidencePermille: 1000,
	}
	if w := word(5); w != "" {
		if _, err := fmt.Sscan(w, &e.ConfidencePermille); err != nil {
			t.Fatal(err)
		}
	}
	id := Identity{}
	if e.Tag != "" || e.Plate != "" {
		id = registryOf(e.Tag, e.Plate)
	}
	return Sighting{Event: e, Identity: id}
}

// show writes stays as the tables have them: vehicle account entry-exit flags.
func show(list []Stay) []string {
	var out []string
	hms := func(at time.Time) string {
		if at.IsZero() {
			return "?"
		}
		return at.Format("15:04:05")
	}
	for _, s := range list {
		account, exit := s.Holder.Account, hms(s.Exit)
		if account == "" {
			account = "-"
		}
		if s.Open {
			exit = "inside"
		}
		line := fmt.Sprintf("%s %s %s-%s", s.Vehicle, account, hms(s.Entry), exit)
		if len(s.Visits) > 1 {
			line += fmt.Sprintf(" visits=%d", len(s.Visits))
		}
		if len(s.Flags) > 0 {
			line += " " + strings.Join(s.Flags, ",")
		}
		if s.Review {
			line += " REVIEW"
		}
		out = append(out, line)
	}
	return out
}

func rules() Rules {
	return Rules{
		ClockStart: parking.AtEntry, ClockStop: parking.AtExit, ExitLanes: true, Inner: map[string]bool{"GATE": true},
		Reentry: func(_, _ time.Time) time.Duration { return 15 * time.Minute },
	}
}

func TestRules(t *testing.T) {
	for _, c := range []struct {
		name   string
		events []string
		want   []string
	}{
		{"an entry opens", []string{"in 10:00:00 AB1"}, []string{"AB1 a 10:00:00-inside"}},
		{"the next exit closes", []string{"in 10:00:00 AB1", "out 12:00:00 AB1"}, []string{"AB1 a 10:00:00-12:00:00"}},
		{"two vehicles", []string{"in 10:00:00 AB1", "in 10:00:10 BC2", "out 11:00:00 BC2"},
			[]string{"AB1 a 10:00:00-inside", "BC2 b 10:00:10-11:00:00"}},
		{"in by tag, out by plate", []string{"in 10:00:00 - A1", "out 12:00:00 AB1"}, []string{"AB1 a 10:00:00-12:00:00"}},
		{"in by an unassigned tag and plate, out by either", []string{"in 10:00:00 ZZ9 F0", "out 12:00:00 ZZ9"},
			[]string{"tag:F0 - 10:00:00-12:00:00"}},
		{"nothing links a tag and a plate that nobody saw together", []string{"in 10:00:00 - F0", "out 12:00:00 ZZ9"},
			[]string{"tag:F0 - 10:00:00-inside", "ZZ9 - ?-12:00:00 missing-entry"}},
		{"a class tag wins over the plate", []string{"in 10:00:00 ZZ9 C9", "out 12:00:00 ZZ9"},
			[]string{"tag:C9 c 10:00:00-12:00:00"}},
		{"a class tag wins over a plate with an account", []string{"in 10:00:00 AB1", "out 12:00:00 AB1 C9"},
			[]string{"tag:C9 c 10:00:00-12:00:00"}},
		{"a class tag goes from car to car", []string{"in 08:00:00 ZZ9 C9", "out 09:00:00 ZZ9 C9", "in 10:00:00 YY8 C9", "out 11:00:00 YY8"},
			[]string{"tag:C9 c 08:00:00-09:00:00", "tag:C9 c 10:00:00-11:00:00"}},
		{"tag and plate of different vehicles: the plate's, for review", []string{"in 10:00:00 BC2 A1", "out 12:00:00 BC2"},
			[]string{"BC2 b 10:00:00-12:00:00 tag-and-plate-differ REVIEW"}},
		{"tag and plate differ only at the exit", []string{"in 10:00:00 BC2", "out 12:00:00 BC2 A1"},
			[]string{"BC2 b 10:00:00-12:00:00 tag-and-plate-differ REVIEW"}},
		{"a weak plate with an account goes to review", []string{"in 10:00:00 AB1 - - 899", "out 12:00:00 AB1 - - 500"},
			[]string{"AB1 a 10:00:00-12:00:00 weak-plate REVIEW"}},
		{"0.90 is not weak", []string{"in 10:00:00 AB1 - - 900", "out 12:00:00 AB1 - - 500"}, []string{"AB1 a 10:00:00-12:00:00"}},
		{"a weak plate without an account", []string{"in 10:00:00 ZZ9 - - 500", "out 12:00:00 ZZ9 - - 500"},
			[]string{"ZZ9 - 10:00:00-12:00:00 weak-plate"}},
		{"a ticket stands for a weak plate, and its account does not pay", []string{"in 10:00:00 AB1 - K1 500", "out 12:00:00 - - K1"},
			[]string{"ticket:K1 - 10:00:00-12:00:00"}},
		{"a weak plate beside a tag does not draw in its owner",
			[]string{"in 10:00:00 BC2", "in 10:05:00 BC2 A1 - 300", "out 11:00:00 BC2", "out 11:30:00 - A1"},
			[]string{"BC2 b 10:00:00-11:00:00", "AB1 a 10:05:00-11:30:00 tag-and-plate-differ REVIEW"}},
		{"a doubtful plate beside a tag is not let out by the plate's own car", []string{"in 10:00:00 BC2 A1 - 300", "out 11:00:00 BC2"},
			[]string{"tag:A1 - 10:00:00-inside tag-and-plate-differ REVIEW", "BC2 b ?-11:00:00 missing-entry"}},
		{"nor does it let that one out", []string{"in 10:00:00 BC2", "out 11:00:00 BC2 A1 - 300"},
			[]string{"BC2 b 10:00:00-inside", "tag:A1 - ?-11:00:00 missing-entry,tag-and-plate-differ REVIEW"}},
		{"a doubtful plate does not end a sure stay", []string{"in 10:00:00 AB1", "in 10:30:00 AB1 - - 400", "out 11:00:00 AB1"},
			[]string{"AB1 a 10:00:00-11:00:00", "AB1 a 10:30:00-inside weak-plate REVIEW"}},
		{"reads within 60 s are one", []string{"in 10:00:00 AB1", "in 10:01:00 AB1", "in 10:02:00 AB1", "out 12:00:00 AB1", "out 12:00:59 AB1"},
			[]string{"AB1 a 10:00:00-12:00:00"}},
		{"reads 61 s apart are two", []string{"in 10:00:00 AB1", "in 10:01:01 AB1", "out 12:00:00 AB1"},
			[]string{"AB1 a 10:00:00-? missing-exit REVIEW", "AB1 a 10:01:01-12:00:00"}},
		{"the same car by tag and by plate at one lane", []string{"in 10:00:00 - F0", "in 10:00:20 ZZ9", "out 12:00:00 ZZ9 F0"},
			[]string{"tag:F0 - 10:00:00-12:00:00 same-car-twice"}},
		{"a second entry ends the first, for review", []string{"in 10:00:00 AB1", "in 14:00:00 AB1", "out 15:00:00 AB1"},
			[]string{"AB1 a 10:00:00-? missing-exit REVIEW", "AB1 a 14:00:00-15:00:00"}},
		{"an exit without an entry", []string{"out 12:00:00 AB1"}, []string{"AB1 a ?-12:00:00 missing-entry"}},
		{"an exit just before its entry, by skew", []string{"out 10:00:00 AB1", "in 10:03:00 AB1"},
			[]string{"AB1 a 10:03:00-10:00:00 exit-before-entry"}},
		{"an entry after an exit is not skew if it has an exit", []string{"out 10:00:00 AB1", "in 10:03:00 AB1", "out 11:00:00 AB1"},
			[]string{"AB1 a ?-10:00:00 missing-entry", "AB1 a 10:03:00-11:00:00"}},
		{"skew ends at 5 minutes", []string{"out 10:00:00 AB1", "in 10:05:01 AB1"},
			[]string{"AB1 a ?-10:00:00 missing-entry", "AB1 a 10:05:01-inside"}},
		{"entry and exit at one instant", []string{"in 10:00:00 AB1", "out 10:00:00 AB1"},
			[]string{"AB1 a 10:00:00-10:00:00 exit-before-entry"}},
		{"held at the exit", []string{"in 10:00:00 ZZ9", "out 12:00:00 ZZ9", "out2 12:20:00 ZZ9"},
			[]string{"ZZ9 - 10:00:00-12:20:00 held-at-exit"}},
		{"held no longer than half an hour", []string{"in 10:00:00 ZZ9", "out 12:00:00 ZZ9", "out 12:30:01 ZZ9"},
			[]string{"ZZ9 - 10:00:00-12:00:00", "ZZ9 - ?-12:30:01 missing-entry"}},
		{"re-entry continues", []string{"in 10:00:00 AB1", "out 11:00:00 AB1", "in 11:15:00 AB1", "out 12:00:00 AB1"},
			[]string{"AB1 a 10:00:00-12:00:00 visits=2 reentry"}},
		{"re-entry too late", []string{"in 10:00:00 AB1", "out 11:00:00 AB1", "in 11:15:01 AB1"},
			[]string{"AB1 a 10:00:00-11:00:00", "AB1 a 11:15:01-inside"}},
		{"a machine's own gate behind a lane", []string{"in 10:00:00 AB1", "gate 10:02:00 AB1 A1", "out 12:00:00 - A1"},
			[]string{"AB1 a 10:00:00-12:00:00"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := Input{Rules: rules()}
			for _, line := range c.events {
				in.Sightings = append(in.Sightings, seen(t, line))
			}
			if got := show(Derive(in)); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// berth makes an allocation of AB1; times are "assigned stored requested staged ended",
// "-" for not yet.
func berth(t testing.TB, id, machine string, state parking.State, times string) Berth {
	t.Helper()
	const plate = "AB1"
	f := strings.Fields(times)
	at := func(i int) time.Time {
		if i >= len(f) || f[i] == "-" {
			return time.Time{}
		}
		return clock(t, f[i])
	}
	return Berth{Identity: registryOf("", plate), Allocation: parking.Allocation{
		ID: id, CarPark: "p", Bay: "R1-1-1", Machine: machine, State: state, Vehicle: parking.Vehicle{Plate: plate, Class: "private_car"},
		AssignedAt: at(0), StoredAt: at(1), RequestedAt: at(2), StagedAt: at(3), EndedAt: at(4),
	}}
}

func TestBays(t *testing.T) {
	acceptance := rules()
	acceptance.ClockStart, acceptance.ClockStop = parking.AtAcceptance, parking.AtRequest
	noLanes := rules()
	noLanes.ExitLanes = false
	for _, c := range []struct {
		name   string
		rules  Rules
		events []string
		berths []Berth
		want   []string
		from   string
		to     string
	}{
		{"the machine's own time is charged to nobody", acceptance, []string{"in 10:00:00 AB1", "out 12:10:00 AB1"},
			[]Berth{berth(t, "x", "R1", parking.Gone, "10:00:30 10:04:00 12:00:00 12:08:00 12:09:00")},
			[]string{"AB1 a 10:00:00-12:10:00"}, "10:04:00", "12:00:00"},
		{"the same where the lanes count", rules(), []string{"in 10:00:00 AB1", "out 12:10:00 AB1"},
			[]Berth{berth(t, "x", "R1", parking.Gone, "10:00:30 10:04:00 12:00:00 12:08:00 12:09:00")},
			[]string{"AB1 a 10:00:00-12:10:00"}, "10:00:00", "12:10:00"},
		{"a machine that never said that it took the car in", acceptance, []string{"in 10:00:00 AB1", "out 12:10:00 AB1"},
			[]Berth{berth(t, "x", "R1", parking.Gone, "10:00:30 - - - 12:09:00")},
			[]string{"AB1 a 10:00:00-12:10:00 acceptance-unknown"}, "10:00:00", "12:10:00"},
		{"an ordinary bay has no machine", acceptance, []string{"in 10:00:00 AB1", "out 12:10:00 AB1"},
			[]Berth{berth(t, "x", "", parking.Gone, "10:00:30 10:04:00 - - 12:09:00")},
			[]string{"AB1 a 10:00:00-12:10:00"}, "10:00:00", "12:10:00"},
		{"no lane saw it: the bay's times", rules(), nil,
			[]Berth{berth(t, "x", "R1", parking.Gone, "10:00:30 10:04:00 - - 12:09:00")},
			[]string{"AB1 a 10:00:30-12:09:00 entry-by-bay,exit-by-bay"}, "10:00:30", "12:09:00"},
		{"only the exit was seen", rules(), []string{"out 12:10:00 AB1"},
			[]Berth{berth(t, "x", "R1", parking.Gone, "10:00:30 10:04:00 - - 12:09:00")},
			[]string{"AB1 a 10:00:30-12:10:00 entry-by-bay"}, "10:00:30", "12:10:00"},
		{"the bay was given before the lane was passed", rules(), []string{"in 10:00:00 AB1"},
			[]Berth{berth(t, "x", "R1", parking.Assigned, "09:50:00")},
			[]string{"AB1 a 10:00:00-inside"}, "10:00:00", ""},
		{"a bay given to a car that never came is no stay", rules(), nil,
			[]Berth{berth(t, "x", "R1", parking.Assigned, "09:50:00"), berth(t, "y", "R1", parking.Cancelled, "09:40:00 - - - 09:45:00")},
			nil, "", ""},
		{"a missing exit, but the bay was given back", rules(), []string{"in 10:00:00 AB1", "in 15:00:00 AB1"},
			[]Berth{berth(t, "x", "R1", parking.Gone, "10:00:30 10:04:00 12:00:00 - 12:09:00")},
			[]string{"AB1 a 10:00:00-12:09:00 exit-by-bay", "AB1 a 15:00:00-inside"}, "10:00:00", "12:09:00"},
		{"out of its bay, and not yet at the exit", rules(), []string{"in 10:00:00 AB1"},
			[]Berth{berth(t, "x", "R1", parking.Gone, "10:00:30 10:04:00 12:00:00 - 12:09:00")},
			[]string{"AB1 a 10:00:00-inside"}, "10:00:00", ""},
		{"a site without exit lanes", noLanes, []string{"in 10:00:00 AB1"},
			[]Berth{berth(t, "x", "R1", parking.Gone, "10:00:30 10:04:00 12:00:00 - 12:09:00")},
			[]string{"AB1 a 10:00:00-12:09:00 exit-by-bay"}, "10:00:00", "12:09:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := Input{Rules: c.rules, Berths: c.berths}
			for _, line := range c.events {
				in.Sightings = append(in.Sightings, seen(t, line))
			}
			got := Derive(in)
			if lines := show(got); !slices.Equal(lines, c.want) {
				t.Fatalf("got  %q\nwant %q", lines, c.want)
			}
			if len(got) == 0 {
				return
			}
			hms := func(at time.Time) string {
				if at.IsZero() {
					return ""
				}
				return at.Format("15:04:05")
			}
			if from, to := hms(got[0].ClockFrom), hms(got[0].ClockTo); from != c.from || to != c.to {
				t.Errorf("the clock ran %s to %s, want %s to %s", from, to, c.from, c.to)
			}
		})
	}
}

func TestPreRequestStopsTheClockWhenTheCarIsWanted(t *testing.T) {
	b := berth(t, "x", "R1", parking.Gone, "10:00:30 10:04:00 11:00:00 - 12:09:00")
	b.Allocation.NotBefore = clock(t, "12:00:00")
	r := rules()
	r.ClockStop = parking.AtRequest
	got := Derive(Input{Rules: r, Sightings: []Sighting{seen(t, "in 10:00:00 AB1"), seen(t, "out 12:10:00 AB1")}, Berths: []Berth{b}})
	if want := clock(t, "12:00:00"); len(got) != 1 || !got[0].ClockTo.Equal(want) {
		t.Errorf("got %+v, want the clock to stop at %s", got, want)
	}
}

func TestDecisionsStandUntilWhatWasSeenChanges(t *testing.T) {
	in := Input{Rules: rules(), Sightings: []Sighting{seen(t, "in 10:00:00 AB1"), seen(t, "in 14:00:00 AB1")}}
	first := Derive(in)[0]
	if !first.Review {
		t.Fatal("a missing exit is not under review")
	}
	in.Decisions = []Decision{{
		Anchor: first.Anchor, Kind: Correct, Exit: clock(t, "11:00:00"), By: "staff", Reason: "video", At: clock(t, "15:00:00"), Basis: first.Basis,
	}}
	got := Derive(in)[0]
	if got.Review || !got.Exit.Equal(clock(t, "11:00:00")) || !got.Has(Decided) {
		t.Errorf("decided: got %v", show([]Stay{got}))
	}
	// A repetition changes nothing; the exit's own event does.
	in.Sightings = append(in.Sightings, seen(t, "in 10:00:30 AB1"))
	if got := Derive(in)[0]; got.Review {
		t.Errorf("after a repetition: got %v", show([]Stay{got}))
	}
	in.Sightings = append(in.Sightings, seen(t, "out 12:00:00 AB1"))
	if got := Derive(in)[0]; !got.Review || !got.Has(Reopened) || !got.Exit.Equal(clock(t, "12:00:00")) {
		t.Errorf("after the exit came: got %v", show([]Stay{got}))
	}
}

func TestADecisionWhileInsideStandsAtTheExit(t *testing.T) {
	in := Input{Rules: rules(), Sightings: []Sighting{seen(t, "in 10:00:00 BC2 A1")}}
	open := Derive(in)[0]
	in.Decisions = []Decision{{
		Anchor: open.Anchor, Kind: ByAccount, Account: "b", By: "staff", Reason: "photo", At: clock(t, "10:30:00"), Basis: open.Basis,
	}}
	in.Sightings = append(in.Sightings, seen(t, "out 12:00:00 BC2"))
	if got := Derive(in)[0]; got.Review || !got.Has(Decided) {
		t.Errorf("got %v", show([]Stay{got}))
	}
}

func TestAnExitThatStaffSaidIsReopenedByTheExitItself(t *testing.T) {
	in := Input{Rules: rules(), Sightings: []Sighting{seen(t, "in 10:00:00 AB1")}}
	open := Derive(in)[0]
	in.Decisions = []Decision{{
		Anchor: open.Anchor, Kind: Correct, Exit: clock(t, "11:00:00"), By: "staff", Reason: "not here any more", At: clock(t, "12:00:00"), Basis: open.Basis,
	}}
	if got := Derive(in)[0]; got.Open || got.Review || !got.Exit.Equal(clock(t, "11:00:00")) {
		t.Errorf("decided: got %v", show([]Stay{got}))
	}
	in.Sightings = append(in.Sightings, seen(t, "out 13:00:00 AB1"))
	if got := Derive(in)[0]; !got.Review || !got.Has(Reopened) {
		t.Errorf("after the exit: got %v", show([]Stay{got}))
	}
}
