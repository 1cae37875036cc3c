package opendata

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"freeflow/parking"
)

// classesOf is what each type of the specification may be counted by, written
// down here again.
var classesOf = map[string][]string{
	"privateCar": {"private_car"}, "LGV": {"lgv"}, "HGV": {"mgv", "hgv"}, "CV": {},
	"coach": {"bus_single", "bus_double"}, "motorCycle": {"motorcycle"},
}

var allTypes = []string{"privateCar", "LGV", "HGV", "CV", "coach", "motorCycle"}

// world is a made-up town: car parks, and the bays that are really free.
type world struct {
	sites   []Site
	figures map[string]Figure
	free    map[string][]*parking.Bay
}

var classNames = []string{"private_car", "taxi", "lgv", "mgv", "hgv", "bus_single", "bus_double", "motorcycle", "public_light_bus"}

func drawWorld(t *rapid.T) *world {
	w := &world{figures: map[string]Figure{}, free: map[string][]*parking.Bay{}}
	text := func(en string) parking.Text {
		out := parking.Text{En: en}
		if rapid.Bool().Draw(t, "traditional") {
			out.ZhHant = en + "車"
		}
		if rapid.Bool().Draw(t, "simplified") {
			out.ZhHans = en + "车"
		}
		return out
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "sites") {
		c := &parking.CarPark{ID: fmt.Sprintf("p%d", i), Name: text("Park"), Published: parking.Published{
			Address: text("Road"), District: text("District"),
			Longitude: float64(rapid.IntRange(11400, 11404).Draw(t, "longitude")) / 100,
			Latitude:  float64(rapid.IntRange(2230, 2234).Draw(t, "latitude")) / 100,
			Kind:      rapid.SampledFrom([]string{"", "multi-storey", "off-street", "cave"}).Draw(t, "kind"),
		}}
		for j := range rapid.IntRange(0, 12).Draw(t, "bays") {
			b := parking.Bay{
				ID:      fmt.Sprint(j),
				Classes: rapid.SliceOfNDistinct(rapid.SampledFrom(classNames), 1, 3, rapid.ID).Draw(t, "classes"),
				EV:      rapid.Bool().Draw(t, "ev"),
				Limits:  parking.Limits{HeightMM: rapid.SampledFrom([]int{0, 1999, 2000, 2450}).Draw(t, "height")},
			}
			b.Accessible = rapid.IntRange(0, 4).Draw(t, "accessible") == 0
			if rapid.IntRange(0, 4).Draw(t, "pool") == 0 {
				b.Pool = "passes"
			}
			if rapid.Bool().Draw(t, "machine") {
				b.Machine = "R1"
			}
			c.Bays = append(c.Bays, b)
		}
		site := Site{CarPark: c}
		if rapid.Bool().Draw(t, "priced") {
			site.Prices = prices()
		}
		if rapid.Bool().Draw(t, "changed") {
			site.Changed = noon.Add(-time.Hour)
		}
		w.sites = append(w.sites, site)
		if rapid.IntRange(0, 5).Draw(t, "silent") > 0 {
			w.drawFigure(t, c)
		}
	}
	return w
}

// drawFigure empties some bays and counts them as the source would, by class.
func (w *world) drawFigure(t *rapid.T, c *parking.CarPark) {
	f := Figure{
		At:     noon.Add(-time.Duration(rapid.SampledFrom([]int{-90, -30, 0, 1, 30, 599, 600, 601, 9000}).Draw(t, "age")) * time.Second),
		Closed: rapid.IntRange(0, 4).Draw(t, "closed") == 0, Free: map[string]Free{},
	}
	for i := range c.Bays {
		b := &c.Bays[i]
		empty := rapid.Bool().Draw(t, "empty")
		if empty {
			w.free[c.ID] = append(w.free[c.ID], b)
		}
		for _, class := range b.Classes {
			n := f.Free[class]
			switch {
			case !empty || b.Pool != "":
			case b.Accessible:
				n.Accessible++
			default:
				n.General++
				if b.EV {
					n.EV++
				}
			}
			f.Free[class] = n
		}
	}
	w.figures[c.ID] = f
}

// admits reports whether a bay is for the type.
func admits(b *parking.Bay, kind string) bool {
	return slices.ContainsFunc(b.Classes, func(class string) bool { return slices.Contains(classesOf[kind], class) })
}

func drawSubset(t *rapid.T, label string, all []string) []string {
	if !rapid.Bool().Draw(t, label+" given") {
		return nil
	}
	return rapid.SliceOfN(rapid.SampledFrom(all), 1, len(all)).Draw(t, label)
}

// TestEveryCombinationOfParameters: whatever is asked for of whatever town, the
// specification's reader understands the answer, exactly the car parks and
// types that were asked for are in it, and no figure says more than is true.
func TestEveryCombinationOfParameters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		s := newServer(nopT{}, &sources{sites: w.sites, figures: w.figures})
		q := url.Values{}
		data := rapid.SampledFrom([]string{"", "info", "vacancy"}).Draw(t, "data")
		language := rapid.SampledFrom([]string{"", english, traditional, simplified, "ja"}).Draw(t, "lang")
		types := drawSubset(t, "vehicleTypes", allTypes)
		ids := drawSubset(t, "carparkIds", []string{"p0", "p1", "p2", "p3", "p9"})
		q.Set("data", data)
		q.Set("lang", language)
		q.Set("vehicleTypes", strings.Join(types, ","))
		q.Set("carparkIds", strings.Join(ids, ","))
		edges := [4]int{11300, 2200, 11500, 2300}
		if rapid.Bool().Draw(t, "extent given") {
			x := rapid.SliceOfN(rapid.IntRange(11399, 11405), 2, 2).Draw(t, "longitudes")
			y := rapid.SliceOfN(rapid.IntRange(2229, 2235), 2, 2).Draw(t, "latitudes")
			edges = [4]int{min(x[0], x[1]), min(y[0], y[1]), max(x[0], x[1]), max(y[0], y[1])}
			q.Set("extent", fmt.Sprintf("%d.%02d,%d.%02d,%d.%02d,%d.%02d", edges[0]/100, edges[0]%100, edges[1]/100, edges[1]%100,
				edges[2]/100, edges[2]%100, edges[3]/100, edges[3]%100))
		}
		want := map[string][]string{}
		for _, site := range w.sites {
			c := site.CarPark
			if ids != nil && !slices.Contains(ids, c.ID) {
				continue
			}
			x, y := int(c.Published.Longitude*100+0.5), int(c.Published.Latitude*100+0.5)
			if q.Has("extent") && (x < edges[0] || x > edges[2] || y < edges[1] || y > edges[3]) {
				continue
			}
			var kept []string
			for _, kind := range allTypes {
				there := slices.ContainsFunc(c.Bays, func(b parking.Bay) bool { return admits(&b, kind) })
				if there && (types == nil || slices.Contains(types, kind)) {
					kept = append(kept, kind)
				}
			}
			if types == nil || len(kept) > 0 {
				want[c.ID] = kept
			}
		}
		answer := s.get("/v1/carpark-info-vacancy?" + q.Encode())
		if answer.Code != 200 {
			t.Fatalf("%s: %d %s", q.Encode(), answer.Code, answer.Body)
		}
		var got struct{ Results []map[string]json.RawMessage }
		if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Results) != len(want) {
			t.Fatalf("%s: %d car parks, want %v", q.Encode(), len(got.Results), want)
		}
		var into any = new(specInfoAnswer)
		if data == "vacancy" {
			into = new(specVacancyAnswer)
		}
		for _, breach := range readSpec(answer.Body.Bytes(), into) {
			t.Error(breach)
		}
		for _, result := range got.Results {
			var id string
			if err := json.Unmarshal(result["park_Id"], &id); err != nil {
				t.Fatal(err)
			}
			kept, ok := want[id]
			if !ok {
				t.Fatalf("%s: %s was not asked for", q.Encode(), id)
			}
			for _, kind := range allTypes {
				raw, there := result[kind]
				if data == "vacancy" {
					w.judge(t, id, kind, raw, slices.Contains(kept, kind))
				} else if there != slices.Contains(kept, kind) {
					t.Errorf("%s: %s has %s: %v", q.Encode(), id, kind, there)
				}
			}
		}
	})
}

// judge compares one type's figure with the bays that are really free.
func (w *world) judge(t *rapid.T, id, kind string, raw json.RawMessage, wanted bool) {
	figure, known := w.figures[id]
	site := w.sites[slices.IndexFunc(w.sites, func(s Site) bool { return s.CarPark.ID == id })]
	if wanted && !known && site.Changed.IsZero() {
		wanted = false // nothing was ever said, and there is no time to give
	}
	if (raw != nil) != wanted {
		t.Fatalf("%s has %s: %v", id, kind, raw != nil)
	}
	if raw == nil {
		return
	}
	var list []struct {
		Type       string `json:"vacancy_type"`
		Vacancy    int    `json:"vacancy"`
		EV         *int   `json:"vacancyEV"`
		DIS        *int   `json:"vacancyDIS"`
		LastUpdate string `json:"lastupdate"`
	}
	if err := json.Unmarshal(raw, &list); err != nil || len(list) != 1 {
		t.Fatalf("%s %s: %s", id, kind, raw)
	}
	v := list[0]
	told := site.Changed
	if known {
		told = figure.At
	}
	if want := told.Add(8 * time.Hour).Format("2006-01-02 15:04:05"); v.LastUpdate != want {
		t.Errorf("%s %s: of %s, want %s", id, kind, v.LastUpdate, want)
	}
	age := noon.Sub(figure.At)
	switch {
	case !known || age >= 10*time.Minute || age < -time.Minute:
		if v.Type != "A" || v.Vacancy != -1 || v.EV != nil || v.DIS != nil {
			t.Errorf("%s %s, %v old: %s", id, kind, age, raw)
		}
		return
	case figure.Closed:
		if v.Type != "C" || v.Vacancy != 0 || v.EV != nil || v.DIS != nil {
			t.Errorf("%s %s, closed: %s", id, kind, raw)
		}
		return
	}
	// Every class of the type gives a count; the one told is that of the class
	// with the most bays, so it is one of them and never more than all together.
	var counts []int
	most := 0
	for _, class := range classesOf[kind] {
		all, general := 0, 0
		for i := range site.CarPark.Bays {
			if slices.Contains(site.CarPark.Bays[i].Classes, class) {
				all++
			}
		}
		for _, b := range w.free[id] {
			if slices.Contains(b.Classes, class) && b.Pool == "" && !b.Accessible {
				general++
			}
		}
		if all > most {
			counts, most = nil, all
		}
		if all == most {
			counts = append(counts, general)
		}
	}
	if v.Type != "A" || !slices.Contains(counts, v.Vacancy) {
		t.Errorf("%s %s: %s, really one of %v", id, kind, raw, counts)
	}
	if v.EV != nil && *v.EV > v.Vacancy {
		t.Errorf("%s %s: more with chargers than in all: %s", id, kind, raw)
	}
}

// nopT lets newServer serve a property, which has no testing.TB; its only
// failure is a missing part.
type nopT struct{ testing.TB }

func (nopT) Helper()           {}
func (nopT) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// FuzzQuery: whatever stands in the query, the answer is 200 or 400, and JSON.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"", "data=vacancy", "extent=114,22,115,23", "extent=1e400,0,0,0", "vehicleTypes=privateCar,LGV&lang=zh_CN",
		"carparkIds=tdx1,,", "lang=%ff", "a=1;b=2", "data=info&data=info"} {
		f.Add(seed)
	}
	s := newServer(f, standard())
	f.Fuzz(func(t *testing.T, query string) {
		u := url.URL{Path: "/v1/carpark-info-vacancy", RawQuery: strings.Map(func(r rune) rune {
			if r <= ' ' || r >= 0x7f || r == '#' {
				return -1 // net/http would not let it through
			}
			return r
		}, query)}
		w := s.get(u.String())
		if w.Code != 200 && w.Code != 400 || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%q: %d %s", query, w.Code, w.Body)
		}
	})
}
