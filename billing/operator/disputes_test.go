package operator

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/dispute"
	"freeflow/internal/audit"
	"freeflow/internal/clock"
	"freeflow/internal/web"
)

// oneToll is 20.00 for everybody.
type oneToll struct{}

func (oneToll) Rate(string, string, time.Time) (int64, string, error) { return 2000, "test", nil }
func (oneToll) Basis(billing.Pass) string                             { return "basis" }

// books' own facts are the evidence of these tests.
type bookFacts struct{ books *books.Store }

func (b bookFacts) Gather(ctx context.Context, receivable string) (dispute.Bundle, int64, error) {
	h, err := b.books.History(ctx, strings.TrimPrefix(receivable, "pass:"))
	facts := dispute.FactsOf(&h.Pass)
	return dispute.Bundle{Receivable: receivable, Pass: &facts}, h.Pass.Revision, err
}

func disputesTopic(store *books.Store, clk *clock.Fixed) Topic {
	return &Disputes{Books: store, Clock: clk, Zone: time.UTC, Service: &dispute.Service{
		Keeping: books.Keep[dispute.Tx]{Store: store, As: func(tx *books.Tx) dispute.Tx { return tx }},
		Ladder:  ladderOf(store, clk), Gatherer: bookFacts{store}, Tolls: oneToll{}, Rules: dispute.HongKong(), Clock: clk, Log: slog.New(slog.DiscardHandler),
	}}
}

// passes posts charged passes of 30.00, an hour apart, and more of the last.
func (s *server) passes(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		at := s.clock.Now().Add(time.Duration(i-n) * time.Hour).UnixMicro()
		err := s.books.Post(t.Context(), billing.Batch{From: int64(i), To: int64(i + 1), MaxMicros: at, PostedAt: s.clock.Now(), Gap: 60_000_000, Passes: []billing.Pass{{
			ID: fmt.Sprintf("%032x", i+1), Facility: "CHT", TollPoint: "CHT-N", Vehicle: "plate:XY1", FirstMicros: at, LastMicros: at, Revision: 1,
			Status: billing.StatusCharged, Account: "A", Class: "taxi", AmountCents: 3000 + 40000*int64(i), Currency: "HKD", Rule: "r", TariffVersion: "1", Evidence: []byte{0},
		}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.books.FollowPostings(t.Context(), 1000, s.clock.Now()); err != nil {
		t.Fatal(err)
	}
}

// TestDisputesJourney goes from opening to reopening, as staff do.
func TestDisputesJourney(t *testing.T) {
	s := newServer(t, disputesTopic)
	s.passes(t, 3)
	topic := disputesTopic(s.books, s.clock).(*Disputes)
	opening := func(n int, reason string) string {
		t.Helper()
		body := fmt.Sprintf(`{"charge":"pass:%032x","reason":%q,"note":"by telephone"}`, n, reason)
		d := s.must(t, 201, "POST", "/v1/disputes", fmt.Sprint("open", n), body)
		if again := s.must(t, 201, "POST", "/v1/disputes", fmt.Sprint("open", n), body); again["reference"] != d["reference"] {
			t.Errorf("the repetition opened %v", again["reference"])
		}
		return d["reference"].(string)
	}
	cheap, dear, dearest := opening(1, "not-my-vehicle"), opening(2, "wrong-class"), opening(3, "duplicate")
	if _, err := topic.Service.Work(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The queue: same day, the dearest first; a page at a time.
	first := s.must(t, 200, "GET", "/v1/disputes?limit=2&reason=round", "", "")
	second := s.must(t, 200, "GET", "/v1/disputes?limit=2&after="+first["next"].(string), "", "")
	var order []string
	for _, page := range []map[string]any{first, second} {
		for _, one := range page["items"].([]any) {
			order = append(order, one.(map[string]any)["reference"].(string))
		}
	}
	if strings.Join(order, " ") != strings.Join([]string{dearest, dear, cheap}, " ") || second["next"] != nil {
		t.Errorf("the queue is %v", order)
	}
	view := s.must(t, 200, "GET", "/v1/disputes/"+cheap+"?reason=call", "", "")
	evidence := view["evidence"].([]any)
	if len(view["events"].([]any)) != 1 || len(evidence) != 1 || evidence[0].(map[string]any)["intact"] != true {
		t.Errorf("the view is %v", view)
	}
	// The motorist sees who looked, and why.
	err := s.books.View(t.Context(), func(tx *books.Tx) error {
		seen, err := audit.Views(t.Context(), tx.Session(), "A", "", 10)
		calls := 0
		for _, one := range seen {
			if one.Reason == "call" && one.Subject.ID == cheap {
				calls++
			}
		}
		if len(seen) != 3 || calls != 1 {
			t.Errorf("the views are %+v", seen)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := s.must(t, 200, "POST", "/v1/disputes/"+cheap+"/assignment", "a1", `{"revision":1}`); d["assignee"] != "amy" || d["state"] != "under-review" {
		t.Errorf("assigned, it is %v", d)
	}
	d := s.must(t, 200, "POST", "/v1/disputes/"+cheap+"/ruling", "r1", `{"outcome":"rejected","code":"evidence-shows-the-pass","words":"the picture shows your plate"}`)
	if d["state"] != "rejected" || d["ruling"].(map[string]any)["act"] != "none" {
		t.Errorf("ruled, it is %v", d)
	}
	again := s.must(t, 201, "POST", "/v1/disputes/"+cheap+"/reopening", "o1", `{"reason":"not-my-vehicle","text":"the plate on the picture is XY7"}`)
	if again["previous"] != cheap || again["not_for"].([]any)[0] != "amy" {
		t.Errorf("reopened, it is %v", again)
	}
	if code, answer := s.ask(t, "POST", "/v1/disputes/"+again["reference"].(string)+"/ruling", "r2", `{"outcome":"upheld","code":"another-vehicle","words":"x","act":"exempt"}`); code != 409 {
		t.Errorf("ruled by the same person: %d %v", code, answer)
	}
	d = s.must(t, 200, "POST", "/v1/disputes/"+dear+"/ruling", "r3", `{"outcome":"partly","code":"amount-corrected","words":"the display showed less","act":"reduce","amount":"400.00","note":"picture 7"}`)
	if d["state"] != "partly" || d["ruling"].(map[string]any)["less"] != "30.00" || d["ruling"].(map[string]any)["amount"] != "400.00" {
		t.Errorf("in part, it is %v", d)
	}
	d = s.must(t, 200, "POST", "/v1/disputes/"+dearest+"/ruling", "r4", `{"outcome":"upheld","code":"counted-twice","words":"counted twice","act":"exempt"}`)
	if d["state"] != "approval" {
		t.Errorf("above the limit it is %v", d)
	}
	if code, answer := s.ask(t, "POST", "/v1/disputes/"+dearest+"/approval", "p1", `{"approve":true}`); code != 409 || !strings.Contains(answer["detail"].(string), "another person") {
		t.Errorf("approved by the same person: %d %v", code, answer)
	}
	s.must(t, 200, "POST", "/v1/disputes/"+dearest+"/withdrawal", "w1", `{"reason":"by telephone"}`)
	if all := s.must(t, 200, "GET", "/v1/disputes?show=all", "", "")["items"].([]any); len(all) != 4 {
		t.Errorf("there are %d", len(all))
	}
	s.clock.Set(s.clock.Now().AddDate(0, 0, 10))
	late := s.must(t, 200, "GET", "/v1/disputes?show=overdue", "", "")["items"].([]any)
	if len(late) != 1 || late[0].(map[string]any)["overdue"] != true {
		t.Errorf("overdue are %v", late)
	}
}

// TestFlagsAreListed: a flag, its case, and the cursor.
func TestFlagsAreListed(t *testing.T) {
	s := newServer(t, disputesTopic)
	s.passes(t, 5)
	topic := disputesTopic(s.books, s.clock).(*Disputes)
	s.clock.Set(s.clock.Now().Add(time.Hour))
	flags := dispute.Flags{Service: topic.Service, Limits: dispute.AssumedLimits(everywhere{}, nil)}
	if _, raised, err := flags.Scan(t.Context(), 100); err != nil || raised != 2 {
		t.Fatalf("%d were raised, %v", raised, err)
	}
	first := s.must(t, 200, "GET", "/v1/flags?rule=parked&limit=1&reason=round", "", "")
	second := s.must(t, 200, "GET", "/v1/flags?limit=1&after="+first["next"].(string), "", "")
	for _, page := range []map[string]any{first, second} {
		f := page["items"].([]any)[0].(map[string]any)
		if f["rule"] != "parked" || f["dispute"] == nil || len(f["passes"].([]any)) != 4 {
			t.Errorf("the flag is %v", f)
		}
	}
	if second["next"] != nil {
		t.Error("there are more")
	}
}

type everywhere struct{}

func (everywhere) Place(point string) (string, string, bool) { return point[:3], point[4:], true }

func TestDisputesRefuse(t *testing.T) {
	s := newServer(t, disputesTopic)
	s.passes(t, 1)
	ref := s.must(t, 201, "POST", "/v1/disputes", "k", fmt.Sprintf(`{"charge":"pass:%032x","reason":"duplicate"}`, 1))["reference"].(string)
	for i, tc := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"POST", "/v1/disputes", `{"charge":"pass:0","reason":"duplicate"}`, 404, ""},
		{"POST", "/v1/disputes", `{"charge":"toll:0","reason":"duplicate"}`, 422, "pass:"},
		{"POST", "/v1/disputes", `{"charge":"pass:0","reason":"angry"}`, 422, "duplicate"},
		{"POST", "/v1/disputes", `{"charge":"pass:0","reason":"other"}`, 422, "text"},
		{"POST", "/v1/disputes", fmt.Sprintf(`{"charge":"pass:%032x","reason":"other","text":"x"}`, 1), 409, "open"},
		{"POST", "/v1/disputes/none/assignment", `{}`, 404, ""},
		{"POST", "/v1/disputes/" + ref + "/assignment", `{"revision":7}`, 409, "revision 1"},
		{"POST", "/v1/disputes/" + ref + "/ruling", `{"outcome":"maybe","code":"x","words":"x"}`, 422, "upheld"},
		{"POST", "/v1/disputes/" + ref + "/ruling", `{"outcome":"upheld","code":"goodwill","words":"x","act":"reduce","amount":"1.234","note":"x"}`, 422, "amount"},
		{"POST", "/v1/disputes/" + ref + "/ruling", `{"outcome":"upheld","code":"goodwill","act":"exempt"}`, 422, "words"},
		{"POST", "/v1/disputes/" + ref + "/approval", `{}`, 422, "approve"},
		{"POST", "/v1/disputes/" + ref + "/approval", `{"approve":true}`, 409, "no ruling"},
		{"POST", "/v1/disputes/" + ref + "/withdrawal", `{}`, 422, "reason"},
		{"POST", "/v1/disputes/" + ref + "/reopening", `{"reason":"other","text":"x"}`, 409, "opened"},
		{"GET", "/v1/disputes/none", "", 404, ""},
		{"GET", "/v1/disputes?after=!", "", 400, "after"},
		{"GET", "/v1/disputes?after=YQpiCmM", "", 400, "after"},
		{"GET", "/v1/disputes?show=some", "", 400, "show"},
		{"GET", "/v1/flags?rule=odd", "", 400, "twice"},
		{"GET", "/v1/flags?after=eA", "", 400, "after"},
	} {
		code, answer := s.ask(t, tc.method, tc.path, fmt.Sprint("r", i), tc.body)
		text := fmt.Sprint(answer)
		if code != tc.status || !strings.Contains(text, tc.says) {
			t.Errorf("%s %s %s answered %d %v", tc.method, tc.path, tc.body, code, answer)
		}
	}
}

// TestRulingsNeedAPerson: a key that several may share rules nothing.
func TestRulingsNeedAPerson(t *testing.T) {
	for person, want := range map[bool]int{false: http.StatusForbidden, true: http.StatusNotFound} {
		s := newServer(t, disputesTopic)
		topic := disputesTopic(s.books, s.clock).(*Disputes)
		topic.Named = true
		h := web.HolderOf(web.Key{Name: "amy", Secret: testKey})
		h.Person = person
		e := web.NewEcho(slog.New(slog.DiscardHandler), s.clock)
		Mount(e, web.BearerOf(func() []web.Holder { return []web.Holder{h} }), topic)
		s.Echo = e
		for n, path := range []string{"/v1/disputes/none/ruling", "/v1/disputes/none/approval"} {
			code, answer := s.ask(t, "POST", path, fmt.Sprint("k", n), `{"approve":true}`)
			if n == 0 {
				code, answer = s.ask(t, "POST", path, "k9", `{"outcome":"rejected","code":"no-grounds","words":"x"}`)
			}
			if code != want {
				t.Errorf("%s for a person (%t) answered %d %v", path, person, code, answer)
			}
		}
	}
}
