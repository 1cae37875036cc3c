package load

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"time"

	"freeflow/loadtest/oracle"
)

// examples bounds how many differing charges a report names.
const examples = 10

// verdict is how the charges compare with what they must be.
type verdict struct {
	Expected  int `json:"expected"`
	Found     int `json:"found"`
	Missing   int `json:"missing"`
	Extra     int `json:"extra"`
	Different int `json:"different"`
	// Doubtful depend on reads that were never acknowledged; they may be there
	// or not.
	Doubtful int               `json:"doubtful"`
	Statuses map[string]int    `json:"expected_statuses"`
	Amounts  map[string]string `json:"expected_amounts"`
	Examples []string          `json:"examples,omitempty"`
}

func (v verdict) good() bool { return v.Missing == 0 && v.Extra == 0 && v.Different == 0 }

// checkOnce compares all charges of the run's span with the expectation, side
// by side in order of time.
func checkOnce(ctx context.Context, a *api, s span, x *expectation) (verdict, error) {
	var v verdict
	open := map[string]expected{}
	// Where reads without acknowledgement may have made a pass of another time.
	doubtful := map[string]bool{}
	take := func(key string, e expected) {
		open[key] = e
		if e.doubtful {
			doubtful[key[strings.IndexByte(key, ',')+1:]] = true
		}
	}
	example := func(format string, args ...any) {
		if len(v.Examples) < examples {
			v.Examples = append(v.Examples, fmt.Sprintf(format, args...))
		}
	}
	// Charges come in order of pass time; a pass is expected once its last
	// read is made, which is a little later.
	const ahead = 20 * int64(time.Second/time.Microsecond)
	known := s.from
	err := a.charges(ctx, s, func(cells []string) error {
		at, err := time.Parse(time.RFC3339Nano, cells[0])
		if err != nil {
			return fmt.Errorf("reading a pass time: %w", err)
		}
		if at.UnixMicro() > known-ahead {
			known = at.UnixMicro() + 2*ahead
			if err := x.until(known, take); err != nil {
				return err
			}
		}
		key := strings.Join(cells[:3], ",")
		want, ok := open[key]
		delete(open, key)
		got := strings.Join(cells, ",")
		switch {
		case !ok && doubtful[cells[1]+","+cells[2]]:
		case !ok:
			v.Extra++
			example("extra: %s", got)
		case want.doubtful:
		case want.cells != got:
			v.Different++
			example("is %s, must be %s", got, want.cells)
		default:
			v.Found++
		}
		return nil
	})
	if err != nil {
		return v, err
	}
	if err := x.until(x.end, take); err != nil {
		return v, err
	}
	var missing []string
	for _, e := range open {
		if !e.doubtful {
			missing = append(missing, e.cells)
		}
	}
	sort.Strings(missing)
	v.Missing = len(missing)
	for _, cells := range missing {
		example("missing: %s", cells)
	}
	t := x.total
	v.Expected, v.Doubtful = t.Passes, t.Doubtful
	v.Statuses = map[string]int{oracle.Charged: t.Charged, oracle.Exempt: t.Exempt, oracle.Unpaid: t.Unpaid, oracle.Review: t.Review}
	v.Amounts = map[string]string{oracle.Charged: dollars(t.ChargedCents), oracle.Unpaid: dollars(t.UnpaidCents)}
	return v, nil
}

func dollars(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }
