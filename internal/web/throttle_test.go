package web

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/internal/clock"
)

func TestNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"203.0.113.7": "203.0.113.7", "::ffff:203.0.113.7": "203.0.113.7", "2001:db8::1": "2001:db8::/64",
		"2001:db8:0:0:ffff::2": "2001:db8::/64", "2001:db8:0:1::2": "2001:db8:0:1::/64", "fe80::1%eth0": "fe80::/64", "": "", "@": "@",
	} {
		if got := Network(address); got != want {
			t.Errorf("%s is %s, want %s", address, got, want)
		}
	}
}

func TestThrottle(t *testing.T) {
	clk := clock.At(noon)
	th := NewThrottle(clk, 3, 10*time.Second)
	passed := 0
	for range 10 {
		if th.Enter("203.0.113.7") == 0 {
			passed++
		}
	}
	if passed != 3 {
		t.Errorf("%d passed at once, want 3", passed)
	}
	if th.Enter("203.0.113.8") != 0 {
		t.Error("another address has to wait too")
	}
	wait := th.Enter("203.0.113.7")
	if wait <= 0 || wait > 10*time.Second {
		t.Fatalf("wait %v", wait)
	}
	clk.Advance(wait - 1)
	if th.Enter("203.0.113.7") == 0 {
		t.Error("passed too early")
	}
	clk.Advance(1)
	if th.Enter("203.0.113.7") != 0 || th.Enter("203.0.113.7") == 0 {
		t.Error("want one more, and no second")
	}
	clk.Advance(-time.Hour) // a clock put back must not lock anybody out for longer than that
	if th.Enter("203.0.113.7") > time.Hour+30*time.Second {
		t.Error("locked out")
	}
	for n := range maxThrottled + 10 {
		th.Enter(fmt.Sprint("a", n))
	}
	if th.whole.Len() != maxThrottled {
		t.Errorf("%d addresses are remembered", th.whole.Len())
	}
}

func TestThrottleAnswers(t *testing.T) {
	clk := clock.At(noon)
	e := NewEcho(slog.New(slog.DiscardHandler), clk)
	e.GET("/", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) }, NewThrottle(clk, 1, 1500*time.Millisecond).Middleware)
	ask := func(address string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = address
		r.Header.Set("X-Forwarded-For", fmt.Sprint("198.51.100.", clk.Now().Nanosecond()%250))
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		return w
	}
	if w := ask("203.0.113.7:1"); w.Code != 204 {
		t.Errorf("%d", w.Code)
	}
	w := ask("203.0.113.7:2")
	if w.Code != 429 || w.Header().Get("Retry-After") != "2" || w.Header().Get("Content-Type") != ContentTypeProblem {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	clk.Advance(1500 * time.Millisecond)
	if w := ask("203.0.113.7:3"); w.Code != 204 {
		t.Errorf("%d after the wait", w.Code)
	}
}
