package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/internal/clock"
)

var noon = time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC)

func newTestEcho(t *testing.T) (*echo.Echo, *bytes.Buffer) {
	t.Helper()
	var logs bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	e := NewEcho(log, clock.At(noon))
	e.GET("/fine", func(c echo.Context) error { return c.String(http.StatusOK, "fine") })
	e.GET("/secret", func(echo.Context) error { return errors.New("dial db.internal: password wrong") })
	e.GET("/wrapped", func(echo.Context) error {
		return fmt.Errorf("looking: %w", NotFound("no such pass").With("hint", "x").With("status", 1))
	})
	e.GET("/panic", func(echo.Context) error { panic("plate AB1234") })
	e.GET("/half", func(c echo.Context) error {
		_ = c.String(http.StatusOK, "half")
		return errors.New("broke")
	})
	e.GET("/quick", func(echo.Context) error { return errors.New("disk") }, Deadline(time.Minute))
	e.GET("/slow", func(c echo.Context) error { <-c.Request().Context().Done(); return c.Request().Context().Err() },
		Deadline(time.Millisecond))
	body := func(c echo.Context) error {
		b, err := io.ReadAll(c.Request().Body)
		if err != nil {
			return ReadingBody(err)
		}
		return c.String(http.StatusOK, fmt.Sprint(len(b)))
	}
	e.POST("/body", body)
	e.POST("/small", body, LimitBody(4))
	e.POST("/large", body, LimitBody(DefaultBodyLimit+10))
	e.POST("/json", func(c echo.Context) error {
		var v struct {
			Class string `json:"class"`
			N     int    `json:"n"`
		}
		if err := DecodeJSON(c, &v); err != nil {
			return err
		}
		return c.String(http.StatusOK, fmt.Sprint(v.Class, v.N))
	})
	e.HEAD("/secret", func(echo.Context) error { return errors.New("no") })
	return e, &logs
}

func do(e http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

func TestErrorsBecomeProblems(t *testing.T) {
	e, logs := newTestEcho(t)
	for _, tc := range []struct {
		method, path, kind string
		status             int
	}{
		{"GET", "/secret", "/problems/internal", 500},
		{"GET", "/panic", "/problems/internal", 500},
		{"GET", "/wrapped", "/problems/not-found", 404},
		{"GET", "/nowhere", "/problems/not-found", 404},
		{"DELETE", "/fine", "/problems/method-not-allowed", 405},
		{"GET", "/slow", "/problems/too-slow", 503},
		{"GET", "/quick", "/problems/internal", 500},
	} {
		w := do(e, tc.method, tc.path, "")
		var p map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatalf("%s: %v in %q", tc.path, err, w.Body)
		}
		if w.Code != tc.status || p["type"] != tc.kind || p["status"] != float64(tc.status) ||
			w.Header().Get("Content-Type") != ContentTypeProblem {
			t.Errorf("%s: %d %v", tc.path, w.Code, p)
		}
		if p["request_id"] == "" || p["request_id"] != w.Header().Get("X-Request-Id") {
			t.Errorf("%s: request id %v, header %q", tc.path, p["request_id"], w.Header().Get("X-Request-Id"))
		}
		for _, secret := range []string{"password", "AB1234", "goroutine"} {
			if strings.Contains(w.Body.String(), secret) {
				t.Errorf("%s tells %q: %s", tc.path, secret, w.Body)
			}
		}
		if w.Header().Get("X-Content-Type-Options") != "nosniff" ||
			!strings.Contains(w.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%s: security headers are missing: %v", tc.path, w.Header())
		}
	}
	if !strings.Contains(logs.String(), "password wrong") {
		t.Error("an internal error left no trace in the log")
	}
	if w := do(e, "GET", "/wrapped", ""); !strings.Contains(w.Body.String(), `"hint":"x"`) ||
		!strings.Contains(w.Body.String(), `"status":404`) {
		t.Errorf("extension members: %s", w.Body)
	}
}

func TestRefuseOnceAnswerHasBegun(t *testing.T) {
	e, logs := newTestEcho(t)
	if w := do(e, "GET", "/half", ""); w.Body.String() != "half" {
		t.Errorf("a problem was written behind half an answer: %q", w.Body)
	}
	if !strings.Contains(logs.String(), "answer broken off") {
		t.Error("nothing in the log")
	}
	if w := do(e, "HEAD", "/secret", ""); w.Code != 500 || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d with %d bytes", w.Code, w.Body.Len())
	}
}

func TestRequestIDOfAskerIsKeptOnlyIfHarmless(t *testing.T) {
	e, _ := newTestEcho(t)
	for id, kept := range map[string]bool{
		"trace-0123456789": true, "short": false, "line\nbreak-12345": false, strings.Repeat("a", 65): false,
	} {
		w := do(e, "GET", "/fine", "", "X-Request-Id", id)
		if got := w.Header().Get("X-Request-Id"); (got == id) != kept || len(got) < 8 {
			t.Errorf("%q: answered %q", id, got)
		}
	}
}

func TestForwardedAddressIsIgnored(t *testing.T) {
	e, _ := newTestEcho(t)
	e.GET("/ip", func(c echo.Context) error { return c.String(200, c.RealIP()) })
	if w := do(e, "GET", "/ip", "", "X-Forwarded-For", "9.9.9.9", "X-Real-Ip", "9.9.9.9"); w.Body.String() != "192.0.2.1" {
		t.Errorf("address %q", w.Body)
	}
}

func TestBodyLimit(t *testing.T) {
	e, _ := newTestEcho(t)
	for _, tc := range []struct {
		path         string
		size, status int
	}{
		{"/body", DefaultBodyLimit, 200}, {"/body", DefaultBodyLimit + 1, 413},
		{"/small", 4, 200}, {"/small", 5, 413},
		{"/large", DefaultBodyLimit + 10, 200}, {"/large", DefaultBodyLimit + 11, 413},
	} {
		if w := do(e, "POST", tc.path, strings.Repeat("x", tc.size)); w.Code != tc.status {
			t.Errorf("%s with %d bytes: %d", tc.path, tc.size, w.Code)
		}
	}
}

func TestDecodeJSONIsExact(t *testing.T) {
	e, _ := newTestEcho(t)
	for _, tc := range []struct {
		body   string
		status int
		says   string
	}{
		{`{"class":"taxi","n":2}`, 200, "taxi2"},
		{` {} `, 200, "0"},
		{`{"Class":"taxi"}`, 422, "Class: unknown field"},
		{`{"class":"taxi","fee":1}`, 422, "fee: unknown field"},
		{`{"n":"1"}`, 422, `"pointer":"/n"`},
		{`{"n":1e400}`, 422, `"pointer":"/n"`},
		{`{"class":"a","class":"b"}`, 400, "duplicate"},
		{`{"class":"a"`, 400, "bad-json"},
		{`{} {}`, 400, "bad-json"},
		{"{\"class\":\"\xff\"}", 400, "bad-json"},
		{``, 400, "empty"},
		{`[]`, 422, "the body"},
	} {
		w := do(e, "POST", "/json", tc.body, "Content-Type", "application/json; charset=utf-8")
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.says) {
			t.Errorf("%s: %d %s", tc.body, w.Code, w.Body)
		}
	}
	if w := do(e, "POST", "/json", `{}`, "Content-Type", "text/plain"); w.Code != 415 {
		t.Errorf("text/plain: %d", w.Code)
	}
}

func TestBearer(t *testing.T) {
	if _, err := Bearer(); err == nil {
		t.Error("no keys were accepted")
	}
	if _, err := Bearer(Key{"ops", "short"}); err == nil {
		t.Error("a short key was accepted")
	}
	check, err := Bearer(Key{"ops", "0123456789abcdef"}, Key{"audit", "fedcba9876543210"})
	if err != nil {
		t.Fatal(err)
	}
	e, _ := newTestEcho(t)
	e.GET("/who", func(c echo.Context) error { return c.String(200, Caller(c)) }, check)
	for _, tc := range []struct {
		header, body, challenge string
		status                  int
	}{
		{"Bearer 0123456789abcdef", "ops", "", 200},
		{"bearer fedcba9876543210", "audit", "", 200},
		{"Bearer 0123456789abcdeF", "", "invalid_token", 401},
		{"Bearer 0123456789abcde", "", "invalid_token", 401},
		{"Basic 0123456789abcdef", "", "Bearer realm", 401},
		{"Bearer ", "", "Bearer realm", 401},
		{"", "", "Bearer realm", 401},
	} {
		w := do(e, "GET", "/who", "", "Authorization", tc.header)
		if w.Code != tc.status || !strings.Contains(w.Header().Get("WWW-Authenticate"), tc.challenge) ||
			tc.status == 200 && w.Body.String() != tc.body {
			t.Errorf("%q: %d %q %s", tc.header, w.Code, w.Header().Get("WWW-Authenticate"), w.Body)
		}
	}
	if w := do(e, "GET", "/who", "", "Authorization", "Bearer 0123456789abcdef", "Authorization", "Bearer x"); w.Code != 401 {
		t.Errorf("two headers: %d", w.Code)
	}
}

// TestServeDrains checks that the stop ends streams at once, lets an open
// request finish, and that Serve then returns without error.
func TestServeDrains(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	e := NewEcho(log, clock.At(noon))
	entered, release := make(chan struct{}, 2), make(chan struct{})
	e.GET("/stream", func(c echo.Context) error {
		entered <- struct{}{}
		<-Stopping(c.Request().Context())
		close(release)
		return c.String(200, "stream ended")
	})
	e.GET("/long", func(c echo.Context) error {
		entered <- struct{}{}
		<-release
		if err := c.Request().Context().Err(); err != nil {
			return err
		}
		return c.String(200, "finished")
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, ln, e, log) }()
	answers := make(chan string, 2)
	for _, path := range []string{"/stream", "/long"} {
		go func() {
			resp, err := http.Get("http://" + ln.Addr().String() + path)
			if err != nil {
				answers <- err.Error()
				return
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			answers <- string(b)
		}()
	}
	<-entered
	<-entered
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	got := map[string]bool{<-answers: true, <-answers: true}
	if !got["finished"] || !got["stream ended"] {
		t.Errorf("answers %v", got)
	}
}

func TestServeTellsOfBrokenListener(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	if err := Serve(context.Background(), ln, http.NotFoundHandler(), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("no error from a closed listener")
	}
}
