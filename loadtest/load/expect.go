package load

import (
	"fmt"
	"strings"

	"freeflow/loadtest/oracle"
	"freeflow/loadtest/traffic"
)

// expectation makes the run's traffic once more and says, pass by pass, what
// must come of it. Passes of a city are so far apart that each is judged
// alone, which keeps little in memory however long the run was.
type expectation struct {
	traffic *traffic.CityTraffic
	judge   *oracle.Judge
	end     int64
	acked   func(unit int, seq uint64) bool
	// under are the reads of passes under way, by pass.
	under map[uint64]*underWay
	next  traffic.Event
	total totals
}

type underWay struct {
	reads []oracle.Read
	// doubtful: a read of the pass was never acknowledged, so that what comes
	// of the pass is not known.
	doubtful bool
}

// totals adds up what was expected.
type totals struct {
	oracle.Summary
	// Doubtful are charges that depend on reads without acknowledgement.
	Doubtful int
}

// expected is a charge that must be there, or, if doubtful, may be.
type expected struct {
	cells    string
	first    int64
	doubtful bool
}

func newExpectation(t *traffic.CityTraffic, judge *oracle.Judge, end int64, acked func(int, uint64) bool) *expectation {
	return &expectation{traffic: t, judge: judge, end: end, acked: acked, under: map[uint64]*underWay{}, next: t.Next()}
}

// until calls each with the charges of all passes that end before the instant;
// with the end of the run, of all.
func (x *expectation) until(instant int64, each func(key string, e expected)) error {
	for x.next.TimeMicros < min(instant, x.end) {
		e := x.next
		p := x.under[e.Pass]
		if p == nil {
			p = &underWay{}
			x.under[e.Pass] = p
		}
		p.reads = append(p.reads, oracleRead(&e))
		p.doubtful = p.doubtful || !x.acked(e.UnitIndex, e.Seq)
		if e.Last {
			if err := x.settle(e.Pass, p, each); err != nil {
				return err
			}
		}
		x.next = x.traffic.Next()
	}
	if instant < x.end {
		return nil
	}
	for number, p := range x.under { // cut off by the end of the run
		if err := x.settle(number, p, each); err != nil {
			return err
		}
	}
	return nil
}

func (x *expectation) settle(number uint64, p *underWay, each func(string, expected)) error {
	delete(x.under, number)
	rows, err := x.judge.Rows(p.reads)
	if err != nil {
		return fmt.Errorf("asking the oracle: %w", err)
	}
	if p.doubtful {
		x.total.Doubtful += len(rows)
	} else {
		x.total.add(rows)
	}
	for _, row := range rows {
		cells := row.Cells()
		each(strings.Join(cells[:3], ","), expected{strings.Join(cells, ","), row.FirstMicros, p.doubtful})
	}
	return nil
}

func (t *totals) add(rows []oracle.Row) {
	s := oracle.Summarize(rows)
	t.Passes += s.Passes
	t.Charged += s.Charged
	t.Exempt += s.Exempt
	t.Unpaid += s.Unpaid
	t.Review += s.Review
	t.ChargedCents += s.ChargedCents
	t.UnpaidCents += s.UnpaidCents
}
