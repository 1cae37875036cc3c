package settlement_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/settlement"
	"freeflow/billing/statement"
	"freeflow/internal/clock"
)

// batchStore keeps one creditor's batches in memory, and settled days. The call
// that fails names is answered by errBroken.
type batchStore struct {
	settlement.Tx
	batch   settlement.Batch
	steps   []settlement.Step
	did     []string
	fails   string
	sums    []settlement.Sum
	before  settlement.Batch
	earlier bool
	keys    []settlement.Key
	put     []settlement.Batch
	// known are the creditors that have their batch.
	known        []string
	last, first  int64
	any, settled bool
	closed       time.Time
	traffic      []int64
}

func (s *batchStore) broken(call string) error {
	if s.fails == call {
		return errBroken
	}
	return nil
}

func (s *batchStore) Do(_ context.Context, fn func(settlement.Tx) error) error   { return fn(s) }
func (s *batchStore) View(_ context.Context, fn func(settlement.Tx) error) error { return fn(s) }

func (s *batchStore) Batch(context.Context, string) (settlement.Batch, error) {
	return s.batch, s.broken("Batch")
}

func (s *batchStore) Steps(context.Context, string) ([]settlement.Step, error) {
	return s.steps, s.broken("Steps")
}

func (s *batchStore) Advance(_ context.Context, b settlement.Batch, step settlement.Step) error {
	s.did = append(s.did, fmt.Sprintf("advance %s %d %s %s", b.State, b.Revision, step.Means, step.Reference))
	s.batch, s.steps = b, append(s.steps, step)
	return s.broken("Advance")
}

func (s *batchStore) Remit(_ context.Context, b settlement.Batch, nth int64, means string, _ time.Time) error {
	s.did = append(s.did, fmt.Sprintf("remit %d %d %s", b.RemitCents, nth, means))
	return s.broken("Remit")
}

func (s *batchStore) CallOff(_ context.Context, b settlement.Batch, nth int64, means string, _ time.Time) error {
	s.did = append(s.did, fmt.Sprintf("call off %d %d %s", b.RemitCents, nth, means))
	return s.broken("CallOff")
}

func (s *batchStore) RecordSettlement(_ context.Context, action, _, id string, _ settlement.Deed) error {
	s.did = append(s.did, action+" "+id)
	return s.broken("RecordSettlement")
}

func (s *batchStore) Closed(context.Context) (time.Time, error) { return s.closed, s.broken("Closed") }

func (s *batchStore) ToSettle(context.Context, int64) ([]settlement.Key, error) {
	return s.keys, s.broken("ToSettle")
}

func (s *batchStore) Sums(context.Context, settlement.Key, int64) ([]settlement.Sum, error) {
	return s.sums, s.broken("Sums")
}

func (s *batchStore) PassesOf(context.Context, string, time.Time, time.Time) (settlement.Passes, error) {
	return settlement.Passes{Passes: 3}, s.broken("PassesOf")
}

func (s *batchStore) BatchBefore(context.Context, settlement.Key, int64) (settlement.Batch, bool, error) {
	return s.before, s.earlier, s.broken("BatchBefore")
}

func (s *batchStore) PutBatch(_ context.Context, b settlement.Batch) (bool, error) {
	s.put = append(s.put, b)
	return slices.Contains(s.known, b.Creditor), s.broken("PutBatch")
}

func (s *batchStore) LastSettled(context.Context) (int64, bool, error) {
	return s.last, s.settled, s.broken("LastSettled")
}

func (s *batchStore) FirstClosed(context.Context) (int64, bool, error) {
	return s.first, s.any, s.broken("FirstClosed")
}

func (s *batchStore) PutSettled(_ context.Context, day int64, _ time.Time) error {
	if err := s.broken("PutSettled"); err != nil {
		return err
	}
	s.last, s.settled = day, true
	return nil
}

func (s *batchStore) CountTraffic(_ context.Context, day int64, _, _ time.Time) error {
	s.traffic = append(s.traffic, day)
	return s.broken("CountTraffic")
}

func at(state string, revision int64, steps ...settlement.Step) *batchStore {
	return &batchStore{batch: settlement.Batch{Number: "R1", State: state, Revision: revision, RemitCents: 50_00}, steps: steps}
}

func stepped(state, by, means, reference string) settlement.Step {
	return settlement.Step{State: state, By: by, Means: means, Reference: reference}
}

// TestTakeMovesTheLedgerOnceAStep pins what each step posts, for which
// time and by which means.
func TestTakeMovesTheLedgerOnceAStep(t *testing.T) {
	made := []settlement.Step{stepped(settlement.Prepared, "amy", "", ""), stepped(settlement.Approved, "ben", "", "")}
	sent := append(slices.Clone(made), stepped(settlement.Sent, "amy", "bank", "T1"))
	again := append(slices.Clone(sent), stepped(settlement.BackAgain, "amy", "bank", "T2"), stepped(settlement.Approved, "ben", "", ""))
	twice := append(slices.Clone(again), stepped(settlement.Sent, "amy", "fps", "T3"))
	for _, tc := range []struct {
		name string
		s    *batchStore
		want settlement.Wanted
		is   error
		did  []string
	}{
		{"prepared", at(settlement.Made, 1), settlement.Wanted{State: settlement.Prepared}, nil, []string{"advance prepared 2  ", "settlement.prepared R1"}},
		{"by who prepared it", at(settlement.Prepared, 2, stepped(settlement.Prepared, "amy", "", "")), settlement.Wanted{State: settlement.Approved}, billing.ErrConflict, nil},
		{"by another", at(settlement.Prepared, 2, stepped(settlement.Prepared, "ben", "", "")), settlement.Wanted{State: settlement.Approved}, nil, []string{"advance approved 3  ", "settlement.approved R1"}},
		{"sent", at(settlement.Approved, 3, made...), settlement.Wanted{State: settlement.Sent, Means: "bank", Reference: "T1"}, nil, []string{"remit 5000 1 bank", "advance remitted 4 bank T1", "settlement.remitted R1"}},
		{"sent again", at(settlement.Approved, 6, again...), settlement.Wanted{State: settlement.Sent, Means: "fps", Reference: "T3"}, nil, []string{"remit 5000 2 fps", "advance remitted 7 fps T3", "settlement.remitted R1"}},
		{"back", at(settlement.Sent, 4, sent...), settlement.Wanted{State: settlement.BackAgain, Means: "other", Reference: "T2"}, nil, []string{"call off 5000 1 bank", "advance returned 5 bank T2", "settlement.returned R1"}},
		{"back twice", at(settlement.Sent, 7, twice...), settlement.Wanted{State: settlement.BackAgain}, nil, []string{"call off 5000 2 fps", "advance returned 8 fps ", "settlement.returned R1"}},
		{"confirmed", at(settlement.Sent, 4, sent...), settlement.Wanted{State: settlement.Confirmed, Reference: "OK"}, nil, []string{"advance confirmed 5  OK", "settlement.confirmed R1"}},
		{"the same step again", at(settlement.Sent, 4, sent...), settlement.Wanted{State: settlement.Sent, Means: "bank", Reference: "T1"}, nil, nil},
		{"another reference", at(settlement.Sent, 4, sent...), settlement.Wanted{State: settlement.Sent, Means: "bank", Reference: "T9"}, billing.ErrConflict, nil},
		{"the same step by another", at(settlement.Prepared, 2, stepped(settlement.Prepared, "ben", "", "")), settlement.Wanted{State: settlement.Prepared}, billing.ErrConflict, nil},
		{"a step left out", at(settlement.Made, 1), settlement.Wanted{State: settlement.Approved}, billing.ErrConflict, nil},
		{"made, asked for again without a step", at(settlement.Made, 1), settlement.Wanted{State: settlement.Made}, billing.ErrConflict, nil},
		{"nothing due", at(settlement.NothingDue, 1), settlement.Wanted{State: settlement.Prepared}, billing.ErrConflict, nil},
		{"after the confirmation", at(settlement.Confirmed, 5, sent...), settlement.Wanted{State: settlement.BackAgain}, billing.ErrConflict, nil},
	} {
		revision := tc.s.batch.Revision
		b, err := settlement.Take(context.Background(), tc.s, "R1", tc.want, theDeed)
		if !errors.Is(err, tc.is) || !slices.Equal(tc.s.did, tc.did) {
			t.Errorf("%s: %v, did %q", tc.name, err, tc.s.did)
		}
		if more := min(int64(len(tc.did)), 1); b.Revision != revision+more {
			t.Errorf("%s: revision %d became %d", tc.name, revision, b.Revision)
		}
	}
}

func TestTakeRefusesWhatIsNotSaid(t *testing.T) {
	const ref, means, why = 256, 64, 1000
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, tc := range []struct {
		name  string
		state string
		want  settlement.Wanted
		by    string
		why   string
		now   time.Time
		is    error
	}{
		{"nobody", settlement.Made, settlement.Wanted{State: settlement.Prepared}, "", "", noon, billing.ErrInvalid},
		{"at no time", settlement.Made, settlement.Wanted{State: settlement.Prepared}, "amy", "", time.Time{}, billing.ErrInvalid},
		{"all as long as may be", settlement.Made, settlement.Wanted{State: settlement.Prepared, Reference: x(ref), Means: x(means)}, "amy", x(why), noon, nil},
		{"a long reference", settlement.Made, settlement.Wanted{State: settlement.Prepared, Reference: x(ref + 1)}, "amy", "", noon, billing.ErrInvalid},
		{"long means", settlement.Made, settlement.Wanted{State: settlement.Prepared, Means: x(means + 1)}, "amy", "", noon, billing.ErrInvalid},
		{"a long reason", settlement.Made, settlement.Wanted{State: settlement.Prepared}, "amy", x(why + 1), noon, billing.ErrInvalid},
		{"sent by no means", settlement.Approved, settlement.Wanted{State: settlement.Sent, Reference: "T1"}, "amy", "", noon, billing.ErrInvalid},
		{"sent without a reference", settlement.Approved, settlement.Wanted{State: settlement.Sent, Means: "bank"}, "amy", "", noon, billing.ErrInvalid},
		{"confirmed without a reference", settlement.Sent, settlement.Wanted{State: settlement.Confirmed}, "amy", "", noon, billing.ErrInvalid},
		{"back without a reason", settlement.Sent, settlement.Wanted{State: settlement.BackAgain, Reference: "T1"}, "amy", " ", noon, billing.ErrInvalid},
	} {
		s := at(tc.state, 1)
		_, err := settlement.Take(context.Background(), s, "R1", tc.want, settlement.Deed{By: tc.by, Reason: tc.why, Now: tc.now})
		if !errors.Is(err, tc.is) || (len(s.did) > 0) != (tc.is == nil) {
			t.Errorf("%s: %v, did %q", tc.name, err, s.did)
		}
	}
}

// TestTakeSwallowsNoError breaks each call in turn, and nothing follows it.
func TestTakeSwallowsNoError(t *testing.T) {
	for _, tc := range []struct {
		call, state, want string
		did               int
	}{
		{"Batch", settlement.Approved, settlement.Sent, 0}, {"Steps", settlement.Approved, settlement.Sent, 0},
		{"Remit", settlement.Approved, settlement.Sent, 1}, {"CallOff", settlement.Sent, settlement.BackAgain, 1},
		{"Advance", settlement.Approved, settlement.Sent, 2}, {"RecordSettlement", settlement.Approved, settlement.Sent, 3},
	} {
		s := at(tc.state, 3)
		s.fails = tc.call
		if _, err := settlement.Take(context.Background(), s, "R1", settlement.Wanted{State: tc.want, Means: "bank", Reference: "T1"}, theDeed); !errors.Is(err, errBroken) || len(s.did) != tc.did {
			t.Errorf("%s: %v, did %q", tc.call, err, s.did)
		}
	}
}

// days is a store whose days from first are closed up to the end of upTo.
func days(first, upTo int64) *batchStore {
	return &batchStore{first: first, any: true, closed: statement.DayAt(upTo, hongKong).To, keys: []settlement.Key{{Creditor: "CHT", Currency: "HKD"}}}
}

func run(s *batchStore) (int, error) {
	return (&settlement.Settler{Keeping: s, Zone: hongKong, Clock: clock.At(noon)}).Run(context.Background())
}

func TestRunSettlesEveryClosedDayOnce(t *testing.T) {
	for _, tc := range []struct {
		name    string
		change  func(*batchStore)
		made    int
		traffic []int64
	}{
		{"from the first closed day", func(*batchStore) {}, 3, []int64{20000, 20001, 20002}},
		{"after the last settled day", func(s *batchStore) { s.last, s.settled = 20001, true }, 1, []int64{20002}},
		{"no day is closed", func(s *batchStore) { s.any = false }, 0, nil},
		{"the day is not over", func(s *batchStore) { s.closed = statement.DayAt(20000, hongKong).To.Add(-1) }, 0, nil},
		{"all are settled", func(s *batchStore) { s.last, s.settled = 20002, true }, 0, nil},
		{"another has one of two", func(s *batchStore) {
			s.keys, s.known = append(s.keys, settlement.Key{Creditor: "EHC", Currency: "HKD"}), []string{"CHT"}
		}, 3, []int64{20000, 20001, 20002}},
		{"nobody to settle with", func(s *batchStore) { s.keys = nil }, 0, []int64{20000, 20001, 20002}},
	} {
		s := days(20000, 20002)
		tc.change(s)
		if made, err := run(s); err != nil || made != tc.made || !slices.Equal(s.traffic, tc.traffic) {
			t.Errorf("%s: %d made, traffic of %v, %v", tc.name, made, s.traffic, err)
		}
	}
}

func TestRunSwallowsNoError(t *testing.T) {
	for _, call := range []string{"LastSettled", "FirstClosed", "Closed", "ToSettle", "Sums", "PassesOf", "BatchBefore", "PutBatch", "CountTraffic", "PutSettled"} {
		s := days(20000, 20000)
		s.fails = call
		if _, err := run(s); !errors.Is(err, errBroken) || s.settled {
			t.Errorf("%s: %v, settled %v", call, err, s.settled)
		}
	}
}

// TestBatchRemitsWhatIsLeft: collected less refunded plus what was short before,
// never less than nothing, and what is short is carried whole.
func TestBatchRemitsWhatIsLeft(t *testing.T) {
	sums := func(collected, paid, returned, refunded int64) []settlement.Sum {
		return []settlement.Sum{
			{What: settlement.Posted, Kind: "toll", AmountCents: 7777}, {What: settlement.Withdrawn, Kind: "toll", AmountCents: 111},
			{What: settlement.Collected, Kind: "account", AmountCents: collected - 1}, {What: settlement.Collected, Kind: "tag", AmountCents: 1},
			{What: settlement.Paid, Kind: "machine", AmountCents: paid}, {What: settlement.Returned, Kind: "account", AmountCents: returned},
			{What: settlement.Refunded, Kind: "machine", AmountCents: refunded}, {What: settlement.Remitted, Kind: "bank", AmountCents: 999},
		}
	}
	for _, tc := range []struct {
		name             string
		sums             []settlement.Sum
		before           int64
		earlier          bool
		collected, taken int64
		remit, carry     int64
		state            string
	}{
		{"all sorts", sums(100, 20, 3, 4), 0, false, 120, 7, 113, 0, settlement.Made},
		{"something was short", sums(100, 20, 3, 4), -13, true, 120, 7, 100, 0, settlement.Made},
		{"short to the cent", sums(100, 20, 3, 4), -113, true, 120, 7, 0, 0, settlement.NothingDue},
		{"a cent is left", sums(100, 20, 3, 4), -112, true, 120, 7, 1, 0, settlement.Made},
		{"a cent is short", sums(100, 20, 3, 4), -114, true, 120, 7, 0, -1, settlement.NothingDue},
		{"more given back", sums(10, 0, 30, 5), -7, true, 10, 35, 0, -32, settlement.NothingDue},
		{"nothing of before", sums(100, 0, 0, 0), -50, false, 100, 0, 100, 0, settlement.Made},
	} {
		s := days(20000, 20000)
		s.sums, s.before, s.earlier = tc.sums, settlement.Batch{CarryCents: tc.before, RemitCents: 5}, tc.earlier
		if _, err := run(s); err != nil || len(s.put) != 1 {
			t.Fatalf("%s: %v, %d batches", tc.name, err, len(s.put))
		}
		b := s.put[0]
		if b.CollectedCents != tc.collected || b.RefundedCents != tc.taken || b.RemitCents != tc.remit || b.CarryCents != tc.carry || b.State != tc.state {
			t.Errorf("%s: %+v", tc.name, b)
		}
		if b.Number != "R20241004-CHT-HKD" || b.Day != 20000 || b.Revision != 1 || !b.MadeAt.Equal(noon) || b.Figures.Passes.Passes != 3 {
			t.Errorf("%s: %+v", tc.name, b)
		}
	}
}

// TestBalancePinsTheBound: as many as the fleet is no break, one more is; the
// greatest difference on the way counts either way.
func TestBalancePinsTheBound(t *testing.T) {
	for _, tc := range []struct {
		name        string
		north, back int64
		flagged     bool
		net, most   int64
	}{
		{"the whole fleet", 50, 0, false, 50, 50}, {"one more", 51, 0, true, 51, 51}, {"the whole fleet, the other way", 0, 50, false, -50, 50}, {"one more, the other way", 0, 51, true, -51, 51},
	} {
		counts := []settlement.Count{count(2, "CHT", "N", "taxi", tc.north), count(2, "CHT", "S", "taxi", tc.back), count(1, "XXX", "E", "taxi", 500), count(3, "CHT", "S", "taxi", 0)}
		list, err := settlement.Balance(counts, []settlement.Cordon{{Name: "b", Facilities: harbour, Fleet: map[string]int64{"taxi": 50}}, {Name: "a", Facilities: []string{"NONE"}}})
		if err != nil || len(list) != 3 || list[0].Cordon != "a" || list[0].Judged || list[1].Class != settlement.AllClasses {
			t.Fatalf("%s: %+v, %v", tc.name, list, err)
		}
		since := int64(0)
		if tc.flagged {
			since = 2
		}
		for _, one := range list[1:] {
			if one.Flagged != tc.flagged || one.Net() != tc.net || one.Most != tc.most || one.Since != since || !one.Judged || one.One != "N" || one.Other != "S" {
				t.Errorf("%s: %+v", tc.name, one)
			}
		}
	}
}
