package once

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"freeflow/internal/clock"
	"freeflow/internal/database"
)

func schema() database.Schema {
	return database.Schema{Name: "test", Table: "once_test_schema", Want: 1, Migrations: fstest.MapFS{"00001_once.sql": {Data: []byte(`-- +goose Up
CREATE TABLE once_test (at_micros bigint NOT NULL, status bigint NOT NULL, scope text NOT NULL, request_key text NOT NULL,
	location text NOT NULL, fingerprint bytea NOT NULL, body bytea NOT NULL, PRIMARY KEY (scope, request_key));
CREATE TABLE effect (n bigint NOT NULL);
`)}}}
}

// open returns two keepers on one database, as two processes have them.
func open(t *testing.T, url string) (first, second *Keeper, clk *clock.Fixed) {
	t.Helper()
	if err := database.Migrate(t.Context(), url, schema()); err != nil {
		t.Fatal(err)
	}
	clk = clock.At(time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC))
	var keepers [2]*Keeper
	for i := range keepers {
		db, err := database.Open(t.Context(), url, database.Options{Schema: schema()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		keepers[i] = NewKeeper(db, "once_test", clk)
	}
	return keepers[0], keepers[1], clk
}

func effects(t *testing.T, k *Keeper) int64 {
	t.Helper()
	var n int64
	err := k.db.Read(t.Context(), func(db database.Session) error {
		_, err := database.One(t.Context(), db, `SELECT count(*) FROM effect`, nil, &n)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// act has an effect and answers.
func act(ctx context.Context, body string) func(database.Session) (Answer, error) {
	return func(db database.Session) (Answer, error) {
		_, err := db.Exec(ctx, `INSERT INTO effect (n) VALUES (1)`)
		return Answer{Status: 201, Body: []byte(body), Location: "/here"}, err
	}
}

func testKeeper(t *testing.T, url string) {
	one, two, clk := open(t, url)
	ctx := t.Context()
	r := Request{Scope: "operator POST /v1/things", Key: "k1", Fingerprint: [32]byte{1}}

	if _, err := one.Do(ctx, r, func(db database.Session) (Answer, error) {
		_, _ = act(ctx, "lost")(db)
		return Answer{}, errors.New("refused")
	}); err == nil || effects(t, one) != 0 {
		t.Fatalf("a refused request left %d effects, %v", effects(t, one), err)
	}
	first, err := one.Do(ctx, r, act(ctx, "first"))
	if err != nil || first.Replayed {
		t.Fatal(first, err)
	}
	again, err := two.Do(ctx, r, act(ctx, "second"))
	if err != nil || !again.Replayed || again.Status != 201 || string(again.Body) != "first" || again.Location != "/here" {
		t.Fatalf("the repetition was answered %+v, %v", again, err)
	}
	other := r
	other.Fingerprint = [32]byte{2}
	if _, err := two.Do(ctx, other, act(ctx, "x")); !errors.Is(err, ErrReused) {
		t.Fatalf("another request under the key: %v", err)
	}
	if n := effects(t, one); n != 1 {
		t.Fatalf("%d effects", n)
	}
	for _, bad := range []Request{{Key: "k"}, {Scope: "s"}, {Scope: "s", Key: "\xff"}} {
		if _, err := one.Do(ctx, bad, act(ctx, "x")); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	clk.Advance(time.Hour)
	if n, err := one.Prune(ctx, clk.Now()); n != 1 || err != nil {
		t.Fatalf("pruned %d, %v", n, err)
	}
	if after, err := one.Do(ctx, r, act(ctx, "anew")); err != nil || after.Replayed {
		t.Fatal(after, err)
	}
}

// testRace sends one request many times at once, to two keepers: one effect,
// and nobody is told anything but the answer or to wait.
func testRace(t *testing.T, url string) {
	one, two, _ := open(t, url)
	ctx := t.Context()
	for round := range 5 {
		r := Request{Scope: "race", Key: fmt.Sprint(round)}
		before := effects(t, one)
		var wg sync.WaitGroup
		for i := range 12 {
			wg.Go(func() {
				k := []*Keeper{one, two}[i%2]
				a, err := k.Do(ctx, r, act(ctx, "done"))
				if err == nil && string(a.Body) != "done" || err != nil && !errors.Is(err, ErrBusy) {
					t.Errorf("answered %+v, %v", a, err)
				}
			})
		}
		wg.Wait()
		if n := effects(t, one) - before; n != 1 {
			t.Fatalf("round %d: %d effects", round, n)
		}
	}
}

func TestKeeper(t *testing.T) { testKeeper(t, "sqlite:"+filepath.Join(t.TempDir(), "once.db")) }
func TestRace(t *testing.T)   { testRace(t, "sqlite:"+filepath.Join(t.TempDir(), "once.db")) }

func TestIDTellsRequestsApart(t *testing.T) {
	seen := map[string]Request{}
	for _, r := range []Request{{Scope: "a", Key: "b"}, {Scope: "a b", Key: ""}, {Scope: "a", Key: "b c"}, {Scope: "a b", Key: "c"}} {
		if was, twice := seen[r.ID()]; twice {
			t.Errorf("%+v and %+v have one id", was, r)
		}
		seen[r.ID()] = r
	}
	r := Request{Scope: "a", Key: "b", Fingerprint: [32]byte{9}}
	if r.ID() != (Request{Scope: "a", Key: "b"}).ID() || len(r.ID()) != 32 {
		t.Error("the id depends on more than scope and key")
	}
}
