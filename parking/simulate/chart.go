package simulate

import (
	"fmt"
	"strings"
	"time"
)

// Table is the reports as lines of plain text under one another: waits in
// seconds.
func Table(reports []Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-16s %6s | %5s %5s %5s | %5s %5s %5s | %6s | %7s %6s %7s\n", "", "cars",
		"entry", "p50", "p95", "fetch", "p50", "p95", "total", "refused", "moves", "promise")
	for i := range reports {
		r := &reports[i]
		fmt.Fprintf(&b, "%-16s %6d | %5s %5s %5s | %5s %5s %5s | %6s | %7d %6d %7s\n", r.Policy, r.Arrived,
			tenths(r.Entry.Mean()), whole(r.Entry.Quantile(500)), whole(r.Entry.Quantile(950)),
			tenths(r.Retrieval.Mean()), whole(r.Retrieval.Quantile(500)), whole(r.Retrieval.Quantile(950)),
			tenths(r.Total.Mean()), r.Refused, r.Moves(), r.kept())
	}
	return b.String()
}

// kept is the share of retrievals within the promise, in per cent with a tenth.
func (r *Report) kept() string {
	n := r.Retrieval.Count()
	if n == 0 || r.Promise == 0 {
		return "-"
	}
	permille := r.InPromise * 1000 / n
	return fmt.Sprintf("%d.%d%%", permille/10, permille%10)
}

func tenths(d time.Duration) string {
	return fmt.Sprintf("%d.%d", d/time.Second, d%time.Second/(100*time.Millisecond))
}

func whole(d time.Duration) string { return fmt.Sprint(int(d.Round(time.Second) / time.Second)) }

// Chart is the report as plain text of 100 columns at most: the sums, a bar for
// the occupancy of each hour of the day with the waits of those who came or
// asked for their car in it, and the machines.
func (r *Report) Chart() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, policy %s, %d days, %s\n%s\n\n", r.CarPark, r.Policy, r.Days, r.Demand, wrap(r.Note, 100))
	fmt.Fprintf(&b, "vehicles %d, refused for want of a bay %d, not admitted %d, highest occupancy %s\n",
		r.Arrived, r.Refused, r.Unfit, percent(r.PeakPermille))
	fmt.Fprintf(&b, "entry      mean %s s, p50 %s, p95 %s (at the gate, until the driver can drive in)\n",
		tenths(r.Entry.Mean()), whole(r.Entry.Quantile(500)), whole(r.Entry.Quantile(950)))
	fmt.Fprintf(&b, "retrieval  mean %s s, p50 %s, p95 %s (until the car is at the gate)\n",
		tenths(r.Retrieval.Mean()), whole(r.Retrieval.Quantile(500)), whole(r.Retrieval.Quantile(950)))
	fmt.Fprintf(&b, "with user  mean %s s, p50 %s, p95 %s (until the driver is out)\n",
		tenths(r.Total.Mean()), whole(r.Total.Quantile(500)), whole(r.Total.Quantile(950)))
	fmt.Fprintf(&b, "ways       mean %s s (to drive and walk, in and out)\n", tenths(r.Way()))
	if n := r.Retrieval.Count(); n > 0 && r.Promise > 0 {
		fmt.Fprintf(&b, "promise    %s of %d retrievals within %s s; %s when the driver had been told\n",
			r.kept(), n, whole(r.Promise), percent(r.Told*1000/n))
	}
	fmt.Fprintf(&b, "\nhour  occupancy%33s coming  entry  asking  retrieval\n", "")
	for h := range r.hours {
		t := &r.hours[h]
		occupied := 0
		if t.occupiedOf > 0 {
			occupied = t.occupied * 1000 / t.occupiedOf
		}
		bar := strings.Repeat("#", occupied*34/1000)
		fmt.Fprintf(&b, "%02d    |%-34s| %4s %6d %5s s %7d %7s s\n", h, bar, percent(occupied),
			t.arrivals, mean(t.entrySum, t.entries), t.requests, mean(t.fetchSum, t.fetches))
	}
	if len(r.Machines) > 0 {
		fmt.Fprintf(&b, "\nmachine  stored fetched  pairs  slides prepared relocated made-way faults   busy  cycles/h\n")
	}
	for _, m := range r.Machines {
		cycles := m.Stored + m.Fetched - m.Pairs
		perHour := "-"
		if m.Busy > 0 {
			perHour = fmt.Sprintf("%d.%d", int(time.Duration(cycles)*time.Hour/m.Busy),
				int(time.Duration(cycles)*10*time.Hour/m.Busy)%10)
		}
		fmt.Fprintf(&b, "%-8s %6d %7d %6d %7d %8d %9d %8d %6d %6s  %8s\n", m.ID, m.Stored, m.Fetched, m.Pairs, m.Slides,
			m.Prepared, m.Relocated, m.MadeWay, m.Faults, percent(int(m.Busy*1000/(time.Duration(max(r.Days, 1))*24*time.Hour))), perHour)
	}
	return b.String()
}

func percent(permille int) string { return fmt.Sprintf("%d.%d%%", permille/10, permille%10) }

func mean(sum int64, n int) string {
	if n == 0 {
		return "-"
	}
	return whole(time.Duration(sum/int64(n)) * time.Millisecond)
}

// wrap breaks a text into lines.
func wrap(text string, width int) string {
	var b strings.Builder
	at := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case at+1+len(word) > width:
			b.WriteByte('\n')
			at = 0
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += len(word)
	}
	return b.String()
}
