package operator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/payment"
)

// provider answers what it is told to.
type provider struct {
	answer func(o payment.Order) (payment.Outcome, error)
	query  func(reference string) (payment.Outcome, error)
}

func (provider) Name() string { return "bank" }
func (p *provider) Charge(_ context.Context, o payment.Order) (payment.Outcome, error) {
	return p.answer(o)
}
func (p *provider) Refund(_ context.Context, o payment.Order) (payment.Outcome, error) {
	return p.answer(o)
}
func (p *provider) Payout(_ context.Context, o payment.Order) (payment.Outcome, error) {
	return p.answer(o)
}
func (p *provider) Query(_ context.Context, reference string) (payment.Outcome, error) {
	return p.query(reference)
}
func (provider) Verify(string, []byte, time.Time) (payment.Notice, error) {
	return payment.Notice{}, payment.ErrForged
}

// succeeds is an answer that money moved.
func succeeds(o payment.Order) (payment.Outcome, error) {
	return payment.Outcome{Result: payment.ResultSucceeded, ProviderRef: "ref-" + o.Reference, AmountCents: o.AmountCents, Currency: o.Currency}, nil
}

// errSilent is what no answer is like.
var errSilent = errors.New("no answer")

func newPayments(store *books.Store, clk *stopped, p *provider) *Payments {
	s, err := payment.New(payment.Config{
		Store:     books.Keep[payment.Tx]{Store: store, As: func(tx *books.Tx) payment.Tx { return tx }},
		Providers: []payment.Provider{p}, Clock: clk, Zone: time.UTC, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil // a test that uses it fails there
	}
	return &Payments{Books: store, Payments: s, Clock: clk, Currency: "HKD"}
}

func paymentsTopic(store *books.Store, clk *stopped) Topic {
	return newPayments(store, clk, &provider{answer: succeeds})
}

// TestPaymentsJourney goes through what staff do about payments.
func TestPaymentsJourney(t *testing.T) {
	p := &provider{
		answer: func(payment.Order) (payment.Outcome, error) { return payment.Outcome{}, errSilent },
		query:  func(string) (payment.Outcome, error) { return payment.Outcome{}, errSilent },
	}
	var topic *Payments
	s := newServer(t, func(store *books.Store, clk *stopped) Topic {
		topic = newPayments(store, clk, p)
		return both{topic, accountsTopic(store, clk)}
	})
	ctx := context.Background()
	id := s.must(t, 201, "POST", "/v1/accounts", "a", `{"kind":"individual","name":"Chan","email":"chan@example.hk","language":"en"}`)["id"].(string)
	means := `{"mode":"prepaid","kind":"card","provider":"bank","token":"tok_secret99","threshold":"50.00","top_up":"100.00","reason":"by telephone"}`
	set := s.must(t, 201, "POST", "/v1/accounts/"+id+"/payment-means", "m", means)
	if strings.Contains(fmt.Sprint(set), "secret") {
		t.Errorf("the token is shown: %v", set)
	}
	for name, bad := range map[string]string{
		"a card's number": strings.Replace(means, "tok_secret99", "4111 1111 1111 1111", 1), "no reason": strings.Replace(means, "by telephone", "", 1),
		"amount": strings.Replace(means, "50.00", "fifty", 1), "mode": strings.Replace(means, "prepaid", "later", 1),
	} {
		if code, answer := s.ask(t, "POST", "/v1/accounts/"+id+"/payment-means", name, bad); code != 422 || strings.Contains(fmt.Sprint(answer), "4111") {
			t.Errorf("%s: %d %v", name, code, answer)
		}
	}
	if code, _ := s.ask(t, "POST", "/v1/accounts/nobody/payment-means", "n", means); code != 404 {
		t.Errorf("means of nobody: %d", code)
	}

	// A top-up that nobody knows the outcome of.
	made := s.must(t, 201, "POST", "/v1/accounts/"+id+"/top-ups", "t", `{"amount":"80.00","reason":"asked at the counter"}`)
	payID := made["id"].(string)
	if again := s.must(t, 201, "POST", "/v1/accounts/"+id+"/top-ups", "t", `{"amount":"80.00","reason":"asked at the counter"}`); again["id"] != payID {
		t.Errorf("the repetition made %v", again["id"])
	}
	if err := topic.Payments.Step(ctx, payID); err != nil {
		t.Fatal(err)
	}
	page := s.must(t, 200, "GET", "/v1/payments?state=unknown&limit=1", "", "")
	if items := page["items"].([]any); len(items) != 1 || items[0].(map[string]any)["id"] != payID || page["next"] != nil {
		t.Errorf("%v", page)
	}
	s.must(t, 200, "POST", "/v1/payments/"+payID+"/query", "q", `{"reason":"the owner asks"}`)
	if code, _ := s.ask(t, "POST", "/v1/payments/"+payID+"/resolution", "r0", `{"succeeded":true,"reason":"seen"}`); code != 422 {
		t.Errorf("resolved without evidence: %d", code)
	}
	if code, _ := s.ask(t, "POST", "/v1/payments/"+payID+"/resolution", "r1", `{"reason":"seen","evidence":"line 3"}`); code != 422 {
		t.Errorf("resolved without saying how: %d", code)
	}
	resolved := s.must(t, 200, "POST", "/v1/payments/"+payID+"/resolution", "r2", `{"succeeded":true,"reason":"it is in the statement","evidence":"statement 7, line 3"}`)
	if resolved["state"] != "succeeded" || resolved["moved"] != "80.00" || resolved["how"] != "hand" {
		t.Errorf("%v", resolved)
	}

	// Part of it goes back.
	p.answer = succeeds
	if code, _ := s.ask(t, "POST", "/v1/payments/"+payID+"/refunds", "f0", `{"amount":"90.00","reason":"too much"}`); code != 409 {
		t.Errorf("more than came was refunded: %d", code)
	}
	back := s.must(t, 201, "POST", "/v1/payments/"+payID+"/refunds", "f1", `{"amount":"30.00","reason":"asked by the owner"}`)
	if err := topic.Payments.Step(ctx, back["id"].(string)); err != nil {
		t.Fatal(err)
	}
	if shown := s.must(t, 200, "GET", "/v1/payments/"+payID+"?reason=check", "", ""); shown["refunded"] != "30.00" {
		t.Errorf("%v", shown)
	}
	out := s.must(t, 200, "POST", "/v1/accounts/"+id+"/pay-out", "o", `{"reason":"the account is closed"}`)
	if items := out["items"].([]any); len(items) != 1 || items[0].(map[string]any)["amount"] != "50.00" {
		t.Errorf("%v", out)
	}
	history := s.must(t, 200, "GET", "/v1/accounts/"+id+"/payment-means", "", "")
	if list := history["history"].([]any); len(list) != 2 || history["now"].(map[string]any)["token"] != nil {
		t.Errorf("%v", history)
	}
	if events := s.must(t, 200, "GET", "/v1/payment-events?account="+id, "", ""); len(events["items"].([]any)) != 2 {
		t.Errorf("%v", events)
	}
	fps := s.must(t, 201, "POST", "/v1/accounts/"+id+"/top-ups", "t2", `{"amount":"10.00","by":"fps","reason":"by telephone"}`)
	if fps["bill"] == nil || fps["kind"] != "await" {
		t.Errorf("%v", fps)
	}
	for path, status := range map[string]int{
		"/v1/payments?state=maybe": 400, "/v1/payments?after=x": 400, "/v1/payments/none": 404, "/v1/payments?limit=2": 200,
	} {
		if code, answer := s.ask(t, "GET", path, "", ""); code != status {
			t.Errorf("%s: %d %v", path, code, answer)
		}
	}
}

func TestPayReceivablesByStaff(t *testing.T) {
	var topic *Payments
	s := newServer(t, func(store *books.Store, clk *stopped) Topic {
		topic = newPayments(store, clk, &provider{answer: succeeds})
		return topic
	})
	ctx := context.Background()
	if _, err := s.books.PostCharge(ctx, billing.Charge{
		ID: "c1", Kind: "toll", Revision: 1, Account: "A1", Creditor: "CHT", AmountCents: 20_00, Currency: "HKD", OccurredMicros: 1,
	}, s.clock.at); err != nil {
		t.Fatal(err)
	}
	if _, err := s.books.FollowPostings(ctx, 10, s.clock.at); err != nil {
		t.Fatal(err)
	}
	order := `{"receivables":["charge:c1"],"token":"tok_abcd","reason":"at the counter"}`
	made := s.must(t, 201, "POST", "/v1/accounts/A1/payments", "k", order)
	if code, _ := s.ask(t, "POST", "/v1/accounts/A1/payments", "k2", order); code != 409 {
		t.Errorf("a second payment of the same: %d", code)
	}
	if code, _ := s.ask(t, "POST", "/v1/accounts/A2/payments", "k3", order); code != 404 {
		t.Errorf("another account's debt: %d", code)
	}
	if err := topic.Payments.Step(ctx, made["id"].(string)); err != nil {
		t.Fatal(err)
	}
	if shown := s.must(t, 200, "GET", "/v1/payments/"+made["id"].(string), "", ""); shown["state"] != "succeeded" || len(shown["items"].([]any)) != 1 {
		t.Errorf("%v", shown)
	}
}

// both is two topics as one.
type both struct{ one, two Topic }

func (b both) Routes(g *echo.Group) { b.one.Routes(g); b.two.Routes(g) }
func (b both) OpenAPI() []byte      { return b.one.OpenAPI() }
