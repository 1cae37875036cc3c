package finder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"freeflow/internal/clock"
	"freeflow/parking"
	"freeflow/parking/attendant"
	"freeflow/parking/cashier"
	"freeflow/parking/store"
	"freeflow/parking/tariff"
)

// noon in Hong Kong, on a Tuesday.
var noon = time.Date(2026, 11, 24, 4, 0, 0, 0, time.UTC)

// origin is the destination of most drivers, in degrees × 10⁷.
const originLat, originLon = int64(223_000_000), int64(1_141_700_000)

// prices are cents an hour, by car park; none is no tariff.
type prices struct {
	mu    sync.Mutex
	cents map[string]int64
	asked int
}

func (p *prices) Price(_ context.Context, r cashier.QuoteRequest) (cashier.Quote, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	each, ok := p.cents[r.CarPark]
	if !ok {
		return cashier.Quote{}, errors.New("no tariff")
	}
	hours := int64((r.To.Sub(r.From) + time.Hour - 1) / time.Hour)
	q := tariff.Quote{TotalCents: each * hours, Receipt: tariff.Receipt{Currency: "HKD"}}
	return cashier.Quote{CarPark: r.CarPark, Quote: q}, nil
}

// places are the car parks in force.
type places struct {
	mu  sync.Mutex
	all []*parking.CarPark
}

func (p *places) All() []*parking.CarPark {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*parking.CarPark(nil), p.all...)
}

// site is a car park some metres north of the origin, with ordinary bays and a
// bookable pool.
func site(id string, north int64, bays, pool int) *parking.CarPark {
	p := &parking.CarPark{ID: id, Code: "C" + id, Name: parking.Text{En: "Park " + id}, Zone: "Asia/Hong_Kong", ClockStart: parking.AtEntry, ClockStop: parking.AtExit}
	p.Published.Latitude = float64(originLat+north*90) / 1e7 // 9.0e-6 degrees a metre, nearly
	p.Published.Longitude = float64(originLon) / 1e7
	for i := range bays {
		p.Bays = append(p.Bays, parking.Bay{ID: fmt.Sprintf("G-%03d", i), Level: "G", Classes: []string{"private_car"}})
	}
	if pool > 0 {
		p.Pools = []parking.Pool{{ID: "book", Bookable: true}}
		for i := range pool {
			p.Bays = append(p.Bays, parking.Bay{ID: fmt.Sprintf("P-%03d", i), Level: "G", Classes: []string{"private_car"}, Pool: "book"})
		}
	}
	return p
}

// town is a finder over real parts; process makes one more over the same
// database.
type town struct {
	*testing.T
	url    string
	clock  *clock.Fixed
	prices *prices
	places *places
	process
}

type process struct {
	store  *store.Store
	att    *attendant.Attendant
	finder *Finder
}

func sqliteURL(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "parking.db") }

func newTown(t *testing.T, url string, cents map[string]int64, parks ...*parking.CarPark) *town {
	t.Helper()
	w := &town{T: t, url: url, clock: clock.At(noon), prices: &prices{cents: cents}, places: &places{all: parks}}
	w.process = w.start()
	return w
}

func (w *town) start() process {
	w.Helper()
	log := slog.New(slog.DiscardHandler)
	var p process
	var err error
	if p.store, err = store.Open(w.Context(), w.url, store.Options{Migrate: true, Clock: w.clock, Logger: log}); err != nil {
		w.Fatal(err)
	}
	p.att, err = attendant.New(attendant.Parts{Bays: p.store, Keeping: p.store, CarParks: w.places.All(), Clock: w.clock, Log: log,
		Settings: attendant.Settings{ViewAge: time.Nanosecond, SweepEvery: time.Hour, RefreshEvery: 10 * time.Millisecond}})
	if err != nil {
		w.Fatal(err)
	}
	p.finder, err = New(Parts{Keeping: p.store, Attendant: p.att, Prices: w.prices, Sites: w.places, Clock: w.clock, Log: log})
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := p.att.Run(ctx); err != nil {
			w.Error(err)
		}
	})
	w.Cleanup(func() {
		cancel()
		wg.Wait()
		checks, err := p.store.Verify(context.Background())
		if err != nil {
			w.Error(err)
		}
		for _, c := range checks {
			for _, v := range c.Violations {
				w.Errorf("%s: %s", c.Invariant, v)
			}
		}
		if err := p.store.Close(); err != nil {
			w.Error(err)
		}
	})
	return p
}

// wish is a request like most.
func wish(plate string) parking.SpaceRequest {
	return parking.SpaceRequest{Vehicle: parking.Vehicle{Plate: plate, Class: "private_car"}, LatE7: originLat, LonE7: originLon, StayMinutes: 60,
		MaxPriceCents: 10_000, MaxWalkMetres: 2000, LambdaPerMille: 500}
}

func (w *town) ask(r parking.SpaceRequest) string {
	w.Helper()
	got, err := w.finder.Ask(w.Context(), r, parking.Keep[Seen]{})
	if err != nil {
		w.Fatal(err)
	}
	return got.Value.ID
}

// round waits until a round is due and holds it.
func (w *town) round() parking.SpaceRound {
	w.Helper()
	w.clock.Advance(5 * time.Second)
	got, held, err := w.finder.Round(w.Context())
	if err != nil || !held {
		w.Fatalf("no round: held %t, %v", held, err)
	}
	if sum := got.Waiting + got.Assigned + got.Kept + got.Moved; sum != got.Drivers {
		w.Errorf("of %d drivers %d are accounted for: %+v", got.Drivers, sum, got)
	}
	return got
}

func (w *town) find(id string) Seen {
	w.Helper()
	got, err := w.finder.Find(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	return got
}

// stands wants a request in a state, at a car park unless that is empty.
func (w *town) stands(id string, state parking.SpaceState, carPark string) Seen {
	w.Helper()
	got := w.find(id)
	at := ""
	if got.Place != nil {
		at = got.Place.CarPark
	}
	if got.State != state || carPark != "" && at != carPark {
		w.Errorf("is %s at %q, want %s at %q: %s", got.State, at, state, carPark, got.Why)
	}
	return got
}

// park gives a car a bay, by the reservation of its request where it has one.
func (w *town) park(carPark, plate string) parking.Allocation {
	w.Helper()
	held, err := w.finder.ReservationOf(w.Context(), carPark, plate)
	if err != nil {
		w.Fatal(err)
	}
	got, err := w.att.Allocate(w.Context(), attendant.AllocateRequest{CarPark: carPark, Vehicle: parking.Vehicle{Plate: plate, Class: "private_car"}, Reservation: held},
		attendant.Keep[attendant.Given]{})
	if err != nil {
		w.Fatal(err)
	}
	return got.Value.Allocation
}

func (w *town) reservation(id string) (r parking.Reservation) {
	w.Helper()
	err := w.store.View(w.Context(), func(tx parking.Tx) (err error) {
		r, err = tx.Reservation(w.Context(), id)
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return r
}
