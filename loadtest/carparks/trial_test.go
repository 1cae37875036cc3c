package carparks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"freeflow/internal/clock"
)

const (
	// clients is how many ask at once.
	clients = 500
	// mostTries bounds how often a client repeats a request whose outcome it
	// does not know, and tryTime one try.
	mostTries = 400
	tryTime   = 10 * time.Second
	// trialTime bounds one car park's trial; it ends a hang, nothing waits for it.
	trialTime = 3 * time.Minute
)

// world is two processes over one database.
type world struct {
	seed    uint64
	books   books
	servers [2]*server
}

// books is the database that the processes share.
type books struct {
	url string
	// pairs asks the database itself, past the product; the query gives two
	// columns of text.
	pairs func(ctx context.Context, query string) ([][2]string, error)
}

func newWorld(t *testing.T, b books, program string) *world {
	t.Helper()
	w := &world{seed: *seed, books: b}
	if w.seed == 0 {
		w.seed = rand.Uint64()
	}
	t.Logf("seed %d; once more: go test ./loadtest/carparks -run '%s' -seed %d", w.seed, t.Name(), w.seed)
	client := &http.Client{Transport: &http.Transport{MaxIdleConns: 4 * clients, MaxIdleConnsPerHost: 2 * clients}}
	t.Cleanup(client.CloseIdleConnections)
	var starts sync.WaitGroup
	for i := range w.servers {
		s := newServer(t, fmt.Sprint("process-", i), program, b.url, client)
		w.servers[i] = s
		// At once, so that they meet over the empty database too.
		starts.Go(func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if err := s.start(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	starts.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return w
}

// trial is one car park under fire.
type trial struct {
	*testing.T
	*world
	site  site
	clock nanos
	ctx   context.Context

	// sent counts requests, answered their answers; at some of both a process
	// is killed.
	sent, answered atomic.Int64
	strikes        sync.WaitGroup
	// struck counts requests that were left without an answer, repeated those
	// that were sent again for any reason.
	struck, repeated atomic.Int64

	mu sync.Mutex
	// rng draws pauses; atSend and atAnswer say at which request, or after
	// which answer, which process is killed.
	rng              *rand.Rand
	atSend, atAnswer map[int64]int
	killed           int
	history          []operation
	// answers counts what was answered, by status and problem.
	answers map[string]int
}

func (w *world) newTrial(t *testing.T, s site) *trial {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), trialTime)
	t.Cleanup(cancel)
	tr := &trial{
		T: t, world: w, site: s, clock: nanos{origin: clock.System{}.Now()}, ctx: ctx,
		rng: rand.New(rand.NewPCG(w.seed, uint64(len(s.bays)))), atSend: map[int64]int{}, atAnswer: map[int64]int{}, answers: map[string]int{},
	}
	// Whatever ends the test, no process is being started behind its back.
	t.Cleanup(tr.strikes.Wait)
	a, err := w.servers[0].send(ctx, http.MethodPut, "/v1/carparks/"+s.id, "", s.file)
	if err != nil || a.status != http.StatusCreated {
		t.Fatalf("putting the car park: %v, %v", a, err)
	}
	for _, server := range w.servers {
		if err := await(ctx, startTime, func() error { return server.knows(ctx, s.id) }); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

func (s *server) knows(ctx context.Context, carPark string) error {
	a, err := s.send(ctx, http.MethodGet, "/v1/carparks/"+carPark, "", "")
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("asking for the car park: %v", a)
	}
	return err
}

// kills plans so many kills: the first among the next requests, the others after
// the next answers. Which exactly, of how many of both, is drawn.
func (t *trial) kills(n int, among int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	victim := t.rng.IntN(len(t.servers))
	t.atSend[t.sent.Load()+1+among/4+t.rng.Int64N(among*3/4)] = victim
	for range n - 1 {
		victim = (victim + 1) % len(t.servers)
		t.atAnswer[t.answered.Load()+1+t.rng.Int64N(among)] = victim
	}
}

// shoot kills a process if that is planned for this point.
func (t *trial) shoot(plan map[int64]int, point int64, late time.Duration) {
	t.mu.Lock()
	victim, now := plan[point]
	pause := time.Duration(t.rng.Int64N(int64(late) + 1))
	if now {
		t.killed++
	}
	t.mu.Unlock()
	if !now {
		return
	}
	t.strikes.Go(func() {
		<-time.After(pause) // so that it is drawn what the process is at
		if err := t.servers[victim].strike(t.ctx); err != nil && t.ctx.Err() == nil {
			t.Errorf("starting process %d again: %v", victim, err)
		}
	})
}

// pause waits a moment, drawn up to the most.
func (t *trial) pause(most time.Duration) {
	t.mu.Lock()
	d := time.Duration(t.rng.Int64N(int64(most)))
	t.mu.Unlock()
	select {
	case <-time.After(d):
	case <-t.ctx.Done():
	}
}

// ask sends a request until its outcome is known, to one process and then the
// other, always with the same key.
func (t *trial) ask(client int, path, key, body string) (a answer, call, ret int64, err error) {
	call = t.clock.now()
	for try := range mostTries {
		if try > 0 {
			t.repeated.Add(1)
			t.pause(50 * time.Millisecond)
		}
		t.shoot(t.atSend, t.sent.Add(1), 0)
		ctx, cancel := context.WithTimeout(t.ctx, tryTime)
		a, err = t.servers[(client+try)%len(t.servers)].send(ctx, http.MethodPost, path, key, body)
		cancel()
		switch {
		case t.ctx.Err() != nil:
			return a, call, forever, t.ctx.Err()
		case err != nil:
			t.struck.Add(1)
			continue
		}
		t.shoot(t.atAnswer, t.answered.Add(1), 5*time.Millisecond)
		t.mu.Lock()
		t.answers[strings.TrimSpace(fmt.Sprint(a.status, " ", a.problem()))]++
		t.mu.Unlock()
		if a.status < http.StatusInternalServerError && a.problem() != "idempotency-key-busy" {
			return a, call, t.clock.now(), nil
		}
	}
	return a, call, forever, errors.Join(fmt.Errorf("after %d tries the outcome of %s is not known: %v", mostTries, key, a), err)
}

// driver is one client with its vehicle.
type driver struct {
	number int
	// visit counts its requests for a bay.
	visit int
	// allocation and bay are what it has; empty if none.
	allocation, bay string
}

func (d *driver) request() (key, body string) {
	return fmt.Sprintf("take-%d-%d", d.number, d.visit), fmt.Sprintf(
		`{"vehicle":{"plate":"PRF%04d","class":"private_car","length_mm":4600,"width_mm":1800,"height_mm":1500,"weight_kg":1600},"expected_stay_minutes":60}`, d.number)
}

// take has the driver ask for a bay, and returns the answer: the driver has one
// then, or there is none.
func (t *trial) take(d *driver) (answer, error) {
	d.visit++
	key, body := d.request()
	a, call, ret, err := t.ask(d.number, "/v1/carparks/"+t.site.id+"/allocations", t.site.id+"-"+key, body)
	if err != nil {
		return a, err
	}
	o := operation{client: d.number, kind: refused, call: call, ret: ret}
	switch {
	case a.status == http.StatusCreated:
		var given struct{ ID, Bay string }
		if err := json.Unmarshal(a.body, &given); err != nil {
			return a, err
		}
		o.kind, o.allocation, o.bay = take, given.ID, slices.Index(t.site.bays, given.Bay)
		d.allocation, d.bay = given.ID, given.Bay
	case a.status == http.StatusConflict && a.problem() == "no-bay":
	default:
		return a, fmt.Errorf("asking for a bay: %v", a)
	}
	t.note(o)
	return a, nil
}

// leave has the driver give its bay back.
func (t *trial) leave(d *driver) error {
	key := fmt.Sprintf("%s-leave-%d-%d", t.site.id, d.number, d.visit)
	a, call, ret, err := t.ask(d.number, "/v1/allocations/"+d.allocation+"/release", key, "")
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return fmt.Errorf("leaving bay %s: %v", d.bay, a)
	}
	t.note(operation{client: d.number, kind: leave, bay: slices.Index(t.site.bays, d.bay), allocation: d.allocation, call: call, ret: ret})
	d.allocation, d.bay = "", ""
	return nil
}

func (t *trial) note(o operation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.history = append(t.history, o)
}

// all has every driver do something at once, and waits for them and for the
// kills.
func (t *trial) all(drivers []*driver, do func(*driver) error) {
	t.Helper()
	var wg sync.WaitGroup
	var failures atomic.Int64
	for _, d := range drivers {
		wg.Go(func() {
			if err := do(d); err != nil && failures.Add(1) <= 5 {
				t.Errorf("client %d: %v", d.number, err)
			}
		})
	}
	wg.Wait()
	t.strikes.Wait()
	if t.Failed() {
		t.Fatalf("seed %d: %d clients failed; answers %v", t.seed, failures.Load(), t.answers)
	}
}

// holders are the drivers who have a bay.
func holders(drivers []*driver) []*driver {
	return slices.Collect(func(yield func(*driver) bool) {
		for _, d := range drivers {
			if d.allocation != "" && !yield(d) {
				return
			}
		}
	})
}

// verify has the product prove its invariants.
func (t *trial) verify() {
	t.Helper()
	out, err := exec.CommandContext(t.ctx, *binary, "verify", "--books", t.books.url, "--json").Output()
	var result struct {
		Holds  bool
		Checks []struct {
			Invariant string
			Rows      int64
		}
	}
	if failed := json.Unmarshal(out, &result); err != nil || failed != nil || !result.Holds {
		t.Errorf("seed %d: freeflow verify: %v, %v\n%s", t.seed, err, failed, out)
		return
	}
	for _, c := range result.Checks {
		if c.Invariant == "parking-bays-hold-one" && c.Rows > 0 {
			return
		}
	}
	t.Errorf("freeflow verify did not look at any bay:\n%s", out)
}

// overlapping are pairs of allocations that held one bay at one time.
const overlapping = `SELECT a.id, b.id FROM parking_allocation a JOIN parking_allocation b
	ON b.car_park = a.car_park AND b.bay = a.bay AND b.id > a.id
	WHERE (b.ended_micros = 0 OR a.since_micros < b.ended_micros) AND (a.ended_micros = 0 OR b.since_micros < a.ended_micros)`

// query asks the database itself; the rows come back in order.
func (t *trial) query(query string) [][2]string {
	t.Helper()
	rows, err := t.books.pairs(t.ctx, query)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(rows, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	return rows
}

// inspect holds the database and the history against each other and against
// what must be.
func (t *trial) inspect(when string, drivers []*driver) {
	t.Helper()
	if rows := t.query(overlapping); len(rows) > 0 {
		t.Errorf("seed %d, %s: %d pairs of allocations overlap, the first %v", t.seed, when, len(rows), rows[0])
	}
	var held, known [][2]string
	for _, d := range holders(drivers) {
		held = append(held, [2]string{d.allocation, d.bay})
	}
	for _, o := range t.history {
		if o.kind == take {
			known = append(known, [2]string{o.allocation, t.site.bays[o.bay]})
		}
	}
	const of = `SELECT id, bay FROM parking_allocation WHERE car_park = '`
	t.same(when+", bays taken now", held, t.query(of+t.site.id+`' AND ended_micros = 0`))
	t.same(when+", allocations in all", known, t.query(of+t.site.id+`'`))
	began := t.clock.now()
	if why := judge(t.history, len(t.site.bays)); why != "" {
		t.Errorf("seed %d, %s: the history is not linearizable: %s", t.seed, when, why)
	}
	took := time.Duration(t.clock.now() - began)
	t.verify()
	t.Logf("%s: %d operations, searched for an order in %v; %d kills; %d requests, %d left without an answer, %d repeated; answers %v",
		when, len(t.history), took.Round(time.Millisecond), t.killed, t.sent.Load(), t.struck.Load(), t.repeated.Load(), t.answers)
}

// same compares what the clients know with what the database holds.
func (t *trial) same(what string, known, stored [][2]string) {
	t.Helper()
	slices.SortFunc(known, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	if !slices.Equal(known, stored) {
		t.Errorf("seed %d, %s: the clients know of %d, the database of %d\n%v\n%v", t.seed, what, len(known), len(stored), known, stored)
	}
}
