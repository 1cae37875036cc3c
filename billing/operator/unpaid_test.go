package operator

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/recovery"
	"freeflow/internal/clock"
)

// noHolidays is a calendar of weekends only.
type noHolidays struct{}

func (noHolidays) Holiday(time.Time) (bool, error) { return false, nil }

func ladderOf(store *books.Store, clk *clock.Fixed) *recovery.Ladder {
	return &recovery.Ladder{
		Keeping:  books.Keep[recovery.Tx]{Store: store, As: func(tx *books.Tx) recovery.Tx { return tx }},
		Calendar: recovery.Calendar{Holidays: noHolidays{}}, Rules: recovery.HongKong(), Zone: time.UTC, Clock: clk, Log: slog.New(slog.DiscardHandler),
	}
}

func unpaidTopic(store *books.Store, clk *clock.Fixed) Topic {
	return &Unpaid{Books: store, Ladder: ladderOf(store, clk), Clock: clk}
}

// climb runs the ladder at an instant.
func (s *server) climb(t *testing.T, at time.Time) {
	t.Helper()
	s.clock.Set(at)
	if _, err := ladderOf(s.books, s.clock).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.books.FollowPostings(t.Context(), 1000, at); err != nil {
		t.Fatal(err)
	}
}

// TestUnpaidJourney goes from an unpaid pass to a held licence as staff see it,
// with the reports of the channels.
func TestUnpaidJourney(t *testing.T) {
	s := newServer(t, unpaidTopic)
	now := s.clock.Now()
	for n := range 3 {
		at := now.Add(time.Duration(n-4) * time.Hour).UnixMicro()
		err := s.books.Post(context.Background(), billing.Batch{From: int64(n), To: int64(n + 1), MaxMicros: at, PostedAt: now, Gap: 60_000_000, Passes: []billing.Pass{{
			ID: fmt.Sprintf("%032x", n+1), Facility: "CHT", TollPoint: "CHT-N", Vehicle: fmt.Sprintf("plate:XY%d", n+1), FirstMicros: at, LastMicros: at, Revision: 1,
			Status: billing.StatusUnpaid, Class: "taxi", AmountCents: 2500, Currency: "HKD", Rule: "r", TariffVersion: "1", Evidence: []byte{0},
		}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.books.FollowPostings(t.Context(), 1000, now); err != nil {
		t.Fatal(err)
	}
	s.climb(t, now.Add(24*time.Hour))
	first := s.must(t, 200, "GET", "/v1/unpaid?limit=2&reason=check", "", "")
	second := s.must(t, 200, "GET", "/v1/unpaid?limit=2&after="+first["next"].(string), "", "")
	if len(first["items"].([]any)) != 2 || len(second["items"].([]any)) != 1 || second["next"] != nil {
		t.Fatalf("the pages are %v and %v", first, second)
	}
	id := "/v1/unpaid/" + url.PathEscape(fmt.Sprintf("pass:%032x", 1))
	serve := func(n int) {
		t.Helper()
		letter := s.must(t, 200, "GET", id, "", "")["notice"].(string)
		path := "/v1/notices/" + url.PathEscape(letter)
		got := s.must(t, 200, "POST", path+"/deliveries", fmt.Sprint("serve", n), `{"channel":"post","state":"served","evidence":"RD123"}`)
		if got["served_at"] == nil || !strings.Contains(got["body"].(string), "HK$") {
			t.Fatalf("the notice is %v", got)
		}
		s.must(t, 200, "GET", path, "", "")
	}
	serve(1)
	s.climb(t, now.AddDate(0, 0, 40))
	if got := s.must(t, 200, "GET", id, "", ""); got["stage"] != recovery.First || got["to_pay"] != "200.00" {
		t.Fatalf("after the grace it is %v", got)
	}
	serve(2)
	s.must(t, 201, "POST", "/v1/outages", "o1", `{"from":"2026-12-01T00:00:00Z","to":"2026-12-02T00:00:00Z","reason":"the bank was down"}`)
	going := s.must(t, 201, "POST", "/v1/outages", "o2", `{"from":"`+s.clock.Now().Format(time.RFC3339)+`","reason":"the bank is down"}`)
	s.must(t, 200, "POST", "/v1/outages/"+url.PathEscape(going["id"].(string))+"/end", "o3", `{"reason":"it is back"}`)
	wrong := s.must(t, 201, "POST", "/v1/outages", "o5", `{"from":"2026-12-20T00:00:00Z","to":"2026-12-21T00:00:00Z","reason":"the bank was down"}`)
	path := "/v1/outages/" + url.PathEscape(wrong["id"].(string)) + "/withdrawal"
	s.must(t, 200, "POST", path, "o6", `{"reason":"another bank"}`)
	if code, answer := s.ask(t, "POST", path, "o7", `{"reason":""}`); code != 422 {
		t.Errorf("taken back without a reason: %d %v", code, answer)
	}
	if code, answer := s.ask(t, "POST", "/v1/outages/none/withdrawal", "o8", `{"reason":"x"}`); code != 404 {
		t.Errorf("taking back what is not there: %d %v", code, answer)
	}
	if code, answer := s.ask(t, "POST", "/v1/outages", "o4", `{"from":"2000-12-01T00:00:00Z","to":"2026-11-02T00:00:00Z","reason":"x"}`); code != 422 {
		t.Errorf("an outage of 26 years: %d %v", code, answer)
	}
	s.climb(t, now.AddDate(0, 0, 80))
	serve(3)
	s.climb(t, now.AddDate(0, 0, 120))
	holds := s.must(t, 200, "GET", "/v1/licence-holds", "", "")["items"].([]any)
	if len(holds) != 1 || holds[0].(map[string]any)["to_pay"] != "550.00" || holds[0].(map[string]any)["vehicle"] != "XY1" {
		t.Fatalf("held are %v", holds)
	}
	if got := s.must(t, 200, "POST", id+"/waivers", "w1", `{"surcharge":2,"reason":"illness"}`); got["waived"] != "surcharge-2" {
		t.Errorf("waived, it is %v", got)
	}
	if code, answer := s.ask(t, "POST", id+"/waivers", "w2", `{"surcharge":3,"reason":"x"}`); code != 422 {
		t.Errorf("a third surcharge: %d %v", code, answer)
	}
	if code, answer := s.ask(t, "POST", "/v1/notices/none/deliveries", "d1", `{"channel":"post","state":"served","evidence":"x"}`); code != 404 {
		t.Errorf("a notice that is not there: %d %v", code, answer)
	}
	if code, answer := s.ask(t, "GET", "/v1/unpaid?after=!", "", ""); code != 400 {
		t.Errorf("a bad cursor: %d %v", code, answer)
	}
}
