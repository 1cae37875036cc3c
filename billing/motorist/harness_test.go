package motorist

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/account"
	"freeflow/billing/bankemu"
	"freeflow/billing/books"
	"freeflow/billing/dispute"
	"freeflow/billing/payment"
	"freeflow/billing/payment/bank"
	"freeflow/billing/recovery"
	"freeflow/billing/statement/desk"
	"freeflow/billing/statement/pdf"
	"freeflow/internal/audit"
	"freeflow/internal/clock"
	"freeflow/internal/web"
)

var (
	hk    = time.FixedZone("HKT", 8*3600)
	start = time.Date(2026, 11, 24, 12, 0, 0, 0, hk)
)

// headers says who is signed in; it stands for the portal's cookie.
type headers struct{}

func (headers) Account(c echo.Context) (string, bool) {
	id := c.Request().Header.Get("Test-Account")
	return id, id != ""
}

// codes are their own names.
type codes struct{}

func (codes) TollPoint(name string) (en, zh string) { return "Point " + name, "收費點" }
func (codes) Class(name string) (en, zh string)     { return "Class " + name, "" }

type printed struct{}

func (printed) Place(code, _ string) string { return code }
func (printed) Class(code, _ string) string { return code }

// noHolidays knows none.
type noHolidays struct{}

func (noHolidays) Holiday(time.Time) (bool, error) { return false, nil }

// noEvidence finds none.
type noEvidence struct{}

func (noEvidence) Gather(_ context.Context, receivable string) (dispute.Bundle, int64, error) {
	return dispute.Bundle{Receivable: receivable}, 1, nil
}

// tester is the API over real books and the local provider.
type tester struct {
	testing.TB
	*echo.Echo
	clock  *clock.Fixed
	books  *books.Store
	bank   *bankemu.Emulator
	api    *API
	offset int64
}

func newTester(t testing.TB) *tester {
	t.Helper()
	w := &tester{TB: t, clock: clock.At(start)}
	quiet := slog.New(slog.DiscardHandler)
	var err error
	w.books, err = books.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "books.db"), books.Options{Migrate: true, Clock: w.clock, Logger: quiet})
	w.must(err)
	t.Cleanup(func() { w.must(w.books.Close()) })
	w.bank, err = bankemu.New(bankemu.Config{Clock: w.clock, Log: quiet, Key: "bank-key-0123456789", AdminKey: "bank-admin-0123456789"})
	w.must(err)
	server := web.NewEcho(quiet, w.clock)
	w.must(w.bank.Routes(server))
	provider := httptest.NewServer(server)
	t.Cleanup(provider.Close)
	client, err := bank.New(bank.Config{
		Name: "bank", URL: provider.URL, Key: "bank-key-0123456789", Notices: payment.Keys{ByEpoch: map[string]string{"e1": "notice-secret-0123456789"}},
	})
	w.must(err)
	pay, err := payment.New(payment.Config{
		Store: books.Keep[payment.Tx]{Store: w.books, As: func(tx *books.Tx) payment.Tx { return tx }}, Providers: []payment.Provider{client}, Clock: w.clock, Zone: hk, Log: quiet,
	})
	w.must(err)
	rules := dispute.HongKong()
	rules.Currency = "HKD"
	w.api, err = New(Parts{
		Sessions: headers{}, Books: w.books, Payments: pay, Names: codes{}, Currency: "HKD", Zone: hk, Clock: w.clock, Log: quiet, Tag: func(s string) (string, error) { return s, nil },
		Code: func(one *payment.Attempt) (string, error) { return "code of " + one.Bill, nil },
		Disputes: &dispute.Service{
			Keeping: books.Keep[dispute.Tx]{Store: w.books, As: func(tx *books.Tx) dispute.Tx { return tx }}, Gatherer: noEvidence{}, Rules: rules, Clock: w.clock, Log: quiet,
			Ladder: &recovery.Ladder{
				Keeping:  books.Keep[recovery.Tx]{Store: w.books, As: func(tx *books.Tx) recovery.Tx { return tx }},
				Calendar: recovery.Calendar{Holidays: noHolidays{}}, Rules: recovery.HongKong(), Zone: hk, Clock: w.clock, Log: quiet,
			},
		},
		Desk: &desk.Desk{Books: w.books, Zone: hk, Currency: "HKD", PDF: pdf.New(), Words: printed{}, Issuer: "freeflow", Printers: make(chan struct{}, 1)},
	})
	w.must(err)
	w.Echo = web.NewEcho(quiet, w.clock)
	w.api.Routes(w.Echo)
	return w
}

func (w *tester) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// open opens an account.
func (w *tester) open(id string) {
	w.Helper()
	w.do(func(tx *books.Tx) error {
		_, err := account.OpenAccount(w.Context(), tx, account.Account{
			ID: id, Kind: account.Individual, Name: "Name of " + id, Email: strings.ToLower(id) + "@example.hk", Language: "en", OpenedAt: start.AddDate(-1, 0, 0),
		}, account.Deed{By: "clerk", Role: "operator", Reason: "test", Now: w.clock.Now()})
		return err
	})
}

func (w *tester) do(fn func(*books.Tx) error) {
	w.Helper()
	w.must(w.books.Do(w.Context(), fn))
}

// passID is the id of a pass by a number.
func passID(n int64) string { return fmt.Sprintf("%032x", n) }

// pass posts a toll and returns the charge's id.
func (w *tester) pass(account string, cents int64) string {
	w.Helper()
	w.offset++
	at := w.clock.Now().Add(-time.Hour).Add(time.Duration(w.offset) * time.Second)
	p := billing.Pass{
		ID: passID(w.offset), Facility: "CHT", TollPoint: "CHT-N", Vehicle: "plate:AB" + account, Registered: true, FirstMicros: at.UnixMicro(), LastMicros: at.UnixMicro() + 5,
		Revision: 1, Status: billing.StatusCharged, Class: "taxi", Account: account, AmountCents: cents, Currency: "HKD", Rule: "peak", TariffVersion: "v7", Evidence: []byte{0},
	}
	w.must(w.books.Post(w.Context(), billing.Batch{From: w.offset - 1, To: w.offset, MaxMicros: 1, PostedAt: w.clock.Now(), Passes: []billing.Pass{p}, Gap: 1}))
	_, err := w.books.FollowPostings(w.Context(), 100, w.clock.Now())
	w.must(err)
	return billing.ReceivablePass + p.ID
}

// request is a request of an account's browser.
func request(method, path, account, body string, header ...string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if account != "" {
		r.Header.Set("Test-Account", account)
	}
	if method != http.MethodGet {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func (w *tester) send(r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, r)
	return rec
}

// ask wants a status and returns the JSON of the answer.
func (w *tester) ask(want int, method, path, account, key, body string) map[string]any {
	w.Helper()
	var header []string
	if key != "" {
		header = []string{"Idempotency-Key", `"` + key + `"`}
	}
	rec := w.send(request(method, path, account, body, header...))
	answer := map[string]any{}
	if strings.Contains(rec.Header().Get("Content-Type"), "json") {
		w.must(json.Unmarshal(rec.Body.Bytes(), &answer))
	}
	if rec.Code != want {
		w.Fatalf("%s %s answered %d, want %d: %s", method, path, rec.Code, want, rec.Body)
	}
	return answer
}

// at follows a path of names and places into JSON.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			list, _ := v.([]any)
			if p >= len(list) {
				return nil
			}
			v = list[p]
		}
	}
	return v
}

// staffViews counts the rows of views of an account.
func (w *tester) staffViews(id string) int {
	w.Helper()
	n := 0
	w.must(w.books.View(w.Context(), func(tx *books.Tx) error {
		list, err := audit.Views(w.Context(), tx.Session(), id, "", 100)
		n = len(list)
		return err
	}))
	return n
}
