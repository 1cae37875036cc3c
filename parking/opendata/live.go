package opendata

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"freeflow/parking"
	"freeflow/parking/tariff"
)

// Live gives the live picture of a car park and when it was true;
// *attendant.Attendant does. Implementations are safe for concurrent use.
type Live interface {
	Live(ctx context.Context, carPark string) (parking.Occupancy, time.Time, error)
}

// LiveFigures makes figures of live pictures. Safe for concurrent use.
type LiveFigures struct {
	sites    Sites
	live     Live
	calendar tariff.Calendar
}

// NewLiveFigures returns figures of the sites. The calendar tells on which days
// the opening hours are those of public holidays; nil, or a year that it does
// not know, means that a car park counts as closed only where it is so either
// way.
func NewLiveFigures(sites Sites, live Live, calendar tariff.Calendar) (*LiveFigures, error) {
	if sites == nil || live == nil {
		return nil, errors.New("making live figures: sites and live pictures are needed")
	}
	return &LiveFigures{sites, live, calendar}, nil
}

// Figures counts the free places of every site. A site whose picture cannot be
// had is left out and costs the others nothing; an error means that none can.
func (l *LiveFigures) Figures(ctx context.Context) (map[string]Figure, error) {
	sites, err := l.sites.Sites(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading car parks: %w", err)
	}
	out := map[string]Figure{}
	var faults []error
	for _, site := range sites {
		c := site.CarPark
		picture, at, err := l.live.Live(ctx, c.ID)
		if err != nil {
			faults = append(faults, fmt.Errorf("the picture of %s: %w", c.ID, err))
			continue
		}
		figure := figureOf(c, picture, at)
		figure.Closed = figure.Closed || !openAt(c, at, l.calendar)
		out[c.ID] = figure
	}
	if len(out) == 0 && len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return out, nil
}

// figureOf counts the bays that nobody holds and whose machine serves. The car
// park is closed if no bay could be given to anybody even if all cars left:
// each is blocked, or in a machine that is out of service.
func figureOf(c *parking.CarPark, picture parking.Occupancy, at time.Time) Figure {
	held, out := map[string]parking.State{}, map[string]bool{}
	for _, a := range picture.Active {
		held[a.Bay] = a.State
	}
	for _, m := range picture.Machines {
		out[m.ID] = m.Out
	}
	figure := Figure{At: at, Closed: true, Free: map[string]Free{}}
	for i := range c.Bays {
		b := &c.Bays[i]
		state, taken := held[b.ID]
		serves := b.Machine == "" || !out[b.Machine]
		if serves && state != parking.Blocked {
			figure.Closed = false
		}
		for _, class := range b.Classes {
			n := figure.Free[class] // the class is known, with 0 too
			switch {
			case taken || !serves || b.Pool != "":
			case b.Accessible:
				n.Accessible++
			default:
				n.General++
				if b.EV {
					n.EV++
				}
			}
			figure.Free[class] = n
		}
	}
	return figure
}

// openAt reports whether the site's opening hours let the instant be one at
// which it is open.
func openAt(c *parking.CarPark, at time.Time, calendar tariff.Calendar) bool {
	if len(c.Published.Opening) == 0 {
		return true
	}
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return true // where the hours cannot be read nothing is known
	}
	now := at.In(zone)
	// A period that began yesterday may reach into today.
	for _, back := range []int{0, 1} {
		day := now.AddDate(0, 0, -back)
		minute := now.Hour()*60 + now.Minute() + back*24*60
		for _, h := range c.Published.Opening {
			if holdsOn(h, day, calendar) && holdsFrom(h, minute) {
				return true
			}
		}
	}
	return false
}

// holdsOn reports whether the hours can be those of the day.
func holdsOn(h parking.OpeningHours, day time.Time, calendar tariff.Calendar) bool {
	weekday := slices.Contains(h.Weekdays, week[(int(day.Weekday())+6)%7])
	ordinary := weekday
	holiday := slices.Contains(h.Weekdays, "PH") || weekday && !h.ExcludePublicHoliday
	if calendar == nil {
		return ordinary || holiday
	}
	y, m, d := day.Date()
	isHoliday, known := calendar.Holiday(tariff.Date{Year: y, Month: m, Day: d})
	switch {
	case !known:
		return ordinary || holiday
	case isHoliday:
		return holiday
	default:
		return ordinary
	}
}

// holdsFrom reports whether the minute, counted from the midnight at which the
// period's day begins, lies in the period. One that does not end after it
// begins ends on the next day.
func holdsFrom(h parking.OpeningHours, minute int) bool {
	var from, to tariff.TimeOfDay
	if from.UnmarshalText([]byte(h.From)) != nil || to.UnmarshalText([]byte(h.To)) != nil {
		return true // what cannot be read closes nothing
	}
	end := int(to)
	if end <= int(from) {
		end += 24 * 60
	}
	return minute >= int(from) && minute < end
}
