package attendant

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the attendant's figures. Safe for concurrent use.
type Metrics struct {
	// Allocations by result: "given", "replayed", "no-bay", "limit", "inside", "busy", "error".
	Allocations *prometheus.CounterVec
	// Conflicts are claims that another won; each was tried again elsewhere.
	Conflicts prometheus.Counter
	// Reports by what became of them: "applied", "repeated", "late", "unknown".
	Reports *prometheus.CounterVec
	// Commands by kind and state as they change.
	Commands *prometheus.CounterVec
	// Alarms by kind.
	Alarms *prometheus.CounterVec
	// Swept counts reservations written down as lapsed.
	Swept prometheus.Counter
	// NotCome counts bays that were freed because their vehicles did not come.
	NotCome prometheus.Counter
	// Batch is how many claims a transaction had, BatchSeconds how long it
	// took, AllocateSeconds a whole request.
	Batch, BatchSeconds, AllocateSeconds prometheus.Histogram
	// WaitSeconds is from the request for a car (or the time asked for) to the
	// gate, LateSeconds the arrival after the promise (0: kept).
	WaitSeconds, LateSeconds *prometheus.HistogramVec
}

// NewMetrics makes the figures and registers them; with a nil registerer they
// are kept and shown to nobody.
func NewMetrics(r prometheus.Registerer) *Metrics {
	const ns, sub = "freeflow", "parking"
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help, Buckets: buckets})
	}
	waits := []float64{0, 10, 20, 30, 45, 60, 75, 90, 105, 120, 150, 180, 240, 300, 420, 600, 900, 1800}
	m := &Metrics{
		Allocations: vec("allocations_total", "Requests for a bay, by what they came to.", "result"),
		Conflicts:   counter("claim_conflicts_total", "Claims of a bay that another had won; each was tried again."),
		Reports:     vec("machine_reports_total", "Reports of machines, by what became of them.", "outcome"),
		Commands:    vec("machine_commands_total", "Orders to machines, by kind and the state they went to.", "kind", "state"),
		Alarms:      vec("alarms_total", "Alarms raised, by kind; one that stands may be raised again.", "kind"),
		Swept:       counter("reservations_lapsed_total", "Reservations written down as expired or as no-shows."),
		NotCome:     counter("bays_not_come_total", "Bays freed because the vehicle that they were given to did not come in time."),
		Batch: histogram("claim_batch_size", "Claims in one transaction.",
			prometheus.ExponentialBuckets(1, 2, 10)),
		BatchSeconds: histogram("claim_batch_duration_seconds", "Time of one transaction of claims.",
			prometheus.ExponentialBuckets(0.0005, 2, 15)),
		AllocateSeconds: histogram("allocate_duration_seconds", "Time of one request for a bay.",
			prometheus.ExponentialBuckets(0.0005, 1.25, 45)),
		WaitSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: ns, Subsystem: sub, Name: "retrieval_wait_seconds",
			Help: "Time from the request for a car, or the time asked for, to the car at the gate.", Buckets: waits}, []string{"car_park"}),
		LateSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: ns, Subsystem: sub, Name: "retrieval_late_seconds",
			Help: "Time from the promise to the car at the gate; 0 where the promise was kept.", Buckets: waits}, []string{"car_park"}),
	}
	if r != nil {
		r.MustRegister(m.Allocations, m.Conflicts, m.Reports, m.Commands, m.Alarms, m.Swept, m.NotCome,
			m.Batch, m.BatchSeconds, m.AllocateSeconds, m.WaitSeconds, m.LateSeconds)
	}
	return m
}
