package matcher

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the matcher's figures. Safe for concurrent use.
type Metrics struct {
	Reads, Passes, Rejected       prometheus.Counter
	Lost, Stale, Expired, Windows prometheus.Counter
	Batch, Latency                prometheus.Histogram
	latestMicros                  atomic.Int64
}

// NewMetrics makes the figures and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "freeflow", Subsystem: "matcher", Name: name, Help: help})
		r.MustRegister(c)
		return c
	}
	m := &Metrics{
		Reads:    counter("reads_total", "Reads matched to passes."),
		Passes:   counter("passes_posted_total", "Passes posted, new or changed."),
		Rejected: counter("records_rejected_total", "Records of the log that could not be read and were set aside."),
		Lost:     counter("open_passes_lost_total", "Times that the held open passes were lost or distrusted and the books were read instead."),
		Stale:    counter("stale_batches_total", "Batches built anew because passes had changed in the books."),
		Expired:  counter("reads_expired_total", "Reads that left the log before they were matched."),
		Windows:  counter("book_windows_total", "Vehicles whose passes were looked up in the books."),
		Batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "freeflow", Subsystem: "matcher", Name: "batch_duration_seconds",
			Help:    "Time from fetching a batch to its commit in the books.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
	}
	m.Latency = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "freeflow", Subsystem: "matcher", Name: "posting_latency_seconds",
		Help: "Time from a read's arrival in the log to its commit in the books.",
		// Fine enough to read a 99th percentile to a tenth of its value.
		Buckets: prometheus.ExponentialBuckets(0.001, 1.1, 100),
	})
	r.MustRegister(m.Batch, m.Latency, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "freeflow", Subsystem: "matcher", Name: "latest_read_timestamp_seconds",
		Help: "Time of the latest read matched so far.",
	}, func() float64 { return float64(m.latestMicros.Load()) / 1e6 }))
	return m
}

func (m *Metrics) latest(micros int64) {
	for {
		old := m.latestMicros.Load()
		if micros <= old || m.latestMicros.CompareAndSwap(old, micros) {
			return
		}
	}
}

func (m *Metrics) observe(reads, passes, rejected int, took time.Duration) {
	m.Reads.Add(float64(reads))
	m.Passes.Add(float64(passes))
	m.Rejected.Add(float64(rejected))
	m.Batch.Observe(took.Seconds())
}
