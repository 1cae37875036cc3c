package gateway

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freeflow/rsu"
)

const (
	// window is how many numbers behind the highest a read may come late
	// before its number counts as missing.
	window = 1024
	// jump is a step in the numbers that no loss explains: the count begins
	// anew there.
	jump = 1 << 20
	// behind is how many reads in a row from before the window mean that a
	// unit without boot has begun to count anew.
	behind = 256
	// boots is how many runs of a unit are followed at a time.
	boots = 4
	// ahead is how far a unit's clock may be ahead without an alarm.
	ahead = 2 * time.Second
	// maxUnits bounds the memory should a network be endless.
	maxUnits = 10_000
)

// sequences follows what each unit counts and how far its clock is off. It sees
// only the reads that this process has accepted: where a balancer spreads one
// unit over several gateways, each sees gaps that the others fill.
type sequences struct {
	metrics *metrics
	alarms  *alarms
	mu      sync.Mutex
	units   map[string]*unitState
}

type unitState struct {
	runs    [boots]*run
	last    *run // of the read before
	missing prometheus.Counter
	open    prometheus.Gauge
	lag     prometheus.Gauge
	// Within one call: whether a read of the unit came, the smallest lag, and
	// how many numbers turned out to be missing.
	touched bool
	least   time.Duration
	lost    uint64
}

// run is one run (boot) of a unit.
type run struct {
	boot   string
	top    uint64 // highest number seen
	behind int    // reads from before the window in a row
	open   int    // numbers of the window not seen
	seen   [window / 64]uint64
}

func newSequences(m *metrics, a *alarms) *sequences {
	return &sequences{metrics: m, alarms: a, units: make(map[string]*unitState)}
}

// note follows the reads of one call, in order.
func (s *sequences) note(arrival time.Time, reads []*rsu.Read) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var unit *unitState
	name := ""
	touched := make(map[string]*unitState, 1)
	for _, r := range reads {
		if unit == nil || r.Unit != name {
			name = r.Unit
			if unit = s.unit(name); unit == nil {
				continue
			}
		}
		lag := arrival.Sub(r.Time())
		if !unit.touched {
			unit.touched, unit.least, unit.lost = true, lag, 0
			touched[name] = unit
		}
		unit.least = min(unit.least, lag)
		unit.lost += unit.run(r.Boot, r.Seq).note(r.Seq)
	}
	for name, unit := range touched {
		unit.touched = false
		unit.open.Set(float64(unit.gaps()))
		unit.lag.Set(unit.least.Seconds())
		if unit.lost > 0 {
			unit.missing.Add(float64(unit.lost))
			s.alarms.raise(AlarmGap, name, arrival, int64(unit.lost), fmt.Sprintf(
				"%d numbers never came: reads may be lost between the unit and the gateway", unit.lost))
		}
		if unit.least < -ahead {
			s.alarms.raise(AlarmClock, name, arrival, 1, fmt.Sprintf(
				"the unit's clock is %s ahead; beyond %s its reads are refused", (-unit.least).Round(time.Millisecond), rsu.Ahead))
		}
	}
}

// gaps counts the numbers that may still come.
func (u *unitState) gaps() int {
	open := 0
	for _, run := range u.runs {
		if run != nil {
			open += run.open
		}
	}
	return open
}

func (s *sequences) unit(name string) *unitState {
	unit, ok := s.units[name]
	if !ok {
		if len(s.units) >= maxUnits {
			return nil
		}
		name = strings.Clone(name)
		unit = &unitState{
			missing: s.metrics.missing.WithLabelValues(name),
			open:    s.metrics.open.WithLabelValues(name),
			lag:     s.metrics.lag.WithLabelValues(name),
		}
		s.units[name] = unit
	}
	return unit
}

// run returns the run of the boot; the one longest unused makes way for a new.
func (u *unitState) run(boot string, seq uint64) *run {
	if u.last != nil && u.last.boot == boot {
		return u.last
	}
	at := len(u.runs) - 1
	for i, r := range u.runs {
		if r == nil || r.boot == boot {
			at = i
			break
		}
	}
	r := u.runs[at]
	if r == nil || r.boot != boot {
		r = &run{boot: strings.Clone(boot)}
		r.begin(seq)
	}
	// The latest stands first.
	copy(u.runs[1:at+1], u.runs[:at])
	u.runs[0], u.last = r, r
	return r
}

// begin starts to count at seq; what was before is not missed.
func (r *run) begin(seq uint64) {
	r.top, r.behind, r.open = seq, 0, 0
	for i := range r.seen {
		r.seen[i] = ^uint64(0)
	}
}

// note follows one number and returns how many have turned out to be missing.
func (r *run) note(seq uint64) (lost uint64) {
	if seq <= r.top {
		if r.top-seq < window {
			r.behind = 0
			r.mark(seq)
		} else if r.behind++; r.behind >= behind {
			r.begin(seq)
		}
		return 0
	}
	r.behind = 0
	step := seq - r.top
	switch {
	case step >= jump:
		lost = uint64(r.open)
		r.begin(seq)
		return lost
	case step > window:
		// The whole old window slides out, and what lies between the two.
		lost = uint64(r.open) + step - window
		clear(r.seen[:])
		r.open = window
	default:
		for n := r.top + 1; n <= seq && n != 0; n++ {
			if word, bit := place(n); r.seen[word]&bit != 0 {
				r.seen[word] &^= bit
				r.open++
			} else {
				lost++ // the number a window before n never came
			}
		}
	}
	r.top = seq
	r.mark(seq)
	return lost
}

// mark notes a number within the window as seen.
func (r *run) mark(seq uint64) {
	if word, bit := place(seq); r.seen[word]&bit == 0 {
		r.seen[word] |= bit
		r.open--
	}
}

func place(n uint64) (word int, bit uint64) {
	n %= window
	return int(n / 64), 1 << (n % 64)
}
