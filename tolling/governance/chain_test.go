package governance_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"freeflow/internal/clock"
	"freeflow/tolling/governance"
	"freeflow/tolling/tariff"
)

// meddle changes rows of the database behind everybody's back, the triggers
// taken off first.
func meddle(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, table := range []string{"tariff_statement", "tariff_content"} {
		for _, op := range []string{"update", "delete"} {
			statements = append([]string{"DROP TRIGGER IF EXISTS " + table + "_no_" + op}, statements...)
		}
	}
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatal(s, err)
		}
	}
}

// TestTamperedRowsAreRefused: whatever of a stored statement is changed, a
// process that runs keeps the last good network and says what is wrong, and one
// that starts holds what still verifies.
func TestTamperedRowsAreRefused(t *testing.T) {
	at := start.Add(time.Hour)
	for name, c := range map[string]struct {
		change []string
		// fresh is the toll from the instant on in a process that starts then.
		fresh string
	}{
		"an earlier instant":    {[]string{`UPDATE tariff_statement SET effective_micros = effective_micros - 3600000000 WHERE sequence = 1`}, "8.00"},
		"another checker":       {[]string{`UPDATE tariff_statement SET checker = 'eve' WHERE sequence = 1`}, "8.00"},
		"another maker":         {[]string{`UPDATE tariff_statement SET makers = '["eve"]' WHERE sequence = 1`}, "8.00"},
		"makers that are none":  {[]string{`UPDATE tariff_statement SET makers = '' WHERE sequence = 1`}, "8.00"},
		"other files":           {[]string{`UPDATE tariff_content SET canonical = CAST(replace(CAST(canonical AS text), 'all,00:00,24:00,9,,', 'all,00:00,24:00,1,,') AS blob)`}, "8.00"},
		"files of another":      {[]string{`UPDATE tariff_statement SET content = (SELECT content FROM tariff_statement WHERE sequence = 0) WHERE sequence = 1`}, "8.00"},
		"no files":              {[]string{`DELETE FROM tariff_content WHERE digest = (SELECT content FROM tariff_statement WHERE sequence = 1)`}, "8.00"},
		"a turned signature":    {[]string{`UPDATE tariff_statement SET signature = zeroblob(64) WHERE sequence = 1`}, "8.00"},
		"a short signature":     {[]string{`UPDATE tariff_statement SET signature = x'00' WHERE sequence = 1`}, "8.00"},
		"an unknown key":        {[]string{`UPDATE tariff_statement SET signing_key = 'eve' WHERE sequence = 1`}, "8.00"},
		"a turned kind":         {[]string{`UPDATE tariff_statement SET kind = 'withdrawal', withdraws = 0 WHERE sequence = 1`}, "8.00"},
		"the last one is gone":  {[]string{`DELETE FROM tariff_statement WHERE sequence = 1`}, "8.00"},
		"the seed is gone":      {[]string{`DELETE FROM tariff_statement WHERE sequence = 0`}, ""},
		"the seed's other text": {[]string{`UPDATE tariff_statement SET reason = 'x' WHERE sequence = 0`}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "t.db")
			clk, signer := clock.At(start), key(1)
			o := openOffice(t, "sqlite:"+path, clk, signer, trusting(signer))
			o.published("2026-11-lrt", at, "9")
			meddle(t, path, c.change...)
			o.look()
			if o.wrong == nil {
				t.Error("nobody noticed")
			}
			if got := o.toll(at); got != "9.00" {
				t.Errorf("the running process rates %s, want what it believed last", got)
			}
			rows, err := o.store.Rows(t.Context(), "hongkong", 0)
			if err != nil {
				t.Fatal(err)
			}
			fresh, wrong := (&governance.Chain{}).Extend(rows, o.keys, true)
			if wrong == nil && name != "the last one is gone" {
				t.Error("a process that starts noticed nothing")
			}
			live, err := governance.NewLive(fresh, clk)
			if c.fresh == "" {
				if err == nil {
					t.Error("a process started without a network that verifies")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if toll, err := live.Rate("LRT-N", "private_car", at); err != nil || tariff.FormatAmount(toll.Cents) != c.fresh {
				t.Errorf("a process that starts rates %d, %v; want %s", toll.Cents, err, c.fresh)
			}
			// What a process kept of its own brings the last good one back.
			kept, wrong := (&governance.Chain{}).Extend(o.live.Chain().Rows(), o.keys, false)
			if wrong != nil || kept.Len() != 2 {
				t.Errorf("what was kept: %d statements, %v", kept.Len(), wrong)
			}
			if both, wrong := kept.Extend(rows, o.keys, true); wrong == nil || both.Len() != 2 {
				t.Errorf("kept and stored together: %d statements, %v", both.Len(), wrong)
			}
		})
	}
}

// TestForeignStatementsAreRefused: one signed by the right key, but of another
// system, or by a key that nobody trusts.
func TestForeignStatementsAreRefused(t *testing.T) {
	signer, clk := key(1), clock.At(start)
	here := openOffice(t, "sqlite:"+filepath.Join(t.TempDir(), "a.db"), clk, signer, trusting(signer))
	there := openOffice(t, "sqlite:"+filepath.Join(t.TempDir(), "b.db"), clk, signer, trusting(signer))
	there.published("2026-11-lrt", start.Add(time.Hour), "9")
	rows, err := there.store.Rows(t.Context(), "hongkong", 1)
	if err != nil {
		t.Fatal(err)
	}
	if next, err := here.live.Chain().Extend(rows, here.keys, false); err == nil || next.Len() != 1 || !strings.Contains(err.Error(), "another system") {
		t.Errorf("%d statements, %v", next.Len(), err)
	}
	eve := key(9)
	s := rows[0].Statement
	s.Previous = here.live.Chain().Head().Hash
	forged := rows[0]
	forged.Signed = eve.Sign(s, start)
	if next, err := here.live.Chain().Extend([]governance.Row{forged}, here.keys, false); !errors.Is(err, governance.ErrSignature) || next.Len() != 1 {
		t.Errorf("%v", err)
	}
	// Even with the right key one person is not two.
	for name, change := range map[string]func(*governance.Statement){
		"the maker checks": func(s *governance.Statement) { s.Checker = s.Makers[0] },
		"nobody checks":    func(s *governance.Statement) { s.Checker = "" },
		"nobody made it":   func(s *governance.Statement) { s.Makers = nil },
		"a second seed":    func(s *governance.Statement) { s.Kind = governance.Seed },
		"an unknown kind":  func(s *governance.Statement) { s.Kind = "decree" },
		"another network":  func(s *governance.Statement) { s.Network = "taiwan" },
		"a later number":   func(s *governance.Statement) { s.Sequence = 2 },
		"no instant":       func(s *governance.Statement) { s.Effective = time.Time{} },
	} {
		bad := s
		change(&bad)
		row := rows[0]
		row.Signed = signer.Sign(bad, start)
		if next, err := here.live.Chain().Extend([]governance.Row{row}, here.keys, false); err == nil || next.Len() != 1 {
			t.Errorf("%s: %d statements, %v", name, next.Len(), err)
		}
	}
}

// TestEveryFieldIsSigned: no two statements that differ have the same bytes.
func TestEveryFieldIsSigned(t *testing.T) {
	text := rapid.String()
	instant := rapid.Custom(func(t *rapid.T) time.Time {
		return governance.Instant(rapid.Int64Range(0, 1<<52).Draw(t, "micros"))
	})
	statement := rapid.Custom(func(t *rapid.T) governance.Statement {
		return governance.Statement{
			Network: text.Draw(t, "network"), Sequence: rapid.Int64().Draw(t, "sequence"), Kind: text.Draw(t, "kind"), Previous: text.Draw(t, "previous"),
			Content: text.Draw(t, "content"), Effective: instant.Draw(t, "effective"), Backdated: rapid.Bool().Draw(t, "backdated"),
			Draft: text.Draw(t, "draft"), Revision: rapid.Int64().Draw(t, "revision"), Proposal: text.Draw(t, "proposal"),
			Makers: rapid.SliceOfN(text, 0, 3).Draw(t, "makers"), Checker: text.Draw(t, "checker"), Checked: instant.Draw(t, "checked"),
			Withdraws: rapid.Int64().Draw(t, "withdraws"), By: text.Draw(t, "by"), Reason: text.Draw(t, "reason"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := statement.Draw(t, "a"), statement.Draw(t, "b")
		if rapid.Bool().Draw(t, "one field only") {
			b = a
			switch rapid.IntRange(0, 5).Draw(t, "field") {
			case 0:
				b.Network = text.Draw(t, "other")
			case 1:
				b.Makers = rapid.SliceOfN(text, 0, 3).Draw(t, "others")
			case 2:
				b.Checker = text.Draw(t, "other")
			case 3:
				b.Effective = instant.Draw(t, "other")
			case 4:
				b.Backdated = !a.Backdated
			case 5:
				b.Reason = text.Draw(t, "other")
			}
		}
		same := fmt.Sprintf("%#v", a) == fmt.Sprintf("%#v", b) || len(a.Makers)+len(b.Makers) == 0 && func() bool { a.Makers, b.Makers = nil, nil; return fmt.Sprintf("%#v", a) == fmt.Sprintf("%#v", b) }()
		if same != bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Fatalf("%#v\n%#v\n%q\n%q", a, b, a.Bytes(), b.Bytes())
		}
	})
}

func TestKeysAsText(t *testing.T) {
	s := key(3)
	public, err := governance.EncodePublic(s.Public())
	if err != nil {
		t.Fatal(err)
	}
	other, err := governance.EncodePublic(key(4).Public())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := governance.ParsePublic(append(public, other...))
	if err != nil || len(keys) != 2 || !s.Public().Equal(keys[governance.Fingerprint(s.Public())]) {
		t.Errorf("%v, %v", keys, err)
	}
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := governance.EncodePrivate(private)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := governance.ParsePrivate(text); err != nil || !back.Equal(private) {
		t.Errorf("%v", err)
	}
	for _, bad := range [][]byte{nil, []byte("x"), public} {
		if _, err := governance.ParsePrivate(bad); err == nil {
			t.Errorf("%q is a private key", bad)
		}
	}
	for _, bad := range [][]byte{nil, []byte("x"), text} {
		if _, err := governance.ParsePublic(bad); err == nil {
			t.Errorf("%q is a public key", bad)
		}
	}
}

// TestSignedElsewhere: the key need not be where the API is.
func TestSignedElsewhere(t *testing.T) {
	o := newOffice(t)
	d := o.draft("2026-11-lrt", start.Add(time.Hour), "9")
	if _, err := o.desk.Statement(t.Context(), d.ID); !errors.Is(err, governance.ErrConflict) {
		t.Errorf("the statement of a draft that nobody approved: %v", err)
	}
	if err := o.approve("bo", d); err != nil {
		t.Fatal(err)
	}
	s, err := o.desk.Statement(t.Context(), d.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.signer.SignBytes([]byte("pay eve")); err == nil {
		t.Error("signed something else")
	}
	foreign, err := key(9).SignBytes(s.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.desk.Publish(t.Context(), "ada", d.ID, d.Last().Digest, foreign); !errors.Is(err, governance.ErrSignature) {
		t.Errorf("published with a foreign signature: %v", err)
	}
	signature, err := o.signer.SignBytes(s.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.desk.Publish(t.Context(), "ada", d.ID, d.Last().Digest, signature); err != nil {
		t.Error(err)
	}
}

// testTwoProcesses: what one publishes the other has after its next look, and
// both change over at the same pass; one without a key publishes nothing; of
// two that publish at once, one does.
func testTwoProcesses(t *testing.T, url string) {
	signer, clk := key(1), clock.At(start)
	keys := trusting(signer)
	a := openOffice(t, url, clk, signer, keys)
	b := openOffice(t, url, clk, nil, keys)
	at := start.Add(time.Hour)
	d := a.draft("2026-11-lrt", at, "9")
	if err := b.approve("bo", d); err != nil {
		t.Fatal(err)
	}
	if _, err := b.publish("ada", d); !errors.Is(err, governance.ErrSignature) {
		t.Errorf("published without a key: %v", err)
	}
	if _, err := a.publish("ada", d); err != nil {
		t.Fatal(err)
	}
	if _, err := b.desk.Draft(t.Context(), "cy", governance.Wish{Effective: at, Reason: "r"}); !errors.Is(err, governance.ErrStale) {
		t.Errorf("drafted on what is no longer last: %v", err)
	}
	if got := b.toll(at); got != "8.00" {
		t.Errorf("before it looked %s", got)
	}
	b.look()
	for _, o := range []*office{a, b} {
		if before, after := o.toll(at.Add(-time.Microsecond)), o.toll(at); before != "8.00" || after != "9.00" {
			t.Errorf("%s then %s", before, after)
		}
	}
	// A third process with a key of its own is not believed, and says so before
	// anything is written.
	c := openOffice(t, url, clk, key(2), keys)
	e := c.draft("2026-12-lrt", at.Add(time.Hour), "10")
	if err := c.approve("bo", e); err != nil {
		t.Fatal(err)
	}
	if _, err := c.publish("ada", e); !errors.Is(err, governance.ErrSignature) {
		t.Errorf("published with a key of its own: %v", err)
	}

	var drafts []governance.Draft
	for i := range 4 {
		d := a.draft(fmt.Sprintf("2026-12-%d", i), at.Add(2*time.Hour), "12")
		if err := a.approve("bo", d); err != nil {
			t.Fatal(err)
		}
		drafts = append(drafts, d)
	}
	var wg sync.WaitGroup
	outcomes := make([]error, len(drafts))
	for i, d := range drafts {
		wg.Go(func() {
			_, outcomes[i] = a.desk.Publish(context.WithoutCancel(t.Context()), "ada", d.ID, d.Last().Digest, nil)
		})
	}
	wg.Wait()
	good := 0
	for _, err := range outcomes {
		if err == nil {
			good++
		} else if !errors.Is(err, governance.ErrStale) {
			t.Errorf("%v", err)
		}
	}
	if a.look(); good != 1 || a.wrong != nil || a.live.Chain().Len() != 3 {
		t.Errorf("%d published, %d statements, %v", good, a.live.Chain().Len(), a.wrong)
	}
}

func TestTwoProcesses(t *testing.T) {
	testTwoProcesses(t, "sqlite:"+filepath.Join(t.TempDir(), "t.db"))
}

// testRestart: what was published stands after a restart, scheduled too.
func testRestart(t *testing.T, url string) {
	signer, clk := key(1), clock.At(start)
	at := start.Add(time.Hour)
	openOffice(t, url, clk, signer, trusting(signer)).published("2026-11-lrt", at, "9")
	for _, now := range []time.Time{start, at.Add(-time.Second), at, at.Add(time.Hour)} {
		clk.Set(now)
		o := openOffice(t, url, clk, signer, trusting(signer))
		if before, after := o.toll(at.Add(-time.Microsecond)), o.toll(at); before != "8.00" || after != "9.00" || o.wrong != nil {
			t.Errorf("started at %s: %s then %s, %v", now, before, after, o.wrong)
		}
	}
}

func TestRestart(t *testing.T) { testRestart(t, "sqlite:"+filepath.Join(t.TempDir(), "t.db")) }

// TestTheClockCrossesTheInstantWithinABatch: passes are rated by their own
// time, whenever it is done and in whatever order; the clock decides only what
// is in force now.
func TestTheClockCrossesTheInstantWithinABatch(t *testing.T) {
	o := newOffice(t)
	at := start.Add(time.Hour)
	o.published("2026-11-lrt", at, "9")
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			o.clock.Set(at.Add(time.Duration(rapid.Int64Range(-2e9, 2e9).Draw(t, "now"))))
			off := time.Duration(rapid.Int64Range(-5e6, 5e6).Draw(t, "pass")) * time.Microsecond
			want := "8.00"
			if off >= 0 {
				want = "9.00"
			}
			toll, err := o.live.Rate("LRT-S", "private_car", at.Add(off))
			if err != nil || tariff.FormatAmount(toll.Cents) != want {
				t.Fatalf("%s from the instant: %d, %v", off, toll.Cents, err)
			}
			if wantVersion := "2026-11-lrt"; off >= 0 && toll.Version != wantVersion {
				t.Fatalf("version %s", toll.Version)
			}
		}
	})
	o.clock.Set(at.Add(-time.Nanosecond))
	before := o.live.Network()
	o.clock.Set(at)
	if o.live.Network() == before {
		t.Error("the network in force did not change at the instant")
	}
}

// TestChainOfPublications compares the chain with a plain account of what was
// published and withdrawn, in any order of instants.
func TestChainOfPublications(t *testing.T) {
	base := someFiles(t)
	signer := key(1)
	rapid.Check(t, func(t *rapid.T) {
		chain := &governance.Chain{}
		add := func(s governance.Statement, files tariff.Files) {
			if head := chain.Head(); head != nil {
				s.Previous = head.Hash
			}
			s.Network, s.Sequence = "hongkong", int64(chain.Len())
			row := governance.Row{Signed: signer.Sign(s, start)}
			if files != nil {
				row.Canonical = files.Canonical()
			}
			var err error
			if chain, err = chain.Extend([]governance.Row{row}, trusting(signer), false); err != nil {
				t.Fatal(err)
			}
		}
		add(governance.Statement{Kind: governance.Seed, Content: base.Digest()}, base)
		type published struct{ sequence, minute int64 }
		var account []published
		for range rapid.IntRange(1, 6).Draw(t, "statements") {
			if len(account) > 0 && rapid.Bool().Draw(t, "withdraw") {
				add(governance.Statement{Kind: governance.Withdrawal, Withdraws: account[len(account)-1].sequence}, nil)
				account = account[:len(account)-1]
				continue
			}
			minute := rapid.Int64Range(0, 9).Draw(t, "minute")
			account = append(account, published{int64(chain.Len()), minute})
			add(governance.Statement{Kind: governance.Publication, Content: base.Digest(), Effective: start.Add(time.Duration(minute) * time.Minute),
				Makers: []string{"ada"}, Checker: "bo"}, base)
		}
		for minute := int64(-1); minute <= 10; minute++ {
			want := int64(0)
			for _, p := range account { // the last one wins
				if p.minute <= minute {
					want = p.sequence
				}
			}
			if got := chain.At(start.Add(time.Duration(minute) * time.Minute)).Sequence; got != want {
				t.Fatalf("minute %d: %d rates, want %d of %v", minute, got, want, account)
			}
		}
	})
}

// TestNothingIsPublishedBesideAGap: a database that lost statements, or holds
// others than this process believes, gets no further ones.
func TestNothingIsPublishedBesideAGap(t *testing.T) {
	for name, change := range map[string]string{
		"the last one is gone":  `DELETE FROM tariff_statement WHERE sequence = 1`,
		"the last one is other": `UPDATE tariff_statement SET checker = 'eve' WHERE sequence = 1`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "t.db")
			signer := key(1)
			o := openOffice(t, "sqlite:"+path, clock.At(start), signer, trusting(signer))
			at := start.Add(time.Hour)
			o.published("2026-11-lrt", at, "9")
			d := o.draft("2026-12-lrt", at.Add(time.Hour), "10")
			if err := o.approve("bo", d); err != nil {
				t.Fatal(err)
			}
			meddle(t, path, change)
			if _, err := o.publish("ada", d); !errors.Is(err, governance.ErrConflict) {
				t.Errorf("published: %v", err)
			}
			if _, err := o.desk.Withdraw(t.Context(), "ada", 1, "x"); !errors.Is(err, governance.ErrConflict) {
				t.Errorf("withdrawn: %v", err)
			}
			if _, err := o.desk.Draft(t.Context(), "ada", governance.Wish{Effective: at, Reason: "x"}); !errors.Is(err, governance.ErrConflict) {
				t.Errorf("drafted: %v", err)
			}
		})
	}
}

// TestFilesChangedAfterTheApprovalAreNotPublished: the digest was approved, and
// what stands under it is something else by now.
func TestFilesChangedAfterTheApprovalAreNotPublished(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	signer := key(1)
	o := openOffice(t, "sqlite:"+path, clock.At(start), signer, trusting(signer))
	d := o.draft("2026-11-lrt", start.Add(time.Hour), "9")
	if err := o.approve("bo", d); err != nil {
		t.Fatal(err)
	}
	meddle(t, path, `UPDATE tariff_content SET canonical = CAST(replace(CAST(canonical AS text), 'all,00:00,24:00,9,,', 'all,00:00,24:00,1,,') AS blob)`)
	if _, err := o.publish("ada", d); !errors.Is(err, governance.ErrSignature) {
		t.Errorf("published: %v", err)
	}
	if o.look(); o.wrong != nil || o.live.Chain().Len() != 1 {
		t.Errorf("%d statements, %v", o.live.Chain().Len(), o.wrong)
	}
}

// TestOnlyTheLastPublicationIsWithdrawn: also where the statement is signed.
func TestOnlyTheLastPublicationIsWithdrawn(t *testing.T) {
	o := newOffice(t)
	at := start.Add(time.Hour)
	o.published("2026-11-lrt", at, "9")
	o.published("2026-12-lrt", at.Add(time.Hour), "10")
	head := o.live.Chain().Head()
	for _, sequence := range []int64{-1, 0, 1, 3} {
		s := governance.Statement{Network: "hongkong", Sequence: 3, Kind: governance.Withdrawal, Previous: head.Hash, Withdraws: sequence, By: "eve"}
		if next, err := o.live.Chain().Extend([]governance.Row{{Signed: o.signer.Sign(s, start)}}, o.keys, false); err == nil || next.Len() != 3 {
			t.Errorf("a withdrawal of %d: %d statements, %v", sequence, next.Len(), err)
		}
	}
}
