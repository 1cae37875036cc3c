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
	"freeflow/billing/account"
	"freeflow/billing/books"
	"freeflow/billing/payment"
	"freeflow/internal/clock"
	"freeflow/internal/database"
	"freeflow/internal/web"
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

func newPayments(store *books.Store, clk *clock.Fixed, p *provider) *Payments {
	s, err := payment.New(payment.Config{
		Store:     books.Keep[payment.Tx]{Store: store, As: func(tx *books.Tx) payment.Tx { return tx }},
		Providers: []payment.Provider{p}, Clock: clk, Zone: time.UTC, Log: slog.New(slog.DiscardHandler),
		ApproveAboveCents: 200_00,
	})
	if err != nil {
		return nil // a test that uses it fails there
	}
	return &Payments{
		Books: store, Payments: s, Clock: clk, Currency: "HKD", Tag: func(s string) (string, error) { return strings.ToUpper(s), nil },
	}
}

func paymentsTopic(store *books.Store, clk *clock.Fixed) Topic {
	return newPayments(store, clk, &provider{answer: succeeds})
}

// TestPaymentsJourney goes through what staff do about payments.
func TestPaymentsJourney(t *testing.T) {
	p := &provider{
		answer: func(payment.Order) (payment.Outcome, error) { return payment.Outcome{}, errSilent },
		query:  func(string) (payment.Outcome, error) { return payment.Outcome{}, errSilent },
	}
	var topic *Payments
	s := newServer(t, func(store *books.Store, clk *clock.Fixed) Topic {
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
	for _, amount := range []string{"800.00", "8.00", "0.00"} {
		body := `{"succeeded":true,"amount":"` + amount + `","reason":"it is in the statement","evidence":"statement 7, line 3"}`
		if code, _ := s.ask(t, "POST", "/v1/payments/"+payID+"/resolution", "r"+amount, body); code != 422 {
			t.Errorf("resolved with %s of 80.00: %d", amount, code)
		}
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
	if code, _ := s.ask(t, "POST", "/v1/accounts/"+id+"/pay-out", "o0", `{"reason":"the account is closed"}`); code != 409 {
		t.Errorf("an open account was paid out: %d", code)
	}
	s.closeAccount(t, id)
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
	for path, body := range map[string]string{"top-ups": `{"amount":"10.00","by":"fps","reason":"by telephone"}`, "payment-means": means} {
		if code, _ := s.ask(t, "POST", "/v1/accounts/"+id+"/"+path, "closing-"+path, body); code != 409 {
			t.Errorf("%s of a closing account: %d", path, code)
		}
	}
	id = s.must(t, 201, "POST", "/v1/accounts", "a2", `{"kind":"individual","name":"Wong","email":"wong@example.hk","language":"en"}`)["id"].(string)
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
	s := newServer(t, func(store *books.Store, clk *clock.Fixed) Topic {
		topic = newPayments(store, clk, &provider{answer: succeeds})
		return topic
	})
	ctx := context.Background()
	if _, err := s.books.PostCharge(ctx, billing.Charge{
		ID: "c1", Kind: "toll", Revision: 1, Account: "A1", Creditor: "CHT", AmountCents: 20_00, Currency: "HKD", OccurredMicros: 1,
	}, s.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.books.FollowPostings(ctx, 10, s.clock.Now()); err != nil {
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

// closeAccount closes an account as of now.
func (s *server) closeAccount(t *testing.T, id string) {
	t.Helper()
	ctx := context.Background()
	err := s.books.Do(ctx, func(tx *books.Tx) error {
		_, err := account.Close(ctx, tx, id, s.clock.Now(), account.Deed{By: "amy", Role: "operator", Now: s.clock.Now()})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// twoPeople are routes for amy and ben under keys of their own, and for a key
// that is nobody's.
func twoPeople(t *testing.T, s *server, topic Topic) (amy, ben, shared *server) {
	t.Helper()
	list := make([]*server, 0, 3)
	for _, name := range []string{"amy", "ben", "operator"} {
		h := web.HolderOf(web.Key{Name: name, Secret: testKey})
		h.Person = name != "operator"
		e := web.NewEcho(slog.New(slog.DiscardHandler), s.clock)
		Mount(e, web.BearerOf(func() []web.Holder { return []web.Holder{h} }), topic)
		list = append(list, &server{e, s.books, s.clock})
	}
	return list[0], list[1], list[2]
}

// TestMoneyByHandNeedsPeople: a key that is nobody's own does none of it, and
// above the limit a second person has to say so.
func TestMoneyByHandNeedsPeople(t *testing.T) {
	p := &provider{
		answer: func(payment.Order) (payment.Outcome, error) { return payment.Outcome{}, errSilent },
		query:  func(string) (payment.Outcome, error) { return payment.Outcome{}, errSilent },
	}
	var topic *Payments
	s := newServer(t, func(store *books.Store, clk *clock.Fixed) Topic {
		topic = newPayments(store, clk, p)
		topic.Named = true
		return both{topic, accountsTopic(store, clk)}
	})
	amy, ben, shared := twoPeople(t, s, topic)
	ctx := context.Background()
	id := s.must(t, 201, "POST", "/v1/accounts", "a", `{"kind":"individual","name":"Chan","email":"chan@example.hk","language":"en"}`)["id"].(string)
	made := amy.must(t, 201, "POST", "/v1/accounts/"+id+"/top-ups", "t", `{"amount":"9000.00","token":"tok_abcd","reason":"asked at the counter"}`)["id"].(string)
	if err := topic.Payments.Step(ctx, made); err != nil {
		t.Fatal(err)
	}
	word := `{"succeeded":true,"reason":"seen","evidence":"statement 7, line 3"}`
	cash := `{"amount":"300.00","by":"cash","place":"7-eleven","receipt":"R-0001","reason":"paid at the shop"}`
	for path, body := range map[string]string{
		"/v1/payments/" + made + "/resolution": word, "/v1/payments/" + made + "/refunds": `{"amount":"1.00","reason":"x"}`,
		"/v1/accounts/" + id + "/pay-out": `{"reason":"x"}`, "/v1/accounts/" + id + "/top-ups": cash,
		"/v1/payment-approvals/none/decision": `{"approve":true,"reason":"x"}`,
	} {
		if code, answer := shared.ask(t, "POST", path, "s"+path[len(path)-7:], body); code != 403 {
			t.Errorf("%s by nobody: %d %v", path, code, answer)
		}
	}
	// The provider declines: no person says otherwise.
	p.query = func(string) (payment.Outcome, error) {
		return payment.Outcome{Result: payment.ResultDeclined, Reason: "insufficient-funds"}, nil
	}
	if code, _ := amy.ask(t, "POST", "/v1/payments/"+made+"/resolution", "w0", word); code != 409 {
		t.Errorf("a decline was made good: %d", code)
	}
	p.query = func(string) (payment.Outcome, error) { return payment.Outcome{}, errSilent }
	waits := amy.must(t, 202, "POST", "/v1/payments/"+made+"/resolution", "w1", word)
	taken := amy.must(t, 202, "POST", "/v1/accounts/"+id+"/top-ups", "c1", cash)
	page := ben.must(t, 200, "GET", "/v1/payment-approvals?state=waiting&limit=1", "", "")
	rest := ben.must(t, 200, "GET", "/v1/payment-approvals?state=waiting&limit=1&after="+page["next"].(string), "", "")
	if len(page["items"].([]any)) != 1 || len(rest["items"].([]any)) != 1 || rest["next"] != nil {
		t.Errorf("%v, %v", page, rest)
	}
	for n, one := range []map[string]any{waits, taken} {
		path := "/v1/payment-approvals/" + one["id"].(string) + "/decision"
		if code, _ := amy.ask(t, "POST", path, fmt.Sprint("own", n), `{"approve":true,"reason":"mine"}`); code != 409 {
			t.Errorf("approved by oneself: %d", code)
		}
		if code, _ := ben.ask(t, "POST", path, fmt.Sprint("no", n), `{"reason":"looked"}`); code != 422 {
			t.Errorf("approved without saying so: %d", code)
		}
		done := ben.must(t, 200, "POST", path, fmt.Sprint("yes", n), `{"approve":true,"reason":"looked at the statement"}`)
		if done["state"] != "approved" || done["by"] != "amy" || done["decided_by"] != "ben" || len(done["payments"].([]any)) != 1 {
			t.Errorf("%v", done)
		}
	}
	if code, _ := amy.ask(t, "GET", "/v1/payment-approvals?state=maybe", "", ""); code != 400 {
		t.Errorf("an unknown state: %d", code)
	}
	var holds int64
	if err := s.books.View(ctx, func(tx *books.Tx) error {
		w, err := tx.Wallet(ctx, id, "HKD")
		holds = w.BalanceCents
		return err
	}); err != nil || holds != 9300_00 {
		t.Errorf("the wallet holds %d, %v", holds, err)
	}
	// Each has its rows in the audit trail.
	var rows int64
	if err := s.books.Do(ctx, func(tx *books.Tx) error {
		_, err := database.One(ctx, tx.Session(), `SELECT count(*) FROM audit_event WHERE action IN ('payment.deed.proposed', 'payment.deed.approved', 'payment.resolved', 'payment.cash.taken')`, nil, &rows)
		return err
	}); err != nil || rows != 6 {
		t.Errorf("%d rows in the audit trail, %v", rows, err)
	}
}

// both is two topics as one.
type both struct{ one, two Topic }

func (b both) Routes(g *echo.Group) { b.one.Routes(g); b.two.Routes(g) }
func (b both) OpenAPI() []byte      { return b.one.OpenAPI() }
