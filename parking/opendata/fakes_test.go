package opendata

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/internal/clock"
	"freeflow/internal/web"
	"freeflow/parking"
	"freeflow/parking/tariff"
)

// noon is when the tests begin: 12:00:30 in Hong Kong.
var noon = time.Date(2026, 11, 23, 4, 0, 30, 0, time.UTC)

// sources are what a feed reads; tests change them between requests.
type sources struct {
	mu      sync.Mutex
	sites   []Site
	figures map[string]Figure
	fault   error
	asked   atomic.Int64
	// gate, if not nil, holds readings up until it is closed.
	gate chan struct{}
}

func (s *sources) Sites(ctx context.Context) ([]Site, error) {
	s.asked.Add(1)
	if s.gate != nil {
		select {
		case <-s.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sites, s.fault
}

func (s *sources) Figures(context.Context) (map[string]Figure, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]Figure{}
	for id, figure := range s.figures {
		out[id] = figure
	}
	return out, s.fault
}

func (s *sources) set(id string, figure Figure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.figures == nil {
		s.figures = map[string]Figure{}
	}
	s.figures[id] = figure
}

func (s *sources) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = err
}

var errDown = errors.New("the database is away")

type server struct {
	*echo.Echo
	*sources
	clock *clock.Fixed
	feed  *Feed
}

func newServer(t testing.TB, src *sources) *server {
	t.Helper()
	clk := clock.At(noon)
	log := slog.New(slog.DiscardHandler)
	feed, err := New(Parts{Sites: src, Figures: src, Clock: clk, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	e := web.NewEcho(log, clk)
	feed.Routes(e)
	return &server{e, src, clk, feed}
}

func (s *server) get(path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// bays makes n bays alike.
func bays(prefix string, n int, b parking.Bay) []parking.Bay {
	out := make([]parking.Bay, n)
	for i := range out {
		b.ID = prefix + string(rune('a'+i))
		out[i] = b
	}
	return out
}

func join(groups ...[]parking.Bay) []parking.Bay {
	var out []parking.Bay
	for _, g := range groups {
		out = append(out, g...)
	}
	return out
}

// building is a car park with a bit of everything: 4 ordinary car bays, 2 of
// them with chargers, 1 accessible, 2 of a pool, 3 in a rack, 2 for
// motorcycles, 2 for goods vehicles, 1 for coaches, 1 for minibuses.
func building() *parking.CarPark {
	cars := []string{"private_car"}
	return &parking.CarPark{
		ID: "tdx1", Code: "TDX", Zone: "Asia/Hong_Kong",
		Name: parking.Text{En: "Harbour Car Park", ZhHant: "海港停車場", ZhHans: "海港停车场"},
		Bays: join(
			bays("A-", 2, parking.Bay{Level: "1", Classes: []string{"private_car", "taxi"}, Limits: parking.Limits{HeightMM: 2450}}),
			bays("E-", 2, parking.Bay{Level: "1", Classes: cars, EV: true, Limits: parking.Limits{HeightMM: 2450}}),
			bays("D-", 1, parking.Bay{Level: "1", Classes: cars, EV: true, Accessible: true, Limits: parking.Limits{HeightMM: 2450}}),
			bays("P-", 2, parking.Bay{Level: "2", Classes: cars, Pool: "monthly", Limits: parking.Limits{HeightMM: 2450}}),
			bays("R1-", 3, parking.Bay{Level: "B1", Machine: "R1", Classes: cars,
				Limits: parking.Limits{LengthMM: 5200, WidthMM: 2200, HeightMM: 2000, WeightKG: 2500}}),
			bays("M-", 2, parking.Bay{Level: "G", Classes: []string{"motorcycle"}}),
			bays("H-", 2, parking.Bay{Level: "G", Classes: []string{"mgv", "hgv"}}),
			bays("C-", 1, parking.Bay{Level: "G", Classes: []string{"bus_single", "bus_double"}}),
			bays("B-", 1, parking.Bay{Level: "G", Classes: []string{"public_light_bus", "private_light_bus"}}),
		),
		Machines: []parking.Machine{{ID: "R1", Level: "B1", Mechanism: parking.Puzzle, Tiers: 2, Columns: 2, Depth: 1, Lifts: 1}},
		Pools:    []parking.Pool{{ID: "monthly", Name: parking.Text{En: "Pass holders"}}},
		Published: parking.Published{
			Address:  parking.Text{En: "1 Harbour Road", ZhHant: "海港道1號", ZhHans: "海港道1号"},
			District: parking.Text{En: "Wan Chai", ZhHant: "灣仔區", ZhHans: "湾仔区"},
			Parts: parking.AddressParts{
				Building:    parking.Text{En: "Harbour Building", ZhHant: "海港大廈", ZhHans: "海港大厦"},
				Street:      parking.Text{En: "Harbour Road", ZhHant: "海港道", ZhHans: "海港道"},
				BuildingNo:  parking.Text{En: "1"},
				SubDistrict: parking.Text{En: "Wan Chai", ZhHant: "灣仔", ZhHans: "湾仔"},
				Region:      parking.Text{En: "Hong Kong", ZhHant: "香港", ZhHans: "香港"},
			},
			Latitude: 22.28, Longitude: 114.175, Nature: "government", Kind: "multi-storey",
			Contact: "2345 6789", Photo: "http://example.org/tdx1.jpg",
			Website:    parking.Text{En: "http://example.org/en", ZhHant: "http://example.org/tc"},
			Remark:     parking.Text{En: "Mind the kerb & the bollard", ZhHant: "小心路緣", ZhHans: "小心路缘"},
			Facilities: []string{"washing", "helipad"}, Payments: []string{"octopus", "cash", "shells"},
			Opening: []parking.OpeningHours{
				{Weekdays: []string{"MON", "TUE", "WED", "THU", "FRI"}, ExcludePublicHoliday: true, From: "07:00", To: "23:00"},
				{Weekdays: []string{"SAT", "SUN", "PH"}, From: "07:00", To: "07:00"},
			},
			Created: "2026-01-02", Changed: "2026-10-01 09:30:00",
		},
	}
}

// yard is a car park of which little is published, and nothing in simplified
// Chinese.
func yard() *parking.CarPark {
	return &parking.CarPark{
		ID: "tdx2", Code: "TDY", Zone: "Asia/Hong_Kong",
		Name: parking.Text{En: "Yard", ZhHant: "露天場"},
		Bays: bays("L-", 3, parking.Bay{Level: "G", Classes: []string{"lgv"}}),
		Published: parking.Published{
			Address:  parking.Text{En: "Shek Kok Road", ZhHant: "石角路"},
			Latitude: 22.297, Longitude: 114.273, Kind: "off-street",
		},
	}
}

// prices is a tariff with one entry of every kind, for cars, and little for
// goods vehicles.
func prices() *tariff.Tariff {
	all := []tariff.Day{"MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN", "PH"}
	end := tariff.TimeOfDay(24 * 60)
	words := tariff.Words{English: "not for residents", Traditional: "住戶除外", Simplified: "住户除外"}
	return &tariff.Tariff{ID: "x", Version: "1", Classes: map[string]*tariff.Rules{
		"private_car": {
			GracePeriods: []tariff.GracePeriod{{Minutes: 10}, {Minutes: 20, Remark: words}},
			Bands: []tariff.Band{
				{ID: "day", When: tariff.When{Days: all, From: 7 * 60, To: 23 * 60}, UnitMinutes: 60, Price: 2050,
					Thresholds: []tariff.Threshold{{UntilMinutes: 150, Price: 1800}}, Covered: "semi-covered", Remark: words},
				{ID: "night", When: tariff.When{Days: all[:5], ExcludePublicHoliday: true, From: 23 * 60, To: 7 * 60}, UnitMinutes: 30, Price: 700},
				{ID: "eve", When: tariff.When{Days: []tariff.Day{"PH_EVE"}, From: 0, To: 60}, UnitMinutes: 60, Price: 900},
				{ID: "minute", When: tariff.When{Days: all, From: 0, To: 60}, UnitMinutes: 15, Price: 500},
			},
			Passes: []tariff.Pass{
				{ID: "d", Type: "day-park", When: tariff.When{Days: all, From: 7 * 60, To: 19 * 60}, ValidUntil: "same-day", ValidUntilEnd: &end, Price: 15000, Remark: words},
				{ID: "n", Type: "12-hours-park", When: tariff.When{Days: all, From: 0, To: 1440}, ValidUntil: "no-restrictions", Price: 10000, Covered: "open-air"},
			},
			Monthly: []tariff.Monthly{
				{ID: "m", Type: "monthly-park", Price: 375000, Reserved: "reserved", Covered: "covered"},
				{ID: "q", Type: "quarterly-night-park", Price: 1305050, Ranges: []tariff.When{{Days: all, From: 19 * 60, To: 9 * 60}}, Remark: words},
				{ID: "e", Type: "yearly-park", Price: 1, Ranges: []tariff.When{{Days: []tariff.Day{"PH_EVE"}, From: 0, To: 60}}},
			},
			Unloadings: []tariff.Unloading{{ID: "u", UnitMinutes: 30, Price: 1000, Thresholds: []tariff.Threshold{{UntilMinutes: 60, Price: 0}}, Remark: words}},
			Privileges: []tariff.Privilege{{When: tariff.When{Days: all, From: 8 * 60, To: 20 * 60},
				Description: tariff.Words{English: "2 hours free for cinema guests", Traditional: "戲院顧客免費2小時", Simplified: "戏院顾客免费2小时"}}},
		},
		"hgv":        {GracePeriods: []tariff.GracePeriod{{Minutes: 10}}, Bands: []tariff.Band{{ID: "h", When: tariff.When{Days: all, From: 0, To: 1440}, UnitMinutes: 60, Price: 3000}}},
		"motorcycle": {Unloadings: []tariff.Unloading{{ID: "u", UnitMinutes: 30, Price: 1000}}},
	}}
}

// standard are the two car parks with figures of a minute ago.
func standard() *sources {
	at := noon.Add(-time.Minute)
	return &sources{
		sites: []Site{{CarPark: yard()}, {CarPark: building(), Prices: prices(), Changed: noon.Add(-240 * time.Hour)}},
		figures: map[string]Figure{
			"tdx1": {At: at, Free: map[string]Free{
				"private_car": {General: 5, EV: 1, Accessible: 1}, "taxi": {General: 2}, "motorcycle": {},
				"mgv": {General: 1}, "hgv": {General: 1}, "bus_single": {General: 1}, "bus_double": {General: 1},
				"public_light_bus": {General: 1}, "private_light_bus": {General: 1},
			}},
			"tdx2": {At: at.Add(-time.Hour), Free: map[string]Free{"lgv": {General: 3}}},
		},
	}
}
