package simulate

import (
	"slices"
	"time"
)

// Waits are how long drivers waited, in milliseconds, sorted once asked for.
type Waits struct {
	millis []int64
	sorted bool
}

func (w *Waits) record(ms int64) { w.millis, w.sorted = append(w.millis, ms), false }

// Count is how many there are.
func (w *Waits) Count() int { return len(w.millis) }

// Mean is the mean, rounded down to the millisecond; 0 of none.
func (w *Waits) Mean() time.Duration {
	if len(w.millis) == 0 {
		return 0
	}
	var sum int64
	for _, ms := range w.millis {
		sum += ms
	}
	return time.Duration(sum/int64(len(w.millis))) * time.Millisecond
}

// Quantile is the smallest wait that at least that many thousandths of the
// drivers did not exceed; 0 of none.
func (w *Waits) Quantile(permille int) time.Duration {
	n := len(w.millis)
	if n == 0 {
		return 0
	}
	if !w.sorted {
		slices.Sort(w.millis)
		w.sorted = true
	}
	i := (n*permille + 999) / 1000
	return time.Duration(w.millis[min(max(i-1, 0), n-1)]) * time.Millisecond
}

// MachineReport is one machine's part.
type MachineReport struct {
	ID string
	// Stored and Fetched count cars, Pairs the cycles that did both, Prepared
	// and Relocated what was done in idle time; Faults the breakdowns.
	Stored, Fetched, Pairs, Prepared, Relocated, Faults int
	// Slides counts tiers shifted, MadeWay cars moved to reach another.
	Slides, MadeWay int
	// Busy is how long it was in use.
	Busy time.Duration
}

// Report is what came out of a run, or of several with different seeds.
type Report struct {
	CarPark, Policy, Demand, Note string
	Days                          int
	// Arrived counts all vehicles, Refused those that fitted but found no bay,
	// Unfit those that no bay admits. Inside are the cars that stand at the end.
	Arrived, Refused, Unfit, Inside int
	// Entry is how long a driver waits at the gate to drive in: from the arrival
	// at the lane, less the drive to the gate, while which the machine gets ready.
	// Retrieval is from the request until the car is at the gate, Total the same with the driver's
	// own time at the gate. Of machines alone.
	Entry, Retrieval, Total Waits
	// Promise is the site's promise; InPromise how many retrievals kept it; Told
	// how many were there when the driver had been told, within five seconds.
	Promise         time.Duration
	InPromise, Told int
	// PeakPermille is the highest occupancy, in thousandths of all bays.
	PeakPermille int
	Machines     []MachineReport
	// Seeds are the single runs of a comparison.
	Seeds []Report

	// ways are all measured drivers' ways between lane, bay or gate, and exit.
	ways int64
	// hours are sums by hour of the day, for the chart.
	hours [24]hour
}

type hour struct {
	arrivals, requests   int
	entrySum, fetchSum   int64
	entries, fetches     int
	occupied, occupiedOf int
}

// Moves is how often anything was moved that was not a driver's own order:
// slides, idle preparations, relocations.
func (r *Report) Moves() int {
	n := 0
	for _, m := range r.Machines {
		n += m.Slides + m.Prepared + m.Relocated + m.MadeWay
	}
	return n
}

// Way is how long a driver drives between the lanes and the gate or bay and
// walks between it and the exit, in and out together, on average.
func (r *Report) Way() time.Duration {
	n := r.Arrived - r.Refused - r.Unfit
	if n == 0 {
		return 0
	}
	return time.Duration(r.ways/int64(n)) * time.Millisecond
}

// add joins another seed's run.
func (r *Report) add(o Report) {
	r.Seeds = append(r.Seeds, o)
	r.Days += o.Days
	r.ways += o.ways
	r.Arrived, r.Refused, r.Unfit, r.Inside = r.Arrived+o.Arrived, r.Refused+o.Refused, r.Unfit+o.Unfit, r.Inside+o.Inside
	r.InPromise, r.Told = r.InPromise+o.InPromise, r.Told+o.Told
	r.PeakPermille = max(r.PeakPermille, o.PeakPermille)
	for _, w := range [...]struct{ to, from *Waits }{
		{&r.Entry, &o.Entry}, {&r.Retrieval, &o.Retrieval}, {&r.Total, &o.Total},
	} {
		w.to.millis, w.to.sorted = append(slices.Clip(w.to.millis), w.from.millis...), false
	}
	machines := slices.Clone(r.Machines)
	for i, m := range o.Machines {
		t := &machines[i]
		t.Stored, t.Fetched, t.Pairs = t.Stored+m.Stored, t.Fetched+m.Fetched, t.Pairs+m.Pairs
		t.Prepared, t.Relocated, t.Faults = t.Prepared+m.Prepared, t.Relocated+m.Relocated, t.Faults+m.Faults
		t.Slides, t.MadeWay, t.Busy = t.Slides+m.Slides, t.MadeWay+m.MadeWay, t.Busy+m.Busy
	}
	r.Machines = machines
	for h := range r.hours {
		t, f := &r.hours[h], o.hours[h]
		t.arrivals, t.requests = t.arrivals+f.arrivals, t.requests+f.requests
		t.entrySum, t.fetchSum = t.entrySum+f.entrySum, t.fetchSum+f.fetchSum
		t.entries, t.fetches = t.entries+f.entries, t.fetches+f.fetches
		t.occupied, t.occupiedOf = t.occupied+f.occupied, t.occupiedOf+f.occupiedOf
	}
}
