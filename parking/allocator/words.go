package allocator

import (
	"fmt"
	"strings"
	"time"

	"freeflow/parking/mechanism"
)

// Bay returns the id of the candidate at that rank, from 0.
func (d *Decision) Bay(rank int) string {
	return d.chooser.view.layout.park.Bays[d.Ranked[rank]].ID
}

// Terms returns what the candidate costs, by term. Like Ready and Explain it
// reads the view that was decided on: ask before that changes, under the same
// lock.
func (d *Decision) Terms(rank int) Terms { return d.chooser.terms(d.Ranked[rank]) }

// Ready is how long after now the driver can act at the gate or bay: the drive,
// the queue and the machine's own time, as far as they do not go on at once.
func (d *Decision) Ready(rank int) time.Duration {
	v, i := d.chooser.view, d.Ranked[rank]
	b := &v.layout.bays[i]
	if b.machine == none {
		return b.drive.Duration()
	}
	return v.in(i, v.wait[b.machine]).Duration()
}

// Explain says in a sentence each why the candidate of that rank is the bay, and
// which would be next and why it is not this one; next is empty for the last.
// English; no marks of the vehicle.
func (d *Decision) Explain(rank int) (why, next string) {
	v, i := d.chooser.view, d.Ranked[rank]
	l := v.layout
	b, t := &l.bays[i], d.Terms(rank)
	var parts []string
	if b.machine == none {
		parts = append(parts, fmt.Sprintf("%s is %d s to drive and %d s on foot", d.Bay(rank), secs(b.drive), secs(b.walk)))
	} else {
		m := l.machines[b.machine]
		queue := m.ID + " is idle"
		if wait := v.wait[b.machine]; wait > 0 {
			queue = fmt.Sprintf("%s is busy for %d s", m.ID, secs(wait))
		}
		parts = append(parts, fmt.Sprintf("%s is ready at the gate in about %d s (%s) and brings the car back in about %d s",
			d.Bay(rank), int(d.Ready(rank).Round(time.Second)/time.Second), queue, secs(b.fetch)))
	}
	g := &l.groups[b.group]
	if g.ev && t.Reserve < spareCharger {
		parts = append(parts, "it has a charger")
	}
	if g.accessible {
		parts = append(parts, "it is accessible")
	}
	if g.pool != "" {
		parts = append(parts, "it is of pool "+g.pool)
	}
	if faster, by := d.passedOver(rank); faster >= 0 {
		parts = append(parts, fmt.Sprintf("%s would be %d s faster and is left %s",
			l.park.Bays[faster].ID, secs(by), d.leftFor(faster, i)))
	}
	why = strings.Join(parts, "; ") + "."
	if rank+1 >= len(d.Ranked) {
		return why, ""
	}
	o := d.Terms(rank + 1)
	more := o.Sum() - t.Sum()
	if more < 500 {
		return why, fmt.Sprintf("%s would be next, equal in cost.", d.Bay(rank+1))
	}
	return why, fmt.Sprintf("%s would be next; it costs %d s more, by %s.", d.Bay(rank+1), secs(more), worst(t, o))
}

// passedOver is the bay that its driver would wait least for, if that is not the
// one chosen and faster by five seconds and more; -1 if there is none.
func (d *Decision) passedOver(rank int) (bay int, by mechanism.Millis) {
	const worthSaying = 5000
	own := func(i int) mechanism.Millis {
		t := d.chooser.terms(i)
		return t.Own + t.Queue + t.Walk
	}
	mine, best := own(d.Ranked[rank]), d.Ranked[rank]
	least := mine
	for _, i := range d.Ranked[rank:] {
		if cost := own(i); cost < least {
			best, least = i, cost
		}
	}
	if mine-least < worthSaying {
		return -1, 0
	}
	return best, mine - least
}

// leftFor says for whom a faster bay is left.
func (d *Decision) leftFor(faster, chosen int) string {
	a, b := d.chooser.terms(faster), d.chooser.terms(chosen)
	reserve, shadow, load := a.Reserve-b.Reserve, a.Shadow-b.Shadow, a.Load-b.Load
	g := &d.chooser.view.layout.groups[d.chooser.view.layout.bays[faster].group]
	switch {
	case reserve >= shadow && reserve >= load && g.ev:
		return "for cars that charge"
	case reserve >= shadow && reserve >= load:
		return "for those who need it"
	case shadow >= load:
		return "for the short stays that are expected"
	default:
		return "because its machine has much to do soon"
	}
}

// worst names the term by which b exceeds a most.
func worst(a, b Terms) string {
	name, most := "its own time", b.Own-a.Own
	for _, t := range [...]struct {
		name string
		more mechanism.Millis
	}{
		{"its queue", b.Queue - a.Queue}, {"the way on foot", b.Walk - a.Walk},
		{"what is reserved for others or missing for this one", b.Reserve - a.Reserve},
		{"what later drivers would lose", b.Shadow - a.Shadow}, {"the work that its machine expects", b.Load - a.Load},
	} {
		if t.more > most {
			name, most = t.name, t.more
		}
	}
	return name
}

// secs rounds half up to seconds.
func secs(m mechanism.Millis) int { return int((m + 500) / 1000) }

// Refusal says in a sentence why nothing was found; empty for Found.
func (d *Decision) Refusal() string {
	switch d.Verdict {
	case NoBay:
		return fmt.Sprintf("Of %d bays that the vehicle fits %d are taken and %d out of service.", d.Fitting, d.Taken, d.Out)
	case Limit:
		return "The vehicle may not enter: " + d.Obstacle.Text() + "."
	default:
		return ""
	}
}
