package gateway

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freeflow/rsu"
)

// metrics of the intake. The label unit has only the network's units as values,
// code only package rsu's.
type metrics struct {
	accepted, duplicate prometheus.Counter
	rejected            *prometheus.CounterVec
	unrecorded          prometheus.Counter
	conflicts           prometheus.Counter
	missing             *prometheus.CounterVec
	open, lag           *prometheus.GaugeVec
	publish             prometheus.Histogram
	publishFailures     prometheus.Counter
	busy                prometheus.Counter
	held                prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "freeflow", Subsystem: "gateway", Name: name, Help: help})
	}
	counters := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "freeflow", Subsystem: "gateway", Name: name, Help: help}, []string{label})
	}
	gauges := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "freeflow", Subsystem: "gateway", Name: name, Help: help}, []string{"unit"})
	}
	m := &metrics{
		accepted:   counter("reads_accepted_total", "Reads that are durable in the log, repetitions included."),
		duplicate:  counter("reads_duplicate_total", "Accepted reads that were recognised as repetitions."),
		rejected:   counters("reads_rejected_total", "Reads that were refused, by the code of the reason.", "code"),
		unrecorded: counter("rejects_unrecorded_total", "Refused reads that could not be written to their topic."),
		conflicts:  counter("sequence_conflicts_total", "Reads with unit, boot and seq of another read and other content."),
		missing:    counters("sequence_missing_total", "Sequence numbers of a unit that never came.", "unit"),
		open:       gauges("sequence_gaps", "Sequence numbers of a unit that have not come yet, within the last 1024 of each run."),
		lag:        gauges("unit_lag_seconds", "Arrival minus time of the freshest read of the unit's last request; below zero the unit's clock is ahead."),
		publish: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "freeflow", Subsystem: "gateway", Name: "publish_seconds",
			Help: "Time from arrival until the reads were durable in the log.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}),
		publishFailures: counter("publish_failures_total", "Requests whose reads could not be made durable in time."),
		busy:            counter("busy_total", "Requests that were turned away because too much was under way."),
		held: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "freeflow", Subsystem: "gateway", Name: "held_bytes",
			Help: "Memory reserved for requests under way."}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.accepted, m.duplicate, m.rejected, m.unrecorded, m.conflicts, m.missing, m.open, m.lag,
		m.publish, m.publishFailures, m.busy, m.held,
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) published(took time.Duration, err error) {
	if err != nil {
		m.publishFailures.Inc()
		return
	}
	m.publish.Observe(took.Seconds())
}

func (m *metrics) taken(r Result) {
	m.accepted.Add(float64(r.Accepted))
	m.duplicate.Add(float64(r.Duplicate))
	for _, rejection := range r.Rejected {
		code := rejection.Code
		if code == "" {
			code = rsu.Code("other")
		}
		m.rejected.WithLabelValues(string(code)).Inc()
	}
}
