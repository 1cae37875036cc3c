package load

import (
	"context"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"freeflow/internal/clock"
	"freeflow/loadtest/oracle"
	"freeflow/loadtest/traffic"
)

// Bounds of following passes.
const (
	followers = 8
	// askEvery is the pause between two questions after the same pass. It
	// bounds how much too large a figure can be, together with the time that
	// one answer takes.
	askEvery = 2 * time.Millisecond
	// followFor is how long a pass is followed at most.
	followFor = 10 * time.Second
)

// follower measures, from outside, the time from acknowledgement to posted
// charge: it asks the operators' API after a sample of passes until it shows
// them.
type follower struct {
	clock clock.Clock
	api   *api
	queue chan followed
	work  sync.WaitGroup

	mu sync.Mutex
	// latest holds the time to the first answer with the charge, earliest the
	// one to the last question whose answer was without it: the truth lies
	// between the two.
	latest, earliest *hdrhistogram.Histogram
	counts           followedCounts
}

type followed struct {
	probe
	acked int64
}

type followedCounts struct {
	Followed int64 `json:"followed"`
	// Skipped were not followed because every follower was busy.
	Skipped int64 `json:"skipped"`
	// Late were not seen within followFor.
	Late   int64 `json:"not_seen"`
	Failed int64 `json:"failed"`
}

func newFollower(clk clock.Clock, a *api) *follower {
	return &follower{clock: clk, api: a, queue: make(chan followed, followers), latest: newHistogram(), earliest: newHistogram()}
}

func (f *follower) start(ctx context.Context) {
	for range followers {
		f.work.Go(func() {
			for p := range f.queue {
				f.follow(ctx, p)
			}
		})
	}
}

// acknowledged takes note of a request; it never waits.
func (f *follower) acknowledged(r *request, at int64) {
	for _, p := range r.probes {
		select {
		case f.queue <- followed{p, at}:
		default:
			f.mu.Lock()
			f.counts.Skipped++
			f.mu.Unlock()
		}
	}
}

func (f *follower) finish() {
	close(f.queue)
	f.work.Wait()
}

func (f *follower) follow(ctx context.Context, p followed) {
	asked := p.acked
	for {
		before := f.clock.Now().UnixMicro()
		seen, err := f.api.has(ctx, p.vehicle, span{p.first, p.first + 1})
		after := f.clock.Now().UnixMicro()
		late := after-p.acked > followFor.Microseconds()
		f.mu.Lock()
		switch {
		case err != nil:
			f.counts.Failed++
		case seen:
			f.counts.Followed++
			record(f.latest, after-p.acked)
			record(f.earliest, asked-p.acked)
		case late:
			f.counts.Late++
		}
		f.mu.Unlock()
		if err != nil || seen || late {
			return
		}
		asked = before
		pause(ctx, askEvery)
	}
}

// chooser picks about so many passes a second and says what their charge will
// be called, by the oracle's word on the first read alone: who a read belongs
// to depends on nothing else.
func chooser(c Config, judge *oracle.Judge) func(*traffic.Event) (probe, bool) {
	if c.Probes == 0 || c.Operator == "" {
		return func(*traffic.Event) (probe, bool) { return probe{}, false }
	}
	every := uint64(max(1, c.Rate/float64(c.ReadsPerPass)/c.Probes))
	next := uint64(0)
	return func(e *traffic.Event) (probe, bool) {
		if e.Pass < next || e.Pass%every != 0 {
			return probe{}, false
		}
		next = e.Pass + 1
		rows, err := judge.Rows([]oracle.Read{oracleRead(e)})
		if err != nil || len(rows) != 1 {
			return probe{}, false
		}
		return probe{rows[0].Vehicle, rows[0].TollPoint, e.TimeMicros}, true
	}
}

// oracleRead is the read as the oracle takes it; a city's marks are in their
// normal form already.
func oracleRead(e *traffic.Event) oracle.Read {
	r := oracle.Read{
		Unit: e.Unit, Boot: e.Boot, Seq: e.Seq, TimeMicros: e.TimeMicros, Tag: e.Tag, Plate: e.Plate,
		Class: e.Class, Image: e.Image,
		Antenna: oracle.Number{Value: float64(e.Antenna), Present: e.Antenna != 0},
		RSSI:    oracle.Number{Value: e.RSSI, Present: e.RSSI != 0},
	}
	if e.Confidence >= 0 {
		r.Confidence = oracle.Number{Value: e.Confidence, Present: true}
	}
	return r
}
