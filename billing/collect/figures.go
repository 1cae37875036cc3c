package collect

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freeflow/billing"
)

// figures are what the collector's work is measured by: counts and seconds,
// which Prometheus takes as floats. No amount is among them.
type figures struct {
	postings, collected, givenBack, failures prometheus.Counter
}

// newFigures registers the figures; lag is asked for at each look.
func newFigures(metrics prometheus.Registerer, lag func() time.Duration) (*figures, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "freeflow", Subsystem: "collect", Name: name, Help: help})
	}
	f := &figures{
		postings:  counter("postings_total", "Postings that receivables were brought in line with."),
		collected: counter("collections_total", "Receivables paid out of wallets by themselves."),
		givenBack: counter("given_back_total", "Collections undone since less was owed, or by another."),
		failures:  counter("failures_total", "Batches of postings that could not be followed and were tried again."),
	}
	behind := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "freeflow", Subsystem: "collect", Name: "lag_seconds",
		Help: "Age of the oldest posting that is known to wait for its receivables; 0 if none is.",
	}, func() float64 { return lag().Seconds() })
	for _, m := range []prometheus.Collector{f.postings, f.collected, f.givenBack, f.failures, behind} {
		if err := metrics.Register(m); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// followed counts what one batch came to.
func (f *figures) followed(done billing.Followed) {
	f.postings.Add(float64(done.Postings))
	f.collected.Add(float64(done.Collected))
	f.givenBack.Add(float64(done.GivenBack))
}
