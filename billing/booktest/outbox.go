package booktest

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"freeflow/billing"
)

// told is an event as a follower reads it.
type told struct {
	PostedAt time.Time `json:"posted_at"`
	Passes   []struct {
		ID          string `json:"id"`
		Vehicle     string `json:"vehicle"`
		Account     string `json:"account"`
		TollPoint   string `json:"toll_point"`
		PassTime    int64  `json:"pass_time"`
		Status      string `json:"status"`
		Class       string `json:"class"`
		AmountCents int64  `json:"amount_cents"`
		Currency    string `json:"currency"`
		Revision    int64  `json:"revision"`
		OwedChanged bool   `json:"owed_changed"`
		MergedInto  string `json:"merged_into"`
	} `json:"passes"`
}

// read decodes an event.
func read(t *testing.T, e billing.Event) (v told) {
	t.Helper()
	if err := json.Unmarshal(e.Payload, &v); err != nil {
		t.Fatalf("event %d: %v", e.ID, err)
	}
	return v
}

var outboxTests = []test{
	{"an event says what was posted", func(t *testing.T, b Books) {
		l := &log{b: b}
		p, q := charged(1, 0), underReview(2, 500)
		l.post(t, p, q)
		l.post(t, with(q, func(p *billing.Pass) { p.LastMicros += second }),
			with(p, func(p *billing.Pass) { p.FirstMicros -= second }))
		list := events(t, b)
		if len(list) != 2 || list[0].ID >= list[1].ID {
			t.Fatalf("events %+v", list)
		}
		first, then := read(t, list[0]), read(t, list[1])
		if !first.PostedAt.Equal(postedAt) || len(first.Passes) != 2 {
			t.Fatalf("first %+v", first)
		}
		one := first.Passes[0]
		if one.ID != p.ID || one.Vehicle != p.Vehicle || one.Account != p.Account || one.TollPoint != p.TollPoint || one.PassTime != p.FirstMicros ||
			one.Status != p.Status || one.Class != p.Class || one.AmountCents != 800 || one.Currency != "HKD" || one.Revision != 1 || !one.OwedChanged {
			t.Errorf("told %+v", one)
		}
		if first.Passes[1].OwedChanged {
			t.Errorf("a review is told as owed: %+v", first.Passes[1])
		}
		// The longer one is not told; the earlier one is, without money.
		if len(then.Passes) != 1 || then.Passes[0].ID != p.ID || then.Passes[0].OwedChanged || then.Passes[0].Revision != 2 {
			t.Errorf("then %+v", then)
		}
	}},
	{"marks, limits and pruning", func(t *testing.T, b Books) {
		ctx := context.Background()
		l := &log{b: b}
		for i := range 5 {
			l.post(t, charged(i+1, int64(i)*500))
		}
		list, err := b.Unpublished(ctx, 2)
		if err != nil || len(list) != 2 {
			t.Fatalf("%+v, %v", list, err)
		}
		all := events(t, b)
		// Marked out of order: the oldest unmarked one still comes first.
		for range 2 {
			if err := b.MarkPublished(ctx, []int64{all[3].ID, all[1].ID, all[1].ID, 999_999}); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.MarkPublished(ctx, nil); err != nil {
			t.Fatal(err)
		}
		left := events(t, b)
		if len(left) != 3 || left[0].ID != all[0].ID || left[1].ID != all[2].ID || left[2].ID != all[4].ID {
			t.Fatalf("left %+v", left)
		}
		sound(t, b)
		// The marks were made now; nothing is older than long ago.
		if err := b.PrunePublished(ctx, time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
			t.Fatal(err)
		}
		sound(t, b)
		for range 2 {
			if err := b.PrunePublished(ctx, time.Date(2101, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
				t.Fatal(err)
			}
			sound(t, b)
		}
		if got := events(t, b); len(got) != 3 {
			t.Errorf("pruning left %d unpublished events", len(got))
		}
		l.post(t, charged(9, 9000))
		sound(t, b)
		_, err = b.Unpublished(ctx, 0)
		wantError(t, err, billing.ErrInvalid)
	}},
}
