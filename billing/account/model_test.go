package account_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"freeflow/billing"
	"freeflow/billing/account"
	"freeflow/billing/books"
)

// day0 is the first day of the model's little calendar.
var day0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const days = 12

func day(n int) time.Time { return day0.AddDate(0, 0, n) }

// until is a day as the end of an interval; beyond the calendar it is open.
func until(n int) time.Time {
	if n >= days {
		return time.Time{}
	}
	return day(n)
}

// owner is who has a plate on a day.
type owner struct{ account, class string }

// model is the oracle: what is so on each day, written down day by day.
type model struct {
	plates map[string]*[days]owner
	// tags is the plate that a tag is bound to, or "account:" and its account.
	tags  map[string]*[days]string
	state map[string]string
	bound map[string]string // the plate that a lost tag goes back to
	// The marks of this check.
	allPlates, vehicleTags, classTags []string
	suffix                            string
}

var accounts = []string{"A1", "A2", "A3"}

func (m *model) names(tag string, n int) (owner, string) {
	what := m.tags[tag][n]
	if a, ok := cutPrefix(what, "account:"); ok {
		return owner{a, "taxi"}, ""
	}
	if what == "" || m.plates[what][n] == (owner{}) {
		return owner{}, ""
	}
	return m.plates[what][n], what
}

func cutPrefix(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && s[:len(prefix)] == prefix {
		return s[len(prefix):], true
	}
	return "", false
}

// registryOn finds what the registry says of a mark on a day: by looking at
// every row.
func registryOn(t *rapid.T, rows []billing.Assignment, plate, tag string, n int) (owner, string) {
	var (
		found owner
		which string
		hits  int
	)
	at := day(n).UnixMicro()
	for _, r := range rows {
		if at < r.FromMicros || r.ToMicros != 0 && at >= r.ToMicros {
			continue
		}
		if tag != "" && r.Tag == tag {
			found, which = owner{r.Account, r.Class}, r.Plate
			hits++
		}
		if plate != "" && r.Plate == plate {
			if hits > 0 && found != (owner{r.Account, r.Class}) {
				t.Fatalf("plate %s is two accounts' on day %d", plate, n)
			}
			found, which = owner{r.Account, r.Class}, r.Plate
			hits++
		}
	}
	if tag != "" && hits > 1 {
		t.Fatalf("tag %s is assigned %d times on day %d", tag, hits, n)
	}
	return found, which
}

// openBooks opens fresh books with the model's accounts.
func openBooks(t testing.TB, url string) *books.Store {
	t.Helper()
	store, err := books.Open(context.Background(), url, books.Options{Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range accounts {
		do(t, store, func(ctx context.Context, tx *books.Tx) error {
			_, err := account.OpenAccount(ctx, tx, account.Account{
				ID: id, Kind: account.Company, Name: "Chan Ltd", Email: "chan@example.hk", Language: "zh-HK", OpenedAt: day(0),
			}, deed(""))
			return err
		})
	}
	return store
}

func deed(reason string) account.Deed {
	return account.Deed{By: "tester", Role: "operator", Reason: reason, Now: day(days)}
}

func do(t testing.TB, store *books.Store, fn func(context.Context, *books.Tx) error) {
	t.Helper()
	if err := try(store, fn); err != nil {
		t.Fatal(err)
	}
}

func try(store *books.Store, fn func(context.Context, *books.Tx) error) error {
	ctx := context.Background()
	return store.Do(ctx, func(tx *books.Tx) error { return fn(ctx, tx) })
}

// TestRegistryFollowsHoldings does things at random, backdated ones too, and
// asks on every day of the calendar who has each plate and what each tag names.
func TestRegistryFollowsHoldings(t *testing.T) {
	checkModel(t, openBooks(t, "sqlite:"+filepath.Join(t.TempDir(), "books.db")))
}

// checkModel runs all checks on one set of books, each with marks of its own.
func checkModel(t *testing.T, store *books.Store) {
	defer store.Close()
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		testModel(t, r, store, fmt.Sprintf("X%d", n))
	})
	checks, err := store.Verify(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		for _, v := range c.Violations {
			t.Errorf("%s: %s", v.Invariant, v.Detail)
		}
	}
}

func testModel(t testing.TB, r *rapid.T, store *books.Store, suffix string) {
	named := func(names ...string) []string {
		for i := range names {
			names[i] += suffix
		}
		return names
	}
	plates, vehicle, classes := named("AB1", "CD2", "EF3"), named("E1", "E2"), named("C1")
	m := &model{allPlates: plates, vehicleTags: vehicle, classTags: classes, suffix: suffix, plates: map[string]*[days]owner{}, tags: map[string]*[days]string{}, state: map[string]string{}, bound: map[string]string{}}
	for _, p := range plates {
		m.plates[p] = &[days]owner{}
	}
	for _, tag := range slices.Concat(vehicle, classes) {
		m.tags[tag], m.state[tag] = &[days]string{}, account.TagIssued
		kind, class, currency := account.VehicleTag, "", ""
		if slices.Contains(classes, tag) {
			kind, class, currency = account.ClassTag, "taxi", "HKD"
		}
		do(t, store, func(ctx context.Context, tx *books.Tx) error {
			_, err := account.Issue(ctx, tx, account.Tag{Tag: tag, Kind: kind, Class: class, Currency: currency}, day(0), deed(""))
			return err
		})
	}
	last := map[string]int{} // the day of a tag's latest event
	steps := rapid.IntRange(1, 12).Draw(r, "steps")
	for i := range steps {
		switch rapid.IntRange(0, 3).Draw(r, "deed") {
		case 0, 1:
			m.vehicle(r, store, i)
		default:
			m.tag(r, store, last)
		}
		m.compare(r, store)
	}
}

// vehicle registers, transfers or ends, and does the same in the model.
func (m *model) vehicle(r *rapid.T, store *books.Store, i int) {
	plate := rapid.SampledFrom(m.allPlates).Draw(r, "plate")
	from := rapid.IntRange(0, days-1).Draw(r, "from")
	to := rapid.IntRange(from+1, days).Draw(r, "to")
	who := owner{rapid.SampledFrom(accounts).Draw(r, "account"), rapid.SampledFrom([]string{"taxi", "private_car"}).Draw(r, "class")}
	over := rapid.Bool().Draw(r, "transfer")
	taken := false
	for n := from; n < to; n++ {
		taken = taken || m.plates[plate][n] != (owner{})
	}
	err := try(store, func(ctx context.Context, tx *books.Tx) error {
		v := account.Vehicle{ID: fmt.Sprintf("h%d%s", i, m.suffix), Account: who.account, Plate: plate, Class: who.class, From: day(from), To: until(to)}
		fn := account.Register
		if over {
			fn = account.Transfer
		}
		_, err := fn(ctx, tx, v, deed("test"))
		return err
	})
	if taken && !over {
		if !errors.Is(err, billing.ErrConflict) {
			r.Fatalf("registering a vehicle that is another's: %v", err)
		}
		return
	}
	if err != nil {
		r.Fatal(err)
	}
	for n := from; n < to; n++ {
		m.plates[plate][n] = who
	}
}

// tag takes a tag a step on. Events of one tag go forward in time.
func (m *model) tag(r *rapid.T, store *books.Store, last map[string]int) {
	tag := rapid.SampledFrom(slices.Concat(m.vehicleTags, m.classTags)).Draw(r, "tag")
	class := slices.Contains(m.classTags, tag)
	at := rapid.IntRange(last[tag], days-1).Draw(r, "at")
	to := rapid.SampledFrom([]string{account.TagActive, account.TagBound, account.TagLost, "found", account.TagClosed}).Draw(r, "state")
	plate := rapid.SampledFrom(m.allPlates).Draw(r, "plate")
	state := m.state[tag]
	may := map[string][]string{
		account.TagIssued: {account.TagActive, account.TagClosed},
		account.TagActive: {account.TagBound, account.TagLost, account.TagClosed},
		account.TagBound:  {account.TagLost, account.TagClosed},
		account.TagLost:   {"found", account.TagClosed},
	}
	if !slices.Contains(may[state], to) || to == account.TagBound && (class || m.plates[plate][at].account != "A1") || to == "found" && m.bound[tag] != "" && m.plates[m.bound[tag]][at].account != "A1" {
		return // refusals are TestTagLife's
	}
	err := try(store, func(ctx context.Context, tx *books.Tx) error {
		var err error
		switch to {
		case account.TagActive:
			_, err = account.Activate(ctx, tx, tag, "A1", day(at), deed("test"))
		case account.TagBound:
			_, err = account.Bind(ctx, tx, tag, plate, day(at), deed("test"))
		case account.TagLost:
			_, err = account.Lose(ctx, tx, tag, day(at), deed("test"))
		case "found":
			_, err = account.Find(ctx, tx, tag, day(at), deed("test"))
		case account.TagClosed:
			_, err = account.CloseTag(ctx, tx, tag, day(at), deed("test"))
		}
		return err
	})
	if err != nil {
		r.Fatal(err)
	}
	names := ""
	switch to {
	case account.TagActive:
		if class {
			names = "account:A1"
		}
	case account.TagBound:
		names, m.bound[tag] = plate, plate
	case "found":
		to = account.TagActive
		if class {
			names = "account:A1"
		} else if m.bound[tag] != "" {
			names, to = m.bound[tag], account.TagBound
		}
	}
	last[tag], m.state[tag] = at, to
	for n := at; n < days; n++ {
		m.tags[tag][n] = names
	}
}

// compare asks the registry about every mark on every day.
func (m *model) compare(r *rapid.T, store *books.Store) {
	rows := registryRows(r, store)
	for n := range days {
		for _, plate := range m.allPlates {
			if got, _ := registryOn(r, rows, plate, "", n); got != m.plates[plate][n] {
				r.Fatalf("plate %s on day %d: the registry says %v, should be %v", plate, n, got, m.plates[plate][n])
			}
		}
		for tag := range m.tags {
			want, plate := m.names(tag, n)
			if got, which := registryOn(r, rows, "", tag, n); got != want || which != plate {
				r.Fatalf("tag %s on day %d: the registry says %v %q, should be %v %q", tag, n, got, which, want, plate)
			}
		}
	}
}

func registryRows(r *rapid.T, store *books.Store) []billing.Assignment {
	rows, _, err := store.Registry(context.Background())
	if err != nil {
		r.Fatal(err)
	}
	return rows
}
