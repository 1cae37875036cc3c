package gateway

import (
	"cmp"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// The kinds of alarms.
const (
	// AlarmConflict: reads came with unit, boot and seq of another read and
	// other content. All are kept.
	AlarmConflict = "sequence-conflict"
	// AlarmGap: numbers of a unit never came.
	AlarmGap = "sequence-gap"
	// AlarmClock: the unit's clock is ahead of ours.
	AlarmClock = "clock-ahead"
)

const (
	// alarmsKept is how long an alarm is shown after it was last raised.
	alarmsKept = 24 * time.Hour
	// maxAlarms bounds how many are shown.
	maxAlarms = 256
	// quiet is how long an alarm that goes on is not logged again.
	quiet = time.Minute
)

// Alarm is something at the roadside that a person should look at: of one
// kind and unit, however often it was raised. It names no tag and no plate.
type Alarm struct {
	Kind, Unit string
	// First and Last say when it was raised first and last, UTC.
	First, Last time.Time
	// Count is how many reads, numbers or requests raised it.
	Count int64
	// Detail says in words what happened last.
	Detail string
}

// alarms keeps the alarms that this process has raised.
type alarms struct {
	log *slog.Logger
	mu  sync.Mutex
	all map[alarmKey]*Alarm
}

type alarmKey struct{ kind, unit string }

func newAlarms(log *slog.Logger) *alarms {
	return &alarms{log: log, all: make(map[alarmKey]*Alarm)}
}

// raise adds n to the alarm. Units are those of the network, which bounds how
// many alarms there can be; the intake follows no more than maxUnits of them.
func (a *alarms) raise(kind, unit string, at time.Time, n int64, detail string) {
	a.mu.Lock()
	alarm := a.all[alarmKey{kind, unit}]
	if alarm == nil && len(a.all) >= 3*maxUnits {
		a.mu.Unlock()
		return
	}
	fresh := alarm == nil || at.Sub(alarm.Last) >= quiet
	if alarm == nil || at.Sub(alarm.Last) >= alarmsKept {
		// The name is a part of a whole request's body, which must not live on.
		unit = strings.Clone(unit)
		alarm = &Alarm{Kind: kind, Unit: unit, First: at}
		a.all[alarmKey{kind, unit}] = alarm
	}
	alarm.Last, alarm.Detail = at, detail
	alarm.Count += n
	a.mu.Unlock()
	if fresh {
		a.log.Warn("roadside alarm", "kind", kind, "unit", unit, "count", n, "detail", detail)
	}
}

// list returns the alarms raised within the last day before now, newest first.
func (a *alarms) list(now time.Time) []Alarm {
	a.mu.Lock()
	out := make([]Alarm, 0, len(a.all))
	for _, alarm := range a.all {
		if now.Sub(alarm.Last) < alarmsKept {
			out = append(out, *alarm)
		}
	}
	a.mu.Unlock()
	slices.SortFunc(out, func(x, y Alarm) int {
		return cmp.Or(y.Last.Compare(x.Last), cmp.Compare(x.Unit, y.Unit), cmp.Compare(x.Kind, y.Kind))
	})
	return out[:min(len(out), maxAlarms)]
}
