package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"freeflow/internal/clock"
	"freeflow/internal/web"
)

func TestLoggerRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, tc := range []struct {
		format, level string
		ok            bool
	}{{"text", "info", true}, {"json", "DEBUG", true}, {"xml", "info", false}, {"text", "loud", false}} {
		if _, err := NewLogger(&bytes.Buffer{}, tc.format, tc.level); (err == nil) != tc.ok {
			t.Errorf("%v: %v", tc, err)
		}
	}
	var b bytes.Buffer
	log, err := NewLogger(&b, "json", "warn")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	log.Warn("loud")
	var line map[string]any
	if err := json.Unmarshal(b.Bytes(), &line); err != nil || line["msg"] != "loud" {
		t.Errorf("%v: %s", err, b.String())
	}
}

func TestReadiness(t *testing.T) {
	broken := errors.New("no route to host")
	for _, tc := range []struct {
		name           string
		books, redis   error
		ready, stopped bool
		want           State
		status         int
	}{
		{"all well", nil, nil, true, false, OK, 200},
		{"a helpful part down", nil, broken, true, false, Degraded, 200},
		{"a needed part down", broken, nil, true, false, Failing, 503},
		{"both down", broken, broken, true, false, Failing, 503},
		{"starting", nil, nil, false, false, Failing, 503},
		{"stopping", nil, nil, true, true, Failing, 503},
	} {
		h := NewHealth()
		h.Add("books", Needed, func(context.Context) error { return tc.books })
		h.Add("redis", Helpful, func(context.Context) error { return tc.redis })
		if tc.ready {
			h.Ready()
		}
		if tc.stopped {
			h.Stop()
		}
		w := httptest.NewRecorder()
		Handler(NewRegistry("test"), h).ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
		var r Report
		if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if w.Code != tc.status || r.Status != tc.want || len(r.Parts) < 2 {
			t.Errorf("%s: %d %+v", tc.name, w.Code, r)
		}
	}
}

// TestHangingCheck checks that a check which never comes back costs one
// goroutine, not one a probe, and that the others are still heard.
func TestHangingCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var runs atomic.Int32
		h := NewHealth()
		h.Ready()
		h.Add("broker", Needed, func(context.Context) error { runs.Add(1); <-release; return nil })
		h.Add("books", Needed, func(context.Context) error { return nil })
		start := clock.System{}.Now()
		for range 3 {
			r := h.Report(context.Background())
			if r.Parts[0].Status != Failing || r.Parts[1].Status != OK {
				t.Errorf("%+v", r)
			}
		}
		if took := (clock.System{}).Now().Sub(start); took > 3*time.Second {
			t.Errorf("three probes of a hanging check took %v", took)
		}
		if n := runs.Load(); n != 1 {
			t.Errorf("the hanging check was started %d times", n)
		}
		close(release)
		synctest.Wait()
		if r := h.Report(context.Background()); r.Status != OK {
			t.Errorf("after it came back: %+v", r)
		}
	})
}

func TestLivenessAsksNobody(t *testing.T) {
	h := NewHealth()
	h.Add("books", Needed, func(context.Context) error { t.Error("asked"); return nil })
	w := httptest.NewRecorder()
	Handler(NewRegistry("test"), h).ServeHTTP(w, httptest.NewRequest("GET", "/livez", nil))
	if w.Code != 200 {
		t.Errorf("%d", w.Code)
	}
}

func TestHTTPMetrics(t *testing.T) {
	reg := NewRegistry("test")
	clk := clock.At(time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC))
	measured, err := NewHTTPMetrics(reg, clk)
	if err != nil {
		t.Fatal(err)
	}
	e := web.NewEcho(slog.New(slog.DiscardHandler), clk)
	e.Pre(measured("portal"))
	e.GET("/passes/:id", func(c echo.Context) error {
		clk.Advance(30 * time.Millisecond)
		if c.Param("id") == "2" {
			return web.NotFound("no such pass")
		}
		return c.NoContent(204)
	})
	for _, target := range []string{"/passes/1", "/passes/2", "/nowhere/AB1234"} {
		e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", target, nil))
	}
	e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("BREW", "/passes/1", nil))
	h := NewHealth()
	w := httptest.NewRecorder()
	Handler(reg, h).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`freeflow_http_request_duration_seconds_bucket{method="GET",route="/passes/:id",status="204",surface="portal",le="0.05"} 1`,
		`freeflow_http_request_duration_seconds_count{method="GET",route="/passes/:id",status="404",surface="portal"} 1`,
		`method="other"`, "freeflow_build_info{", "go_goroutines", "process_",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if strings.Contains(w.Body.String(), "AB1234") {
		t.Error("a path from outside became a label")
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "freeflow_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestProfilesAreServed(t *testing.T) {
	w := httptest.NewRecorder()
	Handler(NewRegistry("test"), NewHealth()).ServeHTTP(w, httptest.NewRequest("GET", "/debug/pprof/goroutine?debug=1", nil))
	if w.Code != 200 || !strings.Contains(w.Body.String(), "goroutine profile") {
		t.Errorf("%d %.80s", w.Code, w.Body)
	}
}
