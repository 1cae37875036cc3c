package bank

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/payment"
)

var keys = payment.Keys{ByEpoch: map[string]string{"e1": "notice-secret-0123456789"}}

// answering is a client of a provider that answers the same to everything.
func answering(t *testing.T, status int, body string) *Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer the-key" || r.Method == http.MethodPost && r.Header.Get("Idempotency-Key") != `"pay_1"` {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body)) // a test that misses it fails
	}))
	t.Cleanup(server.Close)
	c, err := New(Config{Name: "bank", URL: server.URL + "/", Key: "the-key", Notices: keys})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestOnlyTheProviderSaysWhatHappened: whatever is not an answer of the protocol
// about the reference is an error, from which nobody concludes anything.
func TestOnlyTheProviderSaysWhatHappened(t *testing.T) {
	const done = `{"id":"t1","reference":"pay_1","status":"succeeded","amount":"20.00","currency":"HKD"}`
	order := payment.Order{Reference: "pay_1", Token: "tok_abcd", AmountCents: 20_00, Currency: "HKD", ValidUntil: time.Unix(1, 0)}
	for name, one := range map[string]struct {
		status int
		body   string
		ok     bool
	}{
		"succeeded": {200, done, true}, "a page of a proxy": {200, "<html>", false}, "created": {201, done, false},
		"gone elsewhere": {307, "", false}, "not found": {404, "<html>nginx</html>", false}, "broken": {500, done, false},
		"another reference": {200, strings.Replace(done, "pay_1", "pay_2", 1), false}, "no amount": {200, strings.Replace(done, "20.00", "", 1), false},
		"negative": {200, strings.Replace(done, "20.00", "-20.00", 1), false}, "unknown status": {200, strings.Replace(done, "succeeded", "fine", 1), false},
		"without id": {200, strings.Replace(done, `"t1"`, `""`, 1), false}, "twice a member": {200, strings.Replace(done, "{", `{"status":"declined",`, 1), false},
		"endless": {200, done + strings.Repeat(" ", maxAnswer), false}, "bad time": {200, strings.Replace(done, "{", `{"at":"yesterday",`, 1), false},
	} {
		c := answering(t, one.status, one.body)
		for _, ask := range []func() (payment.Outcome, error){
			func() (payment.Outcome, error) { return c.Charge(t.Context(), order) },
			func() (payment.Outcome, error) { return c.Refund(t.Context(), order) },
			func() (payment.Outcome, error) { return c.Payout(t.Context(), order) },
			func() (payment.Outcome, error) { return c.Query(t.Context(), "pay_1") },
		} {
			o, err := ask()
			if (err == nil) != one.ok || errors.Is(err, payment.ErrAbsent) {
				t.Errorf("%s: %+v, %v", name, o, err)
			}
			if one.ok && (o.AmountCents != 20_00 || o.ProviderRef != "t1" || o.Result != payment.ResultSucceeded) {
				t.Errorf("%s: %+v", name, o)
			}
		}
	}
}

func TestAbsentIsSaidByTheProvider(t *testing.T) {
	for body, absent := range map[string]bool{`{"absent":"pay_1"}`: true, `{"absent":"pay_2"}`: false, `{}`: false, `not here`: false} {
		if _, err := answering(t, 404, body).Query(t.Context(), "pay_1"); errors.Is(err, payment.ErrAbsent) != absent || err == nil {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestTimeRunsOut(t *testing.T) {
	c := answering(t, 200, "{}")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Query(ctx, "pay_1"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestNotices(t *testing.T) {
	c := answering(t, 200, "")
	now := time.Unix(1_795_000_000, 0)
	read := func(body string) (payment.Notice, error) {
		return c.Verify(payment.Sign("e1", keys.ByEpoch["e1"], now, []byte(body)), []byte(body), now)
	}
	n, err := read(`{"id":"n1","transfer":{"id":"f1","status":"succeeded","amount":"5.00","currency":"HKD","bill":"FF1","means":"fps","payer":"fps_a"}}`)
	if err != nil || n.Bill != "FF1" || n.Outcome.Payer != "fps_a" || n.Outcome.AmountCents != 5_00 || n.Reference != "" {
		t.Errorf("%+v, %v", n, err)
	}
	for _, bad := range []string{"", "{", `{"id":"n1","transfer":{"status":"maybe"}}`} {
		if _, err := read(bad); !errors.Is(err, billing.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := c.Verify("", []byte("{}"), now); !errors.Is(err, payment.ErrForged) {
		t.Error(err)
	}
	if _, err := read(strings.Repeat(" ", maxAnswer+1)); !errors.Is(err, payment.ErrForged) {
		t.Error(err)
	}
}

func TestBadConfig(t *testing.T) {
	good := Config{Name: "bank", URL: "https://bank.example", Key: "k", Notices: keys}
	for name, change := range map[string]func(*Config){
		"address": func(c *Config) { c.URL = "bank.example" }, "scheme": func(c *Config) { c.URL = "ftp://bank.example" },
		"name": func(c *Config) { c.Name = "" }, "key": func(c *Config) { c.Key = "" }, "notices": func(c *Config) { c.Notices = payment.Keys{} },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
}
