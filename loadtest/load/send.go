package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"freeflow/internal/clock"
)

// Bounds of sending.
const (
	requestTimeout = 30 * time.Second
	// attempts bounds how often a request is sent; a real agent would never
	// give up, a load run must end.
	attempts = 8
	// queued bounds the requests that wait for one worker. When a server is
	// this far behind, dispatching waits, which the report shows as lag.
	queued = 256
	// mostAnswer bounds what is read of an answer.
	mostAnswer = 1 << 20
)

// ack is one acknowledged request of a unit: reads from firstSeq on.
type ack struct {
	firstSeq uint64
	reads    int32
	failed   bool
	at       int64 // microseconds since the Unix epoch
}

// sender sends requests: each unit's in order, units side by side.
type sender struct {
	clock    clock.Clock
	client   *http.Client
	url, key string
	kind     string
	packing  string
	free     chan *request
	queues   []chan *request
	workers  sync.WaitGroup
	onAck    func(r *request, at int64)

	// acks are by unit; a unit belongs to one worker, so they need no lock.
	acks [][]ack

	mu       sync.Mutex
	fromDue  *hdrhistogram.Histogram // scheduled time to answer, microseconds
	fromSend *hdrhistogram.Histogram // first sending to answer
	counts   sent
}

// sent counts what came of the requests.
type sent struct {
	Requests  int64 `json:"requests"`
	Retries   int64 `json:"retries"`
	Failed    int64 `json:"failed_requests"`
	Accepted  int64 `json:"accepted"`
	Duplicate int64 `json:"duplicate"`
	Rejected  int64 `json:"rejected"`
	Unsent    int64 `json:"unacknowledged_reads"`
	Bytes     int64 `json:"bytes"`
	// LagMicros is how late the latest dispatch was: the generator's own
	// lateness, and that of a server too slow for the queues.
	LagMicros int64 `json:"greatest_dispatch_lag_us"`
	// Example is one of the reasons given for a failure or rejection.
	Example string `json:"example_failure,omitempty"`
}

// newHistogram holds microseconds up to ten minutes with three digits.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 600_000_000, 3) }

func record(h *hdrhistogram.Histogram, micros int64) {
	// A value beyond the range is the range's end; nothing is dropped.
	_ = h.RecordValue(min(max(micros, 1), h.HighestTrackableValue()))
}

// newClient returns a client with at most so many connections.
func newClient(connections int) *http.Client {
	return &http.Client{
		Timeout: requestTimeout,
		Transport: &http.Transport{
			Proxy:               nil, // the load is for the address given
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			MaxConnsPerHost:     connections,
			MaxIdleConnsPerHost: connections,
			IdleConnTimeout:     time.Minute,
			DisableCompression:  true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func newSender(c Config, clk clock.Clock, e *encoder, units int, free chan *request, onAck func(*request, int64)) *sender {
	return &sender{
		clock: clk, client: newClient(c.Connections), url: c.Gateway + "/v1/reads", key: c.Key,
		kind: e.contentType(), packing: e.contentEncoding(), free: free, onAck: onAck,
		queues: make([]chan *request, min(units, c.Connections)), acks: make([][]ack, units),
		fromDue: newHistogram(), fromSend: newHistogram(),
	}
}

// start begins the workers; they end when ctx does or after finish.
func (s *sender) start(ctx context.Context) {
	for i := range s.queues {
		s.queues[i] = make(chan *request, queued)
		s.workers.Go(func() {
			for r := range s.queues[i] {
				s.deliver(ctx, r)
			}
		})
	}
}

// dispatch hands the request to its unit's worker.
// The request is the worker's from then on.
func (s *sender) dispatch(ctx context.Context, r *request) error {
	due := r.due
	select {
	case s.queues[r.unit%len(s.queues)] <- r:
	case <-ctx.Done():
		return ctx.Err()
	}
	lag := s.clock.Now().UnixMicro() - due
	s.mu.Lock()
	s.counts.LagMicros = max(s.counts.LagMicros, lag)
	s.mu.Unlock()
	return nil
}

// finish waits until everything handed over was answered or given up.
func (s *sender) finish() {
	for _, q := range s.queues {
		close(q)
	}
	s.workers.Wait()
	s.client.CloseIdleConnections()
}

// answer is the gateway's answer.
type answer struct {
	Accepted  int64
	Duplicate int64
	Rejected  []struct {
		Index  int
		Reason string
	}
}

// deliver sends the request until it is acknowledged or given up.
func (s *sender) deliver(ctx context.Context, r *request) {
	began := s.clock.Now().UnixMicro()
	var a answer
	var err error
	var wait time.Duration
	tries := int64(0)
	for tries < attempts {
		tries++
		if a, wait, err = s.post(ctx, r.body); err == nil || wait == 0 || ctx.Err() != nil {
			break
		}
		pause(ctx, min(wait<<tries, 5*time.Second))
	}
	now := s.clock.Now().UnixMicro()

	s.mu.Lock()
	s.counts.Requests++
	s.counts.Retries += tries - 1
	s.counts.Bytes += int64(len(r.body))
	if err != nil {
		s.counts.Failed++
		s.counts.Unsent += int64(r.reads)
		s.counts.Example = err.Error()
	} else {
		record(s.fromDue, now-r.due)
		record(s.fromSend, now-began)
		s.counts.Accepted += a.Accepted
		s.counts.Duplicate += a.Duplicate
		s.counts.Rejected += int64(len(a.Rejected))
		if len(a.Rejected) > 0 {
			s.counts.Example = a.Rejected[0].Reason
		}
	}
	s.mu.Unlock()

	s.acks[r.unit] = append(s.acks[r.unit], ack{r.firstSeq, int32(r.reads), err != nil, now})
	if err != nil {
		// Not used again: the transport may still be reading the body.
		return
	}
	s.onAck(r, now)
	select {
	case s.free <- r:
	default:
	}
}

// errRefused is an answer that sending again would not change.
var errRefused = errors.New("the gateway refused the request")

// post sends the body once. A wait above zero says that it may be sent again.
func (s *sender) post(ctx context.Context, body []byte) (a answer, wait time.Duration, err error) {
	const again = 50 * time.Millisecond
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return a, 0, fmt.Errorf("making a request: %w", err)
	}
	req.Header.Set("Content-Type", s.kind)
	if s.packing != "" {
		req.Header.Set("Content-Encoding", s.packing)
	}
	if s.key != "" {
		req.Header.Set("Authorization", "Bearer "+s.key)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return a, again, fmt.Errorf("sending reads: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	if err != nil {
		return a, again, fmt.Errorf("reading the gateway's answer: %w", err)
	}
	switch {
	case resp.StatusCode == http.StatusAccepted:
		if err := json.Unmarshal(text, &a); err != nil {
			return a, 0, fmt.Errorf("reading the gateway's answer %.200q: %w", text, err)
		}
		return a, 0, nil
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500:
		wait = again
		if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
			wait = time.Duration(min(seconds, 5)) * time.Second
		}
		return a, wait, fmt.Errorf("the gateway answered %s: %.300s", resp.Status, text)
	default:
		return a, 0, fmt.Errorf("%w: %s: %.300s", errRefused, resp.Status, text)
	}
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// hopeless says why it makes no sense to go on, empty if it does: nothing at
// all has been acknowledged, and that was said often enough.
func (s *sender) hopeless() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts.Accepted == 0 && s.counts.Failed >= int64(2*len(s.queues)) {
		return "no request was ever acknowledged: " + s.counts.Example
	}
	return ""
}

// acknowledged reports whether the unit's read was in an acknowledged request.
// It is called after finish.
func (s *sender) acknowledged(unit int, seq uint64) bool {
	acks := s.acks[unit]
	i := sort.Search(len(acks), func(i int) bool { return acks[i].firstSeq+uint64(acks[i].reads) > seq })
	return i < len(acks) && acks[i].firstSeq <= seq && !acks[i].failed
}
