package operator

import (
	"encoding/json"
	"fmt"
	"net/url"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/settlement"
	"freeflow/billing/statement"
	"freeflow/internal/clock"
)

var hkt = time.FixedZone("HKT", 8*3600)

func settlementTopic(store *books.Store, clk *clock.Fixed) Topic {
	return &Settlement{Books: store, Clock: clk, Zone: hkt, Direction: func(point string) (string, bool) { return point[len(point)-1:], point != "old-X" }}
}

// settledServer has one paid stay of 50.00, of 24 November, settled.
func settledServer(t *testing.T) *server {
	s := newServer(t, settlementTopic)
	ctx := t.Context()
	s.clock.Set(time.Date(2026, 11, 24, 9, 0, 0, 0, hkt))
	for i, direction := range []string{"N", "N", "S"} {
		p := billing.Pass{
			ID: fmt.Sprintf("%032x", i), Facility: "CHT", TollPoint: "CHT-" + direction, Vehicle: fmt.Sprintf("plate:A%d", i), Registered: true, FirstMicros: s.clock.Now().UnixMicro(),
			LastMicros: s.clock.Now().UnixMicro(), Revision: 1, Status: billing.StatusCharged, Class: "taxi", Account: "A1", AmountCents: 2500, Currency: "HKD", Rule: "r", TariffVersion: "v", Evidence: []byte{0},
		}
		if err := s.books.Post(ctx, billing.Batch{From: int64(i), To: int64(i) + 1, MaxMicros: 1, PostedAt: s.clock.Now(), Passes: []billing.Pass{p}, Gap: 1, Reads: &billing.ReadArchive{Count: 7, Blob: []byte{1}}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.books.PostCharge(ctx, billing.Charge{ID: "c1", Kind: "parking", Revision: 1, Creditor: "lot", AmountCents: 5000, Currency: "HKD", OccurredMicros: 1}, s.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.books.PostPayment(ctx, billing.Payment{ID: "p1", ChargeID: "c1", AmountCents: 5000, Currency: "HKD", Means: "machine", PaidAt: s.clock.Now()}, s.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.books.FollowPostings(ctx, 100, s.clock.Now()); err != nil {
		t.Fatal(err)
	}
	s.clock.Set(time.Date(2026, 11, 25, 9, 0, 0, 0, hkt))
	issuer := statement.Issuer{Ledger: s.books, Keeping: books.Keep[statement.Tx]{Store: s.books, As: func(tx *books.Tx) statement.Tx { return tx }}, Zone: hkt, Clock: s.clock}
	if _, err := issuer.Run(ctx); err != nil {
		t.Fatal(err)
	}
	settler := settlement.Settler{Keeping: books.Keep[settlement.Tx]{Store: s.books, As: func(tx *books.Tx) settlement.Tx { return tx }}, Zone: hkt, Clock: s.clock}
	if n, err := settler.Run(ctx); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	return s
}

func TestSettlementJourney(t *testing.T) {
	s := settledServer(t)
	list := s.must(t, 200, "GET", "/v1/settlements?from=2026-11-24&to=2026-11-24", "", "")["items"].([]any)
	if len(list) != 2 {
		t.Fatalf("the batches are %v", list)
	}
	one := s.must(t, 200, "GET", "/v1/settlements/R20261124-lot-HKD", "", "")
	if one["remit"] != "50.00" || one["state"] != "made" || len(one["sums"].([]any)) != 2 {
		t.Errorf("the batch is %v", one)
	}
	if cht := s.must(t, 200, "GET", "/v1/settlements/R20261124-CHT-HKD", "", ""); cht["remit"] != "0.00" || cht["state"] != "nothing-due" || cht["passes"].(map[string]any)["charged"] != 3.0 {
		t.Errorf("the tunnel's batch is %v", cht)
	}
	steps := "/v1/settlements/R20261124-lot-HKD/steps"
	s.must(t, 200, "POST", steps, "k1", `{"state":"prepared"}`)
	s.must(t, 200, "POST", steps, "k1", `{"state":"prepared"}`)
	if code, answer := s.ask(t, "POST", steps, "k2", `{"state":"approved"}`); code != 409 {
		t.Errorf("approved by who prepared: %d %v", code, answer)
	}
	page := s.must(t, 200, "GET", "/v1/settlements?limit=1", "", "")
	if page["next"] == nil || len(s.must(t, 200, "GET", "/v1/settlements?limit=1&after="+page["next"].(string), "", "")["items"].([]any)) != 1 {
		t.Errorf("the first page is %v", page)
	}
}

func TestCashReports(t *testing.T) {
	s := settledServer(t)
	report := func(key string, more bool, rows string) map[string]any {
		body, err := json.Marshal(map[string]any{"means": "machine", "from": "2026-11-24", "to": "2026-11-24", "more": more, "csv": "reference,amount,currency,time\n" + rows})
		if err != nil {
			t.Fatal(err)
		}
		return s.must(t, 201, "POST", "/v1/cash-reports", key, string(body))
	}
	const at = ",HKD,2026-11-24T09:00:00+08:00\n"
	if m := report("k1", false, "p9,12.00"+at); m["breaks"] != 2.0 || m["agree"] != 0.0 {
		t.Errorf("a stranger's row, and ours missing: %v", m)
	}
	if m := report("k1", false, "p9,12.00"+at); m["breaks"] != 2.0 {
		t.Errorf("the repetition: %v", m)
	}
	if m := report("k2", true, "p1,50.00"+at); m["agree"] != 1.0 || m["ended"] != 1.0 || m["breaks"] != 0.0 {
		t.Errorf("ours after all: %v", m)
	}
	if m := report("k3", true, "p1,50.00"+at+"p1,49.99"+at); m["breaks"] != 2.0 {
		t.Errorf("the same twice, and another amount: %v", m)
	}
	s.clock.Set(s.clock.Now().Add(49 * time.Hour))
	list := s.must(t, 200, "GET", "/v1/breaks", "", "")["items"].([]any)
	kinds := map[string]map[string]any{}
	for _, one := range list {
		b := one.(map[string]any)
		kinds[b["kind"].(string)] = b
	}
	if len(list) != 3 || kinds["missing-with-us"]["theirs"] != "12.00" || kinds["amount-differs"]["theirs"] != "49.99" || kinds["twice-at-bank"] == nil || kinds["missing-with-us"]["age_days"] != 2.0 {
		t.Errorf("the breaks are %v", list)
	}
	path := "/v1/breaks/" + url.PathEscape(kinds["missing-with-us"]["id"].(string)) + "/resolution"
	if code, answer := s.ask(t, "POST", path, "k4", `{"reason":""}`); code != 422 {
		t.Errorf("without a reason: %d %v", code, answer)
	}
	if b := s.must(t, 200, "POST", path, "k5", `{"reason":"another company's, sent back"}`); b["ended_by"] != "amy" {
		t.Errorf("resolved: %v", b)
	}
	if open := s.must(t, 200, "GET", "/v1/breaks?unit=machine", "", "")["items"].([]any); len(open) != 2 {
		t.Errorf("still open: %v", open)
	}
	if all := s.must(t, 200, "GET", "/v1/breaks?all=true", "", "")["items"].([]any); len(all) != 4 {
		t.Errorf("all: %v", all)
	}
	for key, body := range map[string]string{
		"r1": `{"means":"machine","from":"2026-11-24","to":"2026-11-24","csv":"reference,amount\n"}`,
		"r2": `{"means":"machine","from":"2026-11-24","to":"2026-11-24","csv":"reference,amount,currency,time\nx,1.001,HKD,2026-11-24T09:00:00Z\n"}`,
		"r3": `{"means":"","from":"2026-11-24","to":"2026-11-24","csv":"reference,amount,currency,time\n"}`,
		"r4": `{"means":"machine","from":"2026-11-24","to":"x","csv":""}`,
	} {
		if code, answer := s.ask(t, "POST", "/v1/cash-reports", key, body); code != 422 {
			t.Errorf("%s: %d %v", body, code, answer)
		}
	}
}

func TestReconciliationAndTraffic(t *testing.T) {
	s := settledServer(t)
	day := s.must(t, 200, "POST", "/v1/reconciliations/2026-11-24", "k1", `{}`)
	unit := day["units"].([]any)[0].(map[string]any)
	if day["found"] != 0.0 || day["reads"] != 21.0 || unit["owing"] != 3.0 || unit["owing_amount"] != "75.00" || unit["charges_amount"] != "75.00" || unit["receivables_amount"] != "75.00" || unit["paid"] != "0.00" {
		t.Errorf("the day is %v", day)
	}
	if code, _ := s.ask(t, "GET", "/v1/reconciliations/x", "", ""); code != 422 {
		t.Errorf("no day: %d", code)
	}
	audit := s.must(t, 200, "GET", "/v1/traffic-balance?facilities=CHT,EHC&fleet=taxi:0&from=2026-11-01&to=2026-11-30", "", "")
	for _, one := range audit["items"].([]any) {
		if c := one.(map[string]any); c["net"] != 1.0 || c["flagged"] != true || c["since"] != "2026-11-24" {
			t.Errorf("the balance is %v", c)
		}
	}
	if code, _ := s.ask(t, "GET", "/v1/traffic-balance?facilities=CHT&from=2026-11-01&fleet=taxi", "", ""); code != 400 {
		t.Errorf("a fleet without a number: %d", code)
	}
}
