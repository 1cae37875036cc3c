package matcher

import (
	"context"
	"fmt"
	"slices"

	"freeflow/billing"
	"freeflow/tolling"
	"freeflow/tolling/passage"
	"freeflow/tolling/registry"
)

// held is a pass with what the books know of it.
type held struct {
	*tolling.Pass
	// revision is the books' revision, 0 if they do not know the pass yet.
	revision int64
	verdict  tolling.Verdict
	decision *billing.Decision
	// mergedInto is the pass that swallowed this one.
	mergedInto *held
	// postedLast is the Last that the books know.
	postedLast int64
	// touched: a read of this batch belongs to it. changed: something other
	// than Last changed.
	touched, changed bool
}

// carrier is a vehicle whose passes carried another vehicle's mark.
type carrier struct {
	vehicle tolling.Vehicle
	last    int64
}

// span is a closed stretch of time in microseconds.
type span struct{ from, to int64 }

// record is all that is known of one vehicle at one facility.
type record struct {
	key    passage.Key
	passes []*tolling.Pass
	// carriers are the vehicles whose reads carried this one's mark here.
	carriers []carrier
	// asked: the store was asked for it. Every pass whose Last is at or after
	// from is in passes, and every pass that touches one of spans.
	asked bool
	from  int64
	spans []span
	// touched: it must be held again.
	touched bool
	// changedFrom and changedTo bound the Firsts, old and new, of the passes
	// that changed; opposite passes that begin from the one to a turn-round
	// after the other are to be judged again. changedTo is 0 if none changed.
	changedFrom, changedTo int64
}

// covers reports whether the record holds every pass that touches [from, to].
func (r *record) covers(from, to int64) bool {
	return from >= r.from || slices.ContainsFunc(r.spans, func(s span) bool { return s.from <= from && to <= s.to })
}

// table is the working set of one batch: the records of the vehicles that its
// reads name, and of those that the rules relate to them.
type table struct {
	*session
	// registry resolves the reads of the batch, all by the same version.
	registry *registry.Registry
	reads    []reading
	records  map[passage.Key]*record
	byID     map[string]*held
	order    []passage.Key // of records, for a repeatable order of posting
}

func newTable(s *session, reads []reading) *table {
	return &table{
		session: s, registry: s.Registry.Get(), reads: reads,
		records: make(map[passage.Key]*record, len(reads)),
		byID:    make(map[string]*held, len(reads)),
	}
}

// match resolves the batch's reads, puts them into passes and judges those.
func (t *table) match(ctx context.Context) error {
	needs := make(map[passage.Key]span, len(t.reads))
	keys := make([]passage.Key, 0, len(t.reads))
	for i := range t.reads {
		r := &t.reads[i]
		r.sighting = t.registry.Resolve(r.read, r.point)
		k := keyOf(r.facility, r.sighting.Vehicle)
		at := r.sighting.Order.Micros
		need, known := needs[k]
		if !known {
			need = span{at, at}
			keys = append(keys, k)
		}
		needs[k] = span{min(need.from, at), max(need.to, at)}
	}
	// Whatever a read can join, and whatever can send its pass to review by
	// turning round, lies within limit before it.
	limit := max(t.Network.GapMicros(), t.Network.TurnRoundMicros())
	for k, need := range needs {
		needs[k] = span{need.from - limit, need.to + limit}
	}
	if err := t.load(ctx, keys, needs); err != nil {
		return err
	}
	for i := range t.reads {
		t.add(&t.reads[i])
	}
	if err := t.relate(ctx); err != nil {
		return err
	}
	return t.judge(ctx)
}

func keyOf(facility string, v tolling.Vehicle) passage.Key {
	return passage.Key{Facility: facility, Vehicle: v.Name, Registered: v.Registered}
}

func vehicleOf(k passage.Key) tolling.Vehicle {
	return tolling.Vehicle{Name: k.Vehicle, Registered: k.Registered}
}

// rec returns the record of a key, an empty one if it is not known yet.
func (t *table) rec(k passage.Key) *record {
	r := t.records[k]
	if r == nil {
		r = &record{key: k, from: never}
		t.records[k] = r
		t.order = append(t.order, k)
	}
	return r
}

// load makes sure that the records of the keys hold every pass that touches
// their needs: from the store first, then from the books, each asked once.
func (t *table) load(ctx context.Context, keys []passage.Key, needs map[passage.Key]span) error {
	var ask []passage.Key
	for _, k := range keys {
		if r := t.rec(k); !r.asked {
			r.asked = true
			ask = append(ask, k)
		}
	}
	if len(ask) > 0 {
		items, ok := t.exchange(ctx, ask)
		if ok {
			for _, item := range items {
				if err := t.adoptItem(item); err != nil {
					t.distrust(ctx, err)
					break
				}
			}
		}
	}
	var windows []billing.Window
	for _, k := range keys {
		need, r := needs[k], t.rec(k)
		if r.covers(need.from, need.to) {
			continue
		}
		// A little more than needed, so that judging what was found seldom
		// has to ask again.
		reach := t.Network.GapMicros() + t.Network.TurnRoundMicros()
		s := span{need.from - reach, need.to + reach}
		r.spans = append(r.spans, s)
		windows = append(windows, billing.Window{
			Facility: k.Facility, Vehicle: k.Vehicle, Registered: k.Registered,
			FromMicros: s.from, ToMicros: s.to,
		})
	}
	if len(windows) == 0 {
		return nil
	}
	t.Metrics.Windows.Add(float64(len(windows)))
	passes, err := t.Books.Passes(ctx, windows)
	if err != nil {
		return fmt.Errorf("reading passes from the books: %w", err)
	}
	for i := range passes {
		if err := t.adoptPass(&passes[i]); err != nil {
			return err
		}
	}
	return nil
}

// adoptItem takes a held record into the table.
func (t *table) adoptItem(item passage.Item) error {
	r := t.rec(item.Key)
	if item.Value != nil {
		passes, carriers, err := decodeRecord(item.Value, item.Key)
		if err != nil {
			return fmt.Errorf("decoding the open passes of a vehicle at %s: %w", item.Key.Facility, err)
		}
		for _, h := range passes {
			t.take(r, h)
		}
		for _, c := range carriers {
			r.carriedBy(c)
		}
	}
	r.from = t.horizon
	return nil
}

// adoptPass takes a pass of the books into the table, and tells the records of
// its marks that it carried them.
func (t *table) adoptPass(p *billing.Pass) error {
	h, err := fromBooks(p)
	if err != nil {
		return err
	}
	t.take(t.rec(keyOf(p.Facility, h.Vehicle)), h)
	for _, mark := range p.Marks {
		t.rec(passage.Key{Facility: p.Facility, Vehicle: mark}).carriedBy(carrier{h.Vehicle, h.Last})
	}
	return nil
}

// take adds a pass to a record unless it is there already; the one already
// there may have been changed by this batch.
func (t *table) take(r *record, h *held) {
	if t.byID[h.ID] != nil {
		return
	}
	t.byID[h.ID] = h
	r.passes = append(r.passes, h.Pass)
}

func (r *record) carriedBy(c carrier) {
	for i := range r.carriers {
		if r.carriers[i].vehicle == c.vehicle {
			r.carriers[i].last = max(r.carriers[i].last, c.last)
			return
		}
	}
	r.carriers = append(r.carriers, c)
}

// add puts one read into its pass.
func (t *table) add(r *reading) {
	rec := t.rec(keyOf(r.facility, r.sighting.Vehicle))
	rec.touched = true
	var effect tolling.Effect
	rec.passes, effect = tolling.Add(rec.passes, r.sighting, t.Network.GapMicros())
	h := t.byID[effect.Pass.ID]
	if effect.New {
		h = &held{Pass: effect.Pass}
		t.byID[h.ID] = h
	}
	h.touched = true
	if !effect.Changed {
		return
	}
	h.changed = true
	to := h.First
	for _, p := range effect.Swallowed {
		to = max(to, p.First)
		t.swallow(h, t.byID[p.ID])
	}
	// An earlier First than before leaves the old one behind: it lies at most
	// a gap after the new one.
	rec.changes(effect.From, to+t.Network.GapMicros())
}

func (r *record) changes(from, to int64) {
	if r.changedTo == 0 {
		r.changedFrom, r.changedTo = from, to
		return
	}
	r.changedFrom, r.changedTo = min(r.changedFrom, from), max(r.changedTo, to)
}

// swallow records that q lives on in h. Where the books know q but not h, h
// takes q's place in them: what was charged for q then need not be charged
// anew. A decision on either is no longer about what it was made for.
func (t *table) swallow(h, q *held) {
	if h.revision == 0 && q.revision > 0 {
		delete(t.byID, h.ID)
		h.ID, h.revision, h.postedLast = q.ID, q.revision, q.postedLast
		h.verdict, h.decision = q.verdict, q.decision
		t.byID[h.ID] = h
	} else {
		q.mergedInto = h
		q.changed = true
		if h.decision == nil {
			h.decision = q.decision
		}
	}
	if h.decision != nil {
		overtaken := *h.decision
		overtaken.Basis = ""
		h.decision = &overtaken
	}
}

// relate finds passes that are the same car seen twice (rule 7): it loads what
// the touched passes' marks name and what carried the touched vehicles' names.
func (t *table) relate(ctx context.Context) error {
	gap := t.Network.GapMicros()
	for {
		needs := make(map[passage.Key]span)
		var keys []passage.Key
		want := func(k passage.Key, p *tolling.Pass) {
			need, known := needs[k]
			if !known {
				need = span{p.First - gap, p.Last + gap}
				if r := t.rec(k); r.asked && r.covers(need.from, need.to) {
					return
				}
				keys = append(keys, k)
			}
			needs[k] = span{min(need.from, p.First-gap), max(need.to, p.Last+gap)}
		}
		for _, k := range slices.Clone(t.order) {
			r := t.records[k]
			if !r.touched {
				continue
			}
			for _, p := range r.passes {
				if !t.byID[p.ID].touched {
					continue
				}
				for _, mark := range p.Marks {
					want(passage.Key{Facility: k.Facility, Vehicle: mark}, p)
				}
				if k.Registered {
					continue
				}
				want(k, p) // the books' answer for it names its carriers
				for _, c := range r.carriers {
					want(keyOf(k.Facility, c.vehicle), p)
				}
			}
		}
		if len(keys) == 0 {
			break
		}
		if err := t.load(ctx, keys, needs); err != nil {
			return err
		}
	}
	t.markSameCar(gap)
	return nil
}

// markSameCar flags the passes of unregistered vehicles that a carrier's pass
// at the same toll point came within the gap of.
func (t *table) markSameCar(gap int64) {
	for _, k := range slices.Clone(t.order) {
		for _, p := range t.records[k].passes {
			for _, mark := range p.Marks {
				own := t.rec(passage.Key{Facility: k.Facility, Vehicle: mark})
				if t.byID[p.ID].touched {
					own.carriedBy(carrier{p.Vehicle, p.Last})
					own.touched = true
				}
				for _, q := range own.passes {
					fresh := t.byID[p.ID].touched || t.byID[q.ID].touched
					if fresh && q.Point == p.Point && !q.SameCar && q.Near(p, gap) {
						q.SameCar = true
						t.byID[q.ID].changed = true
						own.touched = true
						own.changes(q.First, q.First)
					}
				}
			}
		}
	}
}

// judge gives a verdict on every pass that changed, and on those whose verdict
// hangs on one that did (rule 6).
func (t *table) judge(ctx context.Context) error {
	turn := t.Network.TurnRoundMicros()
	needs := make(map[passage.Key]span)
	var keys []passage.Key
	for _, k := range t.order {
		r := t.records[k]
		if r.changedTo == 0 {
			continue
		}
		if need := (span{r.changedFrom - turn, r.changedTo + turn}); !r.covers(need.from, need.to) {
			needs[k] = need
			keys = append(keys, k)
		}
	}
	if len(keys) > 0 {
		if err := t.load(ctx, keys, needs); err != nil {
			return err
		}
	}
	for _, k := range t.order {
		r := t.records[k]
		if r.changedTo == 0 {
			continue
		}
		for _, p := range r.passes {
			h := t.byID[p.ID]
			if h.changed || p.First >= r.changedFrom && p.First < r.changedTo+turn {
				t.sentence(h, r.passes)
			}
		}
	}
	return nil
}

// remint gives new passes other ids where the books know theirs: one that was
// judged anew may have kept the id of an instant that it no longer covers.
func (t *table) remint(ctx context.Context) error {
	for {
		var fresh []string
		for id, h := range t.byID {
			if h.revision == 0 {
				fresh = append(fresh, id)
			}
		}
		if len(fresh) == 0 {
			return nil
		}
		taken, err := t.Books.KnownPasses(ctx, fresh)
		if err != nil {
			return fmt.Errorf("looking for passes by id: %w", err)
		}
		if len(taken) == 0 {
			return nil
		}
		for _, id := range taken {
			h := t.byID[id]
			delete(t.byID, id)
			h.ID = tolling.NextID(id)
			t.byID[h.ID] = h
		}
	}
}

// sentence judges one pass and marks it changed if the verdict is another one.
func (t *table) sentence(h *held, passes []*tolling.Pass) {
	verdict := tolling.Judge(h.Pass, t.opposite(h.Pass, passes), t.Network.TurnRoundMicros(), t.rate)
	if h.decision != nil {
		verdict = decided(h, verdict)
	}
	if !sameVerdict(verdict, h.verdict) {
		h.verdict, h.changed = verdict, true
	}
}

// opposite returns the passes in other directions than p's.
func (t *table) opposite(p *tolling.Pass, passes []*tolling.Pass) []*tolling.Pass {
	if len(passes) < 2 {
		return nil
	}
	point, _ := t.Network.Point(p.Point)
	var found []*tolling.Pass
	for _, q := range passes {
		if other, ok := t.Network.Point(q.Point); ok && other.Direction != point.Direction {
			found = append(found, q)
		}
	}
	return found
}
