package trial

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"freeflow/billing"
	"freeflow/parking/city"
)

// Table writes the report as two Markdown tables: what each policy did, as the
// means over the seeds of each day's figures, and what the exact plans gain,
// with the spread over the seeds. It returns the writer's first error.
func (r Report) Table(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d car parks, %d bays, %d seeds, %d hours from %02d:00, window %v. Means over the seeds.\n\n",
		r.Sites, r.Bays, len(r.Config.Seeds), r.Config.Hours, firstHour, r.Config.Window)
	b.WriteString("| load | policy | drivers a day | unserved | cost J, mean | p50 | p95 | J of those served | money, HK$ | walk, m | " +
		"time to park, mean | p50 | p95 | found full | moves | to worse |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, load := range r.Config.LoadsPercent {
		for _, policy := range Policies() {
			days := r.days(load, policy)
			over := func(of func(Measures) int64) int64 { return mean(each(days, of)) }
			drivers := over(func(m Measures) int64 { return int64(m.Drivers) })
			fmt.Fprintf(&b, "| %d %% | %s | %d | %s | %s | %s | %s | %s | %s | %d | %s | %s | %s | %d | %d | %d |\n",
				load, policy, drivers,
				percent(over(func(m Measures) int64 { return share(m.Unserved, m.Drivers) })),
				cost(over(func(m Measures) int64 { return m.MeanCost })),
				cost(over(func(m Measures) int64 { return m.P50Cost })),
				cost(over(func(m Measures) int64 { return m.P95Cost })),
				cost(over(func(m Measures) int64 { return m.MeanServedCost })),
				billing.FormatCents(over(func(m Measures) int64 { return m.MeanCents })),
				over(func(m Measures) int64 { return m.MeanWalk }),
				minutes(over(func(m Measures) int64 { return m.MeanSeconds })),
				minutes(over(func(m Measures) int64 { return m.P50Seconds })),
				minutes(over(func(m Measures) int64 { return m.P95Seconds })),
				over(func(m Measures) int64 { return int64(m.FoundFull) }),
				over(func(m Measures) int64 { return int64(m.Moves) }),
				over(func(m Measures) int64 { return int64(m.Worse) }))
		}
	}
	b.WriteString("\nLess than the other policy by, mean over the seeds (least to most of a seed; seeds in which it is less):\n\n")
	b.WriteString("| load | policy | against | cost J, mean | cost J, p50 | cost J, p95 | money | walk | time to park, mean | time to park, p95 | unserved, points |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, load := range r.Config.LoadsPercent {
		for _, ours := range []Policy{Exact, Ageing} {
			for _, theirs := range []Policy{Greedy, Nearest} {
				fmt.Fprintf(&b, "| %d %% | %s | %s |%s\n", load, ours, theirs, compare(r.days(load, ours), r.days(load, theirs)))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// compare is the columns of the second table.
func compare(ours, theirs []Measures) string {
	var b strings.Builder
	for _, of := range []func(Measures) int64{
		func(m Measures) int64 { return m.MeanCost }, func(m Measures) int64 { return m.P50Cost },
		func(m Measures) int64 { return m.P95Cost }, func(m Measures) int64 { return m.MeanCents },
		func(m Measures) int64 { return m.MeanWalk }, func(m Measures) int64 { return m.MeanSeconds },
		func(m Measures) int64 { return m.P95Seconds },
	} {
		fmt.Fprintf(&b, " %s |", spread(gains(each(theirs, of), each(ours, of))))
	}
	unserved := func(m Measures) int64 { return share(m.Unserved, m.Drivers) }
	points := each(theirs, unserved)
	for i, v := range each(ours, unserved) {
		points[i] -= v
	}
	fmt.Fprintf(&b, " %s |", spread(points))
	return b.String()
}

// days are those of a load and policy, by seed in the order of the config.
func (r Report) days(load int, policy Policy) []Measures {
	var out []Measures
	for _, d := range r.Days {
		if d.LoadPercent == load && d.Policy == policy {
			out = append(out, d.Measures)
		}
	}
	return out
}

func each(days []Measures, of func(Measures) int64) []int64 {
	out := make([]int64, len(days))
	for i, m := range days {
		out[i] = of(m)
	}
	return out
}

// gains are how much less ours is than theirs, in hundredths of a percent of
// theirs, day by day.
func gains(theirs, ours []int64) []int64 {
	out := make([]int64, len(theirs))
	for i := range theirs {
		if theirs[i] != 0 {
			out[i] = nearest(10_000*(theirs[i]-ours[i]), theirs[i])
		}
	}
	return out
}

// nearest divides and rounds to the nearest, halves away from zero; b > 0.
func nearest(a, b int64) int64 {
	if a < 0 {
		return -nearest(-a, b)
	}
	return (2*a + b) / (2 * b)
}

func share(part, whole int) int64 {
	if whole == 0 {
		return 0
	}
	return nearest(10_000*int64(part), int64(whole))
}

func spread(values []int64) string {
	if len(values) == 0 {
		return "-"
	}
	var sum int64
	better := 0
	for _, v := range values {
		sum += v
		if v > 0 {
			better++
		}
	}
	return fmt.Sprintf("%s (%s to %s; %d of %d)", percent(nearest(sum, int64(len(values)))),
		percent(slices.Min(values)), percent(slices.Max(values)), better, len(values))
}

// percent writes hundredths of a percent.
func percent(v int64) string {
	sign := ""
	if v < 0 {
		sign, v = "-", -v
	}
	return fmt.Sprintf("%s%d.%02d %%", sign, v/100, v%100)
}

// cost writes millionths with four places, halves upwards.
func cost(micros int64) string { return city.FormatCost((micros + 50) / 100 * 100)[:6] }

func minutes(seconds int64) string { return fmt.Sprintf("%d:%02d", seconds/60, seconds%60) }
