package governance_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"freeflow/internal/clock"
	"freeflow/tolling/governance"
	govstore "freeflow/tolling/governance/store"
	"freeflow/tolling/tariff"
)

var (
	hk    = time.FixedZone("HKT", 8*3600)
	start = time.Date(2026, 11, 25, 10, 0, 0, 0, hk)
)

// key makes a signing key of one byte.
func key(n byte) *governance.Signer {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	return governance.NewSigner(ed25519.NewKeyFromSeed(seed))
}

func trusting(signers ...*governance.Signer) governance.Keys {
	keys := governance.Keys{}
	for _, s := range signers {
		keys.Add(s.Public())
	}
	return keys
}

// madePasses are passes of a test, in order of time.
type madePasses struct {
	mu   sync.Mutex
	list []governance.Pass
}

func (m *madePasses) add(p ...governance.Pass) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = append(m.list, p...)
}

func (m *madePasses) Each(_ context.Context, from, to time.Time, fn func(*governance.Pass) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.list {
		if at := time.UnixMicro(m.list[i].FirstMicros); at.Before(from) || !at.Before(to) {
			continue
		}
		if err := fn(&m.list[i]); err != nil {
			return err
		}
	}
	return nil
}

// office is one process: a desk on a database, and what it has in force.
type office struct {
	t      *testing.T
	url    string
	store  *govstore.Store
	live   *governance.Live
	desk   *governance.Desk
	clock  *clock.Fixed
	passes *madePasses
	signer *governance.Signer
	keys   governance.Keys
	// wrong is what the last look refused.
	wrong error
}

// someFiles are those of Hong Kong with three of its facilities: what is loaded
// over and over should be small.
func someFiles(t testing.TB) tariff.Files {
	t.Helper()
	files, err := tariff.ReadFiles("hongkong")
	if err != nil {
		t.Fatal(err)
	}
	cells := func(line string) []string { return strings.SplitN(line, ",", 4) }
	keep := func(name string, holds func(cells []string) bool) {
		var kept strings.Builder
		first := true
		for line := range strings.Lines(string(files[name])) {
			if first || holds(cells(line)) {
				kept.WriteString(line)
			}
			first = false
		}
		files[name] = []byte(kept.String())
	}
	facility := func(code string) bool { return code == "LRT" || code == "WHC" || code == "CHT" }
	versions := map[string]bool{}
	keep("facilities.csv", func(c []string) bool { return facility(c[0]) })
	keep("toll_points.csv", func(c []string) bool { return facility(c[1]) })
	keep("tolls.csv", func(c []string) bool {
		if facility(c[1]) {
			versions[c[0]] = true
		}
		return facility(c[1])
	})
	keep("versions.csv", func(c []string) bool { return versions[c[0]] })
	return files
}

func openOffice(t *testing.T, url string, clk *clock.Fixed, signer *governance.Signer, keys governance.Keys) *office {
	t.Helper()
	ctx := t.Context()
	store, err := govstore.Open(ctx, url, govstore.Options{Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if signer != nil {
		if err := governance.Plant(ctx, store, signer, someFiles(t), clk.Now()); err != nil {
			t.Fatal(err)
		}
	}
	o := &office{t: t, url: url, store: store, clock: clk, passes: &madePasses{}, signer: signer, keys: keys}
	rows, err := store.Rows(ctx, "hongkong", 0)
	if err != nil {
		t.Fatal(err)
	}
	chain, wrong := (&governance.Chain{}).Extend(rows, keys, true)
	o.wrong = wrong
	if o.live, err = governance.NewLive(chain, clk); err != nil {
		t.Fatal(err, wrong)
	}
	o.desk, err = governance.NewDesk(governance.Parts{Store: store, Live: o.live, Passes: o.passes, Clock: clk, Signer: signer,
		Keys: func() governance.Keys { return keys }, Changed: func(ctx context.Context) error { o.look(); return nil }})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// look follows the database, as a process does several times a second.
func (o *office) look() {
	o.t.Helper()
	rows, err := o.store.Rows(o.t.Context(), "hongkong", 0)
	if err != nil {
		o.t.Fatal(err)
	}
	var next *governance.Chain
	next, o.wrong = o.live.Chain().Extend(rows, o.keys, true)
	o.live.Set(next)
}

func newOffice(t *testing.T) *office {
	t.Helper()
	signer := key(1)
	return openOffice(t, "sqlite:"+filepath.Join(t.TempDir(), "t.db"), clock.At(start), signer, trusting(signer))
}

// dearer are files in which private cars pay more at LRT from an instant on: a
// version of its own.
func dearer(t *testing.T, before tariff.Files, name string, begins time.Time, toll string) tariff.Files {
	t.Helper()
	return tariff.Files{
		"versions.csv": append(append([]byte{}, before["versions.csv"]...), fmt.Appendf(nil, "%s,%s,a test\n", name, begins.Format(time.RFC3339))...),
		"tolls.csv":    append(append([]byte{}, before["tolls.csv"]...), fmt.Appendf(nil, "%s,LRT,private_car,all,00:00,24:00,%s,,\n", name, toll)...),
	}
}

func (o *office) standing() tariff.Files { return o.live.Chain().Standing().Files }

// draft drafts a dearer toll from an instant on, by ada.
func (o *office) draft(name string, effective time.Time, toll string) governance.Draft {
	o.t.Helper()
	d, err := o.desk.Draft(o.t.Context(), "ada", governance.Wish{Files: dearer(o.t, o.standing(), name, effective, toll), Effective: effective, Reason: "a test"})
	if err != nil {
		o.t.Fatal(err)
	}
	if !d.Last().Good() {
		o.t.Fatalf("the draft has mistakes: %v", d.Last().Problems)
	}
	return d
}

func (o *office) try(by string, d governance.Draft) governance.DryRun {
	o.t.Helper()
	run, err := o.desk.DryRun(o.t.Context(), by, d.ID, d.Last().Digest, governance.Period{Weeks: -1})
	if err != nil {
		o.t.Fatal(err)
	}
	return run
}

func (o *office) approve(by string, d governance.Draft) error {
	_, err := o.desk.Approve(o.t.Context(), by, d.ID, d.Last().Digest, o.try(by, d).ID, "")
	return err
}

func (o *office) publish(by string, d governance.Draft) (governance.Draft, error) {
	return o.desk.Publish(o.t.Context(), by, d.ID, d.Last().Digest, nil)
}

// published drafts, approves and publishes.
func (o *office) published(name string, effective time.Time, toll string) governance.Draft {
	o.t.Helper()
	d := o.draft(name, effective, toll)
	if err := o.approve("bo", d); err != nil {
		o.t.Fatal(err)
	}
	d, err := o.publish("ada", d)
	if err != nil {
		o.t.Fatal(err)
	}
	return d
}

// toll is what a private car pays at LRT.
func (o *office) toll(at time.Time) string {
	o.t.Helper()
	toll, err := o.live.Rate("LRT-N", "private_car", at)
	if err != nil {
		o.t.Fatal(err)
	}
	return tariff.FormatAmount(toll.Cents)
}

func TestTwoPersonsPublish(t *testing.T) {
	o := newOffice(t)
	at := start.Add(time.Hour)
	d := o.draft("2026-11-lrt", at, "9")
	if _, err := o.publish("ada", d); !errors.Is(err, governance.ErrConflict) {
		t.Errorf("published without an approval: %v", err)
	}
	if _, err := o.desk.Approve(t.Context(), "bo", d.ID, d.Last().Digest, "none", ""); !errors.Is(err, governance.ErrConflict) {
		t.Errorf("approved without a dry run: %v", err)
	}
	if err := o.approve("ada", d); !errors.Is(err, governance.ErrForbidden) {
		t.Errorf("the author approved: %v", err)
	}
	if err := o.approve("bo", d); err != nil {
		t.Fatal(err)
	}
	if err := o.approve("bo", d); err != nil {
		t.Errorf("approved again: %v", err)
	}
	d, err := o.publish("ada", d)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := o.publish("cy", d); err != nil || again.Published.Sequence != 1 {
		t.Errorf("published again: %+v, %v", again.Published, err)
	}
	s := d.Published
	if s.Sequence != 1 || s.Checker != "bo" || len(s.Makers) != 1 || s.Makers[0] != "ada" || s.Content != d.Last().Content {
		t.Errorf("%+v", s)
	}
	for when, want := range map[time.Duration]string{-time.Microsecond: "8.00", 0: "9.00", 24 * time.Hour: "9.00"} {
		if got := o.toll(at.Add(when)); got != want {
			t.Errorf("%s from the instant: %s, want %s", when, got, want)
		}
	}
	if _, err := o.desk.Revise(t.Context(), "ada", d.ID, 1, governance.Wish{Effective: at, Reason: "late"}); !errors.Is(err, governance.ErrConflict) {
		t.Errorf("what is published was revised: %v", err)
	}
}

// TestAnyChangeVoidsTheApproval: whatever of the proposal changes, its approval
// is of another digest, and the second author cannot be its checker either.
func TestAnyChangeVoidsTheApproval(t *testing.T) {
	at := start.Add(time.Hour)
	for name, change := range map[string]func(o *office, d governance.Draft) governance.Wish{
		"the files": func(o *office, d governance.Draft) governance.Wish {
			return governance.Wish{Files: dearer(o.t, o.standing(), "2026-11-lrt", at, "10"), Effective: at, Reason: "more"}
		},
		"the instant": func(*office, governance.Draft) governance.Wish {
			return governance.Wish{Effective: at.Add(time.Minute), Reason: "later"}
		},
		"nothing at all": func(*office, governance.Draft) governance.Wish {
			return governance.Wish{Effective: at, Reason: "the same"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			d := o.draft("2026-11-lrt", at, "9")
			if err := o.approve("bo", d); err != nil {
				t.Fatal(err)
			}
			approved := d.Last().Digest
			d, err := o.desk.Revise(t.Context(), "cy", d.ID, 1, change(o, d))
			if err != nil {
				t.Fatal(err)
			}
			if d.Last().Digest == approved {
				t.Error("the digest is that of the revision before")
			}
			if _, err := o.publish("ada", d); !errors.Is(err, governance.ErrConflict) {
				t.Errorf("published: %v", err)
			}
			if _, err := o.desk.Publish(t.Context(), "ada", d.ID, approved, nil); !errors.Is(err, governance.ErrStale) {
				t.Errorf("published by the digest that was approved: %v", err)
			}
			if _, err := o.desk.Approve(t.Context(), "bo", d.ID, d.Last().Digest, d.DryRuns[0].ID, ""); !errors.Is(err, governance.ErrStale) {
				t.Errorf("approved after a dry run of the revision before: %v", err)
			}
			if err := o.approve("cy", d); !errors.Is(err, governance.ErrForbidden) {
				t.Errorf("the second author approved: %v", err)
			}
			if err := o.approve("ada", d); !errors.Is(err, governance.ErrForbidden) {
				t.Errorf("the first author approved: %v", err)
			}
			if err := o.approve("bo", d); err != nil {
				t.Error(err)
			}
			if _, err := o.publish("ada", d); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRevisionsAreGuarded(t *testing.T) {
	o := newOffice(t)
	at := start.Add(time.Hour)
	d := o.draft("2026-11-lrt", at, "9")
	w := governance.Wish{Effective: at, Reason: "again"}
	if _, err := o.desk.Revise(t.Context(), "ada", d.ID, 1, w); err != nil {
		t.Fatal(err)
	}
	if _, err := o.desk.Revise(t.Context(), "bo", d.ID, 1, w); !errors.Is(err, governance.ErrStale) {
		t.Errorf("a revision of what was changed meanwhile: %v", err)
	}
	if _, err := o.desk.Revise(t.Context(), "bo", d.ID, 7, w); !errors.Is(err, governance.ErrStale) {
		t.Errorf("a revision of what is not there: %v", err)
	}
	if _, err := o.desk.Discard(t.Context(), "ada", d.ID, "not needed"); err != nil {
		t.Fatal(err)
	}
	if _, err := o.desk.Revise(t.Context(), "ada", d.ID, 2, w); !errors.Is(err, governance.ErrConflict) {
		t.Errorf("a revision of a discarded draft: %v", err)
	}
	if _, err := o.desk.Get(t.Context(), "nothing"); !errors.Is(err, governance.ErrNotFound) {
		t.Errorf("%v", err)
	}
	drafts, err := o.desk.List(t.Context(), "", 10)
	if err != nil || len(drafts) != 1 || len(drafts[0].Revisions) != 2 || drafts[0].Discarded == nil {
		t.Errorf("%+v, %v", drafts, err)
	}
}

func TestDraftsWithMistakesAreKeptAndGoNoFurther(t *testing.T) {
	o := newOffice(t)
	before := o.standing()
	edited := func(file, old, with string) tariff.Files {
		text := strings.Replace(string(before[file]), old, with, 1)
		if text == string(before[file]) {
			t.Fatalf("%s does not hold %q", file, old)
		}
		return tariff.Files{file: []byte(text)}
	}
	at := start.Add(time.Hour)
	for name, c := range map[string]struct {
		files tariff.Files
		says  string
	}{
		"a toll of a published version": {edited("tolls.csv", "2023-12-tv,WHC,taxi,all,00:00,24:00,25,,", "2023-12-tv,WHC,taxi,all,00:00,24:00,26,,"), "tolls.csv:58: version 2023-12-tv was published with other tolls"},
		"a version's beginning":         {edited("versions.csv", "2023-12-17T05:00:00+08:00", "2023-12-17T06:00:00+08:00"), "version 2023-12-tv begins 2023-12-17T06:00"},
		"the gap":                       {edited("network.csv", "gap_seconds,60", "gap_seconds,61"), "network.csv:6: gap_seconds is 61 and was 60"},
		"the name":                      {edited("network.csv", "name,hongkong", "name,kowloon"), "name is kowloon and was hongkong"},
		"fewer lanes":                   {edited("network.csv", "lanes,4", "lanes,3"), "lanes is 3 and was 4"},
		"a moved toll point":            {edited("toll_points.csv", "LRT-N,LRT,N", "LRT-N,LRT,E"), "toll_points.csv:6: toll point LRT-N is at LRT E and was at LRT N"},
		"no CSV":                        {tariff.Files{"tolls.csv": []byte("version\n\"")}, `column "facility" is missing`},
		"a ramp that does not land":     {edited("tolls.csv", "2023-12-tv,WHC,private_car,mon_sat,07:30,08:08,22,2,2", "2023-12-tv,WHC,private_car,mon_sat,07:30,08:08,24,2,2"), "ramp"},
	} {
		d, err := o.desk.Draft(t.Context(), "ada", governance.Wish{Files: c.files, Effective: at, Reason: "a slip"})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		said := ""
		for _, p := range d.Last().Problems {
			said += p.String() + "\n"
		}
		if !strings.Contains(said, c.says) {
			t.Errorf("%s: %q does not say %q", name, said, c.says)
		}
		if _, err := o.desk.DryRun(t.Context(), "bo", d.ID, d.Last().Digest, governance.Period{}); !errors.Is(err, governance.ErrConflict) {
			t.Errorf("%s was tried: %v", name, err)
		}
		if _, err := o.desk.Approve(t.Context(), "bo", d.ID, d.Last().Digest, "", ""); !errors.Is(err, governance.ErrConflict) {
			t.Errorf("%s was approved: %v", name, err)
		}
	}
	for name, w := range map[string]governance.Wish{
		"an unknown file": {Files: tariff.Files{"fares.csv": nil}, Effective: at, Reason: "r"},
		"no reason":       {Effective: at},
		"no instant":      {Reason: "r"},
		"a past instant":  {Effective: start.Add(-time.Hour), Reason: "r"},
		"too soon":        {Effective: start, Reason: "r"},
		"not so past":     {Effective: at, Backdated: true, Reason: "r"},
		"within a minute": {Effective: at.Add(time.Second), Reason: "r"},
	} {
		if _, err := o.desk.Draft(t.Context(), "ada", w); !errors.Is(err, governance.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTheInstantMayNotPass: an approval waits too long, and the draft must be
// made anew with a later instant.
func TestTheInstantMayNotPass(t *testing.T) {
	o := newOffice(t)
	at := start.Add(time.Hour)
	d := o.draft("2026-11-lrt", at, "9")
	if err := o.approve("bo", d); err != nil {
		t.Fatal(err)
	}
	o.clock.Set(at.Add(-governance.Lead + time.Second))
	if _, err := o.publish("ada", d); !errors.Is(err, governance.ErrConflict) {
		t.Errorf("published: %v", err)
	}
	if got := o.toll(at.Add(time.Minute)); got != "8.00" {
		t.Errorf("rated %s", got)
	}
}

func TestBackdatedNeedsToSaySo(t *testing.T) {
	o := newOffice(t)
	since := start.Add(-2 * time.Hour)
	o.passes.add(governance.Pass{ID: "p1", Vehicle: "AB1", TollPoint: "LRT-N", Facility: "LRT", Class: "private_car", Owing: true, FirstMicros: start.Add(-time.Hour).UnixMicro(), AmountCents: 800})
	d, err := o.desk.Draft(t.Context(), "ada", governance.Wish{Files: dearer(t, o.standing(), "2026-11-lrt", since, "7"), Effective: since, Backdated: true, Reason: "it was gazetted so"})
	if err != nil {
		t.Fatal(err)
	}
	short, err := o.desk.DryRun(t.Context(), "bo", d.ID, d.Last().Digest, governance.Period{From: start.Add(-time.Hour), To: start})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.desk.Approve(t.Context(), "bo", d.ID, d.Last().Digest, short.ID, ""); !errors.Is(err, governance.ErrConflict) {
		t.Errorf("approved on passes of half the time: %v", err)
	}
	run := o.try("bo", d)
	if run.Weeks != 0 || !run.From.Equal(since) || !run.To.Equal(start) || run.Result.Differ != 1 || run.Result.AfterCents-run.Result.BeforeCents != -100 {
		t.Errorf("%+v", run)
	}
	if _, err := o.desk.Approve(t.Context(), "bo", d.ID, d.Last().Digest, run.ID, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := o.publish("ada", d); err != nil {
		t.Fatal(err)
	}
	if got := o.toll(start.Add(-time.Hour)); got != "7.00" {
		t.Errorf("since its instant %s", got)
	}
	if got := o.toll(since.Add(-time.Second)); got != "8.00" {
		t.Errorf("before its instant %s", got)
	}
}

func TestWithdrawal(t *testing.T) {
	o := newOffice(t)
	at := start.Add(time.Hour)
	o.published("2026-11-lrt", at, "9")
	if _, err := o.desk.Withdraw(t.Context(), "cy", 0, "no seed"); !errors.Is(err, governance.ErrConflict) {
		t.Errorf("the seed: %v", err)
	}
	if _, err := o.desk.Withdraw(t.Context(), "cy", 7, "no such"); !errors.Is(err, governance.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if _, err := o.desk.Withdraw(t.Context(), "cy", 1, "the minister said no"); err != nil {
		t.Fatal(err)
	}
	if got := o.toll(at.Add(time.Hour)); got != "8.00" {
		t.Errorf("withdrawn, and rated %s", got)
	}
	if _, err := o.desk.Withdraw(t.Context(), "cy", 1, "again"); !errors.Is(err, governance.ErrConflict) {
		t.Errorf("%v", err)
	}
	// What was withdrawn binds nobody: the version's name may come with another toll.
	o.published("2026-11-lrt", at, "10")
	if got := o.toll(at); got != "10.00" {
		t.Errorf("rated %s", got)
	}
	o.clock.Set(at.Add(-time.Second))
	if _, err := o.desk.Withdraw(t.Context(), "cy", 3, "too late"); !errors.Is(err, governance.ErrConflict) {
		t.Errorf("withdrawn at the last moment: %v", err)
	}
	o.clock.Set(at)
	if _, err := o.desk.Withdraw(t.Context(), "cy", 3, "too late"); !errors.Is(err, governance.ErrConflict) {
		t.Errorf("withdrawn in force: %v", err)
	}
}

// TestLaterPublicationsStandOnEarlier: a draft on what is no longer last must
// be made anew, so that nothing published is lost by accident.
func TestLaterPublicationsStandOnEarlier(t *testing.T) {
	o := newOffice(t)
	at := start.Add(time.Hour)
	d := o.draft("2026-11-lrt", at, "9")
	if err := o.approve("bo", d); err != nil {
		t.Fatal(err)
	}
	o.published("2026-11-other", at.Add(time.Minute), "11")
	if _, err := o.publish("ada", d); !errors.Is(err, governance.ErrStale) {
		t.Errorf("published beside another: %v", err)
	}
	if err := o.approve("bo", d); !errors.Is(err, governance.ErrStale) {
		t.Errorf("approved beside another: %v", err)
	}
}
