package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"freeflow/parking"
)

// model is a store as a plain program would keep it: allocations in a map, kept
// answers in another, and who holds a bay found by looking at all. Each run has
// a car park and keys of its own, so that all can share one database.
type model struct {
	s       Store
	carPark string
	run     int
	minted  int
	held    map[string]parking.Allocation
	// since is from when the allocation holds its present bay; past are
	// intervals of bays that were given up by moving.
	since map[string]time.Time
	past  map[string]time.Time
	kept  map[string]keptAnswer
	log   map[string]int
}

type keptAnswer struct {
	content [32]byte
	answer  parking.Answer
}

func (m *model) holder(bay string) (string, bool) {
	for id, a := range m.held {
		if a.Bay == bay && a.EndedAt.IsZero() {
			return id, true
		}
	}
	return "", false
}

// lastEnd is when the bay was last given up.
func (m *model) lastEnd(bay string) time.Time {
	last := m.past[bay]
	for _, a := range m.held {
		if a.Bay == bay && a.EndedAt.After(last) {
			last = a.EndedAt
		}
	}
	return last
}

func latest(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }

// once draws a key: mostly a new one, or none.
func (m *model) once(t *rapid.T) *parking.Once {
	switch rapid.IntRange(0, 4).Draw(t, "keyed") {
	case 0:
		return nil
	case 1: // of a small set, so that it comes again
		o := once(fmt.Sprint(m.run, "-", rapid.IntRange(0, 5).Draw(t, "key")), rapid.SampledFrom([]string{"x", "x", "x", "y"}).Draw(t, "content"))
		return o
	default:
		m.minted++
		return once(fmt.Sprint(m.run, "-new-", m.minted), "x")
	}
}

func (m *model) bay(t *rapid.T) string {
	return rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "bay")
}

func (m *model) at(t *rapid.T) time.Time { return later(rapid.IntRange(-20, 20).Draw(t, "at")) }

// some draws the id of an allocation, mostly of one that is there.
func (m *model) some(t *rapid.T) string {
	ids := slices.Sorted(maps.Keys(m.held))
	if len(ids) == 0 || rapid.IntRange(0, 9).Draw(t, "unheard") == 0 {
		return id(999_999_999)
	}
	return rapid.SampledFrom(ids).Draw(t, "allocation")
}

// judgeOnce says what a request with the key is told before anything is done.
// inBatch are the keys of the batch so far, with their content.
func (m *model) judgeOnce(o *parking.Once, inBatch map[string][32]byte) (told keptAnswer, twin, known bool, err error) {
	if o == nil {
		return keptAnswer{}, false, false, nil
	}
	if content, there := inBatch[o.Key]; there {
		if content != o.Fingerprint {
			return keptAnswer{}, false, true, parking.ErrKeyBusy
		}
		return keptAnswer{}, true, false, nil
	}
	inBatch[o.Key] = o.Fingerprint
	k, there := m.kept[o.Key]
	if !there {
		return keptAnswer{}, false, false, nil
	}
	if k.content != o.Fingerprint {
		return keptAnswer{}, false, true, parking.ErrKeyReused
	}
	return k, false, true, nil
}

type verdict struct {
	err      error
	replayed bool
	body     string
}

func (v verdict) matches(err error, a parking.Answer) bool {
	if v.err != nil {
		return errors.Is(err, v.err)
	}
	return err == nil && a.Replayed == v.replayed && string(a.Body) == v.body
}

// claims draws a batch, does it to both and compares.
func (m *model) claims(t *rapid.T) {
	at := m.at(t)
	var claims []parking.Claim
	for range rapid.IntRange(1, 4).Draw(t, "claims") {
		m.minted++
		c := claim(m.run*10_000+m.minted, m.bay(t))
		c.Allocation.CarPark, c.Allocation.AssignedAt = m.carPark, m.at(t)
		c.Once = m.once(t)
		if known := slices.Sorted(maps.Keys(m.held)); len(known) > 0 && rapid.IntRange(0, 9).Draw(t, "used") == 0 {
			c.Allocation.ID = rapid.SampledFrom(known).Draw(t, "id")
		}
		claims = append(claims, c)
	}
	var (
		want    []verdict
		inBatch = map[string][32]byte{}
		first   = map[string]int{}
		ids     = map[string]bool{}
	)
	for i, c := range claims {
		told, twin, known, err := m.judgeOnce(c.Once, inBatch)
		v := verdict{err: err}
		switch {
		case twin:
			v = want[first[c.Once.Key]]
			v.replayed = v.err == nil
		case errors.Is(err, parking.ErrKeyBusy):
		case ids[c.Allocation.ID]:
			v.err = parking.ErrInvalid
		case known && err == nil:
			v.replayed, v.body = true, string(told.answer.Body)
		case !known:
			v = m.claim(c)
		}
		if !twin && !errors.Is(v.err, parking.ErrKeyBusy) {
			ids[c.Allocation.ID] = true
		}
		if c.Once != nil && !twin && !errors.Is(err, parking.ErrKeyBusy) {
			first[c.Once.Key] = i
		}
		want = append(want, v)
		m.count("claim", v)
	}
	got, err := m.s.Claim(context.Background(), at, claims)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range want {
		if !v.matches(got[i].Err, got[i].Answer) {
			t.Fatalf("claim %d of %+v: %+v, the model says %+v", i, claims, got[i], v)
		}
	}
}

func (m *model) claim(c parking.Claim) verdict {
	a := c.Allocation
	if _, used := m.held[a.ID]; used {
		return verdict{err: parking.ErrConflict}
	}
	if _, taken := m.holder(a.Bay); taken {
		return verdict{err: parking.ErrBayTaken}
	}
	a.AssignedAt = latest(a.AssignedAt, m.lastEnd(a.Bay))
	m.held[a.ID], m.since[a.ID] = a, a.AssignedAt
	if c.Once != nil {
		m.kept[c.Once.Key] = keptAnswer{c.Once.Fingerprint, c.Answer}
	}
	return verdict{body: string(c.Answer.Body)}
}

// departures draws a batch, does it to both and compares.
func (m *model) departures(t *rapid.T) {
	at := m.at(t)
	var departures []parking.Departure
	for range rapid.IntRange(1, 3).Draw(t, "departures") {
		d := departure(0)
		d.Allocation = m.some(t)
		d.To = rapid.SampledFrom([]parking.State{parking.Gone, parking.Gone, parking.Cancelled}).Draw(t, "to")
		if rapid.Bool().Draw(t, "by nobody") {
			d.By, d.Reason = "", ""
		}
		d.Once = m.once(t)
		departures = append(departures, d)
	}
	var (
		want    []verdict
		inBatch = map[string][32]byte{}
		first   = map[string]int{}
	)
	for i, d := range departures {
		told, twin, known, err := m.judgeOnce(d.Once, inBatch)
		v := verdict{err: err}
		switch {
		case twin:
			v = want[first[d.Once.Key]]
			v.replayed = v.err == nil
		case known && err == nil:
			v.replayed, v.body = true, string(told.answer.Body)
		case !known:
			v = m.depart(d, at)
		}
		if d.Once != nil && !twin && !errors.Is(err, parking.ErrKeyBusy) {
			first[d.Once.Key] = i
		}
		want = append(want, v)
		m.count("depart", v)
	}
	got, err := m.s.Depart(context.Background(), at, departures)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range want {
		if !v.matches(got[i].Err, got[i].Answer) {
			t.Fatalf("departure %d of %+v: %+v, the model says %+v", i, departures, got[i], v)
		}
	}
}

func (m *model) depart(d parking.Departure, at time.Time) verdict {
	a, there := m.held[d.Allocation]
	switch {
	case !there:
		return verdict{err: parking.ErrNotFound}
	case !m.may(a.State, d.To, d.By != "" && d.Reason != ""):
		return verdict{err: parking.ErrConflict}
	}
	a.State, a.By, a.Reason, a.EndedAt = d.To, d.By, d.Reason, latest(at, m.since[a.ID])
	a.Revision++
	m.held[a.ID] = a
	if d.Once != nil {
		m.kept[d.Once.Key] = keptAnswer{d.Once.Fingerprint, d.Answer}
	}
	return verdict{body: string(d.Answer.Body)}
}

func (m *model) may(from, to parking.State, person bool) bool {
	return !from.Final() && (from.May(to) || to.Final() && person && from != parking.Blocked)
}

// puts draws a change of one allocation by Do, under a key or none.
func (m *model) puts(t *rapid.T) {
	a, there := m.held[m.some(t)]
	if !there {
		return
	}
	was := a
	a.Revision += rapid.SampledFrom([]int64{1, 1, 1, 1, 2, 0}).Draw(t, "revision")
	a.State = rapid.SampledFrom([]parking.State{a.State, parking.Moving, parking.Stored, parking.Retrieving, parking.Staged, parking.Unknown, parking.Gone}).Draw(t, "state")
	if rapid.IntRange(0, 2).Draw(t, "move") == 0 {
		a.Bay = m.bay(t)
	}
	a.By, a.Reason, a.EndedAt = "", "", time.Time{}
	if a.State.Final() {
		a.EndedAt = m.at(t)
	}
	a.AssignedAt = m.at(t) // is not changed
	o := m.once(t)
	var want verdict
	told, _, known, err := m.judgeOnce(o, map[string][32]byte{})
	switch {
	case err != nil:
		want.err = err
	case known:
		want = verdict{replayed: true, body: string(told.answer.Body)}
	default:
		if want.err = m.put(was, a); want.err == nil {
			want.body = string(answer.Body)
			if o != nil {
				m.kept[o.Key] = keptAnswer{o.Fingerprint, answer}
			}
		}
	}
	got, err := m.s.Do(context.Background(), o, func(tx parking.Tx) (parking.Answer, error) {
		err := tx.PutAllocation(context.Background(), a)
		if errors.Is(err, parking.ErrStale) {
			err = errStale // as it is, it would be tried again and again
		}
		return answer, err
	})
	m.count("put", want)
	if !want.matches(err, got) {
		t.Fatalf("putting %+v after %+v: %+v, %v, the model says %+v", a, was, got, err, want)
	}
}

var errStale = errors.New("stale")

func (m *model) put(was, a parking.Allocation) error {
	moved := a.Bay != was.Bay
	holder, taken := m.holder(a.Bay)
	switch {
	case a.Revision != was.Revision+1:
		return errStale
	case was.State.Final() && (a.State != was.State || moved):
		return parking.ErrConflict
	case was.State.Final():
		a.EndedAt = was.EndedAt
	case a.State != was.State && !m.may(was.State, a.State, false):
		return parking.ErrConflict
	case moved && a.State.Final():
		return parking.ErrConflict
	case moved && taken && holder != a.ID:
		return parking.ErrBayTaken
	}
	if moved {
		left := latest(Now, m.since[a.ID])
		since := latest(left, m.lastEnd(a.Bay))
		m.past[was.Bay] = latest(m.past[was.Bay], left)
		m.since[a.ID] = since
	}
	if a.State.Final() && !was.State.Final() {
		a.EndedAt = latest(a.EndedAt, m.since[a.ID])
	}
	a.AssignedAt = was.AssignedAt
	m.held[a.ID] = a
	return nil
}

func (m *model) count(what string, v verdict) {
	switch {
	case v.err != nil:
		what += " " + v.err.Error()
	case v.replayed:
		what += " replayed"
	}
	m.log[what]++
}

// compare holds the store against the model.
func (m *model) compare(t *rapid.T) {
	ctx := context.Background()
	o, err := m.s.Occupancy(ctx, m.carPark, Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range o.Active {
		if m.held[a.ID] != a {
			t.Fatalf("active is %+v, in the model %+v", a, m.held[a.ID])
		}
	}
	active := 0
	err = m.s.View(ctx, func(tx parking.Tx) error {
		for id, want := range m.held {
			if want.EndedAt.IsZero() {
				active++
			}
			got, err := tx.Allocation(ctx, id)
			if err != nil {
				return err
			}
			if got != want {
				t.Fatalf("the store has %+v, the model %+v", got, want)
			}
		}
		return nil
	})
	if err != nil || active != len(o.Active) {
		t.Fatalf("%d active, in the model %d, %v", len(o.Active), active, err)
	}
}

var modelTests = []test{
	{"any requests end as in a plain model", func(t *testing.T, s Store, _ func() Store) {
		run, log := 0, map[string]int{}
		rapid.Check(t, func(rt *rapid.T) {
			run++
			m := &model{s: s, run: run, carPark: fmt.Sprint("P", run), held: map[string]parking.Allocation{}, since: map[string]time.Time{},
				past: map[string]time.Time{}, kept: map[string]keptAnswer{}, log: log}
			rt.Repeat(map[string]func(*rapid.T){
				"claims": m.claims, "departures": m.departures, "puts": m.puts, "": m.compare,
			})
		})
		for _, want := range []string{"claim", "claim replayed", "claim " + parking.ErrBayTaken.Error(), "claim " + parking.ErrKeyReused.Error(), "claim " + parking.ErrKeyBusy.Error(),
			"claim " + parking.ErrConflict.Error(), "depart", "depart replayed", "depart " + parking.ErrConflict.Error(), "depart " + parking.ErrNotFound.Error(),
			"put", "put replayed", "put " + parking.ErrBayTaken.Error(), "put " + parking.ErrConflict.Error(), "put stale"} {
			if log[want] == 0 {
				t.Errorf("never drawn: %s (%v)", want, log)
			}
		}
	}},
}
