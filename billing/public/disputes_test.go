package public

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/dispute"
	"freeflow/billing/fps"
	"freeflow/billing/payment"
	"freeflow/billing/recovery"
	"freeflow/internal/web"
	"freeflow/internal/web/webtest"
)

type everyDay struct{}

func (everyDay) Holiday(time.Time) (bool, error) { return false, nil }

// disputing are the routes over the tester's books, with a notice N0000001 for
// plate XY1 that names two unpaid passes.
func disputing(t *testing.T) *tester {
	t.Helper()
	w := newTester(t)
	log := slog.New(slog.DiscardHandler)
	service := &dispute.Service{
		Keeping: books.Keep[dispute.Tx]{Store: w.books, As: func(tx *books.Tx) dispute.Tx { return tx }},
		Ladder: &recovery.Ladder{
			Keeping:  books.Keep[recovery.Tx]{Store: w.books, As: func(tx *books.Tx) recovery.Tx { return tx }},
			Calendar: recovery.Calendar{Holidays: everyDay{}}, Rules: recovery.HongKong(), Zone: time.UTC, Clock: w.clock, Log: log,
		},
		Rules: dispute.HongKong(), Clock: w.clock, Log: log,
	}
	api, err := New(Parts{
		Payments: w.pay, Once: w.books, Plate: strings.ToUpper, Payee: fps.Payee{Proxy: fps.ProxyFPSID, Value: "1234567"}, Name: "FREEFLOW",
		Floor: time.Millisecond, Clock: w.clock, Log: log,
	})
	w.must(err)
	w.Echo = web.NewEcho(log, w.clock)
	api.DisputeRoutes(w.Echo, Disputing{Service: service, View: w.books.View})
	var names []string
	for n := range 2 {
		at := w.clock.Now().Add(time.Duration(n-3) * time.Hour).UnixMicro()
		p := billing.Pass{
			ID: fmt.Sprintf("%032x", n+1), Facility: "CHT", TollPoint: "CHT-N", Vehicle: "plate:XY1", FirstMicros: at, LastMicros: at, Revision: 1,
			Status: billing.StatusUnpaid, Class: "taxi", AmountCents: 3000, Currency: "HKD", Rule: "r", TariffVersion: "1", Evidence: []byte{0},
		}
		w.must(w.books.Post(t.Context(), billing.Batch{From: int64(n), To: int64(n + 1), MaxMicros: at, PostedAt: w.clock.Now(), Gap: 1, Passes: []billing.Pass{p}}))
		names = append(names, "pass:"+p.ID)
	}
	_, err = w.books.FollowPostings(t.Context(), 100, w.clock.Now())
	w.must(err)
	w.must(w.books.Do(t.Context(), func(tx *books.Tx) error {
		return tx.PutPayReference(t.Context(), payment.Reference{Number: "N0000001", Vehicle: "XY1", Receivables: names})
	}))
	return w
}

func (w *tester) say(key, body string) (int, map[string]any) {
	w.Helper()
	r := httptest.NewRequest(http.MethodPost, "/v1/notice-disputes", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", `"`+key+`"`)
	answer := httptest.NewRecorder()
	w.ServeHTTP(answer, r)
	var v map[string]any
	w.must(json.Unmarshal(answer.Body.Bytes(), &v))
	return answer.Code, v
}

func TestDisputeByNotice(t *testing.T) {
	w := disputing(t)
	const body = `{"plate":"xy1","number":"n0000001","reason":"sold-vehicle","text":"sold in May"}`
	code, v := w.say("k1", body)
	if code != http.StatusCreated || len(v["disputes"].([]any)) != 2 {
		t.Fatalf("it answered %d %v", code, v)
	}
	if code, again := w.say("k1", body); code != http.StatusCreated || fmt.Sprint(again) != fmt.Sprint(v) {
		t.Errorf("the repetition answered %d %v", code, again)
	}
	text := fmt.Sprint(v)
	for _, secret := range []string{"CHT", "pass:", "XY1", "sold in May"} {
		if strings.Contains(text, secret) {
			t.Errorf("the answer tells %q: %s", secret, text)
		}
	}
	reference := v["disputes"].([]any)[0].(map[string]any)["reference"].(string)
	answer := httptest.NewRecorder()
	w.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/v1/notice-disputes/"+reference, nil))
	if answer.Code != http.StatusOK || !strings.Contains(answer.Body.String(), `"state":"opened"`) {
		t.Errorf("it stands as %d %s", answer.Code, answer.Body)
	}
	// Held: there is nothing to be paid of the notice meanwhile.
	err := w.books.View(context.Background(), func(tx *books.Tx) error {
		open, named, err := tx.PayReference(t.Context(), "XY1", "N0000001")
		if len(open) != 0 || named != 2 {
			t.Errorf("%v are to be paid, of %d", open, named)
		}
		return err
	})
	w.must(err)
}

func TestDisputeByNoticeTellsNothing(t *testing.T) {
	w := disputing(t)
	var answers []string
	for n, body := range []string{
		`{"plate":"XY2","number":"N0000001","reason":"other","text":"x"}`, `{"plate":"XY1","number":"N0000002","reason":"other","text":"x"}`, `{"plate":"ZZ9","number":"Q","reason":"other","text":"x"}`,
	} {
		code, v := w.say(fmt.Sprint("k", n), body)
		if code != http.StatusNotFound {
			t.Errorf("%s answered %d %v", body, code, v)
		}
		delete(v, "instance")
		delete(v, "request_id")
		answers = append(answers, fmt.Sprint(v["type"], v["title"], v["detail"]))
	}
	if answers[0] != answers[1] || answers[1] != answers[2] {
		t.Errorf("the answers differ: %q", answers)
	}
	if code, v := w.say("k9", `{"plate":"XY1","number":"N0000001","reason":"angry"}`); code != http.StatusUnprocessableEntity {
		t.Errorf("a reason that is none: %d %v", code, v)
	}
	for _, reference := range []string{"none", "AAAAAAAAAAAAAAAA"} {
		answer := httptest.NewRecorder()
		w.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/v1/notice-disputes/"+reference, nil))
		if answer.Code != http.StatusNotFound {
			t.Errorf("%s answered %d", reference, answer.Code)
		}
	}
}

func TestDisputesOpenAPI(t *testing.T) {
	w := disputing(t)
	doc, err := web.MergeOpenAPI(OpenAPI(), DisputesOpenAPI())
	w.must(err)
	differences, err := webtest.Differences(doc, w.Routes())
	w.must(err)
	for _, d := range differences {
		if strings.Contains(d, "dispute") {
			t.Error(d)
		}
	}
}
