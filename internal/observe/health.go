package observe

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"
)

// checkTime bounds one check.
const checkTime = 2 * time.Second

// State is how a process or a part of it fares.
type State string

// The states, from good to bad.
const (
	// OK: everything works.
	OK State = "ok"
	// Degraded: it works with less speed or comfort; keep sending traffic.
	Degraded State = "degraded"
	// Failing: it cannot do its work; send traffic elsewhere.
	Failing State = "failing"
)

// Importance says what the failure of a part means for the whole.
type Importance int

// What parts can be.
const (
	// Needed parts make the process failing.
	Needed Importance = iota
	// Helpful parts make it degraded, for instance Redis, whose loss costs
	// speed only.
	Helpful
)

// Part is the result of one check.
type Part struct {
	Name   string `json:"name"`
	Status State  `json:"status"`
	// Detail is the check's error; the address that shows it is private.
	Detail string `json:"detail,omitempty"`
}

// Report is what /readyz answers.
type Report struct {
	Status State  `json:"status"`
	Parts  []Part `json:"parts"`
}

type check struct {
	name       string
	importance Importance
	run        func(context.Context) error
	// busy holds one token while the check runs: a check that hangs past its
	// deadline is not started again, so hanging checks cannot pile up.
	busy chan struct{}
}

// Health asks the parts of the process how they fare. It is safe for
// concurrent use. A new one is not ready until Ready is called.
type Health struct {
	mu     sync.Mutex
	checks []*check
	// why says why the process takes no traffic; empty if it does.
	why string
}

// NewHealth returns a Health without checks, not ready yet.
func NewHealth() *Health { return &Health{why: "starting"} }

// Add adds a check. It is called with a context that ends after two seconds,
// by one goroutine at a time.
func (h *Health) Add(name string, importance Importance, run func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = append(h.checks, &check{name, importance, run, make(chan struct{}, 1)})
}

// Ready says that the start is over.
func (h *Health) Ready() { h.set("") }

// Stop says that the process is going to end, so that traffic is sent
// elsewhere while it drains.
func (h *Health) Stop() { h.set("stopping") }

func (h *Health) set(why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.why = why
}

// Report runs all checks at once and returns what they say, in the order in
// which they were added.
func (h *Health) Report(ctx context.Context) Report {
	h.mu.Lock()
	checks, why := h.checks[:len(h.checks):len(h.checks)], h.why
	h.mu.Unlock()
	r := Report{Status: OK, Parts: make([]Part, 0, len(checks)+1)}
	if why != "" {
		r.Status = Failing
		r.Parts = append(r.Parts, Part{"process", Failing, why})
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	results := make([]<-chan error, len(checks))
	for i, c := range checks {
		results[i] = c.start(ctx)
	}
	for i, c := range checks {
		var err error
		select {
		case err = <-results[i]:
		case <-ctx.Done():
			// Both can be ready at once; a result counts more.
			select {
			case err = <-results[i]:
			default:
				err = errors.New("no answer within the deadline")
			}
		}
		part := Part{Name: c.name, Status: OK}
		if err != nil {
			part.Detail = err.Error()
			part.Status = Failing
			if c.importance == Helpful {
				part.Status = Degraded
			}
		}
		if part.Status == Failing || part.Status == Degraded && r.Status == OK {
			r.Status = part.Status
		}
		r.Parts = append(r.Parts, part)
	}
	return r
}

func (c *check) start(ctx context.Context) <-chan error {
	result := make(chan error, 1)
	select {
	case c.busy <- struct{}{}:
	default:
		result <- errors.New("the check before has not come back")
		return result
	}
	go func() {
		defer func() { <-c.busy }()
		result <- c.run(ctx)
	}()
	return result
}

func (h *Health) serve(w http.ResponseWriter, r *http.Request) {
	report := h.Report(r.Context())
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if report.Status == Failing {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(report) // the prober may be gone
}
