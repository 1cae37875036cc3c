// Package carparkday owns the proof that a day at an automated car park ends
// well: drivers, lanes and staff as clients of the HTTP API, racks with emulated
// controllers that fail now and then, lanes that are offline for hours, accounts
// and tickets, on a simulated clock over the real store and the real books. At
// the end every car has come back and every cent is explained.
//
// It is a test and nothing else; the product does not import it. The prices
// that it expects are worked out by Hours, written apart from parking/tariff.
// Not promised: the traffic of the real site.
package carparkday

import "time"

// Hours is what a stay at Tseung Kwan O costs by the hour, in cents: each hour
// begun from the first instant on counts whole, HK$15 from Monday to Friday, 16
// on Saturdays, Sundays and public holidays, by the day on which the hour
// begins. local is the instant in the site's zone; holiday says whether its day
// is one.
func Hours(from, to time.Time, zone *time.Location, holiday func(local time.Time) bool) int64 {
	var cents int64
	for at := from; at.Before(to); at = at.Add(time.Hour) {
		local := at.In(zone)
		switch day := local.Weekday(); {
		case day == time.Saturday, day == time.Sunday, holiday(local):
			cents += 16_00
		default:
			cents += 15_00
		}
	}
	return cents
}
