package web

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

func repeatable(t *testing.T, body string, keys ...string) (Repeatable, error) {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, "/v1/things?a=1", strings.NewReader(body))
	for _, k := range keys {
		req.Header.Add(HeaderIdempotencyKey, k)
	}
	c := echo.New().NewContext(req, httptest.NewRecorder())
	c.Set(keyCaller, "operator")
	r, err := RepeatableRequest(c)
	if err == nil {
		if left, _ := io.ReadAll(c.Request().Body); string(left) != body {
			t.Errorf("the handler would read %q, not %q", left, body)
		}
	}
	return r, err
}

func TestIdempotencyKeys(t *testing.T) {
	for _, one := range []struct{ header, key string }{
		{`"8e03978e-40d5"`, "8e03978e-40d5"},
		{`8e03978e-40d5`, "8e03978e-40d5"},
		{`  "a b"  `, "a b"},
		{`"a\"b\\c"`, `a"b\c`},
		{`"` + strings.Repeat("k", 255) + `"`, strings.Repeat("k", 255)},
	} {
		r, err := repeatable(t, "{}", one.header)
		if err != nil || r.Key != one.key {
			t.Errorf("%s is %q, %v", one.header, r.Key, err)
		}
		if want := "operator POST /v1/things"; r.Scope != want {
			t.Errorf("scope %q, want %q", r.Scope, want)
		}
	}
	for _, header := range []string{`""`, `"a`, `a"`, `"a"b"`, `"a\x"`, `"a\"`, `a b`, `a,b`, "\"caf\xc3\xa9\"", strings.Repeat("k", 256)} {
		if _, err := repeatable(t, "{}", header); slugOfProblem(err) != "idempotency-key-malformed" {
			t.Errorf("%s gives %v", header, err)
		}
	}
	if _, err := repeatable(t, "{}"); slugOfProblem(err) != "idempotency-key-missing" {
		t.Errorf("without a key: %v", err)
	}
	if _, err := repeatable(t, "{}", "a", "b"); slugOfProblem(err) != "idempotency-key-malformed" {
		t.Errorf("two keys: %v", err)
	}
}

func slugOfProblem(err error) string {
	var p *Problem
	if !errors.As(err, &p) || p.Status != http.StatusBadRequest {
		return ""
	}
	return strings.TrimPrefix(p.Type, "/problems/")
}

func TestFingerprintsTellRequestsApart(t *testing.T) {
	a, err := repeatable(t, `{"a":1}`, "k")
	if err != nil {
		t.Fatal(err)
	}
	again, err := repeatable(t, `{"a":1}`, "k")
	if err != nil || again != a {
		t.Errorf("the same request is another: %v", err)
	}
	other, err := repeatable(t, `{"a":2}`, "k")
	if err != nil || other.Fingerprint == a.Fingerprint {
		t.Errorf("another body has the same fingerprint: %v", err)
	}
}

// TestStrangersDoNotMeet: callers without a key of the API have their own keys
// each, and what is kept of their address does not tell it.
func TestStrangersDoNotMeet(t *testing.T) {
	scope := func(address string) string {
		req := httptest.NewRequest(http.MethodPost, "/v1/things", strings.NewReader("{}"))
		req.Header.Set(HeaderIdempotencyKey, "1")
		req.RemoteAddr = address
		e := echo.New()
		e.IPExtractor = echo.ExtractIPDirect()
		r, err := RepeatableRequest(e.NewContext(req, httptest.NewRecorder()))
		if err != nil {
			t.Fatal(err)
		}
		return r.Scope
	}
	a := scope("203.0.113.7:1")
	if a != scope("203.0.113.7:2") || a == scope("203.0.113.8:1") || strings.Contains(a, "203.0.113") {
		t.Errorf("scope %q", a)
	}
	if scope("[2001:db8::1]:1") != scope("[2001:db8::2]:1") {
		t.Error("one network is two callers")
	}
}
