package operator

import (
	"fmt"
	"net/url"
	"slices"
	"testing"

	"freeflow/billing"
	"freeflow/billing/books"
)

// TestAccountsAreFound: by id, name and plate, in pages, each noted for those
// who were shown.
func TestAccountsAreFound(t *testing.T) {
	s := newServer(t, accountsTopic)
	ids := map[string]string{}
	for i, name := range []string{"Chan Tai Man", "陳大文", "100% Taxi_Ltd", "Wong"} {
		ids[name] = s.must(t, 201, "POST", "/v1/accounts", fmt.Sprint("k", i), `{"kind":"individual","name":"`+name+`","email":"a@example.hk","language":"en"}`)["id"].(string)
	}
	s.must(t, 201, "POST", "/v1/accounts/"+ids["Wong"]+"/vehicles", "v1", `{"plate":"AB123","class":"taxi"}`)
	s.must(t, 200, "POST", "/v1/accounts/"+ids["陳大文"]+"/closure", "c1", `{"reason":"asked"}`)
	found := func(query string) []string {
		t.Helper()
		var list []string
		path := "/v1/accounts?limit=2&reason=call&" + query
		for after := ""; ; {
			page := s.must(t, 200, "GET", path+after, "", "")
			for _, one := range page["items"].([]any) {
				list = append(list, one.(map[string]any)["name"].(string))
			}
			if page["next"] == nil {
				slices.Sort(list)
				return list
			}
			after = "&after=" + page["next"].(string)
		}
	}
	all := []string{"100% Taxi_Ltd", "Chan Tai Man", "Wong", "陳大文"}
	for query, want := range map[string][]string{
		"": all, "query=tai": {"Chan Tai Man"}, "query=" + url.QueryEscape("大文"): {"陳大文"}, "query=" + url.QueryEscape("%"): {"100% Taxi_Ltd"},
		"query=_": {"100% Taxi_Ltd"}, "query=ab123": {"Wong"}, "query=" + ids["Wong"]: {"Wong"}, "query=nobody": nil, "state=closing": {"陳大文"},
		"state=open": all[:3], "state=open&query=" + url.QueryEscape("大文"): nil, "state=closed": nil,
	} {
		if got := found(query); !slices.Equal(got, want) {
			t.Errorf("%s finds %q, want %q", query, got, want)
		}
	}
	before := s.seen(t, ids["Wong"], "GET /v1/accounts")
	found("query=ab123")
	found("query=tai")
	if n := s.seen(t, ids["Wong"], "GET /v1/accounts") - before; n != 1 {
		t.Errorf("two searches, of which one showed it, left %d rows", n)
	}
	for _, bad := range []string{"state=shut", "limit=201", "limit=0", "query=" + url.QueryEscape(fmt.Sprintf("%0201d", 0)), "colour=red"} {
		if code, answer := s.ask(t, "GET", "/v1/accounts?"+bad, "", ""); code != 400 {
			t.Errorf("%s: %d %v", bad, code, answer)
		}
	}
}

// TestBalance: what is owed and held is what the parts add up to, page by page.
func TestBalance(t *testing.T) {
	s := newServer(t, accountsTopic)
	id := s.must(t, 201, "POST", "/v1/accounts", "k1", `{"kind":"individual","name":"Chan","email":"a@example.hk","language":"en"}`)["id"].(string)
	path := "/v1/accounts/" + id + "/balance"
	if b := s.must(t, 200, "GET", path, "", ""); b["owed"] != "0.00" || b["held"] != "0.00" || len(b["open"].([]any)) != 0 || b["next"] != nil || b["currency"] != "HKD" {
		t.Errorf("at first it is %v", b)
	}
	var all []string
	for n := range 5 {
		all = append(all, s.postUnpaid(t, n, func(p *billing.Pass) {
			p.Status, p.Account, p.Registered, p.AmountCents = billing.StatusCharged, id, true, int64(1000+n)
		}))
	}
	s.postUnpaid(t, 5, func(p *billing.Pass) { p.Status, p.Account, p.Registered = billing.StatusCharged, "another", true })
	err := s.books.Do(t.Context(), func(tx *books.Tx) error {
		now := s.clock.Now()
		if _, err := tx.Move(t.Context(), billing.Movement{ID: "m1", Kind: billing.Receipt, Holder: id, Means: "cash", AmountCents: 5050, Currency: "HKD", At: now}, now); err != nil {
			return err
		}
		_, err := tx.Collect(t.Context(), id, all[:2], now)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for after := ""; ; {
		b := s.must(t, 200, "GET", path+"?limit=2"+after, "", "")
		if b["owed"] != "30.09" || b["held"] != "30.49" {
			t.Fatalf("it is %v", b)
		}
		for _, one := range b["open"].([]any) {
			r := one.(map[string]any)
			open = append(open, r["receivable"].(string))
			if r["to_pay"] != r["amount"] || r["kind"] != "toll" || r["occurred_at"] == nil {
				t.Errorf("one is %v", r)
			}
		}
		if b["next"] == nil {
			break
		}
		after = "&after=" + b["next"].(string)
	}
	if !slices.Equal(open, all[2:]) {
		t.Errorf("open are %v, want %v", open, all[2:])
	}
	if n := s.seen(t, id, "GET /v1/accounts/{id}/balance"); n != 3 {
		t.Errorf("three views left %d rows", n)
	}
	if code, _ := s.ask(t, "GET", "/v1/accounts/nobody/balance", "", ""); code != 404 {
		t.Errorf("of nobody: %d", code)
	}
	for _, bad := range []string{"!", "Zm9v", "MQ"} {
		if code, _ := s.ask(t, "GET", path+"?after="+bad, "", ""); code != 400 {
			t.Errorf("after %s: %d", bad, code)
		}
	}
}
