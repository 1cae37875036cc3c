package month

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/internal/kafka"
	"freeflow/loadtest/oracle"
	"freeflow/loadtest/traffic"
	"freeflow/rsu"
)

// roads are the toll facilities, the busy ones more often.
var roads = []string{"CHT", "CHT", "EHC", "WHC", "WHC", "WHC", "TLT", "TCT", "ABT", "SMT", "LRT", "LRT", "TSCA"}

// apart is the least time between two trips of a car: they are two passes, and
// no turning round, and no journey that cannot be.
const apart = time.Hour

// drive lets cars drive between two instants of a day.
func (w *world) drive(from, to time.Time, early bool) error {
	var fresh []string
	// In the hours of the tariff mistake more drive, and nothing comes late: what
	// comes later is rated by the tolls as they are then.
	rush := w.isMistaken(from, mistakenFacility)
	for _, v := range w.cast.cars {
		chance := v.often / 3
		if early {
			chance = 0.25
		}
		if rush {
			chance = min(1, 3*chance)
		}
		if early && !v.early || w.rng.Float64() >= chance || !v.owner.closes.IsZero() && to.After(v.owner.closes) {
			continue
		}
		at := from.Add(time.Duration(w.rng.Int64N(int64(to.Sub(from) - time.Minute)))).Truncate(time.Microsecond)
		if at.Sub(v.last) < apart {
			continue
		}
		v.last = at
		w.counts["trips"]++
		point := roads[w.rng.IntN(len(roads))] + []string{"-N", "-S"}[w.rng.IntN(2)]
		if rush && w.rng.IntN(2) == 0 {
			point = mistakenFacility + "-N"
		}
		fresh = append(fresh, w.trip(v, at, point)...)
		if again := at.Add(95 * time.Second); !early && !rush && v.story == plain && v.owner.habit.Pays && v.plate != "" && again.Before(to) && w.rng.IntN(60) == 0 {
			// The units count it twice; the flags find that by themselves.
			w.counts["trips counted twice"]++
			fresh = append(fresh, w.trip(v, again, point)...)
			w.rulings[passKey(point, again.UnixMicro())] = ruling{exempt: true}
		}
	}
	late := w.waiting
	w.waiting = nil
	for _, line := range fresh {
		switch n := w.rng.IntN(100); {
		case n < 3 && !rush && strings.Contains(line, `"seq":2`):
			w.waiting = append(w.waiting, line)
			w.counts["reads that came late"]++
		case n < 6:
			late = append(late, line, line)
			w.counts["reads that came twice"]++
		default:
			late = append(late, line)
		}
	}
	w.rng.Shuffle(len(late), func(i, k int) { late[i], late[k] = late[k], late[i] })
	for _, line := range late {
		if err := w.arrive(line); err != nil {
			return err
		}
	}
	return nil
}

// trip makes the reads of one pass.
func (w *world) trip(v *car, at time.Time, point string) []string {
	unit := fmt.Sprintf("%s-%d", point, 1+w.rng.IntN(2))
	tag := v.carries(at)
	if v.plate == "" {
		tag = v.owner.tag
	}
	confidence := 0.97
	if v.story == untagged && w.rng.IntN(20) == 0 {
		confidence = 0.6 // it goes to review, and is owed by nobody
	}
	var lines []string
	for i := range 2 {
		// The boot is the trip's own: reads of a unit need no common count here.
		r := traffic.Read{
			Unit: unit, Boot: fmt.Sprintf("m%s%d", v.plate, at.UnixMicro()), Seq: uint64(1 + i), TimeMicros: at.UnixMicro() + int64(i)*30_000,
			Tag: tag, Confidence: -1, Antenna: 1 + i,
		}
		if tag == "" || i == 1 {
			r.Class = v.class
			if v.plate != "" {
				r.Plate, r.Confidence = v.plate, confidence
			}
		}
		lines = append(lines, string(r.AppendJSON(nil)))
	}
	w.posted[passKey(point, at.UnixMicro())] = time.Time{}
	return lines
}

// passKey names a pass: no two begin in one place at one microsecond here.
func passKey(point string, micros int64) string { return fmt.Sprint(point, "|", micros) }

// arrive puts a read into the log of its facility's partition, and tells the
// oracle.
func (w *world) arrive(line string) error {
	read, err := rsu.DecodeJSON([]byte(line), false)
	if err != nil {
		return fmt.Errorf("a read of the script is refused: %w", err)
	}
	value, err := read.MarshalBinary()
	if err != nil {
		return err
	}
	point, facility, ok := w.network.TollPoint(read.Unit)
	if !ok {
		return fmt.Errorf("there is no unit %s", read.Unit)
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(facility)) // cannot fail
	l := &w.logs[h.Sum32()%partitions]
	l.records = append(l.records, kafka.Record{Offset: int64(len(l.records)), Value: value})
	w.counts["reads"]++
	told, err := oracle.ParseRead([]byte(line))
	if err != nil {
		return err
	}
	w.reads = append(w.reads, told)
	if key := passKey(point, read.TimeMicros); read.Seq == 1 {
		w.posted[key] = w.clock.Now()
	}
	return nil
}

// bill is a charge that is no toll.
type bill struct {
	id, account, vehicle string
	cents                int64
}

// park lets cars of accounts park, and posts what it costs.
func (w *world) park(ctx context.Context) error {
	for _, v := range w.cast.cars {
		p := v.owner
		if v.plate == "" || p.broke || !p.habit.Pays || p.way == ownMoney || !p.closes.IsZero() || w.rng.IntN(150) != 0 {
			continue
		}
		b := bill{id: fmt.Sprintf("parking:%d", len(w.bills)), account: p.id, vehicle: v.plate, cents: 10_00 + 50*w.rng.Int64N(120)}
		if err := w.postBill(ctx, b, 1); err != nil {
			return err
		}
		if w.rng.IntN(8) == 0 {
			// The price was wrong, as turned out at once or after it was paid.
			b.cents /= 2
			if err := w.postBill(ctx, b, 2); err != nil {
				return err
			}
		}
		w.bills = append(w.bills, b)
		w.counts["parking charges"]++
	}
	return nil
}

func (w *world) postBill(ctx context.Context, b bill, revision int64) error {
	_, err := w.sets[0].books.PostCharge(ctx, billing.Charge{
		ID: b.id, Kind: "parking", Revision: revision, Account: b.account, Creditor: "carpark-1", AmountCents: b.cents, Currency: currency,
		OccurredMicros: w.clock.Now().UnixMicro(), Vehicle: b.vehicle, Description: "Parking",
	}, w.clock.Now())
	return err
}
