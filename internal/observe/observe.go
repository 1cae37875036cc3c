// Package observe owns what operators look at a running process with: its log
// (slog), its metrics registry (Prometheus), its health, and the private
// address that serves them together with the profiles.
//
// Invariants: metric names begin with "freeflow_", carry their base unit
// ("_seconds", "_bytes") and "_total" for counters, and have a help text; no
// label takes a value from outside without a bound on how many there can be;
// plates, tags, accounts and e-mail addresses stand neither in logs nor in
// metrics.
//
// Not promised: traces, and any protection of the address: it has no key, so
// it must not be reachable from outside (the default is loopback).
package observe

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"runtime"
	"strconv"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"freeflow/internal/clock"
)

// NewLogger returns a logger that writes lines of the format, "text" or
// "json", from the level on ("debug", "info", "warn", "error").
func NewLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q: use debug, info, warn or error", level)
	}
	opts := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	default:
		return nil, fmt.Errorf("log format %q: use text or json", format)
	}
}

// NewRegistry returns a registry with the collectors of the Go runtime and of
// the process, and freeflow_build_info.
func NewRegistry(version string) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "freeflow_build_info",
		Help:        "Always 1; the labels say which build runs.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()},
	})
	build.Set(1)
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		build,
	)
	return reg
}

// NewHTTPMetrics returns a maker of middleware that measures requests, one
// middleware a surface ("operator", "portal"). It has to be added with
// echo.Pre, so that it sees the final status of errors too.
func NewHTTPMetrics(reg prometheus.Registerer, clk clock.Clock) (func(surface string) echo.MiddlewareFunc, error) {
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "freeflow_http_request_duration_seconds",
		Help:    "Time from a request's headers to the end of its answer.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"surface", "method", "route", "status"})
	if err := reg.Register(took); err != nil {
		return nil, fmt.Errorf("registering request metrics: %w", err)
	}
	return func(surface string) echo.MiddlewareFunc {
		return func(next echo.HandlerFunc) echo.HandlerFunc {
			return func(c echo.Context) error {
				start := clk.Now()
				err := next(c)
				status := c.Response().Status
				if err != nil {
					status = http.StatusInternalServerError
				}
				if c.Response().Header().Get(echo.HeaderContentType) == "text/event-stream" {
					return err // a stream lasts as long as its reader stays
				}
				took.WithLabelValues(surface, knownMethod(c.Request().Method), c.Path(), strconv.Itoa(status)).
					Observe(clk.Now().Sub(start).Seconds())
				return err
			}
		}
	}, nil
}

// knownMethod bounds the label: a client may send any word as its method.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions:
		return method
	default:
		return "other"
	}
}

// Handler serves /livez, /readyz, /metrics and /debug/pprof/.
func Handler(reg *prometheus.Registry, health *Health) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"ok"}`+"\n")
	})
	mux.HandleFunc("GET /readyz", health.serve)
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{Registry: reg, MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}
