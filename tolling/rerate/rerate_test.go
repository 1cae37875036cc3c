package rerate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/internal/clock"
	"freeflow/tolling/tariff"
)

var hk = time.FixedZone("HKT", 8*3600)

// begun is 18 December 2023, 10:02, when the Western Harbour Crossing began to
// charge a fixed 60.00 for 62 minutes, instead of the toll of the minute, such
// as 52.00 (RTHK 1732803, SCMP 2023-12-20).
var begun = time.Date(2023, 12, 18, 10, 2, 0, 0, hk)

// corrected rates as the tolls should have: 52.00 for cars, 20.00 for
// motorcycles; classes that it does not know have no toll.
type corrected struct{}

func (corrected) Rate(_, class string, at time.Time) (tariff.Toll, error) {
	switch class {
	case "private_car":
		return tariff.Toll{Cents: 5200, Version: "2023-12-17b", Rule: "WHC private_car 52.00"}, nil
	case "taxi":
		return tariff.Toll{Cents: 2500, Version: "2023-12-17b", Rule: "WHC taxi 25.00"}, nil
	}
	return tariff.Toll{}, &tariff.NoTariffError{Place: "WHC", Class: class, At: at, Reason: "none"}
}
func (corrected) Currency() string { return "HKD" }

type rig struct {
	*testing.T
	books *books.Store
	clock *clock.Fixed
	rates *Rerater
	next  int64
	fail  error // of the next Restate, after it has committed
}

// Restate loses the answer where a test wants it.
func (r *rig) Restate(ctx context.Context, step billing.Restatement) error {
	err := r.books.Restate(ctx, step)
	if err == nil && r.fail != nil {
		err, r.fail = r.fail, nil
	}
	return err
}

type lossy struct {
	*books.Store
	rig *rig
}

func (l lossy) Restate(ctx context.Context, step billing.Restatement) error {
	return l.rig.Restate(ctx, step)
}

func newRig(t *testing.T, url string) *rig {
	t.Helper()
	r := &rig{T: t, clock: clock.At(time.Date(2023, 12, 20, 9, 0, 0, 0, hk))}
	var err error
	r.books, err = books.Open(t.Context(), url, books.Options{Migrate: true, Clock: r.clock, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.books.Close(); err != nil {
			t.Error(err)
		}
	})
	r.rates = &Rerater{Network: corrected{}, Books: lossy{r.books, r}, Clock: r.clock, Logger: slog.New(slog.DiscardHandler)}
	return r
}

// pass is the n-th pass at the Western Harbour Crossing, charged 60.00.
func pass(n int, change func(*billing.Pass)) billing.Pass {
	at := begun.Add(time.Duration(n) * 700 * time.Millisecond).UnixMicro()
	p := billing.Pass{
		ID: fmt.Sprintf("%032x", n+1), Facility: "WHC", TollPoint: "WHC-N", Vehicle: fmt.Sprint("V", n), Registered: true,
		FirstMicros: at, LastMicros: at, Revision: 1, Status: billing.StatusCharged, Class: "private_car", Account: fmt.Sprint("A", n%1500),
		AmountCents: 6000, Currency: "HKD", Rule: "WHC private_car 60.00", TariffVersion: "2023-12-17",
	}
	if change != nil {
		change(&p)
	}
	return p
}

func (r *rig) post(passes ...billing.Pass) {
	r.Helper()
	for len(passes) > 0 {
		n := min(len(passes), 1000)
		err := r.books.Post(r.Context(), billing.Batch{From: r.next, To: r.next + 1, PostedAt: begun, Gap: 60_000_000, Passes: passes[:n]})
		if err != nil {
			r.Fatal(err)
		}
		passes = passes[n:]
		r.next++
	}
}

func (r *rig) try() billing.Rerate {
	r.Helper()
	v, err := r.rates.Try(r.Context(), Request{Facility: "WHC", From: begun, To: begun.Add(62 * time.Minute), Reason: "former toll charged", By: "wong"})
	if err != nil {
		r.Fatal(err)
	}
	return v
}

func (r *rig) balance(account string) int64 {
	r.Helper()
	list, err := r.books.Balances(r.Context(), []string{account})
	if err != nil {
		r.Fatal(err)
	}
	sum := int64(0)
	for _, b := range list {
		sum += b.AmountCents
	}
	return sum
}

func (r *rig) sound() {
	r.Helper()
	checks, err := r.books.Verify(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	for _, c := range checks {
		for _, v := range c.Violations {
			r.Errorf("%s: %s", v.Invariant, v.Detail)
		}
	}
}

func (r *rig) customers(id int64) (list []billing.RerateCustomer) {
	r.Helper()
	after := ""
	for {
		part, err := r.books.RerateCustomers(r.Context(), id, after, 700)
		if err != nil {
			r.Fatal(err)
		}
		list = append(list, part...)
		if len(part) < 700 {
			return list
		}
		after = part[len(part)-1].Customer
	}
}

// The incident: 4,700 vehicles charged 60.00 rather than 52.00 between 10:02
// and 11:04.
func TestIncidentOf18December(t *testing.T) {
	incident(t, "sqlite:"+filepath.Join(t.TempDir(), "books.db"))
}

func incident(t *testing.T, url string) {
	r := newRig(t, url)
	const vehicles = 4700
	var passes []billing.Pass
	for n := range vehicles {
		passes = append(passes, pass(n, nil))
	}
	right := func(p *billing.Pass) { p.AmountCents, p.Class = 2500, "taxi" }
	passes = append(passes,
		pass(4701, right), // charged rightly
		pass(4702, func(p *billing.Pass) { p.Status, p.Account = billing.StatusUnpaid, "" }),                  // nobody's, 60.00
		pass(4703, func(p *billing.Pass) { p.Status, p.AmountCents = billing.StatusExempt, 0 }),               // owes nothing
		pass(4704, func(p *billing.Pass) { p.Status, p.AmountCents = billing.StatusReview, 0 }),               // to be decided
		pass(4705, func(p *billing.Pass) { p.Class = "hgv" }),                                                 // cannot be rated
		pass(4706, func(p *billing.Pass) { p.FirstMicros -= 3600_000_000 * 2; p.LastMicros = p.FirstMicros }), // before
		pass(4707, func(p *billing.Pass) { p.Facility, p.TollPoint = "CHT", "CHT-N" }),                        // elsewhere
		pass(4708, func(p *billing.Pass) { p.Status, p.AmountCents = billing.StatusReview, 0 }),               // decided below
	)
	r.post(passes...)
	decided, err := r.books.Decide(t.Context(), pass(4708, nil).ID, 1, billing.Decision{
		Status: billing.StatusCharged, Class: "private_car", Account: "A1", AmountCents: 6000, Rule: "x", By: "chan", At: r.clock.Now()})
	if err != nil {
		t.Fatal(err)
	}
	// The first vehicle's pass is paid.
	r.rates.Paid = func(_ context.Context, ids []string) (map[string]bool, error) {
		return map[string]bool{ids[0]: true}, nil
	}
	v := r.try()
	want := billing.Rerate{Looked: vehicles + 6, Passes: vehicles + 1, Vehicles: vehicles + 1, Accounts: 1500, Left: 3,
		WasCents: 6000 * (vehicles + 1), NowCents: 5200 * (vehicles + 1), PaidPasses: 1}
	got := billing.Rerate{Looked: v.Looked, Passes: v.Passes, Vehicles: v.Vehicles, Accounts: v.Accounts, Left: v.Left,
		WasCents: v.WasCents, NowCents: v.NowCents, PaidPasses: v.PaidPasses}
	if got != want {
		t.Errorf("the dry run says %+v, want %+v", got, want)
	}
	if owes := r.balance("operator:WHC"); owes != -(6000*(vehicles+3) + 2500 + 6000) {
		t.Errorf("the dry run posted something: the operator is owed %d", -owes)
	}
	if err := r.rates.Once(t.Context()); err != nil || r.customers(v.ID) != nil {
		t.Errorf("a dry run was executed: %v", err)
	}
	for _, refused := range []struct {
		digest, by string
		want       error
	}{{v.Digest, "wong", billing.ErrConflict}, {"0000", "lee", billing.ErrStale}, {v.Digest, "", billing.ErrConflict}} {
		if _, err := r.rates.Order(t.Context(), v.ID, refused.digest, refused.by); !errors.Is(err, refused.want) {
			t.Errorf("ordered by %q: %v, want %v", refused.by, err, refused.want)
		}
	}
	if _, err := r.rates.Order(t.Context(), v.ID+1, v.Digest, "lee"); !errors.Is(err, billing.ErrNotFound) {
		t.Errorf("ordered one that is not there: %v", err)
	}
	for range 2 { // the same person again changes nothing
		if o, err := r.rates.Order(t.Context(), v.ID, v.Digest, "lee"); err != nil || o.State != billing.RerateRunning || o.OrderedBy != "lee" {
			t.Fatalf("%+v, %v", o, err)
		}
	}
	if _, err := r.rates.Order(t.Context(), v.ID, v.Digest, "ho"); !errors.Is(err, billing.ErrConflict) {
		t.Errorf("ordered twice: %v", err)
	}
	// One pass becomes longer meanwhile, one is another's: it is left to the rules.
	longer, moved := pass(5, nil), pass(6, nil)
	longer.Revision, longer.LastMicros = 2, longer.LastMicros+5
	moved.Revision, moved.Account, moved.AmountCents = 2, "other", 5200
	r.post(longer, moved)
	// Answers get lost on the way; whoever runs it goes on.
	lost := errors.New("answer lost")
	for n := 0; ; n++ {
		if n < 10 {
			r.fail = lost
		}
		err := r.rates.Once(t.Context())
		if err == nil {
			break
		}
		if !errors.Is(err, lost) {
			t.Fatal(err)
		}
	}
	done, err := r.books.Rerate(t.Context(), v.ID)
	if err != nil || done.State != billing.RerateDone || done.Done != vehicles || done.Changed != 1 || done.FinishedAt.IsZero() {
		t.Fatalf("%+v, %v", done, err)
	}
	if owes := r.balance("operator:WHC"); owes != -(5200*(vehicles+1) + 2500 + 6000 + 6000 + 6000) {
		t.Errorf("the operator is owed %d", -owes)
	}
	// One entry a customer, one customer a notice.
	customers := r.customers(v.ID)
	if len(customers) != 1501 {
		t.Errorf("%d customers, want 1501", len(customers))
	}
	passesOf, difference := int64(0), int64(0)
	for _, c := range customers {
		passesOf, difference = passesOf+c.Passes, difference+c.DifferenceCents
	}
	if passesOf != vehicles || difference != -800*vehicles {
		t.Errorf("%d passes, difference %d", passesOf, difference)
	}
	if h, err := r.books.History(t.Context(), decided.ID); err != nil || h.Pass.AmountCents != 6000 || h.Pass.Decision == nil {
		t.Errorf("what was decided was changed: %+v, %v", h.Pass, err)
	}
	r.sound()
	// Again: nothing is left to do, and a new dry run finds only what was left.
	if err := r.rates.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := r.try(); again.Passes != 0 || again.Left != 3 {
		t.Errorf("a second dry run finds %+v", again)
	}
}

// By the network's own tolls: at 10:21 that day a private car owed 52.00 (RTHK
// 1732803).
func TestTheTollOfTheMinute(t *testing.T) {
	r := newRig(t, "sqlite:"+filepath.Join(t.TempDir(), "books.db"))
	network, err := tariff.Open("hongkong")
	if err != nil {
		t.Fatal(err)
	}
	r.rates.Network = network
	r.post(pass(0, func(p *billing.Pass) {
		p.FirstMicros = time.Date(2023, 12, 18, 10, 21, 30, 0, hk).UnixMicro()
		p.LastMicros = p.FirstMicros
	}))
	v := r.try()
	if v.Passes != 1 || v.WasCents != 6000 || v.NowCents != 5200 {
		t.Fatalf("%+v", v)
	}
	if _, err := r.rates.Order(t.Context(), v.ID, v.Digest, "lee"); err != nil {
		t.Fatal(err)
	}
	if err := r.rates.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if owes := r.balance("account:A0"); owes != 5200 {
		t.Errorf("the account owes %d", owes)
	}
	r.sound()
}

// A dry run whose passes have changed is refused, and so is one whose tolls
// have.
func TestChangedSinceTheDryRun(t *testing.T) {
	r := newRig(t, "sqlite:"+filepath.Join(t.TempDir(), "books.db"))
	r.post(pass(0, nil), pass(1, nil))
	v := r.try()
	late := pass(2, nil)
	r.post(late)
	if _, err := r.rates.Order(t.Context(), v.ID, v.Digest, "lee"); !errors.Is(err, billing.ErrStale) {
		t.Errorf("ordered although a pass came: %v", err)
	}
	v = r.try()
	r.rates.Network = other{}
	if _, err := r.rates.Order(t.Context(), v.ID, v.Digest, "lee"); !errors.Is(err, billing.ErrStale) {
		t.Errorf("ordered although the toll is another: %v", err)
	}
	for _, q := range []Request{{}, {Facility: "WHC", From: begun, To: begun, Reason: "r", By: "b"}, {Facility: "WHC", From: begun, To: begun.Add(1), By: "b"},
		{Facility: "WHC", From: begun, To: begun.Add(1), Reason: "r"}, {Facility: "WHC", From: begun, To: begun.Add(longest + 1), Reason: "r", By: "b"}} {
		if _, err := r.rates.Try(t.Context(), q); !errors.Is(err, billing.ErrInvalid) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

type other struct{ corrected }

func (other) Rate(string, string, time.Time) (tariff.Toll, error) {
	return tariff.Toll{Cents: 1, Version: "x"}, nil
}
