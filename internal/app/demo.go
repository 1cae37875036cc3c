package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"freeflow/internal/clock"
	"freeflow/loadtest/traffic"
)

const (
	// demoSeed makes the same vehicles at every start, so that the registry of
	// the first start knows those of the next.
	demoSeed = 852
	// demoVehicles pass at five reads each; one in demoOwn is the motorist's.
	demoVehicles, demoOwn = 2000, 100
	// demoBeat is how often the units send what they have read.
	demoBeat = 200 * time.Millisecond
)

// demo sends a city's traffic to the gateway as roadside units would, until ctx
// ends. Where the registry is empty it is filled with the city's vehicles.
func (s *system) demo(ctx context.Context, gatewayAddr string) error {
	if s.parts.network.Name() != "hongkong" {
		return errDemoNetwork
	}
	start := s.env.Clock.Now()
	city := traffic.Typical(demoSeed, start)
	city.Rate, city.Vehicles = s.flags.demoRate, demoVehicles
	city.Boot = start.Format("20060102T150405")
	city.Account = func(vehicle int) string {
		if vehicle%demoOwn == 0 {
			return s.secrets.Motorist.Account
		}
		return fmt.Sprintf("D%05d", vehicle)
	}
	version, err := s.parts.books.RegistryVersion(ctx)
	if err != nil {
		return fmt.Errorf("reading the registry's version: %w", err)
	}
	if version == 0 {
		var csv bytes.Buffer
		if err := city.WriteRegistry(&csv); err != nil {
			return fmt.Errorf("making the demo's registry: %w", err)
		}
		if _, _, err := s.keeper.Put(ctx, &csv); err != nil {
			return fmt.Errorf("putting the demo's registry in force: %w", err)
		}
	}
	cars, err := city.New()
	if err != nil {
		return fmt.Errorf("making the demo's traffic: %w", err)
	}
	s.group.Go(func() error {
		d := &demo{system: s, url: "http://" + gatewayAddr + "/v1/reads", clock: s.env.Clock, cars: cars, client: &http.Client{Timeout: 10 * time.Second}}
		d.run(ctx)
		return nil
	})
	return nil
}

type demo struct {
	*system
	url    string
	clock  clock.Clock
	cars   *traffic.CityTraffic
	client *http.Client
}

// run sends each beat's reads, one request a unit.
func (d *demo) run(ctx context.Context) {
	tick := time.NewTicker(demoBeat)
	defer tick.Stop()
	event := d.cars.Next()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := d.clock.Now().UnixMicro()
		bodies := map[string][]byte{}
		for ; event.TimeMicros <= now; event = d.cars.Next() {
			body := event.AppendJSON(bodies[event.Unit])
			bodies[event.Unit] = append(body, '\n')
		}
		for _, body := range bodies {
			if err := d.send(ctx, body); err != nil && ctx.Err() == nil {
				d.log.WarnContext(ctx, "demo reads not taken", "err", err)
			}
		}
	}
}

func (d *demo) send(ctx context.Context, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-ndjson")
	request.Header.Set("Authorization", "Bearer "+d.secrets.UnitKey)
	response, err := d.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20)); err != nil {
		return err
	}
	if response.StatusCode != http.StatusAccepted {
		return fmt.Errorf("the gateway answered %s", response.Status)
	}
	return nil
}
