package cashier

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"freeflow/parking"
)

// maxClocks bounds the lanes that are remembered; beyond it all are forgotten,
// which costs one question each to find out again.
const maxClocks = 10_000

// laneClocks remembers which lanes are known to be in time, so that a lane that
// is costs no question of the store.
type laneClocks struct {
	mu     sync.Mutex
	inTime map[string]bool
}

func (l *laneClocks) set(lane string, inTime bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inTime == nil || len(l.inTime) >= maxClocks {
		l.inTime = map[string]bool{}
	}
	l.inTime[lane] = inTime
}

func (l *laneClocks) get(lane string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inTime[lane]
}

// watchClocks raises an alarm for each lane whose newest event of the call is so
// old that no driver can be waiting, and clears it when the lane is in time
// again: a clock that is slow keeps the barrier down before everybody. A lane
// that was cut off looks the same until its journal ends, and the alarm says so.
// Events that were known already, or refused, say nothing of a clock.
func (c *Cashier) watchClocks(ctx context.Context, events []parking.LaneEvent, results []LaneResult) error {
	newest := map[string]*parking.LaneEvent{}
	for i := range events {
		e := &events[i]
		if results[i].Err != nil || results[i].Known {
			continue
		}
		if have := newest[e.Lane]; have == nil || e.At.After(have.At) {
			newest[e.Lane] = e
		}
	}
	now := c.p.Clock.Now()
	for lane, e := range newest {
		skew := now.Sub(e.At).Truncate(time.Second)
		slow := now.Sub(e.At) > late
		if !slow && c.clocks.get(lane) {
			continue
		}
		id := "lane-clock/" + lane
		_, err := do(ctx, c, Keep[struct{}]{}, func(tx parking.Tx) (none struct{}, err error) {
			if !slow {
				err := tx.Clear(ctx, id, "cashier", "the lane is in time again", now)
				if errors.Is(err, parking.ErrNotFound) {
					err = nil
				}
				return none, err
			}
			return none, tx.Raise(ctx, parking.Alarm{
				ID: id, CarPark: e.CarPark, Kind: "lane-clock", Subject: lane, Raised: now,
				Detail: fmt.Sprintf("The newest event of lane %s is %s old: its clock is slow by that much, so that its barrier stays down, "+
					"or it was cut off and sends what it kept. Set its clock if this lasts.", lane, skew),
			})
		})
		if err != nil {
			return fmt.Errorf("keeping the alarm of a lane's clock: %w", err)
		}
		c.clocks.set(lane, !slow)
	}
	return nil
}
