package opendata

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"freeflow/internal/web/webtest"
)

var update = flag.Bool("update", false, "write the answers to testdata instead of comparing them")

func TestOpenAPIDescribesTheRoutes(t *testing.T) {
	differences, err := webtest.Differences(OpenAPI(), newServer(t, standard()).Routes())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		t.Error(d)
	}
}

func TestNewWantsEveryPart(t *testing.T) {
	if _, err := New(Parts{}); err == nil {
		t.Error("a feed of nothing")
	}
}

// TestAnswers compares whole answers with files that a person has read.
func TestAnswers(t *testing.T) {
	for name, path := range map[string]string{
		"info_en":        "/v1/carpark-info-vacancy",
		"info_tc":        "/v1/carpark-info-vacancy?data=info&lang=zh_TW",
		"info_sc":        "/v1/carpark-info-vacancy?lang=zh_CN",
		"info_none":      "/v1/carpark-info-vacancy?vehicleTypes=CV",
		"vacancy":        "/v1/carpark-info-vacancy?data=vacancy&lang=zh_TW",
		"vacancy_lgv":    "/v1/carpark-info-vacancy?data=vacancy&vehicleTypes=LGV,motorCycle",
		"vacancy_extent": "/v1/carpark-info-vacancy?data=vacancy&extent=114.2,22.2,114.3,22.3",
		"vacancy_id":     "/v1/carpark-info-vacancy?data=vacancy&carparkIds=tdx1,nowhere&vehicleTypes=privateCar",
		"raw_info":       "/v1/open/basic_info_all.json",
		"raw_vacancy":    "/v1/open/vacancy_all.json",
		"geojson":        "/v1/carparks.geojson",
		"parking_sites":  "/v1/open/parking-sites.json",
	} {
		w := newServer(t, standard()).get(path)
		if w.Code != 200 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
			continue
		}
		var indented bytes.Buffer
		if err := json.Indent(&indented, w.Body.Bytes(), "", "  "); err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		indented.WriteByte('\n')
		file := filepath.Join("testdata", name+".json")
		if *update {
			if err := os.WriteFile(file, indented.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(indented.Bytes(), want) {
			t.Errorf("%s is not testdata/%s.json:\n%s", path, name, indented.Bytes())
		}
	}
}

func TestWrongParametersAreRefused(t *testing.T) {
	s := newServer(t, standard())
	const path = "/v1/carpark-info-vacancy"
	ids := make([]string, 201)
	for i := range ids {
		ids[i] = fmt.Sprint(i)
	}
	for query, name := range map[string]string{
		"data=prices": "data", "data=INFO": "data",
		"vehicleTypes=privatecar": "vehicleTypes", "vehicleTypes=privateCar,": "vehicleTypes", "vehicleTypes=,": "vehicleTypes",
		"carparkIds=a,,b": "carparkIds", "carparkIds=" + strings.Join(ids, ","): "carparkIds",
		"extent=1,2,3": "extent", "extent=1,2,3,4,5": "extent", "extent=a,b,c,d": "extent", "extent=NaN,0,1,1": "extent",
		"extent=-Inf,0,1,1": "extent", "extent=0x1,0,2,2": "extent", "extent=1e1,0,20,2": "extent", "extent=2,0,1,1": "extent",
		"extent=0,2,1,1": "extent", "extent=22,114,23,115": "extent", "extent=-181,0,1,1": "extent",
		"vehicletypes=privateCar": "vehicletypes", "data=info&data=vacancy": "data", "lang=%zz": "query",
		"carparkIds=" + strings.Repeat("a", 3000): "carparkIds",
	} {
		w := s.get(path + "?" + query)
		if w.Code != 400 || !strings.Contains(w.Body.String(), `"parameter":"`+name+`"`) ||
			!strings.HasPrefix(w.Header().Get("Content-Type"), "application/problem+json") {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
		if w.Header().Get("Access-Control-Allow-Origin") != "*" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v", query, w.Header())
		}
	}
	for _, other := range []string{"/v1/open/basic_info_all.json", "/v1/open/vacancy_all.json", "/v1/carparks.geojson", "/v1/open/parking-sites.json"} {
		if w := s.get(other + "?lang=en_US"); w.Code != 400 {
			t.Errorf("%s takes parameters: %d", other, w.Code)
		}
	}
	for _, query := range []string{"", "data=&vehicleTypes=&carparkIds=&extent=&lang=", "extent=114.175,22.28,114.175,22.28"} {
		if w := s.get(path + "?" + query); w.Code != 200 {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
}

// The specification: lang is en_US by default, and falls back to zh_TW.
func TestAnUnknownLanguageIsTraditionalChinese(t *testing.T) {
	s := newServer(t, standard())
	const path = "/v1/carpark-info-vacancy?data="
	for _, data := range []string{"info", "vacancy"} {
		want, usual := s.get(path+data+"&lang=zh_TW"), s.get(path+data)
		for _, language := range []string{"fr", "zh_tw", "EN_US", "en", "%20", "0"} {
			w := s.get(path + data + "&lang=" + language)
			if w.Code != 200 || w.Body.String() != want.Body.String() {
				t.Errorf("%s in %s: %d %s", data, language, w.Code, w.Body)
			}
			if data == "info" && w.Body.String() == usual.Body.String() {
				t.Errorf("%s: answered in English", language)
			}
		}
	}
	if w := s.get(path + "info&lang="); w.Body.String() != s.get(path+"info&lang=en_US").Body.String() {
		t.Errorf("without a word: %s", w.Body)
	}
}

func TestCaching(t *testing.T) {
	src := standard()
	s := newServer(t, src)
	for _, path := range []string{"/v1/carpark-info-vacancy", "/v1/carpark-info-vacancy?data=vacancy", "/v1/open/basic_info_all.json",
		"/v1/open/vacancy_all.json", "/v1/carparks.geojson", "/v1/open/parking-sites.json"} {
		first := s.get(path, "Origin", "https://map.example")
		tag := first.Header().Get("ETag")
		if len(tag) < 10 || tag[0] != '"' || first.Header().Get("Cache-Control") != "public, max-age=15" ||
			first.Header().Get("Access-Control-Allow-Origin") != "*" || first.Header().Get("Cross-Origin-Resource-Policy") != "cross-origin" {
			t.Errorf("%s: headers %v", path, first.Header())
		}
		for header, code := range map[string]int{tag: 304, `"other", W/` + tag: 304, "*": 304, `"other"`: 200, "": 200} {
			w := s.get(path, "If-None-Match", header)
			if w.Code != code || w.Header().Get("ETag") != tag || code == 304 && w.Body.Len() != 0 || w.Header().Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s with If-None-Match %s: %d %v", path, header, w.Code, w.Header())
			}
		}
	}
	before := s.get("/v1/carpark-info-vacancy?data=vacancy").Header().Get("ETag")
	f := src.figures["tdx1"]
	f.Free = map[string]Free{"private_car": {General: 4}}
	src.set("tdx1", f)
	s.clock.Advance(time.Second)
	if w := s.get("/v1/carpark-info-vacancy?data=vacancy", "If-None-Match", before); w.Code != 200 || w.Header().Get("ETag") == before {
		t.Error("another figure has the same tag")
	}
}

// TestNoCacheOutlivesAFigure: an answer may be kept until its oldest figure
// has to be withdrawn, not longer.
func TestNoCacheOutlivesAFigure(t *testing.T) {
	src := standard()
	s := newServer(t, src)
	src.set("tdx1", Figure{At: noon.Add(-10*time.Minute + 7*time.Second)})
	if got := s.get("/v1/carparks.geojson").Header().Get("Cache-Control"); got != "public, max-age=7" {
		t.Error(got)
	}
	s.clock.Advance(7 * time.Second)
	if got := s.get("/v1/carparks.geojson").Header().Get("Cache-Control"); got != "public, max-age=15" {
		t.Errorf("after it was withdrawn: %s", got)
	}
}

func TestSourcesAreAskedOnceAnInterval(t *testing.T) {
	src := standard()
	s := newServer(t, src)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 20 {
				if w := s.get("/v1/carpark-info-vacancy?data=vacancy"); w.Code != 200 {
					t.Errorf("%d %s", w.Code, w.Body)
				}
			}
		})
	}
	wg.Wait()
	if n := src.asked.Load(); n != 1 {
		t.Errorf("asked %d times for 320 requests", n)
	}
	s.clock.Advance(time.Second)
	s.get("/v1/carparks.geojson")
	if n := src.asked.Load(); n != 2 {
		t.Errorf("asked %d times after an interval", n)
	}
	s.clock.Advance(-time.Hour) // somebody set the clock back
	s.get("/v1/carparks.geojson")
	if n := src.asked.Load(); n != 3 {
		t.Errorf("asked %d times after the clock was set back", n)
	}
}

// TestOneReadingServesAllWhoWait: requests that come while the sources are
// being asked wait for that answer and do not ask again.
func TestOneReadingServesAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := standard()
		src.gate = make(chan struct{})
		s := newServer(t, src)
		codes := make(chan int, 8)
		for range cap(codes) {
			go func() { codes <- s.get("/v1/carpark-info-vacancy?data=vacancy").Code }()
		}
		synctest.Wait() // one is held up by the source, the others wait for it
		close(src.gate)
		for range cap(codes) {
			if code := <-codes; code != 200 {
				t.Errorf("answered %d", code)
			}
		}
		if n := src.asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

// TestASourceThatHangs costs those who wait their deadline, not for ever.
func TestASourceThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := standard()
		src.gate = make(chan struct{})
		s := newServer(t, src)
		if w := s.get("/v1/carparks.geojson"); w.Code != 503 || w.Header().Get("Retry-After") == "" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func TestSourcesThatFail(t *testing.T) {
	src := standard()
	src.fail(errDown)
	s := newServer(t, src)
	for range 3 {
		w := s.get("/v1/carpark-info-vacancy?data=vacancy")
		if w.Code != 503 || w.Header().Get("Retry-After") == "" || w.Header().Get("Access-Control-Allow-Origin") != "*" ||
			strings.Contains(w.Body.String(), errDown.Error()) {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
	}
	if n := src.asked.Load(); n != 1 {
		t.Errorf("a source that fails was asked %d times in one interval", n)
	}
	src.fail(nil)
	s.clock.Advance(time.Second)
	good := s.get("/v1/carpark-info-vacancy?data=vacancy")
	if good.Code != 200 {
		t.Fatalf("after it came back: %d %s", good.Code, good.Body)
	}
	// The last answer is kept, but no figure longer than its limit: that of
	// tdx1 is of 11:59:30 and withdrawn at 12:09:30.
	src.fail(errDown)
	s.clock.Set(noon.Add(9*time.Minute - time.Second))
	if w := s.get("/v1/carpark-info-vacancy?data=vacancy"); w.Code != 200 || w.Body.String() != good.Body.String() {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	s.clock.Set(noon.Add(9 * time.Minute))
	if w := s.get("/v1/carpark-info-vacancy?data=vacancy"); w.Code != 200 || !strings.Contains(w.Body.String(), `"privateCar":[{"vacancy_type":"A","vacancy":-1,"lastupdate":"2026-11-23 11:59:30"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	s.clock.Set(noon.Add(10*time.Minute + 2*time.Second))
	if w := s.get("/v1/carpark-info-vacancy?data=vacancy"); w.Code != 503 {
		t.Errorf("after the limit: %d %s", w.Code, w.Body)
	}
}
