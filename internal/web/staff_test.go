package web

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/labstack/echo/v4"

	"freeflow/internal/clock"
)

// TestHoldersComeAndGo: who is added enters with the next request, who is
// removed does not, and a shared key stands for nobody in particular.
func TestHoldersComeAndGo(t *testing.T) {
	shared := HolderOf(Key{Name: "operator", Secret: "operator-key-0123456789"})
	ada := Holder{Name: "ada", Sum: sha256.Sum256([]byte("ada-key-0123456789")), Person: true, Roles: []string{"tariff", "finance"}}
	var present atomic.Pointer[[]Holder]
	present.Store(&[]Holder{shared})
	e := NewEcho(slog.New(slog.DiscardHandler), clock.System{})
	e.GET("/who", func(c echo.Context) error {
		name, person := Person(c)
		return c.String(http.StatusOK, fmt.Sprintf("%s %s %v %v", Caller(c), name, person, Roles(c)))
	}, BearerOf(func() []Holder { return *present.Load() }))
	e.GET("/open", func(c echo.Context) error {
		_, person := Person(c)
		return c.String(http.StatusOK, fmt.Sprintf("%v %d", person, len(Roles(c))))
	})
	ask := func(path, key string) (int, string) {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer "+key)
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	if status, who := ask("/who", "operator-key-0123456789"); status != http.StatusOK || who != "operator operator false []" {
		t.Errorf("%d %s", status, who)
	}
	if status, _ := ask("/who", "ada-key-0123456789"); status != http.StatusUnauthorized {
		t.Errorf("%d before she was added", status)
	}
	present.Store(&[]Holder{shared, ada})
	if status, who := ask("/who", "ada-key-0123456789"); status != http.StatusOK || who != "ada ada true [tariff finance]" {
		t.Errorf("%d %s", status, who)
	}
	present.Store(&[]Holder{shared})
	if status, _ := ask("/who", "ada-key-0123456789"); status != http.StatusUnauthorized {
		t.Errorf("%d after she was removed", status)
	}
	present.Store(&[]Holder{})
	if status, _ := ask("/who", "operator-key-0123456789"); status != http.StatusUnauthorized {
		t.Errorf("%d where nobody may enter", status)
	}
	if status, who := ask("/open", "ada-key-0123456789"); status != http.StatusOK || who != "false 0" {
		t.Errorf("%d %s without a key asked for", status, who)
	}
}
