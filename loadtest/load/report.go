package load

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// quantiles of one latency, in milliseconds.
type quantiles struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`
}

func quantilesOf(h *hdrhistogram.Histogram) quantiles {
	ms := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
	return quantiles{h.TotalCount(), ms(50), ms(90), ms(99), ms(99.9), float64(h.Max()) / 1000}
}

// report is what a run found.
type report struct {
	Started  string  `json:"started"`
	Seed     uint64  `json:"seed"`
	Rate     float64 `json:"rate"`
	Seconds  float64 `json:"seconds"`
	Vehicles int     `json:"vehicles"`
	Encoding string  `json:"encoding"`
	Compress string  `json:"compress"`

	Reads         int64   `json:"reads"`
	ReadsPerSec   float64 `json:"reads_per_second"`
	ChargesPerSec float64 `json:"charges_per_second"`
	Sent          sent    `json:"sent"`

	// Latency of a request: from its scheduled time, and from its first
	// sending, to its acknowledgement.
	FromDue  quantiles `json:"request_from_scheduled"`
	FromSend quantiles `json:"request_from_sent"`
	// Latency of a charge, from acknowledgement of its first read until the
	// operators' API showed it; the truth lies between the two.
	Posted      quantiles      `json:"ack_to_charge_at_most"`
	PostedLeast quantiles      `json:"ack_to_charge_at_least"`
	Following   followedCounts `json:"following"`

	// SettledSeconds is how long after the last read all charges stood.
	SettledSeconds float64  `json:"settled_seconds"`
	Charges        *verdict `json:"charges,omitempty"`
	Processes      []*usage `json:"processes,omitempty"`
	// Stopped says why the run ended early, if it did.
	Stopped string `json:"stopped,omitempty"`
}

// good reports whether nothing was lost and nothing is wrong.
func (r *report) good() bool {
	return r.Stopped == "" && r.Sent.Failed == 0 && r.Sent.Rejected == 0 && r.Sent.Accepted == r.Reads &&
		(r.Charges == nil || r.Charges.good())
}

func (r *report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

func (r *report) writeTable(w io.Writer) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "reads\t%d in %.1f s (%.0f a second, %.0f asked for), seed %d, %s, compression %s\n",
		r.Reads, r.Seconds, r.ReadsPerSec, r.Rate, r.Seed, r.Encoding, r.Compress)
	fmt.Fprintf(t, "requests\t%d, %d sent again, %d failed; greatest dispatch lag %.1f ms\n",
		r.Sent.Requests, r.Sent.Retries, r.Sent.Failed, float64(r.Sent.LagMicros)/1000)
	fmt.Fprintf(t, "acknowledged\t%d, of them %d recognised as repeated; %d rejected; %d without acknowledgement\n",
		r.Sent.Accepted, r.Sent.Duplicate, r.Sent.Rejected, r.Sent.Unsent)
	if r.Sent.Example != "" {
		fmt.Fprintf(t, "for instance\t%s\n", r.Sent.Example)
	}
	if v := r.Charges; v != nil {
		fmt.Fprintf(t, "charges\t%d expected (%.0f a second), %d found, %d missing, %d extra, %d different, %d doubtful\n",
			v.Expected, r.ChargesPerSec, v.Found, v.Missing, v.Extra, v.Different, v.Doubtful)
		fmt.Fprintf(t, "\tcharged %d (%s), unpaid %d (%s), exempt %d, review %d; all stood %.1f s after the last read\n",
			v.Statuses["charged"], v.Amounts["charged"], v.Statuses["unpaid"], v.Amounts["unpaid"], v.Statuses["exempt"],
			v.Statuses["review"], r.SettledSeconds)
		for _, example := range v.Examples {
			fmt.Fprintf(t, "\t%s\n", example)
		}
	}
	fmt.Fprintf(t, "\nmilliseconds\tp50\tp90\tp99\tp99.9\tmax\tcount\n")
	line := func(name string, q quantiles) {
		if q.Count > 0 {
			fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%d\n", name, q.P50, q.P90, q.P99, q.P999, q.Max, q.Count)
		}
	}
	line("request, from scheduled time", r.FromDue)
	line("request, from sending", r.FromSend)
	line("acknowledged to charge, at most", r.Posted)
	line("acknowledged to charge, at least", r.PostedLeast)
	if f := r.Following; f.Skipped+f.Late+f.Failed > 0 {
		fmt.Fprintf(t, "\nfollowing\t%d passes not followed, %d not seen within %s, %d questions failed\n", f.Skipped, f.Late, followFor, f.Failed)
	}
	if len(r.Processes) > 0 {
		fmt.Fprintf(t, "\nprocess\tCPU s\tof a core\tRSS first\tmost\tlast (MiB)\n")
		for _, u := range r.Processes {
			gone := ""
			if u.Gone {
				gone = " (ended)"
			}
			const mib = 1 << 20
			fmt.Fprintf(t, "%s %d%s\t%.1f\t%.0f %%\t%d\t%d\t%d\n", u.Name, u.PID, gone, u.CPUSeconds,
				100*u.CPUSeconds/max(r.Seconds, 0.001), u.RSSFirst/mib, u.RSSMost/mib, u.RSSLast/mib)
		}
	}
	if r.Stopped != "" {
		fmt.Fprintf(t, "\nstopped early\t%s\n", r.Stopped)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}
