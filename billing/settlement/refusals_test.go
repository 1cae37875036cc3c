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
)

// errBroken is what the stores of these tests answer where they are told to.
var errBroken = errors.New("the store is broken")

// cashStore keeps cash and breaks in memory. The call that fails names is
// answered by errBroken, whatever else it would do.
type cashStore struct {
	settlement.CashTx
	cash     map[string]settlement.Cash
	ours     []settlement.Cash
	reported map[string]int64
	reports  map[string]bool
	rows     []settlement.Row
	breaks   []settlement.Break
	chain    []settlement.Break
	recorded []string
	fails    string
	// limit bounds a page of breaks below what is asked for; 0 does not.
	limit int
}

func (s *cashStore) broken(call string) error {
	if s.fails == call {
		return errBroken
	}
	return nil
}

func (s *cashStore) CashByReference(_ context.Context, reference string) (settlement.Cash, bool, error) {
	c, ok := s.cash[reference]
	return c, ok, s.broken("CashByReference")
}

func (s *cashStore) OurCash(context.Context, string, time.Time, time.Time) ([]settlement.Cash, error) {
	return s.ours, s.broken("OurCash")
}

func (s *cashStore) PutReport(_ context.Context, r settlement.Report, _ string, _ time.Time) (bool, error) {
	known := s.reports[r.ID]
	s.reports[r.ID] = true
	return known, s.broken("PutReport")
}

func (s *cashStore) PutRows(_ context.Context, _ string, rows []settlement.Row) error {
	s.rows = append(s.rows, rows...)
	return s.broken("PutRows")
}

func (s *cashStore) Reported(_ context.Context, _, cash string) (int64, error) {
	return s.reported[cash], s.broken("Reported")
}

func (s *cashStore) ChainBreaks(context.Context, time.Time, time.Time, int) ([]settlement.Break, error) {
	return s.chain, s.broken("ChainBreaks")
}

func (s *cashStore) PutBreak(_ context.Context, b settlement.Break) (bool, error) {
	if err := s.broken("PutBreak"); err != nil {
		return false, err
	}
	for _, one := range s.breaks {
		if one.ID == b.ID {
			return true, nil
		}
	}
	s.breaks = append(s.breaks, b)
	return false, nil
}

func (s *cashStore) Break(_ context.Context, id string) (settlement.Break, error) {
	if err := s.broken("Break"); err != nil {
		return settlement.Break{}, err
	}
	for _, one := range s.breaks {
		if one.ID == id {
			return one, nil
		}
	}
	return settlement.Break{}, billing.ErrNotFound
}

func (s *cashStore) EndBreak(_ context.Context, id, by, reason string, at time.Time) (bool, error) {
	if err := s.broken("EndBreak"); err != nil {
		return false, err
	}
	for i, one := range s.breaks {
		if one.ID == id && one.EndedAt.IsZero() {
			s.breaks[i].EndedAt, s.breaks[i].EndedBy, s.breaks[i].Reason = at, by, reason
			return true, nil
		}
	}
	return false, nil
}

func (s *cashStore) Breaks(_ context.Context, unit string, all bool, afterDay int64, after string, limit int) (list []settlement.Break, err error) {
	if s.limit > 0 {
		limit = min(limit, s.limit)
	}
	for _, one := range s.breaks {
		later := one.Day > afterDay || one.Day == afterDay && one.ID > after
		if (unit == "" || one.Unit == unit) && (all || one.EndedAt.IsZero()) && later && len(list) < limit {
			list = append(list, one)
		}
	}
	return list, s.broken("Breaks")
}

func (s *cashStore) RecordSettlement(_ context.Context, action, _, id string, _ settlement.Deed) error {
	s.recorded = append(s.recorded, action+" "+id)
	return s.broken("RecordSettlement")
}

var (
	noon    = time.Date(2026, 11, 24, 12, 0, 0, 0, hongKong)
	theDeed = settlement.Deed{By: "amy", Role: "finance", Reason: "the bank said so", Now: noon}
)

// newCash has a receipt m1 and a refund m2 by fps, and one of a machine.
func newCash() *cashStore {
	return &cashStore{
		cash: map[string]settlement.Cash{
			"m1": {ID: "m1", Means: "fps", Currency: "HKD", AmountCents: 10_00},
			"m2": {ID: "m2", Means: "fps", Currency: "HKD", AmountCents: -3_00},
			"t1": {ID: "t1", Means: "machine", Currency: "HKD", AmountCents: 10_00},
		},
		reported: map[string]int64{}, reports: map[string]bool{},
	}
}

func report(rows ...settlement.Row) settlement.Report {
	return settlement.Report{ID: "r1", Means: "fps", From: noon, To: noon.Add(24 * time.Hour), Rows: rows}
}

func bankRow(reference string, cents int64, currency string) settlement.Row {
	return settlement.Row{Line: 2, Reference: reference, AmountCents: cents, Currency: currency, At: noon}
}

func TestParseRowsRefusesWhatIsNotWhole(t *testing.T) {
	const header = "reference,amount,currency,time\n"
	const good = "p1,1.00,HKD,2026-11-24T09:00:00Z\n"
	long := strings.Repeat("r", 256)
	for _, tc := range []struct{ name, text, says string }{
		{"nothing", "", "has no header"},
		{"no reference", "ref,amount,currency,time\n", "no column reference"},
		{"no amount", "reference,sum,currency,time\n", "no column amount"},
		{"no currency", "reference,amount,time\n", "no column currency"},
		{"no time", "reference,amount,currency\n", "no column time"},
		{"a cell too few", header + good + "p2,1.00,HKD\n", "line 3"},
		{"no reference in a row", header + good + ",1.00,HKD,2026-11-24T09:00:00Z\n", "line 3: a row needs"},
		{"a reference of blanks", header + "  ,1.00,HKD,2026-11-24T09:00:00Z\n", "line 2: a row needs"},
		{"a long reference", header + long + "r,1.00,HKD,2026-11-24T09:00:00Z\n", "line 2: a row needs"},
		{"no currency in a row", header + "p1,1.00,,2026-11-24T09:00:00Z\n", "line 2: a row needs"},
		{"no amount in a row", header + "p1,x,HKD,2026-11-24T09:00:00Z\n", "line 2"},
		{"no time in a row", header + "p1,1.00,HKD,today\n", "line 2"},
		{"a row too many", header + strings.Repeat(good, settlement.MaxRows+1), "at most 5000 rows"},
	} {
		rows, err := settlement.ParseRows(tc.text)
		if !errors.Is(err, billing.ErrInvalid) || !strings.Contains(fmt.Sprint(err), tc.says) || rows != nil {
			t.Errorf("%s: %d rows, %v", tc.name, len(rows), err)
		}
	}
	rows, err := settlement.ParseRows("\ufeffmore, Time ,CURRENCY,Amount,reference\nx,2026-11-24T09:00:00+08:00, HKD , -5.10 ," + long + "\n")
	want := settlement.Row{Line: 2, Reference: long, AmountCents: -5_10, Currency: "HKD", At: time.Date(2026, 11, 24, 1, 0, 0, 0, time.UTC)}
	if err != nil || len(rows) != 1 || !rows[0].At.Equal(want.At) {
		t.Fatalf("columns in another order: %+v, %v", rows, err)
	}
	if rows[0].At = want.At; rows[0] != want {
		t.Errorf("columns in another order: %+v", rows[0])
	}
	if rows, err := settlement.ParseRows(header + strings.Repeat(good, settlement.MaxRows)); err != nil || len(rows) != settlement.MaxRows {
		t.Errorf("as many as may be: %d, %v", len(rows), err)
	}
	if rows, err := settlement.ParseRows(header); err != nil || len(rows) != 0 {
		t.Errorf("a report of nothing: %+v, %v", rows, err)
	}
}

func TestTakeReportRefusesWhatIsOfNoMeansOrTooLong(t *testing.T) {
	for _, tc := range []struct {
		name  string
		means string
		long  time.Duration
		is    error
	}{
		{"no means", "", time.Hour, billing.ErrInvalid},
		{"long means", strings.Repeat("m", 65), time.Hour, billing.ErrInvalid},
		{"means as long as may be", strings.Repeat("m", 64), time.Hour, nil},
		{"no time", "fps", 0, billing.ErrInvalid},
		{"backwards", "fps", -time.Hour, billing.ErrInvalid},
		{"forty days", "fps", 40 * 24 * time.Hour, nil},
		{"more", "fps", 40*24*time.Hour + 1, billing.ErrInvalid},
	} {
		s := newCash()
		r := settlement.Report{ID: "r1", Means: tc.means, From: noon, To: noon.Add(tc.long)}
		_, err := settlement.TakeReport(context.Background(), s, r, 7, theDeed)
		if !errors.Is(err, tc.is) || s.reports["r1"] != (tc.is == nil) {
			t.Errorf("%s: %v, kept %v", tc.name, err, s.reports["r1"])
		}
	}
}

// TestTakeReportNamesEveryBreak has one row of each sort, and pins both sides'
// amounts with their signs.
func TestTakeReportNamesEveryBreak(t *testing.T) {
	for _, tc := range []struct {
		name     string
		row      settlement.Row
		reported int64
		more     bool
		ours     []settlement.Cash
		want     settlement.Matched
		breaks   []string
	}{
		{"agrees", bankRow("m1", 10_00, "HKD"), 1, false, nil, settlement.Matched{Rows: 1, Agree: 1}, nil},
		{"a refund agrees", bankRow("m2", -3_00, "HKD"), 1, false, nil, settlement.Matched{Rows: 1, Agree: 1}, nil},
		{"a refund with the other sign", bankRow("m2", 3_00, "HKD"), 1, false, nil, settlement.Matched{Rows: 1, Breaks: 1}, []string{"amount-differs:fps:m2 HKD -300 300"}},
		{"another currency", bankRow("m1", 10_00, "CNY"), 1, false, nil, settlement.Matched{Rows: 1, Breaks: 1}, []string{"amount-differs:fps:m1 CNY 1000 1000"}},
		{"a stranger's", bankRow("x9", 10_00, "HKD"), 0, false, nil, settlement.Matched{Rows: 1, Breaks: 1}, []string{"missing-with-us:fps:x9 HKD 0 1000"}},
		{"another means", bankRow("t1", 10_00, "HKD"), 1, false, nil, settlement.Matched{Rows: 1, Breaks: 1}, []string{"missing-with-us:fps:t1 HKD 0 1000"}},
		{"twice", bankRow("m1", 10_00, "HKD"), 2, false, nil, settlement.Matched{Rows: 1, Agree: 1, Breaks: 1}, []string{"twice-at-bank:fps:m1 HKD 1000 1000"}},
		{"ours is missing", bankRow("m1", 10_00, "HKD"), 1, false, []settlement.Cash{{ID: "m2", Currency: "HKD", AmountCents: -3_00}, {ID: "m1", Currency: "HKD", AmountCents: 10_00}}, settlement.Matched{Rows: 1, Agree: 1, Breaks: 1}, []string{"missing-at-bank:fps:m2 HKD -300 0"}},
		{"more to come", bankRow("m1", 10_00, "HKD"), 1, true, []settlement.Cash{{ID: "m2", Currency: "HKD", AmountCents: -3_00}}, settlement.Matched{Rows: 1, Agree: 1}, nil},
	} {
		s := newCash()
		s.reported["m1"], s.ours = 1, tc.ours
		s.reported[tc.row.Reference] = tc.reported
		r := report(tc.row)
		r.More = tc.more
		m, err := settlement.TakeReport(context.Background(), s, r, 7, theDeed)
		var breaks []string
		for _, b := range s.breaks {
			breaks = append(breaks, fmt.Sprintf("%s %s %d %d", b.ID, b.Currency, b.OursCents, b.TheirCents))
			if b.Day != 7 || !b.FoundAt.Equal(noon) || b.Unit != "fps" || b.ID != b.Kind+":fps:"+b.Subject {
				t.Errorf("%s: %+v", tc.name, b)
			}
		}
		if err != nil || m != tc.want || !slices.Equal(breaks, tc.breaks) || len(s.rows) != 1 || !slices.Equal(s.recorded, []string{"cash-report.taken r1"}) {
			t.Errorf("%s: %+v, %q, %v, recorded %v", tc.name, m, breaks, err, s.recorded)
		}
		// The same again changes nothing, and tells nobody.
		if m, err := settlement.TakeReport(context.Background(), s, r, 7, theDeed); err != nil || m != (settlement.Matched{}) || len(s.rows) != 1 || len(s.recorded) != 1 {
			t.Errorf("%s again: %+v, %v, %d rows", tc.name, m, err, len(s.rows))
		}
		// In another report, a break that is known is not found again.
		r.ID = "r2"
		if m, err := settlement.TakeReport(context.Background(), s, r, 8, theDeed); err != nil || m.Breaks != 0 || len(s.breaks) != len(tc.breaks) {
			t.Errorf("%s in another report: %+v, %v", tc.name, m, err)
		}
	}
}

// TestTakeReportEndsWhatIsReportedAfterAll ends one break, of this cash alone.
func TestTakeReportEndsWhatIsReportedAfterAll(t *testing.T) {
	s := newCash()
	s.breaks = []settlement.Break{{ID: "missing-at-bank:fps:m1", Unit: "fps"}, {ID: "missing-at-bank:fps:m2", Unit: "fps"}}
	s.reported["m1"] = 1
	m, err := settlement.TakeReport(context.Background(), s, report(bankRow("m1", 10_00, "HKD")), 7, theDeed)
	if err != nil || m != (settlement.Matched{Rows: 1, Agree: 1, Ended: 1}) || s.breaks[0].EndedBy != "job:reconciliation" || !s.breaks[1].EndedAt.IsZero() {
		t.Errorf("%+v, %v, %+v", m, err, s.breaks)
	}
}

// TestTakeReportSwallowsNoError breaks each call in turn.
func TestTakeReportSwallowsNoError(t *testing.T) {
	for _, tc := range []struct {
		call string
		rows []settlement.Row
		more bool
	}{
		{"PutReport", nil, false}, {"PutRows", nil, false}, {"OurCash", nil, false}, {"Reported", nil, false},
		{"PutBreak", nil, false}, {"RecordSettlement", nil, false}, {"RecordSettlement", nil, true},
		{"CashByReference", []settlement.Row{bankRow("m1", 10_00, "HKD")}, true},
		{"EndBreak", []settlement.Row{bankRow("m1", 10_00, "HKD")}, true},
		{"Reported", []settlement.Row{bankRow("m1", 10_00, "HKD")}, true},
		{"PutBreak", []settlement.Row{bankRow("x9", 10_00, "HKD")}, true},
		{"PutBreak", []settlement.Row{bankRow("m1", 11_00, "HKD")}, true},
	} {
		s := newCash()
		s.fails, s.ours = tc.call, []settlement.Cash{{ID: "m2", Currency: "HKD", AmountCents: -3_00}}
		r := report(tc.rows...)
		r.More = tc.more
		if m, err := settlement.TakeReport(context.Background(), s, r, 7, theDeed); !errors.Is(err, errBroken) || m.Breaks != len(s.breaks) {
			t.Errorf("%s of %d rows: %+v, %v", tc.call, len(tc.rows), m, err)
		}
	}
	s := newCash()
	s.fails, s.reported["m1"] = "PutBreak", 2
	if _, err := settlement.TakeReport(context.Background(), s, report(bankRow("m1", 10_00, "HKD")), 7, theDeed); !errors.Is(err, errBroken) {
		t.Errorf("twice at the bank, and not kept: %v", err)
	}
}

// TestRecheckEndsOnlyWhatAgreesSince has breaks that agree now beside ones that
// differ in one thing each, in pages of two.
func TestRecheckEndsOnlyWhatAgreesSince(t *testing.T) {
	open := func() *cashStore {
		s := newCash()
		s.limit = 2
		s.breaks = []settlement.Break{
			{ID: "a", Kind: settlement.MissingWithUs, Subject: "m1", Unit: "fps", Currency: "HKD", Day: 1, TheirCents: 10_00},
			{ID: "b", Kind: settlement.MissingWithUs, Subject: "x9", Unit: "fps", Currency: "HKD", Day: 1, TheirCents: 0},
			{ID: "c", Kind: settlement.AmountDiffers, Subject: "m2", Unit: "fps", Currency: "HKD", Day: 1, TheirCents: -3_00},
			{ID: "d", Kind: settlement.AmountDiffers, Subject: "m2", Unit: "fps", Currency: "HKD", Day: 2, TheirCents: 3_00},
			{ID: "e", Kind: settlement.MissingWithUs, Subject: "t1", Unit: "fps", Currency: "HKD", Day: 2, TheirCents: 10_00},
			{ID: "f", Kind: settlement.AmountDiffers, Subject: "m1", Unit: "fps", Currency: "CNY", Day: 2, TheirCents: 10_00},
			{ID: "g", Kind: settlement.TwiceAtBank, Subject: "m1", Unit: "fps", Currency: "HKD", Day: 3, TheirCents: 10_00},
			{ID: "h", Kind: settlement.MissingAtBank, Subject: "m1", Unit: "fps", Currency: "HKD", Day: 3, TheirCents: 10_00},
			{ID: "i", Kind: settlement.MissingWithUs, Subject: "t1", Unit: "machine", Currency: "HKD", Day: 3, TheirCents: 10_00},
		}
		return s
	}
	s := open()
	n, err := settlement.Recheck(context.Background(), s, "fps", theDeed)
	var ended []string
	for _, b := range s.breaks {
		if !b.EndedAt.IsZero() {
			ended = append(ended, b.ID)
		}
	}
	if err != nil || n != 2 || !slices.Equal(ended, []string{"a", "c"}) {
		t.Errorf("%d ended, %v: %v", n, ended, err)
	}
	for _, call := range []string{"Breaks", "CashByReference", "EndBreak"} {
		s := open()
		s.fails = call
		if n, err := settlement.Recheck(context.Background(), s, "fps", theDeed); !errors.Is(err, errBroken) || n != 0 {
			t.Errorf("%s: %d, %v", call, n, err)
		}
	}
}

func TestResolveNeedsAReasonAndAnOpenBreak(t *testing.T) {
	long := strings.Repeat("y", 1000)
	for _, tc := range []struct {
		name, id, by, reason, fails string
		is                          error
		recorded                    int
	}{
		{"open", "open", "amy", "a fee", "", nil, 1},
		{"a reason as long as may be", "open", "amy", long, "", nil, 1},
		{"no reason", "open", "amy", " \t", "", billing.ErrInvalid, 0},
		{"a long reason", "open", "amy", long + "y", "", billing.ErrInvalid, 0},
		{"unknown", "none", "amy", "a fee", "", billing.ErrNotFound, 0},
		{"ended so before", "ended", "ben", "a fee", "", nil, 0},
		{"ended by another", "ended", "amy", "a fee", "", billing.ErrConflict, 0},
		{"ended for another reason", "ended", "ben", "a gift", "", billing.ErrConflict, 0},
		{"the break cannot be read", "open", "amy", "a fee", "Break", errBroken, 0},
		{"it cannot be ended", "open", "amy", "a fee", "EndBreak", errBroken, 0},
		{"it cannot be recorded", "open", "amy", "a fee", "RecordSettlement", errBroken, 1},
	} {
		s := newCash()
		s.fails = tc.fails
		s.breaks = []settlement.Break{{ID: "open", Unit: "fps"}, {ID: "ended", Unit: "fps", EndedAt: noon, EndedBy: "ben", Reason: "a fee"}}
		d := theDeed
		d.By, d.Reason = tc.by, tc.reason
		b, err := settlement.Resolve(context.Background(), s, tc.id, d)
		if !errors.Is(err, tc.is) || len(s.recorded) != tc.recorded {
			t.Errorf("%s: %v, recorded %v", tc.name, err, s.recorded)
		}
		if err == nil && (b.ID != tc.id || b.EndedBy != tc.by || b.Reason != tc.reason || b.EndedAt.IsZero()) {
			t.Errorf("%s: %+v", tc.name, b)
		}
	}
}

func TestChainKeepsEveryBreakOnce(t *testing.T) {
	day := statement.DayOf(noon, hongKong)
	s := newCash()
	s.chain = []settlement.Break{{Kind: settlement.PassNotCharged, Unit: "CHT", Subject: "p1"}, {Kind: settlement.ChargeDiffers, Unit: "CHT", Subject: "p1", OursCents: 5, TheirCents: 4}}
	for i, want := range []int{2, 0} {
		if n, err := settlement.Chain(context.Background(), s, day, theDeed); err != nil || n != want {
			t.Errorf("run %d: %d, %v", i, n, err)
		}
	}
	if b := s.breaks[0]; len(s.breaks) != 2 || b.ID != "pass-not-charged:CHT:p1" || b.Day != day.Number || !b.FoundAt.Equal(noon) {
		t.Errorf("kept are %+v", s.breaks)
	}
	for _, call := range []string{"ChainBreaks", "PutBreak"} {
		s.fails = call
		if n, err := settlement.Chain(context.Background(), s, day, theDeed); !errors.Is(err, errBroken) || n != 0 {
			t.Errorf("%s: %d, %v", call, n, err)
		}
	}
}
