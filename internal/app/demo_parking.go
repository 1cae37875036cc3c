package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"freeflow/billing"
	"freeflow/parking"
	"freeflow/parking/rackemu"
	"freeflow/rsu"
)

const (
	// demoCarPark is where the demo's drivers park: racks with emulated
	// controllers. The other car parks stand empty, for the visitor to try.
	demoCarPark = "tdc335p1"
	// demoArrivals is how often a car comes, on average; demoInside bounds how
	// many are there at once.
	demoArrivals = 12 * time.Second
	demoInside   = 120
	// demoStayLeast and demoStayMost bound a stay.
	demoStayLeast, demoStayMost = 4 * time.Minute, 25 * time.Minute
	// demoPoll is how often a driver looks whether the car is there.
	demoPoll = 2 * time.Second
	// demoPatience ends the wait for a car that a person would have to see to.
	demoPatience = 30 * time.Minute
)

// demoFaults are the emulated racks' faults, in thousandths.
var demoFaults = rackemu.Faults{Refuse: 5, Stall: 5, LoseReply: 5, Repeat: 10}

// parkingDemo are drivers who park at one automated car park, its lanes and its
// racks' controllers, all of them clients of the system from outside.
type parkingDemo struct {
	*system
	site      *parking.CarPark
	client    *http.Client
	forecourt *rackemu.Forecourt
	cars      []billing.Assignment
	boot      string
}

// demoParking starts them. There must be a registry.
func (s *system) demoParking(ctx context.Context) error {
	site, ok := s.sites.CarPark(demoCarPark)
	if !ok {
		return nil // it was taken out, or never set up
	}
	rows, _, err := s.parts.books.Registry(ctx)
	if err != nil {
		return fmt.Errorf("reading the registry for the demo: %w", err)
	}
	d := &parkingDemo{
		system: s, site: site, client: &http.Client{Timeout: 10 * time.Second}, forecourt: rackemu.NewForecourt(),
		boot: "demo-" + rand.Text(),
	}
	for _, row := range rows {
		if row.Plate != "" && row.Account != "" && row.Class == "private_car" {
			d.cars = append(d.cars, row)
		}
	}
	if len(d.cars) == 0 {
		return nil
	}
	base := "http://" + s.address("operator")
	for i := range site.Machines {
		id := site.Machines[i].ID
		rack, err := rackemu.New(rackemu.Settings{
			CarPark: site, Machine: id, Clock: s.env.Clock, Log: s.log, Forecourt: d.forecourt, Faults: demoFaults,
			Seed: mathrand.Uint64(), API: rackemu.NewClient(base, s.secrets.OperatorKey, site.ID, id, d.boot, d.client),
		})
		if err != nil {
			return fmt.Errorf("emulating rack %s for the demo: %w", id, err)
		}
		s.group.Go(func() error { rack.Run(ctx, 1); return nil })
	}
	s.group.Go(func() error { d.arrivals(ctx); return nil })
	return nil
}

// arrivals sends drivers, one after another, until ctx ends.
func (d *parkingDemo) arrivals(ctx context.Context) {
	places := make(chan struct{}, demoInside)
	reads := make(chan laneRead, demoInside)
	d.group.Go(func() error { d.lanes(ctx, reads); return nil })
	for {
		pause := time.Duration(mathrand.ExpFloat64() * float64(demoArrivals))
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(pause, 5*demoArrivals)):
		}
		select {
		case places <- struct{}{}:
		default:
			continue // full enough
		}
		car := d.cars[mathrand.IntN(len(d.cars))]
		d.group.Go(func() error {
			defer func() { <-places }()
			if err := d.visit(ctx, car, reads); err != nil && ctx.Err() == nil {
				d.log.WarnContext(ctx, "a demo driver gave up", "err", err)
			}
			return nil
		})
	}
}

// laneRead is a car at a lane.
type laneRead struct {
	unit string
	at   time.Time
	car  billing.Assignment
}

// lanes sends what the lanes read to the gateway, numbered as each lane's unit
// would.
func (d *parkingDemo) lanes(ctx context.Context, reads <-chan laneRead) {
	seq := map[string]uint64{}
	sender := &demo{system: d.system, url: "http://" + d.address("gateway") + "/v1/reads", client: d.client}
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-reads:
			seq[r.unit]++
			body, err := json.Marshal(map[string]any{
				"unit": r.unit, "boot": d.boot, "seq": seq[r.unit], "time": r.at.Format(time.RFC3339Nano),
				"tag": r.car.Tag, "plate": r.car.Plate, "plate_confidence": 0.97,
			})
			if err != nil {
				d.log.ErrorContext(ctx, "a demo read could not be encoded", "err", err)
				continue
			}
			if err := sender.send(ctx, body); err != nil && ctx.Err() == nil {
				d.log.WarnContext(ctx, "a demo lane's read was not taken", "err", err)
			}
		}
	}
}

// read hands a lane's read of the car over.
func (d *parkingDemo) read(ctx context.Context, lane string, car billing.Assignment, reads chan<- laneRead) {
	select {
	case reads <- laneRead{lane, d.env.Clock.Now(), car}:
	case <-ctx.Done():
	}
}

// visit is one driver's stay.
func (d *parkingDemo) visit(ctx context.Context, car billing.Assignment, reads chan<- laneRead) error {
	stay := demoStayLeast + time.Duration(mathrand.Int64N(int64(demoStayMost-demoStayLeast)))
	d.read(ctx, d.site.Code+"-IN-1", car, reads)
	var given struct{ ID, Machine, State string }
	err := d.post(ctx, "/v1/carparks/"+d.site.ID+"/allocations", map[string]any{
		"vehicle": map[string]any{
			"plate": rsu.NormalizePlate(car.Plate), "tag": car.Tag, "class": car.Class,
			"length_mm": 4200 + mathrand.IntN(800), "width_mm": 1750 + mathrand.IntN(200), "height_mm": 1400 + mathrand.IntN(400), "weight_kg": 1200 + mathrand.IntN(900),
		},
		"expected_stay_minutes": int(stay / time.Minute),
	}, &given)
	if err != nil {
		return err
	}
	d.forecourt.Arrive(given.ID)
	if err := sleep(ctx, stay); err != nil {
		return err
	}
	if given.Machine == "" {
		err = d.post(ctx, "/v1/allocations/"+given.ID+"/release", nil, nil)
	} else if err = d.post(ctx, "/v1/allocations/"+given.ID+"/retrieval", nil, nil); err == nil {
		err = d.awaitGone(ctx, given.ID)
	}
	if err != nil {
		return err
	}
	d.read(ctx, d.site.Code+"-OUT-1", car, reads)
	return nil
}

// awaitGone waits until the car has left the rack.
func (d *parkingDemo) awaitGone(ctx context.Context, id string) error {
	for waited := time.Duration(0); waited < demoPatience; waited += demoPoll {
		if err := sleep(ctx, demoPoll); err != nil {
			return err
		}
		var now struct{ State string }
		if err := d.call(ctx, http.MethodGet, "/v1/allocations/"+id, nil, &now); err != nil {
			return err
		}
		if parking.State(now.State).Final() {
			return nil
		}
	}
	return errors.New("the car did not come; an alarm stands")
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (d *parkingDemo) post(ctx context.Context, path string, body, answer any) error {
	return d.call(ctx, http.MethodPost, path, body, answer)
}

// call asks the operators' API.
func (d *parkingDemo) call(ctx context.Context, method, path string, body, answer any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+d.address("operator")+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+d.secrets.OperatorKey)
	request.Header.Set("Idempotency-Key", strconv.Quote(rand.Text()))
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := d.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s", method, path, response.Status)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(said, answer)
}
