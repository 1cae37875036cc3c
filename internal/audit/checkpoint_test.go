package audit

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// signing makes a pair of keys.
func signing(t testing.TB) (note.Signer, note.Verifier) {
	t.Helper()
	dir := t.TempDir()
	s, err := LoadSigner(dir)
	if err != nil {
		t.Fatal(err)
	}
	v, err := LoadVerifier(filepath.Join(dir, VerifierFile))
	if err != nil {
		t.Fatal(err)
	}
	return s, v
}

func checkpoint() Checkpoint {
	c := Checkpoint{At: noon}
	c.Size = 17
	copy(c.Root[:], bytes.Repeat([]byte{1, 2}, 16))
	copy(c.Chain[:], bytes.Repeat([]byte{3, 4}, 16))
	return c
}

func TestCheckpointsAreSignedAndRead(t *testing.T) {
	s, v := signing(t)
	signed, err := checkpoint().Sign(s)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseCheckpoint(signed, v)
	if err != nil {
		t.Fatal(err)
	}
	want := checkpoint()
	want.Origin = s.Name()
	if c != want {
		t.Errorf("got %+v, want %+v", c, want)
	}
	// The first three lines are those of the public format.
	if tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + strings.Join(strings.SplitN(string(signed), "\n", 4)[1:3], "\n") + "\n")); err != nil || tree.N != 17 || tree.Hash != c.Root {
		t.Errorf("%v %v", tree, err)
	}
	for i := range signed {
		changed := bytes.Clone(signed)
		changed[i] ^= 1
		if _, err := ParseCheckpoint(changed, v); err == nil {
			t.Errorf("byte %d (%q) was changed and nobody said so", i, signed[i])
		}
	}
	_, other := signing(t)
	if _, err := ParseCheckpoint(signed, other); err == nil {
		t.Error("another key accepts it")
	}
}

func TestKeysAreMadeOnceAndKept(t *testing.T) {
	dir := t.TempDir()
	names := make([]string, 4)
	var wg sync.WaitGroup
	for i := range names {
		wg.Go(func() {
			s, err := LoadSigner(dir)
			if err != nil {
				t.Error(err)
				return
			}
			names[i] = s.Name()
		})
	}
	wg.Wait()
	for _, n := range names {
		if n != names[0] {
			t.Errorf("keys %v", names)
		}
	}
	info, err := os.Stat(filepath.Join(dir, signerFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	public, err := os.ReadFile(filepath.Join(dir, VerifierFile))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := LoadVerifier(strings.TrimSpace(string(public))); err != nil || v.Name() != names[0] {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, signerFile), []byte("PRIVATE+KEY+x+1+AAAA\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSigner(dir); err == nil || !strings.Contains(err.Error(), "restore the file from a backup") {
		t.Errorf("a damaged key: %v", err)
	}
}

// TestKeysWithSlashes: base64 has slashes, and a key with one is no path.
func TestKeysWithSlashes(t *testing.T) {
	slashes := 0
	for range 1000 {
		_, public, err := note.GenerateKey(rand.Reader, "freeflow-audit")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(public, "/") {
			continue
		}
		if _, err := LoadVerifier(public); err != nil {
			t.Fatal(err)
		}
		if slashes++; slashes == 10 {
			return
		}
	}
	t.Fatalf("only %d keys had slashes", slashes)
}

func TestCheckpointFilesStay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "elsewhere")
	if list, err := CheckpointFiles(dir); err != nil || len(list) != 0 {
		t.Errorf("%v %v", list, err)
	}
	for _, text := range []string{"one", "two"} {
		path, err := WriteCheckpoint(dir, 7, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != "one" {
			t.Errorf("%q %v", got, err)
		}
	}
	if _, err := WriteCheckpoint(dir, 70, []byte("x")); err != nil {
		t.Fatal(err)
	}
	list, err := CheckpointFiles(dir)
	if err != nil || len(list) != 2 || !strings.HasSuffix(list[0], "000007.txt") {
		t.Errorf("%v %v", list, err)
	}
}

func FuzzParseText(f *testing.F) {
	c := checkpoint()
	c.Origin = "freeflow-audit-1"
	f.Add(c.text())
	f.Add("x\n-1\n\nchain \nat \n")
	f.Add("x\n007\nAQIBAgECAQIBAgECAQIBAgECAQIBAgECAQIBAgECAQI=\nchain 00\nat 2026-11-24T04:00:00Z\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseText(text)
		if err != nil {
			return
		}
		again, err := parseText(c.text())
		if err != nil || again.Head != c.Head || again.Origin != c.Origin || !again.At.Equal(c.At) {
			t.Fatalf("%v\n%q\n%q", err, text, c.text())
		}
	})
}

// An entry's place is provable from a checkpoint and a few hashes alone.
func TestInclusionIsProved(t *testing.T) {
	l := openLog(t, sqliteURL(t))
	write(t, l.db, refunds(0, 21)...)
	extendAll(t, l)
	head, err := l.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = l.Export(t.Context(), ExportOptions{Proof: head.Size}, func(e Entry) error {
		n++
		if err := CheckInclusion(e, head); err != nil {
			t.Error(err)
		}
		e.Event = bytes.Replace(e.Event, []byte("A1"), []byte("A2"), 1)
		if CheckInclusion(e, head) == nil {
			t.Error("a changed entry is proved")
		}
		return nil
	})
	if err != nil || n != 21 {
		t.Fatalf("%d, %v", n, err)
	}
	for _, size := range []int64{20, 22} {
		err = l.Export(t.Context(), ExportOptions{From: 21, Proof: size}, func(Entry) error { return nil })
		if err == nil {
			t.Errorf("entry 21 is proved in a chain of %d", size)
		}
	}
	n = 0
	err = l.Export(t.Context(), ExportOptions{Account: "A1", From: 3, To: 5}, func(e Entry) error {
		n++
		if e.Seq < 3 || e.Seq > 5 || e.Reason == "" || e.Proof != nil || len(e.Hash) != 64 {
			t.Errorf("entry %+v", e)
		}
		return nil
	})
	if err != nil || n != 3 {
		t.Errorf("%d, %v", n, err)
	}
	err = l.Export(t.Context(), ExportOptions{Account: "nobody"}, func(Entry) error { return errStop })
	if err != nil {
		t.Error(err)
	}
}
