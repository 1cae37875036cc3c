package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"freeflow/internal/database"
)

func openLog(t testing.TB, url string) *Log {
	t.Helper()
	l, err := Open(context.Background(), url, Options{Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// extendAll chains everything that waits.
func extendAll(t testing.TB, l *Log) (total int) {
	t.Helper()
	for {
		n, err := l.Extend(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return total
		}
		total += n
	}
}

func verify(t testing.TB, l *Log, ledger Ledger, checkpoints ...Checkpoint) Report {
	t.Helper()
	r, err := l.Verify(context.Background(), ledger, checkpoints)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// holds fails unless nothing is found.
func holds(t testing.TB, r Report) {
	t.Helper()
	for _, f := range r.Findings {
		t.Errorf("found: %s", f.Detail)
	}
}

func refunds(from, n int) []Event {
	list := make([]Event, n)
	for i := range list {
		list[i] = refund(from + i)
	}
	return list
}

func TestChainHoldsAcrossBatchesAndPages(t *testing.T) { testChain(t, sqliteURL(t)) }

func testChain(t *testing.T, url string) {
	l := openLog(t, url)
	write(t, l.db, refunds(0, chainBatch+verifyPage+7)...)
	holds(t, verify(t, l, nil)) // nothing has a place yet
	if n := extendAll(t, l); n != chainBatch+verifyPage+7 {
		t.Fatalf("%d events got a place", n)
	}
	write(t, l.db, refund(-100)) // an earlier time, committed later
	r := verify(t, l, nil)
	holds(t, r)
	if r.Pending != 1 || r.Entries != chainBatch+verifyPage+7 {
		t.Errorf("report %+v", r)
	}
	if n := extendAll(t, l); n != 1 {
		t.Errorf("%d events got a place, want the late one", n)
	}
	holds(t, verify(t, l, nil))
}

// The head agrees with the public implementation over the entries' encodings.
func TestHeadIsThatOfTlog(t *testing.T) {
	l := openLog(t, sqliteURL(t))
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(places []int64) ([]tlog.Hash, error) {
		list := make([]tlog.Hash, len(places))
		for i, p := range places {
			list[i] = stored[p]
		}
		return list, nil
	})
	before := make([]byte, 32)
	for n := range int64(20) {
		write(t, l.db, refund(int(n)))
		extendAll(t, l)
		var r row
		err := l.db.Direct(t.Context(), func(s database.Session) error {
			_, err := database.One(t.Context(), s, `SELECT `+eventColumns+` FROM audit_event e JOIN audit_chain c ON c.event_id = e.id WHERE c.seq = $1`,
				[]any{n + 1}, r.fields()...)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		encoding, err := r.encode(n + 1)
		if err != nil {
			t.Fatal(err)
		}
		before = link(before, encoding)
		hashes, err := tlog.StoredHashes(n, encoding, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
		root, err := tlog.TreeHash(n+1, reader)
		if err != nil {
			t.Fatal(err)
		}
		head, err := l.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if head.Root != root || !bytes.Equal(head.Chain[:], before) || head.Size != n+1 {
			t.Fatalf("head %+v, want root %s", head, root)
		}
	}
}

func TestTwoChainersMakeOneChain(t *testing.T) { testTwoChainers(t, sqliteURL(t)) }

func testTwoChainers(t *testing.T, url string) {
	one, two := openLog(t, url), openLog(t, url)
	const writers, each = 3, 40
	var wg sync.WaitGroup
	done := make(chan struct{})
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := one.Append(context.Background(), refund(w*each+i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var chainers sync.WaitGroup
	for _, l := range []*Log{one, two} {
		chainers.Go(func() {
			for {
				n, err := l.Extend(context.Background())
				if err != nil {
					t.Error(err)
					return
				}
				select {
				case <-done:
					if n == 0 {
						return
					}
				default:
				}
			}
		})
	}
	wg.Wait()
	close(done)
	chainers.Wait()
	r := verify(t, two, nil)
	holds(t, r)
	if r.Entries != writers*each || r.Pending != 0 {
		t.Errorf("report %+v", r)
	}
}

func TestAnEventChangedWhileItWaitsGetsNoPlace(t *testing.T) {
	l := openLog(t, sqliteURL(t))
	write(t, l.db, refunds(0, 3)...)
	tamper(t, l, `UPDATE audit_event SET actor = 'Mallory' WHERE at_micros = `+fmt.Sprint(noon.Add(time.Second).UnixMicro()))
	n, err := l.Extend(t.Context())
	if n != 2 || err == nil || !strings.Contains(err.Error(), "Mallory") {
		t.Errorf("%d, %v", n, err)
	}
	r := verify(t, l, nil)
	if len(r.Findings) != 1 || !strings.Contains(r.Findings[0].Detail, "Mallory") {
		t.Errorf("findings %+v", r.Findings)
	}
}

// tables of the trail, for tests that change them.
var tables = []string{"event", "private", "pending", "chain", "tree", "day", "turn"}

// tamper runs statements as the database's owner could: without triggers.
func tamper(t testing.TB, l *Log, statements ...string) {
	t.Helper()
	ctx := context.Background()
	err := l.db.Write(ctx, func(s database.Session) error {
		if err := unguard(ctx, l, s); err != nil {
			return err
		}
		for _, statement := range statements {
			if _, err := s.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestACutOffEndIsCaughtByACheckpoint(t *testing.T) { testCutOff(t, sqliteURL(t)) }

func testCutOff(t *testing.T, url string) {
	l := openLog(t, url)
	write(t, l.db, refunds(0, 10)...)
	extendAll(t, l)
	head, err := l.Head(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	c := Checkpoint{Head: head, At: noon}
	holds(t, verify(t, l, nil, c))
	tamper(t, l, `DELETE FROM audit_private WHERE event_id IN (SELECT event_id FROM audit_chain WHERE seq > 7)`,
		`DELETE FROM audit_event WHERE id IN (SELECT event_id FROM audit_chain WHERE seq > 7)`,
		`DELETE FROM audit_tree WHERE place >= `+fmt.Sprint(tlog.StoredHashCount(7)), `DELETE FROM audit_chain WHERE seq > 7`)
	holds(t, verify(t, l, nil)) // that is what checkpoints are for
	r := verify(t, l, nil, c)
	if len(r.Findings) != 1 || r.Findings[0].Entry != 8 || !strings.Contains(r.Findings[0].Detail, "entries 8 to 10 are missing") {
		t.Errorf("findings %+v", r.Findings)
	}
}

func TestARewrittenChainIsCaughtByACheckpoint(t *testing.T) {
	l := openLog(t, sqliteURL(t))
	heads := map[int64]Checkpoint{}
	for n := range 10 {
		write(t, l.db, refund(n))
		extendAll(t, l)
		head, err := l.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		heads[head.Size] = Checkpoint{Head: head, At: noon}
	}
	// Entry 6 is rewritten, and everything after it as the program would.
	var rows []row
	err := l.db.Direct(t.Context(), func(s database.Session) error {
		return database.Each(t.Context(), s, `SELECT `+eventColumns+` FROM audit_chain c JOIN audit_event e ON e.id = c.event_id ORDER BY c.seq`, nil, func(r database.Rows) error {
			var one row
			err := r.Scan(one.fields()...)
			rows = append(rows, one)
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	rows[5].account = "A2"
	encoding, err := rows[5].encode(0)
	if err != nil {
		t.Fatal(err)
	}
	tamper(t, l, fmt.Sprintf(`UPDATE audit_event SET account = 'A2', digest = x'%x' WHERE id = '%s'`, sum(prefixEntry, encoding), rows[5].id),
		`INSERT INTO audit_pending SELECT event_id FROM audit_chain`, `DELETE FROM audit_chain`, `DELETE FROM audit_tree`)
	extendAll(t, l)
	holds(t, verify(t, l, nil, heads[5]))
	r := verify(t, l, nil, heads[3], heads[5], heads[8])
	if len(r.Findings) != 1 || r.Findings[0].Entry != 6 || !strings.Contains(r.Findings[0].Detail, "entries 6 to 8 were rewritten") {
		t.Errorf("findings %+v", r.Findings)
	}
}

func TestErasedDataIsGoneAndTheChainHolds(t *testing.T) {
	l := openLog(t, sqliteURL(t))
	other := refund(3)
	other.Account = "A2"
	write(t, l.db, refund(0), refund(1), refund(2), other)
	extendAll(t, l)
	n, err := l.Erase(t.Context(), "A1", noon.Add(2*time.Second), noon.Add(time.Hour), clerk)
	if err != nil || n != 2 {
		t.Fatalf("%d, %v", n, err)
	}
	if n := count(t, l.db, "audit_private"); n != 2 {
		t.Errorf("%d private parts are left, want 2", n)
	}
	holds(t, verify(t, l, nil))
	extendAll(t, l)
	holds(t, verify(t, l, nil))
	if n, err := l.Erase(t.Context(), "A1", noon.Add(2*time.Second), noon.Add(time.Hour), clerk); n != 0 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
	tamper(t, l, `DELETE FROM audit_private WHERE event_id = (SELECT event_id FROM audit_chain WHERE seq = 4)`)
	r := verify(t, l, nil)
	if len(r.Findings) != 1 || r.Findings[0].Entry != 4 || !strings.Contains(r.Findings[0].Detail, "no erasure is on record") {
		t.Errorf("findings %+v", r.Findings)
	}
}

// No salt, no guess: two events about the same plate commit differently.
func TestCommitmentsDoNotRepeat(t *testing.T) {
	a, _, err := rowOf(refund(1))
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := rowOf(refund(1))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(a.commitment, b.commitment) || len(a.commitment) != 32 {
		t.Error("the same commitment twice")
	}
}

// anyRow makes events of all kinds of texts.
func anyRow(t *rapid.T) row {
	text := rapid.StringOf(rapid.Rune())
	detail, err := canonicalJSON(rapid.OneOf(
		rapid.Just(any(nil)),
		rapid.Map(rapid.MapOf(text, rapid.Int64Range(-maxWhole, maxWhole)), func(m map[string]int64) any { return m }),
		rapid.Map(rapid.SliceOf(text), func(s []string) any { return s }),
	).Draw(t, "detail"))
	if err != nil {
		t.Fatal(err)
	}
	return row{micros: rapid.Int64().Draw(t, "micros"), id: text.Draw(t, "id"), actor: text.Draw(t, "actor"), role: text.Draw(t, "role"),
		action: text.Draw(t, "action"), subjectKind: text.Draw(t, "kind"), subject: text.Draw(t, "subject"), account: text.Draw(t, "account"),
		detail: detail, commitment: rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "commitment")}
}

func sameRow(a, b row) bool {
	a.commitment, b.commitment = append([]byte{}, a.commitment...), append([]byte{}, b.commitment...)
	a.digest, b.digest = nil, nil
	return fmt.Sprintf("%#v", a) == fmt.Sprintf("%#v", b)
}

func TestEncodingIsOneToOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, seq := anyRow(t), rapid.Int64().Draw(t, "seq")
		text, err := r.encode(seq)
		if err != nil {
			t.Fatal(err)
		}
		got, n, err := decode(text)
		if err != nil || n != seq || !sameRow(got, r) {
			t.Fatalf("%v\n%+v %d\n%+v %d\n%s", err, r, seq, got, n, text)
		}
		// Another library reads the same out of it.
		var members map[string]any
		if err := json.Unmarshal(text, &members); err != nil || members["actor"] != r.actor || members["seq"] != fmt.Sprint(seq) || len(members) != 11 {
			t.Fatalf("%v %v", err, members)
		}
		if bytes.ContainsAny(text, "\n\r") {
			t.Fatal("an encoding of more than one line")
		}
	})
}

func FuzzDecode(f *testing.F) {
	r, _, err := rowOf(refund(0))
	if err != nil {
		f.Fatal(err)
	}
	seed, err := r.encode(3)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"account":"","action":"","actor":"","at":"1","commitment":"","detail":1e0,"id":"","role":"","seq":"1","subject":"","subject_kind":""}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, seq, err := decode(text)
		if err != nil {
			return
		}
		again, err := r.encode(seq)
		if err != nil || !bytes.Equal(again, text) {
			t.Fatalf("%v\n%s\n%s", err, text, again)
		}
	})
}
