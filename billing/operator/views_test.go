package operator

import (
	"context"
	"encoding/csv"
	"fmt"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/account"
	"freeflow/billing/books"
	"freeflow/billing/notice"
	"freeflow/internal/audit"
	"freeflow/internal/clock"
)

// postUnpaid posts an unpaid pass of a vehicle, or one that an account owes.
func (s *server) postUnpaid(t *testing.T, n int, change func(*billing.Pass)) string {
	t.Helper()
	at := s.clock.Now().Add(-time.Hour).UnixMicro()
	p := billing.Pass{
		ID: fmt.Sprintf("%032x", n+1), Facility: "CHT", TollPoint: "CHT-N", Vehicle: fmt.Sprintf("plate:XY%d", n+1), FirstMicros: at, LastMicros: at, Revision: 1,
		Status: billing.StatusUnpaid, Class: "taxi", AmountCents: 2500, Currency: "HKD", Rule: "r", TariffVersion: "1", Evidence: []byte{0},
	}
	change(&p)
	err := s.books.Post(t.Context(), billing.Batch{From: int64(n), To: int64(n + 1), MaxMicros: at, PostedAt: s.clock.Now(), Gap: 60_000_000, Passes: []billing.Pass{p}})
	if err == nil {
		_, err = s.books.FollowPostings(t.Context(), 1000, s.clock.Now())
	}
	if err != nil {
		t.Fatal(err)
	}
	return "pass:" + p.ID
}

// TestViewsLeaveTheirRow: each page of staff that shows what is an account's
// leaves a row that the account sees.
func TestViewsLeaveTheirRow(t *testing.T) {
	s := newServer(t, func(store *books.Store, clk *clock.Fixed) Topic {
		return both{unpaidTopic(store, clk), accountsTopic(store, clk)}
	})
	now := s.clock.Now()
	deed := account.Deed{By: "amy", Role: "operator", Now: now}
	err := s.books.Do(t.Context(), func(tx *books.Tx) error {
		ctx := t.Context()
		_, err := account.OpenAccount(ctx, tx, account.Account{ID: "A1", Kind: account.Individual, Name: "Chan", Email: "chan@example.hk", Language: "en", OpenedAt: now}, deed)
		if err == nil {
			_, err = account.Issue(ctx, tx, account.Tag{Tag: "E1", Kind: account.ClassTag, Class: "taxi", Currency: "HKD"}, now, deed)
		}
		if err == nil {
			_, err = account.Activate(ctx, tx, "E1", "A1", now, deed)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	id := s.postUnpaid(t, 0, func(p *billing.Pass) { p.Status, p.Account, p.Registered = billing.StatusCharged, "A1", true })
	s.climb(t, now.AddDate(0, 0, 4))
	letter := s.must(t, 200, "GET", "/v1/unpaid/"+url.PathEscape(id), "", "")["notice"].(string)
	for page, path := range map[string]string{
		"GET /v1/tags/{tag}": "/v1/tags/E1", "GET /v1/notices/{id}": "/v1/notices/" + url.PathEscape(letter), "GET /v1/unpaid": "/v1/unpaid",
		"GET /v1/unpaid/{id}": "/v1/unpaid/" + url.PathEscape(id), "GET /v1/licence-holds": "/v1/licence-holds", "GET /v1/accounts/{id}": "/v1/accounts/A1",
	} {
		before := s.seen(t, "A1", page)
		reason := "?reason=asked"
		if page == "GET /v1/licence-holds" {
			reason = ""
		}
		s.must(t, 200, "GET", path+reason, "", "")
		if after := s.seen(t, "A1", page); after != before+1 {
			t.Errorf("%s left %d rows", page, after-before)
		}
		if n := s.seen(t, "A2", page); n != 0 && page != "GET /v1/licence-holds" {
			t.Errorf("%s left %d rows to another account", page, n)
		}
	}
}

// seen counts the views of a page that an account sees.
func (s *server) seen(t *testing.T, id, page string) (n int) {
	t.Helper()
	err := s.books.Do(t.Context(), func(tx *books.Tx) error {
		n = 0
		list, err := audit.Views(t.Context(), tx.Session(), id, "", 100)
		for _, one := range list {
			if one.Page == page {
				n++
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestLicenceHoldsAsTable: no cell is a formula, and lines end as RFC 4180 says.
func TestLicenceHoldsAsTable(t *testing.T) {
	s := newServer(t, unpaidTopic)
	now := s.clock.Now()
	id := s.postUnpaid(t, 0, func(p *billing.Pass) { p.Vehicle = "plate:=1+1" })
	path := "/v1/unpaid/" + url.PathEscape(id)
	s.climb(t, now.AddDate(0, 0, 1))
	for _, days := range []int{40, 80, 120} {
		letter := s.must(t, 200, "GET", path, "", "")["notice"].(string)
		err := s.books.Do(t.Context(), func(tx *books.Tx) error {
			return notice.Prove(context.Background(), tx, letter, notice.Post, s.clock.Now(), "RD1", "post")
		})
		if err != nil {
			t.Fatal(err)
		}
		s.climb(t, now.AddDate(0, 0, days))
	}
	r := httptest.NewRequest("GET", "/v1/licence-holds", nil)
	r.Header.Set("Authorization", "Bearer "+testKey)
	r.Header.Set("Accept", "text/csv")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	text := w.Body.String()
	if strings.Count(text, "\r\n") != 2 || strings.Count(text, "\n") != 2 {
		t.Errorf("its lines end otherwise: %q", text)
	}
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) != 2 || !slices.Equal(rows[1][:2], []string{"'=1+1", id}) {
		t.Errorf("the table is %q, %v", rows, err)
	}
}

// TestStuckAreListed: a toll whose notice did not arrive is shown to staff.
func TestStuckAreListed(t *testing.T) {
	s := newServer(t, unpaidTopic)
	now := s.clock.Now()
	id := s.postUnpaid(t, 0, func(*billing.Pass) {})
	s.postUnpaid(t, 1, func(*billing.Pass) {})
	s.climb(t, now.AddDate(0, 0, 1))
	letter := s.must(t, 200, "GET", "/v1/unpaid/"+url.PathEscape(id), "", "")["notice"].(string)
	s.must(t, 200, "POST", "/v1/notices/"+url.PathEscape(letter)+"/deliveries", "d1", `{"channel":"post","state":"undeliverable","evidence":"moved away"}`)
	s.climb(t, s.clock.Now().Add(time.Hour)) // at once, not the next day
	items := s.must(t, 200, "GET", "/v1/unpaid?stuck=true", "", "")["items"].([]any)
	if len(items) != 1 || items[0].(map[string]any)["receivable"] != id || items[0].(map[string]any)["stuck_since"] == nil {
		t.Errorf("stuck are %v", items)
	}
	for _, bad := range []string{"?stuck=yes", "?stuck=true&stage=hold"} {
		if code, answer := s.ask(t, "GET", "/v1/unpaid"+bad, "", ""); code != 400 {
			t.Errorf("%s: %d %v", bad, code, answer)
		}
	}
}
