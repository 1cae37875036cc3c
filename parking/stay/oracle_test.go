package stay

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"freeflow/parking"

	"pgregory.net/rapid"
)

// The oracle knows vehicles by name alone: it parses each vehicle's sequence of
// ins and outs, and shares no code with the walk.

type oracleToken struct {
	at time.Time
	in bool
}

type oracleStay struct {
	entry, exit string
	visits      int
	flags       []string
}

func oracleClock(at time.Time) string { return at.Format("15:04:05") }

// oracleTokens collapses the repetitions at each lane: a read is dropped if one
// of the same lane lies within the minute before it.
func oracleTokens(events []parking.LaneEvent) []oracleToken {
	perLane := map[string][]time.Time{}
	for _, e := range events {
		perLane[e.Lane] = append(perLane[e.Lane], e.At)
	}
	var tokens []oracleToken
	for lane, times := range perLane {
		slices.SortFunc(times, time.Time.Compare)
		for i, at := range times {
			if i == 0 || at.Sub(times[i-1]) > time.Minute {
				tokens = append(tokens, oracleToken{at: at, in: strings.HasPrefix(lane, "IN")})
			}
		}
	}
	slices.SortFunc(tokens, func(a, b oracleToken) int {
		rank := func(in bool) int {
			if in {
				return 1
			}
			return 0
		}
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(rank(a.in), rank(b.in)))
	})
	return tokens
}

type oracleVisit struct {
	entry, exit                time.Time
	orphan, open, held, noExit bool
}

// oracleStays parses the tokens: In Out+ | In | Out+.
func oracleStays(tokens []oracleToken) []oracleStay {
	var visits []oracleVisit
	for i := 0; i < len(tokens); {
		var v oracleVisit
		if tokens[i].in {
			v.entry = tokens[i].at
			i++
			if i == len(tokens) {
				v.open = true
				visits = append(visits, v)
				break
			}
			if tokens[i].in {
				v.noExit = true
				visits = append(visits, v)
				continue
			}
		} else {
			v.orphan = true
		}
		outs := 0
		for i < len(tokens) && !tokens[i].in && (outs == 0 || tokens[i].at.Sub(v.exit) <= 30*time.Minute) {
			v.exit = tokens[i].at
			outs++
			i++
		}
		v.held = outs > 1
		visits = append(visits, v)
	}
	// Re-entries first: groups of visits that continue each other.
	var groups [][]oracleVisit
	for i, v := range visits {
		if i > 0 && !v.orphan {
			before := visits[i-1]
			if !before.orphan && !before.noExit && v.entry.Sub(before.exit) <= 15*time.Minute {
				groups[len(groups)-1] = append(groups[len(groups)-1], v)
				continue
			}
		}
		groups = append(groups, []oracleVisit{v})
	}
	// Then skew: an orphan right before a lone visit without an exit.
	var out []oracleStay
	for i := 0; i < len(groups); i++ {
		g := groups[i]
		if g[0].orphan && i+1 < len(groups) && len(groups[i+1]) == 1 {
			n := groups[i+1][0]
			if !n.orphan && (n.open || n.noExit) && n.entry.Sub(g[0].exit) <= 5*time.Minute {
				s := oracleStay{entry: oracleClock(n.entry), exit: oracleClock(g[0].exit), visits: 1, flags: []string{"exit-before-entry"}}
				out = append(out, s)
				i++
				continue
			}
		}
		s := oracleStay{entry: oracleClock(g[0].entry), visits: len(g)}
		last := g[len(g)-1]
		if g[0].orphan {
			s.entry, s.flags = "?", append(s.flags, "missing-entry")
		}
		switch {
		case last.open:
			s.exit = "inside"
		case last.noExit:
			s.exit, s.flags = "?", append(s.flags, "missing-exit")
		default:
			s.exit = oracleClock(last.exit)
		}
		if len(g) > 1 {
			s.flags = append(s.flags, "reentry")
		}
		for _, v := range g {
			if v.held {
				s.flags = append(s.flags, "held-at-exit")
				break
			}
		}
		slices.Sort(s.flags)
		out = append(out, s)
	}
	return out
}

// drawEvents makes reads of two registered vehicles, each seen by tag, by plate
// or by both.
func drawEvents(t *rapid.T) []Sighting {
	marks := [...][2]string{{"AB1", ""}, {"", "A1"}, {"AB1", "A1"}, {"BC2", ""}, {"", "B2"}}
	lanes := [...]string{"in", "in2", "out", "out2"}
	base := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	n := rapid.IntRange(1, 14).Draw(t, "reads")
	var list []Sighting
	at := base
	for i := range n {
		step := rapid.SampledFrom([]int{0, 1, 30, 60, 61, 200, 300, 301, 600, 900, 901, 1800, 1801, 7200}).Draw(t, "step")
		at = at.Add(time.Duration(step) * time.Second)
		m := rapid.SampledFrom(marks[:]).Draw(t, "marks")
		lane := rapid.SampledFrom(lanes[:]).Draw(t, "lane")
		d, unit := parking.In, "IN-1"
		switch lane {
		case "in2":
			unit = "IN-2"
		case "out":
			d, unit = parking.Out, "OUT-1"
		case "out2":
			d, unit = parking.Out, "OUT-2"
		}
		list = append(list, Sighting{
			Event: parking.LaneEvent{
				ID: fmt.Sprintf("e%02d", i), CarPark: "p", Lane: unit, Direction: d, At: at, Plate: m[0], Tag: m[1], ConfidencePermille: 1000,
			},
			Identity: registryOf(m[1], m[0]),
		})
	}
	return list
}

// shake permutes and repeats.
func shake(t *rapid.T, list []Sighting) []Sighting {
	out := rapid.Permutation(list).Draw(t, "order")
	for range rapid.IntRange(0, 5).Draw(t, "repeats") {
		out = append(out, rapid.SampledFrom(list).Draw(t, "repeated"))
	}
	return out
}

func TestStaysAreTheOracles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := drawEvents(t)
		var want []string
		for _, vehicle := range [...]string{"AB1", "BC2"} {
			var own []parking.LaneEvent
			for _, s := range events {
				if s.Identity.Vehicle == vehicle {
					own = append(own, s.Event)
				}
			}
			for _, s := range oracleStays(oracleTokens(own)) {
				want = append(want, fmt.Sprint(vehicle, " ", s.entry, "-", s.exit, " ", s.visits, " ", s.flags))
			}
		}
		var got []string
		for _, s := range Derive(Input{Rules: rules(), Sightings: shake(t, events)}) {
			entry, exit := "?", "?"
			if !s.Entry.IsZero() {
				entry = oracleClock(s.Entry)
			}
			switch {
			case s.Open:
				exit = "inside"
			case !s.Exit.IsZero():
				exit = oracleClock(s.Exit)
			}
			got = append(got, fmt.Sprint(s.Vehicle, " ", entry, "-", exit, " ", len(s.Visits), " ", s.Flags))
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("got  %q\nwant %q", got, want)
		}
	})
}

// TestOrderAndRepetitionDoNotMatter goes beyond what the oracle knows: any
// marks, weak plates, tickets, conflicts and bays.
func TestOrderAndRepetitionDoNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
		var list []Sighting
		var berths []Berth
		for i := range rapid.IntRange(1, 12).Draw(t, "reads") {
			tag := rapid.SampledFrom([]string{"", "", "A1", "B2", "C9", "F0"}).Draw(t, "tag")
			plate := rapid.SampledFrom([]string{"", "AB1", "BC2", "ZZ9"}).Draw(t, "plate")
			ticket := rapid.SampledFrom([]string{"", "", "K1", "K2"}).Draw(t, "ticket")
			if tag+plate+ticket == "" {
				ticket = "K1"
			}
			unit, d := "IN-1", parking.In
			if rapid.Bool().Draw(t, "out") {
				unit, d = "OUT-1", parking.Out
			}
			list = append(list, Sighting{
				Event: parking.LaneEvent{
					ID: fmt.Sprintf("e%02d", i), CarPark: "p", Lane: unit, Direction: d, Plate: plate, Tag: tag, Ticket: ticket,
					At:                 base.Add(time.Duration(rapid.IntRange(0, 400).Draw(t, "at")) * 30 * time.Second),
					ConfidencePermille: rapid.SampledFrom([]int{1000, 500}).Draw(t, "sure"),
				},
				Identity: registryOf(tag, plate),
			})
		}
		for i := range rapid.IntRange(0, 2).Draw(t, "bays") {
			at := base.Add(time.Duration(rapid.IntRange(0, 200).Draw(t, "bay at")) * time.Minute)
			plate := rapid.SampledFrom([]string{"AB1", "ZZ9"}).Draw(t, "bay plate")
			berths = append(berths, Berth{Identity: registryOf("", plate), Allocation: parking.Allocation{
				ID: fmt.Sprintf("b%d", i), Machine: "R1", State: parking.Gone, Vehicle: parking.Vehicle{Plate: plate},
				AssignedAt: at, StoredAt: at.Add(time.Minute), EndedAt: at.Add(time.Hour),
			}})
		}
		want := Derive(Input{Rules: rules(), Sightings: list, Berths: berths})
		got := Derive(Input{Rules: rules(), Sightings: shake(t, list), Berths: slices.Concat(rapid.Permutation(berths).Draw(t, "bays order"), berths)})
		if a, b := fmt.Sprintf("%+v", bare(got)), fmt.Sprintf("%+v", bare(want)); a != b {
			t.Fatalf("got  %s\nwant %s", a, b)
		}
		checkSound(t, list, want)
	})
}

// bare drops pointers, which are other copies.
func bare(list []Stay) []Stay {
	out := slices.Clone(list)
	for i := range out {
		out[i].Berth = nil
		out[i].Visits = slices.Clone(out[i].Visits)
		for j := range out[i].Visits {
			out[i].Visits[j].Berth = nil
		}
	}
	return out
}

// checkSound: every read is in exactly one stay, no stay ends before it begins
// but by skew, and none is both open and ended.
func checkSound(t *rapid.T, list []Sighting, stays []Stay) {
	count := map[string]int{}
	for _, s := range stays {
		for _, e := range s.Events {
			count[e]++
		}
		if !s.Open && !s.Exit.IsZero() && s.Exit.Before(s.Entry) && !s.Has(ExitBeforeEntry) {
			t.Fatalf("ends before it begins: %+v", s)
		}
		if !s.ClockTo.IsZero() && s.ClockTo.Before(s.ClockFrom) {
			t.Fatalf("the clock runs backwards: %+v", s)
		}
		if s.Open && !s.Exit.IsZero() {
			t.Fatalf("open, and has left: %+v", s)
		}
	}
	for _, s := range list {
		if count[s.Event.ID] != 1 {
			t.Fatalf("read %s is in %d stays", s.Event.ID, count[s.Event.ID])
		}
	}
}
