package app_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A running system keeps its trail: what staff look at and do is in the chain,
// signed when it ends, and every way to change it is told.
func TestAuditEndToEnd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	r := startSystem(t, dir, "--audit-checkpoints", elsewhere)
	if status, answer := r.call(http.MethodPut, r.operator+"/v1/registry", r.operatorKey, "text/csv", someRegistry); status != http.StatusOK {
		t.Fatalf("registry: %d %s", status, answer)
	}
	if status, answer := r.call(http.MethodPost, r.gateway+"/v1/reads", r.unitKey, "application/json", "["+someRead+"]"); status != http.StatusAccepted {
		t.Fatalf("read: %d %s", status, answer)
	}
	for range 100 {
		if _, answer := r.call(http.MethodGet, r.operator+"/v1/charges?account=A1&reason=test", r.operatorKey, "", ""); strings.Contains(answer, `"account":"A1"`) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if v := run(t, "", "audit", "verify", "--data", dir, "--audit-checkpoints", elsewhere); v.status != 0 {
		t.Errorf("beside a running system: %d %s %s", v.status, v.stdout, v.stderr)
	}
	r.stop()
	key := filepath.Join(dir, "audit-verifier.pub")
	verify := func(more ...string) result {
		return run(t, "", append([]string{"audit", "verify", "--books", "sqlite:" + filepath.Join(dir, "books.db"), "--data", t.TempDir(),
			"--key", key, "--audit-checkpoints", elsewhere, "--json"}, more...)...)
	}
	v := verify()
	if v.status != 0 || !strings.Contains(v.stdout, `"holds": true`) || !strings.Contains(v.stdout, `"checkpoints": 2`) || !strings.Contains(v.stdout, `"waiting": 0`) {
		t.Fatalf("verify: %d %s %s", v.status, v.stdout, v.stderr)
	}

	c := run(t, "", "audit", "checkpoint", "--data", dir)
	kept := filepath.Join(t.TempDir(), "kept.txt")
	if c.status != 0 || os.WriteFile(kept, []byte(c.stdout), 0o600) != nil {
		t.Fatalf("checkpoint: %d %s", c.status, c.stderr)
	}
	e := run(t, "", "audit", "export", "--data", dir, "--account", "A1", "--by", "chan", "--reason", "access request", "--checkpoint", kept)
	if e.status != 0 || !strings.Contains(e.stdout, "movements.listed") || !strings.Contains(e.stdout, `"reason":"test"`) || strings.Contains(e.stdout, "software.started") {
		t.Fatalf("export: %d %s %s", e.status, e.stdout, e.stderr)
	}
	if i := run(t, e.stdout, "audit", "inclusion", "--data", dir, "--checkpoint", kept); i.status != 0 || !strings.Contains(i.stdout, "stand in the chain") {
		t.Errorf("inclusion: %d %s %s", i.status, i.stdout, i.stderr)
	}
	changed := strings.Replace(e.stdout, `\"role\":\"operator\"`, `\"role\":\"director\"`, 1)
	changed = strings.Replace(changed, `"role":"operator"`, `"role":"director"`, 1)
	if i := run(t, changed, "audit", "inclusion", "--data", dir, "--checkpoint", kept); i.status != 1 {
		t.Errorf("a changed entry: %d %s", i.status, i.stdout)
	}
	if x := run(t, "", "audit", "erase", "--data", dir, "--account", "A1", "--before", "2100-01-01T00:00:00Z", "--by", "chan"); x.status != 0 {
		t.Errorf("erase: %d %s", x.status, x.stderr)
	}
	if e := run(t, "", "audit", "export", "--data", dir, "--account", "A1", "--by", "chan"); e.status != 0 || strings.Contains(e.stdout, `"reason":"test"`) {
		t.Errorf("after the erasure: %d %s %s", e.status, e.stdout, e.stderr)
	}
	if v := verify("--checkpoint", kept); v.status != 0 || !strings.Contains(v.stdout, `"checkpoints": 3`) {
		t.Errorf("after the erasure: %d %s %s", v.status, v.stdout, v.stderr)
	}

	// A checkpoint that was changed, and one that nobody signed.
	text, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(kept, []byte(strings.Replace(string(text), "at 20", "at 19", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if v := verify("--checkpoint", kept); v.status != 1 || !strings.Contains(v.stdout, "kept.txt") {
		t.Errorf("a changed checkpoint: %d %s %s", v.status, v.stdout, v.stderr)
	}
	if p := run(t, "", "audit", "pseudonym", "--data", dir, "AB1234"); p.status != 0 || !strings.HasPrefix(p.stdout, "px1-") {
		t.Errorf("pseudonym: %d %s %s", p.status, p.stdout, p.stderr)
	}
	for _, bad := range [][]string{{"audit", "pseudonym"}, {"audit", "export", "--data", dir}, {"audit", "inclusion"}, {"audit", "erase"}, {"audit", "nothing"},
		{"audit", "verify", "--data", t.TempDir(), "--checkpoint", kept}} {
		if v := run(t, "", bad...); v.status != 2 {
			t.Errorf("%v: %d %s", bad, v.status, v.stderr)
		}
	}
}
