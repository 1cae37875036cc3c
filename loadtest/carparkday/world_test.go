package carparkday

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freeflow/billing/books"
	"freeflow/internal/clock"
	"freeflow/internal/web"
	"freeflow/parking"
	"freeflow/parking/attendant"
	"freeflow/parking/cashier"
	"freeflow/parking/finder"
	"freeflow/parking/operator"
	"freeflow/parking/rackemu"
	"freeflow/parking/sites"
	"freeflow/parking/store"
	"freeflow/parking/tariff"
)

const key = "0123456789abcdef-operator"

// registry says who pays for which mark; plates of accounts begin with A, of
// business accounts with B.
type registry struct{}

func (registry) Payer(_ context.Context, tag, plate string, _ time.Time) (cashier.Identity, error) {
	byTag, _ := strings.CutPrefix(tag, "7A6") // "zz" in hex begins a tag of these tests
	name := ""
	if byTag != "" && byTag != tag {
		name = plateOf(byTag)
	}
	id := cashier.Identity{Vehicle: plate}
	switch {
	case name != "" && plate != "" && name != plate && known(plate):
		id.Conflict = true
	case name != "":
		id.Vehicle, id.ByTag = name, true
	}
	if id.Vehicle == "" && tag != "" {
		id.Vehicle = "tag:" + tag
	}
	if known(id.Vehicle) {
		id.Registered, id.Account, id.Class, id.Business = true, "acc-"+id.Vehicle, "private_car", id.Vehicle[0] == 'B'
	}
	return id, nil
}

func known(plate string) bool {
	return plate != "" && (plate[0] == 'A' || plate[0] == 'B') && len(plate) == 6
}

// tagOf is the tag of a known plate, plateOf the plate of what follows "7A6".
func tagOf(plate string) string { return "7A6" + fmt.Sprintf("%X", plate) + "0" }

func plateOf(rest string) string {
	rest = strings.TrimSuffix(rest, "0")
	var b strings.Builder
	for i := 0; i+1 < len(rest); i += 2 {
		var c byte
		if _, err := fmt.Sscanf(rest[i:i+2], "%X", &c); err != nil {
			return ""
		}
		b.WriteByte(c)
	}
	return b.String()
}

// onesite are the sites of these tests: one.
type onesite struct {
	site *parking.CarPark
	text []byte
	book *tariff.Book
}

func (o onesite) All() []*parking.CarPark { return []*parking.CarPark{o.site} }
func (o onesite) CarPark(id string) (*parking.CarPark, bool) {
	return o.site, id == o.site.ID
}
func (o onesite) Tariff(id string) (*tariff.Book, bool) { return o.book, id == o.site.Tariff }
func (o onesite) Definition(context.Context, string) (parking.Definition, error) {
	return parking.Definition{CarPark: o.site.ID, Version: 1, Document: o.text}, nil
}
func (o onesite) Put(context.Context, string, []byte, int64, string) (parking.Definition, error) {
	return parking.Definition{}, parking.ErrConflict
}

// world is a running system on a simulated clock, and the racks.
type world struct {
	t        *testing.T
	clock    *clock.Fixed
	site     *parking.CarPark
	zone     *time.Location
	store    *store.Store
	books    *books.Store
	clerk    *cashier.Clerk
	follower *cashier.Follower
	url      string
	court    *rackemu.Forecourt
	racks    map[string]*rackemu.Rack
	calls    int
}

// dawn is that of a Wednesday without a holiday.
var dawn = time.Date(2026, 11, 25, 6, 0, 0, 0, time.FixedZone("HKT", 8*3600))

func newWorld(t *testing.T, seed uint64, faults rackemu.Faults) *world {
	t.Helper()
	ctx := t.Context()
	site, text, err := sites.Sample("tseung-kwan-o")
	must(t, err)
	prices, err := tariff.Sample(site.Tariff)
	must(t, err)
	holidays, err := tariff.NewHolidays("2026-01-01", "2026-12-25")
	must(t, err)
	book, err := tariff.New([]*tariff.Tariff{prices}, holidays)
	must(t, err)
	one := onesite{site, text, book}
	zone, err := time.LoadLocation(site.Zone)
	must(t, err)
	w := &world{t: t, clock: clock.At(dawn), site: site, zone: zone, court: rackemu.NewForecourt(), racks: map[string]*rackemu.Rack{}}
	url := "sqlite:" + filepath.Join(t.TempDir(), "books.db")
	log := slog.New(slog.DiscardHandler)
	w.books, err = books.Open(ctx, url, books.Options{Migrate: true, Clock: w.clock, Logger: log, MaxPosters: 1})
	must(t, err)
	w.store, err = store.Open(ctx, url, store.Options{Migrate: true, Clock: w.clock, Logger: log})
	must(t, err)
	keeper, err := attendant.New(attendant.Parts{Bays: w.store, Keeping: w.store, CarParks: one.All(), Clock: w.clock, Log: log})
	must(t, err)
	till, err := cashier.New(cashier.Parts{Keeping: w.store, Sites: one, Payers: registry{}, Clock: w.clock, Log: log})
	must(t, err)
	w.clerk, err = cashier.NewClerk(cashier.ClerkParts{Ledger: w.store, Keeping: w.store, Charging: w.books, Clock: w.clock, Log: log})
	must(t, err)
	w.follower, err = cashier.NewFollower(cashier.FollowerParts{Changes: w.store, Cashier: till, Clock: w.clock, Log: log})
	must(t, err)
	seek, err := finder.New(finder.Parts{Keeping: w.store, Attendant: keeper, Prices: till, Sites: one, Clock: w.clock, Log: log})
	must(t, err)
	api, err := operator.New(operator.Parts{Attendant: keeper, Cashier: till, Keeping: w.store, Sites: one, Finder: seek, Clock: w.clock, Log: log})
	must(t, err)
	guard, err := web.Bearer(web.Key{Name: "operator", Secret: key})
	must(t, err)
	e := web.NewEcho(log, w.clock)
	api.Routes(e, guard)
	server := httptest.NewServer(e)
	w.url = server.URL
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = keeper.Run(running) // ends with its context
	}()
	t.Cleanup(func() {
		server.Close()
		stop()
		<-done
		must(t, w.store.Close())
		must(t, w.books.Close())
	})
	for i, m := range site.Machines {
		w.racks[m.ID], err = rackemu.New(rackemu.Settings{
			CarPark: site, Machine: m.ID, Clock: w.clock, Log: log, Forecourt: w.court, Faults: faults, Seed: seed*100 + uint64(i),
			API: rackemu.NewClient(w.url, key, site.ID, m.ID, fmt.Sprint(seed), server.Client()),
		})
		must(t, err)
	}
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// call asks the API and decodes the answer; it returns the status.
func (w *world) call(method, path string, body, answer any) int {
	w.t.Helper()
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		must(w.t, err)
		sent = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, sent)
	must(w.t, err)
	request.Header.Set("Authorization", "Bearer "+key)
	w.calls++
	request.Header.Set("Idempotency-Key", fmt.Sprintf(`"call-%d"`, w.calls))
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	must(w.t, err)
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	must(w.t, err)
	if answer != nil && response.StatusCode/100 == 2 {
		if err := json.Unmarshal(said, answer); err != nil {
			w.t.Fatalf("%s %s: %v: %s", method, path, err, said)
		}
	}
	if response.StatusCode >= 500 || response.StatusCode == http.StatusBadRequest {
		w.t.Fatalf("%s %s: %s: %s", method, path, response.Status, said)
	}
	return response.StatusCode
}

// good is call where only success will do.
func (w *world) good(method, path string, body, answer any) {
	w.t.Helper()
	if status := w.call(method, path, body, answer); status/100 != 2 {
		w.t.Fatalf("%s %s answered %d", method, path, status)
	}
}

func (w *world) park(path string) string { return "/v1/carparks/" + w.site.ID + path }
