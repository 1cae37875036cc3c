package public

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/bankemu"
	"freeflow/billing/books"
	"freeflow/billing/fps"
	"freeflow/billing/payment"
	"freeflow/billing/payment/bank"
	"freeflow/internal/clock"
	"freeflow/internal/web"
	"freeflow/internal/web/webtest"
)

var noon = time.Date(2026, 11, 24, 4, 0, 0, 0, time.UTC)

const secret = "notice-secret-0123456789"

// tester is the API over real books and the local provider.
type tester struct {
	testing.TB
	*echo.Echo
	clock  *clock.Fixed
	books  *books.Store
	bank   *bankemu.Emulator
	pay    *payment.Service
	keep   books.Keep[payment.Tx]
	logs   *bytes.Buffer
	serial int
}

func newTester(t testing.TB) *tester {
	t.Helper()
	w := &tester{TB: t, clock: clock.At(noon), logs: &bytes.Buffer{}}
	var err error
	w.books, err = books.Open(context.Background(), "sqlite:"+filepath.Join(t.TempDir(), "books.db"), books.Options{Migrate: true, Clock: w.clock})
	w.must(err)
	t.Cleanup(func() { w.books.Close() })
	log := slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.Echo = web.NewEcho(log, w.clock)
	here := httptest.NewServer(w.Echo)
	t.Cleanup(here.Close)
	w.bank, err = bankemu.New(bankemu.Config{
		Clock: w.clock, Log: slog.New(slog.DiscardHandler), Key: "bank-key-0123456789", AdminKey: "bank-admin-0123456789",
		NoticeURL: here.URL + "/v1/payment-providers/bank/notices", Epoch: "e1", Secret: secret,
	})
	w.must(err)
	server := web.NewEcho(slog.New(slog.DiscardHandler), w.clock)
	w.must(w.bank.Routes(server))
	provider := httptest.NewServer(server)
	t.Cleanup(provider.Close)
	client, err := bank.New(bank.Config{Name: "bank", URL: provider.URL, Key: "bank-key-0123456789", Notices: payment.Keys{ByEpoch: map[string]string{"e1": secret}}})
	w.must(err)
	w.keep = books.Keep[payment.Tx]{Store: w.books, As: func(tx *books.Tx) payment.Tx { return tx }}
	w.pay, err = payment.New(payment.Config{Store: w.keep, Providers: []payment.Provider{client}, Clock: w.clock, Zone: time.UTC, Log: log})
	w.must(err)
	api, err := New(Parts{
		Payments: w.pay, Once: w.books, Plate: func(s string) string { return strings.ToUpper(strings.ReplaceAll(s, " ", "")) },
		Payee: fps.Payee{Proxy: fps.ProxyFPSID, Value: "1234567"}, Name: "FREEFLOW", Floor: time.Millisecond, Clock: w.clock, Log: log,
	})
	w.must(err)
	api.Routes(w.Echo)
	return w
}

func (w *tester) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// noticeNumber is on the notice of every test.
const noticeNumber = "N-0000001"

// notice makes a toll of nobody's with a notice.
func (w *tester) notice(cents int64) {
	w.Helper()
	w.serial++
	id := fmt.Sprintf("t%d", w.serial)
	ctx := context.Background()
	_, err := w.books.PostCharge(ctx, billing.Charge{
		ID: id, Kind: "toll", Revision: 1, Creditor: "WHC", AmountCents: cents, Currency: "HKD", Vehicle: "plate:AB1234", OccurredMicros: noon.UnixMicro(),
	}, noon)
	w.must(err)
	_, err = w.books.FollowPostings(ctx, 100, noon)
	w.must(err)
	w.must(w.keep.Do(ctx, func(tx payment.Tx) error {
		return tx.PutPayReference(ctx, payment.Reference{Number: noticeNumber, Vehicle: "AB1234", Receivables: []string{"charge:" + id}})
	}))
}

// ask sends a request from an address.
func (w *tester) ask(method, path, key, body, address string) (int, map[string]any, http.Header) {
	w.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		r.Header.Set("Idempotency-Key", `"`+key+`"`)
	}
	r.RemoteAddr = address + ":1"
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, r)
	answer := map[string]any{}
	if strings.Contains(rec.Header().Get("Content-Type"), "json") {
		w.must(json.Unmarshal(rec.Body.Bytes(), &answer))
	}
	return rec.Code, answer, rec.Header()
}

func TestOpenAPIDescribesTheRoutes(t *testing.T) {
	w := newTester(t)
	differences, err := webtest.Differences(OpenAPI(), w.Routes())
	w.must(err)
	for _, d := range differences {
		t.Error(d)
	}
}

func TestPayByCard(t *testing.T) {
	w := newTester(t)
	w.notice(195_00)
	token := w.bank.AddToken("", "card", 500_00, "HKD")
	code, quote, _ := w.ask("POST", "/v1/notice-quotes", "", `{"plate":"ab 1234","number":"n-0000001"}`, "192.0.2.1")
	if code != 200 || quote["total"] != "195.00" || len(quote) != 3 {
		t.Fatalf("%d %v", code, quote)
	}
	for _, tell := range []string{"WHC", "2026", "charge"} {
		if strings.Contains(fmt.Sprint(quote), tell) {
			t.Errorf("the quote tells %q: %v", tell, quote)
		}
	}
	order := fmt.Sprintf(`{"plate":"AB1234","number":"N-0000001","by":"card","token":%q}`, token)
	code, paid, header := w.ask("POST", "/v1/notice-payments", "k1", order, "192.0.2.1")
	if code != 201 || paid["state"] != "paid" || paid["amount"] != "195.00" {
		t.Fatalf("%d %v", code, paid)
	}
	code, again, _ := w.ask("POST", "/v1/notice-payments", "k1", order, "192.0.2.1")
	if code != 201 || again["id"] != paid["id"] || w.bank.Totals("HKD").TakenCents != 195_00 {
		t.Errorf("the repetition: %d %v", code, again)
	}
	if code, _, _ := w.ask("POST", "/v1/notice-payments", "k1", strings.Replace(order, "AB1234", "AB 1234", 1), "192.0.2.1"); code != 422 {
		t.Errorf("the key for another request: %d", code)
	}
	if code, shown, _ := w.ask("GET", header.Get("Location"), "", "", "192.0.2.9"); code != 200 || shown["state"] != "paid" {
		t.Errorf("%d %v", code, shown)
	}
	if code, _, _ := w.ask("POST", "/v1/notice-payments", "k2", order, "192.0.2.1"); code != 409 {
		t.Errorf("paying what is paid: %d", code)
	}
	if strings.Contains(w.logs.String(), "AB1234") || strings.Contains(w.logs.String(), token) {
		t.Error("the log tells a plate or a token")
	}
}

// TestNobodyLearnsAnything: wrong combinations are answered alike, byte for byte
// but for the request's id, whether the plate, the number, both or neither exist.
func TestNobodyLearnsAnything(t *testing.T) {
	w := newTester(t)
	w.notice(20_00)
	var first string
	for i, one := range [][2]string{{"XY1", "N-0000001"}, {"AB1234", "N-0000002"}, {"XY1", "N-0000002"}, {"?", "x"}} {
		for _, path := range []string{"/v1/notice-quotes", "/v1/notice-payments"} {
			body := fmt.Sprintf(`{"plate":%q,"number":%q`, one[0], one[1])
			key := ""
			if path == "/v1/notice-payments" {
				body, key = body+`,"by":"fps"`, fmt.Sprint("key", i)
			}
			code, answer, _ := w.ask("POST", path, key, body+"}", fmt.Sprintf("192.0.2.%d", i+1))
			delete(answer, "request_id")
			if text := fmt.Sprint(code, answer); first == "" {
				first = text
			} else if text != first {
				t.Errorf("%v at %s is answered otherwise: %s", one, path, text)
			}
		}
	}
	if !strings.HasPrefix(first, "404") {
		t.Errorf("answered %s", first)
	}
}

// TestAnswersTakeTheirTime: right or wrong, an answer takes the least time.
func TestAnswersTakeTheirTime(t *testing.T) {
	w := newTester(t)
	w.notice(20_00)
	api, err := New(Parts{
		Payments: w.pay, Once: w.books, Plate: strings.ToUpper, Payee: fps.Payee{Proxy: fps.ProxyFPSID, Value: "1234567"},
		Floor: 80 * time.Millisecond, Clock: w.clock, Log: slog.New(slog.DiscardHandler),
	})
	w.must(err)
	w.Echo = web.NewEcho(slog.New(slog.DiscardHandler), w.clock)
	api.Routes(w.Echo)
	clk := clock.System{}
	for _, body := range []string{`{"plate":"AB1234","number":"N-0000001"}`, `{"plate":"XY1","number":"N-0000001"}`, `{"plate":1}`} {
		begin := clk.Now()
		w.ask("POST", "/v1/notice-quotes", "", body, "192.0.2.1")
		if took := clk.Now().Sub(begin); took < 80*time.Millisecond {
			t.Errorf("%s was answered after %s", body, took)
		}
	}
}

func TestGuessingIsSlow(t *testing.T) {
	w := newTester(t)
	guess := func(i int, plate, address string) int {
		code, _, _ := w.ask("POST", "/v1/notice-quotes", "", fmt.Sprintf(`{"plate":%q,"number":"GUESS-%04d"}`, plate, i), address)
		return code
	}
	passed := 0
	for i := range 40 {
		if guess(i, fmt.Sprint("P", i), "192.0.2.1") == 404 {
			passed++
		}
	}
	if passed != asksAtOnce {
		t.Errorf("one address asked %d times", passed)
	}
	// From many addresses, about one plate, there or not.
	for _, plate := range []string{"AB1234", "NOBODY"} {
		passed = 0
		for i := range 40 {
			if guess(i, plate, fmt.Sprintf("198.51.100.%d", i)) == 404 {
				passed++
			}
		}
		if passed != plateAtOnce {
			t.Errorf("%s was asked about %d times", plate, passed)
		}
	}
}

func TestPayByFPS(t *testing.T) {
	w := newTester(t)
	w.notice(20_50)
	code, made, header := w.ask("POST", "/v1/notice-payments", "k1", `{"plate":"AB1234","number":"N-0000001","by":"fps"}`, "192.0.2.1")
	if code != 201 || made["state"] != "waiting" {
		t.Fatalf("%d %v", code, made)
	}
	r, err := fps.Parse(made["qr"].(string))
	if err != nil || r.AmountCents != 20_50 || r.Bill != made["bill"] || !r.Once || r.Payee.Value != "1234567" {
		t.Errorf("%+v, %v", r, err)
	}
	for _, kind := range []string{"svg", "png"} {
		if code, _, h := w.ask("GET", header.Get("Location")+"/qr."+kind, "", "", "192.0.2.1"); code != 200 || !strings.HasPrefix(h.Get("Content-Type"), "image/") {
			t.Errorf("%s: %d %v", kind, code, h)
		}
	}
	w.must(w.bank.Send(context.Background(), r.Bill, "fps_anna1", r.AmountCents, "HKD"))
	_, err = w.bank.Deliver(context.Background())
	w.must(err)
	if code, shown, _ := w.ask("GET", header.Get("Location"), "", "", "192.0.2.1"); code != 200 || shown["state"] != "paid" {
		t.Errorf("%d %v", code, shown)
	}
	if code, _, _ := w.ask("GET", header.Get("Location")+"/qr.svg", "", "", "192.0.2.1"); code != 404 {
		t.Errorf("the code is there after it was paid: %d", code)
	}
}

// TestOneOfTwoPays: two who hold the notice pay at once; one of them pays it.
func TestOneOfTwoPays(t *testing.T) {
	w := newTester(t)
	w.notice(20_00)
	codes := make([]int, 4)
	var wg sync.WaitGroup
	for i := range codes {
		token := w.bank.AddToken("", "card", 50_00, "HKD")
		wg.Go(func() {
			codes[i], _, _ = w.ask("POST", "/v1/notice-payments", fmt.Sprint("k", i), fmt.Sprintf(`{"plate":"AB1234","number":"N-0000001","by":"card","token":%q}`, token), fmt.Sprintf("192.0.2.%d", i))
		})
	}
	wg.Wait()
	won := 0
	for _, code := range codes {
		if code == 201 {
			won++
		} else if code != 409 {
			t.Errorf("answered %d", code)
		}
	}
	if won != 1 || w.bank.Totals("HKD").TakenCents != 20_00 {
		t.Errorf("%d paid, %+v", won, w.bank.Totals("HKD"))
	}
}

func TestBadOrders(t *testing.T) {
	w := newTester(t)
	for i, one := range []struct {
		body   string
		status int
	}{
		{`{"plate":"AB1","number":"N-0000001","by":"cash"}`, 422}, {`{"plate":"AB1","number":"N-0000001","by":"card"}`, 422},
		{`{"plate":"AB1","number":"N-0000001","by":"card","token":"4111111111111111"}`, 422}, {`{"plate":"","number":"N-0000001","by":"fps"}`, 422},
		{`{"plate":"AB1","number":"N-0000001","by":"fps","token":"tok_abcd"}`, 422}, {`{"plate":"AB1","number":"","by":"fps"}`, 422},
		{`{"plate":"AB1","number":"N","by":"fps","amount":"1.00"}`, 422}, {`{`, 400},
	} {
		code, answer, _ := w.ask("POST", "/v1/notice-payments", fmt.Sprint("bad", i), one.body, "192.0.2.1")
		if code != one.status || strings.Contains(fmt.Sprint(answer), "4111") {
			t.Errorf("%s: %d %v", one.body, code, answer)
		}
	}
	if code, _, _ := w.ask("POST", "/v1/notice-payments", "", `{}`, "192.0.2.1"); code != 400 {
		t.Errorf("without a key: %d", code)
	}
	if code, _, _ := w.ask("GET", "/v1/notice-payments/pay_unknown", "", "", "192.0.2.1"); code != 404 {
		t.Errorf("a payment that is not there: %d", code)
	}
}

func TestProvidersNotices(t *testing.T) {
	w := newTester(t)
	send := func(path, body, signature string) int {
		r := httptest.NewRequest("POST", path, strings.NewReader(body))
		r.Header.Set(payment.HeaderSignature, signature)
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, r)
		return rec.Code
	}
	const path = "/v1/payment-providers/bank/notices"
	body := `{"id":"n1","transfer":{"id":"t1","reference":"pay_x","status":"declined"}}`
	good := payment.Sign("e1", secret, noon, []byte(body))
	for _, one := range []struct {
		path, body, signature string
		status                int
	}{
		{path, body, good, 204}, {path, body, good, 204}, {path, body + " ", good, 401}, {path, body, "", 401},
		{path, body, payment.Sign("e1", secret, noon.Add(-time.Hour), []byte(body)), 401},
		{path, "{}", payment.Sign("e1", secret, noon, []byte("{}")), 422},
		{"/v1/payment-providers/other/notices", body, good, 422},
		{path, strings.Repeat("x", maxBody+1), good, 413},
	} {
		if got := send(one.path, one.body, one.signature); got != one.status {
			t.Errorf("%.60s signed %.30s: %d, want %d", one.body, one.signature, got, one.status)
		}
	}
}
