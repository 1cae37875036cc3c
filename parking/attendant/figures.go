package attendant

import (
	"context"
	"slices"
	"time"

	"freeflow/parking"
)

// mostSamples bounds the retrievals that figures are made of.
const mostSamples = 4096

// ring holds the latest samples.
type ring struct {
	samples []sample
	next    int
}

type sample struct {
	wait, late time.Duration
	promised   bool
}

func (r *ring) add(s sample) {
	if len(r.samples) < mostSamples {
		r.samples = append(r.samples, s)
		return
	}
	r.samples[r.next] = s
	r.next = (r.next + 1) % mostSamples
}

// quantile is the smallest value that at least permille thousandths of them do
// not exceed; 0 of none.
func quantile(values []time.Duration, permille int) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := (len(sorted)*permille + 999) / 1000
	return sorted[max(rank, 1)-1]
}

// Promises says how the promises of the car park's retrievals were kept.
// parking.ErrNotFound.
func (a *Attendant) Promises(carPark string) (PromiseFigures, error) {
	s, err := a.site(carPark)
	if err != nil {
		return PromiseFigures{}, err
	}
	s.mu.Lock()
	arrivals, departed := slices.Clone(s.arrivals.samples), slices.Clone(s.departed.samples)
	s.mu.Unlock()
	f := PromiseFigures{CarPark: carPark, Samples: len(arrivals), Site: s.def.Promise()}
	var waits, late, users []time.Duration
	kept, within := 0, 0
	for _, x := range arrivals {
		waits = append(waits, x.wait)
		if x.wait <= f.Site {
			within++
		}
		if x.promised {
			late = append(late, x.late)
			if x.late <= 0 {
				kept++
			}
		}
	}
	for _, x := range departed {
		users = append(users, x.wait)
	}
	f.WaitP50, f.WaitP95 = quantile(waits, 500), quantile(waits, 950)
	f.WithUserP50, f.WithUserP95 = quantile(users, 500), quantile(users, 950)
	f.LateP50, f.LateP95 = quantile(late, 500), quantile(late, 950)
	if len(late) > 0 {
		f.KeptPermille = kept * 1000 / len(late)
	}
	if len(waits) > 0 && f.Site > 0 {
		f.WithinPermille = within * 1000 / len(waits)
	}
	return f, nil
}

// Counts returns the free bays, from a picture not much older than
// Settings.ViewAge. parking.ErrNotFound; another error where the store cannot be
// read and there is no picture yet.
func (a *Attendant) Counts(ctx context.Context, carPark string) (Counts, error) {
	s, err := a.site(carPark)
	if err != nil {
		return Counts{}, err
	}
	if err := a.fresh(ctx, s); err != nil {
		// An old picture with its age is more honest than none.
		if _, known := s.age(a.clock.Now()); !known {
			return Counts{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := Counts{CarPark: carPark, At: s.at, Age: max(a.clock.Now().Sub(s.at), 0), Total: len(s.def.Bays),
		Classes: map[string]ClassCount{}, Pools: map[string]ClassCount{}}
	for i := range s.def.Bays {
		b := &s.def.Bays[i]
		x, held := s.active[s.byBay[i]]
		out := b.Machine != "" && s.status[b.Machine].Out
		free := !held && !out
		switch {
		case free:
			c.Free++
		case held && x.State == parking.Blocked:
			c.Blocked++
		case !held:
			c.OutOfService++
		}
		for _, class := range b.Classes {
			c.Classes[class] = count(c.Classes[class], b, free)
		}
		if b.Pool != "" {
			c.Pools[b.Pool] = count(c.Pools[b.Pool], b, free)
		}
	}
	return c, nil
}

func count(c ClassCount, b *parking.Bay, free bool) ClassCount {
	one := 0
	if free {
		one = 1
	}
	c.Total++
	c.Free += one
	if b.EV {
		c.EV++
		c.EVFree += one
	}
	if b.Accessible {
		c.Accessible++
		c.AccessibleFree += one
	}
	if b.Pool != "" {
		c.InPool++
		c.InPoolFree += one
	}
	if !b.Accessible && b.Pool == "" {
		c.General++
		c.GeneralFree += one
		if b.EV {
			c.GeneralEV++
			c.GeneralEVFree += one
		}
	}
	return c
}

// Live returns the picture of the car park, allocations in the order of their
// bays, and when the store was read for it. Errors as of Counts.
func (a *Attendant) Live(ctx context.Context, carPark string) (parking.Occupancy, time.Time, error) {
	s, err := a.site(carPark)
	if err != nil {
		return parking.Occupancy{}, time.Time{}, err
	}
	if err := a.fresh(ctx, s); err != nil {
		if _, known := s.age(a.clock.Now()); !known {
			return parking.Occupancy{}, time.Time{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o := parking.Occupancy{Due: slices.Clone(s.due)}
	for i := range s.def.Bays {
		if x, held := s.active[s.byBay[i]]; held {
			o.Active = append(o.Active, x)
		}
	}
	for _, m := range s.def.Machines {
		status, ok := s.status[m.ID]
		if !ok {
			status = parking.MachineStatus{CarPark: carPark, ID: m.ID}
		}
		o.Machines = append(o.Machines, status)
	}
	for _, c := range s.queue {
		o.Queue = append(o.Queue, c)
	}
	slices.SortFunc(o.Queue, func(x, y parking.Command) int {
		if c := x.DueAt.Compare(y.DueAt); c != 0 {
			return c
		}
		if x.ID < y.ID {
			return -1
		}
		return 1
	})
	return o, s.at, nil
}
