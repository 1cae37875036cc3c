package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"freeflow/internal/database"
	"freeflow/parking"
)

// maxBatch bounds a batch of claims or departures.
const maxBatch = 2000

// eventInsert adds to the history of an allocation.
const (
	eventColumns = `allocation, revision, at_micros, from_state, to_state, bay, decided_by, reason`
	eventInsert  = `INSERT INTO parking_allocation_event (` + eventColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	// lastEndSQL is when a bay was last given back, 0 if never.
	lastEndSQL = `SELECT coalesce(max(m), 0) FROM (
		SELECT max(ended_micros) AS m FROM parking_allocation WHERE car_park = $1 AND bay = $2 AND ended_micros <> 0
		UNION ALL SELECT max(to_micros) FROM parking_hold WHERE car_park = $1 AND bay = $2) AS ends`
)

// record adds a change to the allocation's history and, where a vehicle is
// concerned, to the feed of changes.
func record(ctx context.Context, db database.Session, a *parking.Allocation, from parking.State, at int64) error {
	if _, err := db.Exec(ctx, eventInsert, a.ID, a.Revision, at, string(from), string(a.State), a.Bay, a.By, a.Reason); err != nil {
		return fmt.Errorf("adding to the history of allocation %s: %w", a.ID, err)
	}
	if isBlock(a, from) {
		return nil
	}
	_, err := db.Exec(ctx, `INSERT INTO parking_change (allocation) VALUES ($1)`, a.ID)
	return err
}

// isBlock tells whether a change is that of a block.
func isBlock(a *parking.Allocation, from parking.State) bool {
	return a.State == parking.Blocked || from == parking.Blocked
}

// admission says what of a batch goes to the database.
type admission struct {
	// through are the positions that go on, in order.
	through []int
	// twins are repetitions of a request of the same batch.
	twins map[int]int
	keys  []onceKey
}

// admit sorts out a batch by its Onces. Positions with an error are left out;
// those whose key is under way get one.
func (s *Store) admit(n int, once func(int) *parking.Once, errs func(int) *error) admission {
	a := admission{twins: map[int]int{}}
	first := map[onceKey]int{}
	for i := range n {
		if *errs(i) != nil {
			continue
		}
		o := once(i)
		if o == nil {
			a.through = append(a.through, i)
			continue
		}
		k := keyOf(o)
		if twin, seen := first[k]; seen {
			if once(twin).Fingerprint == o.Fingerprint {
				a.twins[i] = twin
			} else {
				*errs(i) = parking.ErrKeyBusy
			}
			continue
		}
		if !s.keys.take(k) {
			*errs(i) = parking.ErrKeyBusy
			continue
		}
		a.keys = append(a.keys, k)
		first[k] = i
		a.through = append(a.through, i)
	}
	return a
}

// Claim tries all claims in one transaction. See parking.Bays.
func (s *Store) Claim(ctx context.Context, at time.Time, claims []parking.Claim) ([]parking.ClaimOutcome, error) {
	if len(claims) > maxBatch {
		return nil, fmt.Errorf("claiming bays: %w: %d claims in one batch, at most %d", parking.ErrInvalid, len(claims), maxBatch)
	}
	outcomes := make([]parking.ClaimOutcome, len(claims))
	run := &claimRun{claims: make([]parking.Claim, len(claims)), outcomes: outcomes}
	for i := range claims {
		c := claims[i]
		if c.Allocation.AssignedAt.IsZero() {
			c.Allocation.AssignedAt = at
		}
		c.Answer.Replayed = false
		run.claims[i] = c
		outcomes[i].Err = checkClaim(&c)
	}
	adm := s.admit(len(claims), func(i int) *parking.Once { return claims[i].Once }, func(i int) *error { return &outcomes[i].Err })
	defer s.keys.leave(adm.keys)
	run.through, run.at = distinct(run, adm.through), at.UnixMicro()
	if len(run.through) > 0 {
		var err error
		if s.db.Kind() == database.PostgreSQL {
			err = s.claimPostgres(ctx, run)
		} else {
			err = s.db.Write(ctx, func(db database.Session) error { return run.lite(ctx, db) })
		}
		if err != nil {
			return nil, fmt.Errorf("claiming bays: %w", err)
		}
	}
	for i, twin := range adm.twins {
		outcomes[i] = outcomes[twin]
		outcomes[i].Answer.Replayed = outcomes[i].Err == nil
	}
	return outcomes, nil
}

// distinct leaves out claims whose ids an earlier one of the batch has.
func distinct(run *claimRun, through []int) []int {
	ids := make(map[string]bool, 2*len(through))
	var left []int
	for _, i := range through {
		c := &run.claims[i]
		allocation, command := "a"+c.Allocation.ID, ""
		if c.Command != nil {
			command = "c" + c.Command.ID
		}
		if ids[allocation] || ids[command] {
			run.outcomes[i].Err = fmt.Errorf("allocation %s: %w: its id, or its command's, stands twice in one batch", c.Allocation.ID, parking.ErrInvalid)
			continue
		}
		ids[allocation] = true
		if command != "" {
			ids[command] = true
		}
		left = append(left, i)
	}
	return left
}

// claimRun is a batch of claims on its way through the database; every run of
// the transaction fills the outcomes anew.
type claimRun struct {
	at       int64
	claims   []parking.Claim
	through  []int
	outcomes []parking.ClaimOutcome
}

// won notes that the claim has its bay.
func (r *claimRun) won(i int) { r.outcomes[i] = parking.ClaimOutcome{Answer: r.claims[i].Answer} }

// lost notes that it has not, and why.
func (r *claimRun) lost(i int, why *refusal) {
	a := &r.claims[i].Allocation
	err := why.of(a)
	if errors.Is(err, parking.ErrStale) {
		err = fmt.Errorf("allocation %s: %w: it exists already", a.ID, parking.ErrConflict)
	}
	r.outcomes[i] = parking.ClaimOutcome{Err: err}
}

// refusal is why a new allocation was not added: its id is used already, its
// vehicle has another one, or else its bay is taken.
type refusal struct {
	known bool
	// holding is the vehicle's allocation; empty if that is not it.
	holding string
}

func (r *refusal) of(a *parking.Allocation) error {
	switch {
	case r.known:
		return allocationTable.stale(a.ID, 1)
	case r.holding != "":
		return &parking.HasBayError{Allocation: r.holding}
	default:
		return taken(a)
	}
}

// replay notes what was answered before.
func (r *claimRun) replay(i int, k *kept) {
	answer, err := k.replay(r.claims[i].Once)
	r.outcomes[i] = parking.ClaimOutcome{Answer: answer, Err: err}
}

func checkClaim(c *parking.Claim) error {
	a := &c.Allocation
	if a.State != parking.Assigned || a.Revision != 1 || !a.EndedAt.IsZero() {
		return fmt.Errorf("claim of bay %s: %w: an allocation begins assigned, at revision 1, not ended", a.Bay, parking.ErrInvalid)
	}
	if err := checkAllocation(a); err != nil {
		return err
	}
	if m := c.Command; m != nil {
		if m.Revision != 1 || m.State.Final() || m.Allocation != a.ID || m.CarPark != a.CarPark {
			return fmt.Errorf("claim of bay %s: %w: its command belongs to another allocation or is no new one", a.Bay, parking.ErrInvalid)
		}
		if err := commandTable.check(m.ID, commandArgs(m)); err != nil {
			return err
		}
	}
	return checkOnce(c.Once, &c.Answer)
}

// Depart ends allocations in one transaction. See parking.Bays.
func (s *Store) Depart(ctx context.Context, at time.Time, departures []parking.Departure) ([]parking.DepartureOutcome, error) {
	if len(departures) > maxBatch {
		return nil, fmt.Errorf("ending allocations: %w: %d departures in one batch, at most %d", parking.ErrInvalid, len(departures), maxBatch)
	}
	outcomes := make([]parking.DepartureOutcome, len(departures))
	for i := range departures {
		outcomes[i].Err = checkDeparture(&departures[i])
	}
	adm := s.admit(len(departures), func(i int) *parking.Once { return departures[i].Once }, func(i int) *error { return &outcomes[i].Err })
	defer s.keys.leave(adm.keys)
	run := &departRun{at: at.UnixMicro(), departures: departures, through: adm.through, outcomes: outcomes}
	if len(run.through) > 0 {
		var err error
		if s.db.Kind() == database.PostgreSQL {
			err = s.departPostgres(ctx, run)
		} else {
			err = s.db.Write(ctx, func(db database.Session) error { return run.lite(ctx, db) })
		}
		if err != nil {
			return nil, fmt.Errorf("ending allocations: %w", err)
		}
	}
	for i, twin := range adm.twins {
		outcomes[i] = outcomes[twin]
		outcomes[i].Answer.Replayed = outcomes[i].Err == nil
	}
	return outcomes, nil
}

// departRun is a batch of departures on its way through the database.
type departRun struct {
	at         int64
	departures []parking.Departure
	through    []int
	outcomes   []parking.DepartureOutcome
	// lookedAgain says that the batch was run again to see what another
	// process did.
	lookedAgain bool
}

// replay notes what was answered before.
func (r *departRun) replay(i int, k *kept, now *allocationRow) {
	answer, err := k.replay(r.departures[i].Once)
	r.outcomes[i] = parking.DepartureOutcome{Answer: answer, Err: err}
	if now != nil && err == nil {
		r.outcomes[i].After = now.Allocation
	}
}

// judge ends the allocation if that may be, and notes the outcome. now is nil
// where there is none. from is the state before.
func (r *departRun) judge(i int, now *allocationRow) (from parking.State, ended bool) {
	d := &r.departures[i]
	if now == nil {
		r.outcomes[i] = parking.DepartureOutcome{Err: &parking.NotFoundError{Kind: "allocation", ID: d.Allocation}}
		return "", false
	}
	if err := mayGo(now.State, d.To, d.By, d.Reason); err != nil {
		r.outcomes[i] = parking.DepartureOutcome{After: now.Allocation, Err: fmt.Errorf("allocation %s: %w", d.Allocation, err)}
		return "", false
	}
	from = now.State
	now.State, now.By, now.Reason = d.To, d.By, d.Reason
	now.Revision++
	now.EndedAt = instant(max(r.at, now.since))
	r.outcomes[i] = parking.DepartureOutcome{After: now.Allocation, Answer: d.Answer}
	r.outcomes[i].Answer.Replayed = false
	return from, true
}

func checkDeparture(d *parking.Departure) error {
	if !d.To.Final() {
		return fmt.Errorf("%w: an allocation ends as gone or cancelled, not as %q", parking.ErrInvalid, d.To)
	}
	err := errors.Join(checkText("the allocation's id", d.Allocation, maxName), checkText("by", d.By, maxText), checkText("the reason", d.Reason, maxText))
	if err != nil {
		return err
	}
	return checkOnce(d.Once, &d.Answer)
}

// mayGo tells whether an allocation may go from a state to another: along the
// transitions, or to its end where a person with a name and a reason says so.
// The end of a block is Gone, whoever says so.
func mayGo(from, to parking.State, by, reason string) error {
	switch {
	case from.Final():
		return fmt.Errorf("%w: it has ended as %s", parking.ErrConflict, from)
	case from == to || from.May(to):
		return nil
	case to.Final() && by != "" && reason != "" && from != parking.Blocked:
		return nil
	default:
		return fmt.Errorf("%w: it is %s and cannot become %s", parking.ErrConflict, from, to)
	}
}

// Occupancy reads the live picture in one snapshot. Which reservations count is
// judged by the store's clock. See parking.Bays.
func (s *Store) Occupancy(ctx context.Context, carPark string, horizon time.Time) (parking.Occupancy, error) {
	var o parking.Occupancy
	now := s.clock.Now().UnixMicro()
	err := s.db.Read(ctx, func(db database.Session) error {
		t := &tx{db: db, store: s}
		var err error
		if o.Active, err = t.Active(ctx, carPark); err != nil {
			return err
		}
		if o.Machines, err = t.Machines(ctx, carPark); err != nil {
			return err
		}
		if o.Queue, err = t.Queue(ctx, carPark, ""); err != nil {
			return err
		}
		o.Due, err = all(ctx, db, &reservationTable, scanReservation, `WHERE car_park = $1 AND state IN ('held', 'confirmed')
			AND start_micros < $2 AND deadline_micros > $3 ORDER BY start_micros, id`, carPark, horizon.UnixMicro(), now)
		return err
	})
	if err != nil {
		return parking.Occupancy{}, fmt.Errorf("reading the occupancy of %s: %w", carPark, err)
	}
	return o, nil
}
