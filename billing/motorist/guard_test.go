package motorist

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/statement"
	"freeflow/internal/web/webtest"
)

func TestOpenAPIDescribesTheRoutes(t *testing.T) {
	w := newTester(t)
	differences, err := webtest.Differences(OpenAPI(), w.Routes())
	w.must(err)
	for _, d := range differences {
		t.Error(d)
	}
}

// owned is what account A has of each kind of thing that an address can name.
func (w *tester) owned() map[string]string {
	w.open("A")
	w.open("B")
	toll := w.pass("A", 25_00)
	other := w.pass("A", 30_00)
	opened := w.ask(201, "POST", "/v1/me/disputes", "A", "d", `{"charge":"`+other+`","reason":"other","text":"not my car"}`)
	topUp := w.ask(201, "POST", "/v1/me/top-ups", "A", "t", `{"amount":"100.00","by":"fps"}`)
	// A month later there is a statement.
	w.clock.Set(start.AddDate(0, 1, 0))
	issuer := statement.Issuer{
		Ledger: w.books, Keeping: books.Keep[statement.Tx]{Store: w.books, As: func(tx *books.Tx) statement.Tx { return tx }}, Zone: hk, Clock: w.clock, Log: w.api.Log,
	}
	_, err := issuer.Run(w.Context())
	w.must(err)
	list := w.ask(200, "GET", "/v1/me/statements", "A", "", "")
	return map[string]string{
		"charges": toll, "disputes": opened["reference"].(string), "payments": topUp["id"].(string), "statements": at(list, "items", 0, "number").(string),
	}
}

// unknown are things that nobody has.
var unknown = map[string]string{
	"charges": billing.ReceivablePass + strings.Repeat("f", 32), "disputes": "ABCDEFGHIJKLMNOP", "payments": "pay_ABCDEFGHIJKLMNOPQRSTUVWXYZ", "statements": "S202611-X-HKD",
}

// filled is a route's path with the ids given.
func filled(t *testing.T, path string, ids map[string]string) string {
	t.Helper()
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if strings.HasPrefix(p, ":") {
			id, ok := ids[parts[i-1]]
			if !ok {
				t.Fatalf("%s names something that the test has none of; add it to owned and unknown", path)
			}
			parts[i] = id
		}
	}
	return strings.Join(parts, "/")
}

// bodies are what the changes are asked with; the charge is a foreign one where one
// is named.
func bodies(path, charge string) string {
	switch path {
	case "/v1/me/payments":
		return `{"charges":["` + charge + `"],"token":"tok_12345678"}`
	case "/v1/me/disputes":
		return `{"charge":"` + charge + `","reason":"other","text":"not mine"}`
	case "/v1/me/top-ups":
		return `{"amount":"10.00","by":"fps"}`
	case "/v1/me/payment-means":
		return `{"mode":"prepaid"}`
	}
	return `{}`
}

// told is what a problem document says, without what names the request.
func told(t *testing.T, body []byte) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	delete(m, "request_id")
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// mine are the routes of the package, as they are registered.
func (w *tester) mine() []*echo.Route {
	var list []*echo.Route
	for _, r := range w.Routes() {
		if r.Method != echo.RouteNotFound {
			list = append(list, r)
		}
	}
	if len(list) < 20 {
		w.Fatalf("only %d routes were found: the matrix would hold of nothing", len(list))
	}
	return list
}

// TestNothingIsToldWithoutASession walks every route.
func TestNothingIsToldWithoutASession(t *testing.T) {
	w := newTester(t)
	ids := w.owned()
	for _, r := range w.mine() {
		path := filled(t, r.Path, ids)
		rec := w.send(request(r.Method, path, "", bodies(r.Path, ids["charges"]), "Idempotency-Key", `"k"`, "Accept", "text/html,application/xhtml+xml,*/*"))
		if rec.Code != http.StatusUnauthorized || !strings.HasPrefix(rec.Header().Get("Content-Type"), "application/problem+json") || rec.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s answered %d %v %s", r.Method, r.Path, rec.Code, rec.Header(), rec.Body)
		}
		for _, tell := range []string{"AB", "25.00", "Name of"} {
			if strings.Contains(rec.Body.String(), tell) {
				t.Errorf("%s %s tells %q without a session", r.Method, r.Path, tell)
			}
		}
	}
}

// TestAnothersThingsAreLikeNone walks every route that names a thing, in its
// address or body: account A has it, B is told what everybody is told of what is
// not there; and lists of B hold nothing of A's.
func TestAnothersThingsAreLikeNone(t *testing.T) {
	w := newTester(t)
	ids := w.owned()
	named := 0
	for _, r := range w.mine() {
		w.clock.Advance(papersAtOnce * paperEvery)
		names := strings.Contains(r.Path, ":") || r.Method != http.MethodGet && strings.Contains(bodies(r.Path, "\x00"), "\x00")
		foreign := request(r.Method, filled(t, r.Path, ids), "B", bodies(r.Path, ids["charges"]), "Idempotency-Key", `"foreign `+r.Path+`"`)
		none := request(r.Method, filled(t, r.Path, unknown), "B", bodies(r.Path, unknown["charges"]), "Idempotency-Key", `"unknown `+r.Path+`"`)
		got, want := w.send(foreign), w.send(none)
		for _, theirs := range []string{"ABA", "25.00", "30.00", "Name of A", ids["charges"], ids["disputes"], ids["payments"], ids["statements"]} {
			if strings.Contains(got.Body.String(), theirs) {
				t.Errorf("%s %s tells B %q: %s", r.Method, r.Path, theirs, got.Body)
			}
		}
		if !names {
			continue
		}
		named++
		if got.Code != http.StatusNotFound || want.Code != http.StatusNotFound || told(t, got.Body.Bytes()) != told(t, want.Body.Bytes()) {
			t.Errorf("%s %s: another's is answered %d %s, nobody's %d %s", r.Method, r.Path, got.Code, got.Body, want.Code, want.Body)
		}
		if r.Method == http.MethodGet && !strings.Contains(r.Path, "/qr.") {
			for _, accept := range []string{"text/csv", "application/pdf"} {
				rec := w.send(request("GET", filled(t, r.Path, ids), "B", "", "Accept", accept))
				if rec.Code != http.StatusNotFound {
					t.Errorf("%s as %s answered B %d", r.Path, accept, rec.Code)
				}
			}
		}
		// A's own is there, so that the comparison is of something.
		if r.Method == http.MethodGet && !strings.Contains(r.Path, "/qr.") {
			if rec := w.send(request("GET", filled(t, r.Path, ids), "A", "")); rec.Code != http.StatusOK {
				t.Errorf("%s answered its owner %d %s", r.Path, rec.Code, rec.Body)
			}
		}
	}
	if named < 8 {
		t.Errorf("only %d routes were compared", named)
	}
	if n := w.staffViews("A") + w.staffViews("B"); n != 0 {
		t.Errorf("the holders' own views left %d rows of staff", n)
	}
}

// TestOtherSitesChangeNothing: every POST that a browser says is another site's is
// refused, and so is every body that a form can send.
func TestOtherSitesChangeNothing(t *testing.T) {
	w := newTester(t)
	ids := w.owned()
	charge := w.pass("A", 41_00)
	for _, r := range w.mine() {
		if r.Method == http.MethodGet {
			continue
		}
		path, body := filled(t, r.Path, ids), bodies(r.Path, charge)
		for _, header := range [][]string{
			{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"},
		} {
			rec := w.send(request(r.Method, path, "A", body, append(header, "Idempotency-Key", `"x"`)...))
			if rec.Code != http.StatusForbidden {
				t.Errorf("%s %s with %v answered %d %s", r.Method, r.Path, header, rec.Code, rec.Body)
			}
		}
		for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""} {
			rec := w.send(request(r.Method, path, "A", body, "Idempotency-Key", `"y"`, "Content-Type", kind))
			if rec.Code != http.StatusUnsupportedMediaType {
				t.Errorf("%s %s with content type %q answered %d", r.Method, r.Path, kind, rec.Code)
			}
		}
		if rec := w.send(request(r.Method, path, "A", body)); rec.Code != http.StatusBadRequest {
			t.Errorf("%s %s without an Idempotency-Key answered %d", r.Method, r.Path, rec.Code)
		}
	}
	if list := w.ask(200, "GET", "/v1/me/payments", "A", "", "")["items"].([]any); len(list) != 1 {
		t.Errorf("something was paid: %v", list)
	}
	if v := w.ask(200, "GET", "/v1/me/charges/"+charge, "A", "", ""); v["state"] != "open" {
		t.Errorf("the charge is %v", v["state"])
	}
}

// TestNamesThatNobodyHas: what is no text, or too long, reaches no store.
func TestNamesThatNobodyHas(t *testing.T) {
	w := newTester(t)
	ids := map[string]string{}
	for _, bad := range []string{"%ff", "%00", "a%2500", "pass:%ff", "pass:", "charge:", "a%2F..%2Fb", strings.Repeat("x", maxParam+1), "%25"} {
		for kind := range unknown {
			ids[kind] = bad
		}
		for _, r := range w.mine() {
			w.clock.Advance(changesAtOnce * changeEvery)
			if !strings.Contains(r.Path, ":") {
				continue
			}
			rec := w.send(request(r.Method, filled(t, r.Path, ids), "A", "{}", "Idempotency-Key", `"k"`))
			if rec.Code != http.StatusNotFound {
				t.Errorf("%s %s with %q answered %d %s", r.Method, r.Path, bad, rec.Code, rec.Body)
			}
		}
	}
}

// TestThrottlesAreTheAccounts: one account's haste does not slow another down.
func TestThrottlesAreTheAccounts(t *testing.T) {
	w := newTester(t)
	w.open("A")
	w.open("B")
	for range readsAtOnce {
		w.ask(200, "GET", "/v1/me/views", "A", "", "")
	}
	rec := w.send(request("GET", "/v1/me/views", "A", ""))
	if rec.Code != http.StatusTooManyRequests || rec.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
	w.ask(200, "GET", "/v1/me/views", "B", "", "")
	for i := range changesAtOnce {
		w.send(request("POST", "/v1/me/top-ups", "A", `{}`, "Idempotency-Key", `"`+digits(int64(i))+`"`))
	}
	if rec := w.send(request("POST", "/v1/me/top-ups", "A", `{}`, "Idempotency-Key", `"z"`)); rec.Code != http.StatusTooManyRequests {
		t.Errorf("a change too many answered %d", rec.Code)
	}
}

// TestACarThatChangedHands: a toll that was A's, paid by A, and is B's by a later
// revision. A is told nothing of it any more, and B nothing of what was A's: not
// before the posting is followed, nor after.
func TestACarThatChangedHands(t *testing.T) {
	w := newTester(t)
	w.open("A")
	w.open("B")
	id := w.pass("A", 25_00)
	w.ask(201, "POST", "/v1/me/payments", "A", "p", `{"charges":["`+id+`"],"token":"`+w.bank.AddToken("", "card", 500_00, "HKD")+`"}`)
	h, err := w.books.History(w.Context(), strings.TrimPrefix(id, billing.ReceivablePass))
	w.must(err)
	moved := h.Pass
	moved.Revision, moved.Account, moved.AmountCents, moved.Rule = 2, "B", 31_00, "off-peak"
	w.offset++
	w.must(w.books.Post(w.Context(), billing.Batch{From: w.offset - 1, To: w.offset, MaxMicros: 1, PostedAt: w.clock.Now(), Passes: []billing.Pass{moved}, Gap: 1}))
	look := func(when string) {
		w.ask(404, "GET", "/v1/me/charges/"+id, "A", "", "")
		v := w.ask(200, "GET", "/v1/me/charges/"+id, "B", "", "")
		if v["amount"] != "31.00" || v["paid"] != "0.00" || v["open"] != "31.00" || v["state"] != "open" {
			t.Errorf("%s: %v", when, v)
		}
		if before := v["before"].([]any); len(before) != 0 {
			t.Errorf("%s B is told how it stood for A: %v", when, before)
		}
		if paid := v["payments"].([]any); len(paid) != 0 {
			t.Errorf("%s B is told what A paid: %v", when, paid)
		}
		if postings := v["postings"].([]any); len(postings) != 1 || at(postings, 0, "amount") != "31.00" {
			t.Errorf("%s B is told A's postings: %v", when, postings)
		}
	}
	look("before the posting is followed")
	_, err = w.books.FollowPostings(w.Context(), 100, w.clock.Now())
	w.must(err)
	look("after it is followed")
}

// TestAnothersChargeIsLikeNone: charges that are no passes have ids of another
// kind than those of the matrix.
func TestAnothersChargeIsLikeNone(t *testing.T) {
	w := newTester(t)
	w.open("A")
	w.open("B")
	post := func(revision int64, account, text string, cents int64) {
		_, err := w.books.PostCharge(w.Context(), billing.Charge{
			ID: "s1", Kind: "parking", Revision: revision, Account: account, Creditor: "tdcp2", AmountCents: cents, Currency: "HKD", OccurredMicros: start.UnixMicro(), Description: text,
		}, start)
		w.must(err)
		_, err = w.books.FollowPostings(w.Context(), 100, start)
		w.must(err)
	}
	post(1, "A", "first", 12_00)
	foreign := w.send(request("GET", "/v1/me/charges/charge:s1", "B", ""))
	none := w.send(request("GET", "/v1/me/charges/charge:s2", "B", ""))
	if foreign.Code != 404 || told(t, foreign.Body.Bytes()) != told(t, none.Body.Bytes()) {
		t.Errorf("%d %s, nobody's %s", foreign.Code, foreign.Body, none.Body)
	}
	post(2, "B", "second", 15_00)
	w.ask(404, "GET", "/v1/me/charges/charge:s1", "A", "", "")
	v := w.ask(200, "GET", "/v1/me/charges/charge:s1", "B", "", "")
	if len(v["before"].([]any)) != 0 || len(v["postings"].([]any)) != 1 || v["description"] != "second" {
		t.Errorf("B is told what was A's: %v", v)
	}
	post(3, "B", "third", 16_00)
	if v := w.ask(200, "GET", "/v1/me/charges/charge:s1", "B", "", ""); len(v["before"].([]any)) != 1 || at(v, "before", 0, "amount") != "15.00" {
		t.Errorf("%v", v)
	}
}
