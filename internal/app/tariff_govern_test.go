package app_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freeflow/internal/clock"
	"freeflow/tolling/tariff"
)

// people are the keys of named persons, in files.
func people(t *testing.T, dir string, names ...string) map[string]string {
	t.Helper()
	keys := map[string]string{}
	for _, name := range names {
		r := run(t, "", "staff", "add", name, "--role", "tariff", "--data", dir)
		if r.status != 0 || len(strings.TrimSpace(r.stdout)) < 20 {
			t.Fatalf("%+v", r)
		}
		keys[name] = filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(keys[name], []byte(r.stdout), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// lrtFiles are network files in which private cars pay 9 at LRT from an instant
// on, in a folder.
func lrtFiles(t *testing.T, version string, begins time.Time) []string {
	t.Helper()
	files, err := tariff.ReadFiles("hongkong")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, more := range map[string]string{
		"versions.csv": version + "," + begins.Format(time.RFC3339) + ",a test\n",
		"tolls.csv":    version + ",LRT,private_car,all,00:00,24:00,9,,\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), append(files[name], more...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{filepath.Join(dir, "versions.csv"), filepath.Join(dir, "tolls.csv")}
}

// govern runs a command of tariff governance as a person, and returns its JSON.
func (r *running) govern(key string, status int, args ...string) map[string]any {
	r.t.Helper()
	got := run(r.t, "", append(append([]string{"tariff"}, args...), "--url", "http://"+r.operator, "--key-file", key, "--json")...)
	if got.status != status {
		r.t.Fatalf("%v: %+v, want status %d", args, got, status)
	}
	if status != 0 && got.stdout == "" {
		return map[string]any{"stderr": got.stderr}
	}
	var answer map[string]any
	if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil {
		r.t.Fatalf("%v: %v in %s", args, err, got.stdout)
	}
	return answer
}

// inForce asks until the statement rates passes made now.
func (r *running) inForce(want int) {
	r.t.Helper()
	var answer string
	for range 100 {
		if _, answer = r.call(http.MethodGet, r.operator+"/v1/tariff", r.operatorKey, "application/json", ""); strings.Contains(answer, fmt.Sprintf(`"in_force":%d,`, want)) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	r.t.Fatalf("statement %d is not in force: %.300s", want, answer)
}

func (r *running) alarms() string {
	r.t.Helper()
	_, answer := r.call(http.MethodGet, r.operator+"/v1/alarms", r.operatorKey, "application/json", "")
	return answer
}

// TestTollsChangeWhileTheSystemRuns goes the whole way as people would: two
// keys, draft, dry run, approval, publication; passes on both sides of the
// instant; a second process on the same books; a restart; a row that somebody
// changed in the database; and the files of --network, which change nothing.
func TestTollsChangeWhileTheSystemRuns(t *testing.T) {
	hk := time.FixedZone("HKT", 8*3600)
	begin := time.Date(2026, 11, 24, 10, 0, 0, 0, hk)
	at := begin.Add(5 * time.Minute)
	clk := clock.At(begin)
	dir := filepath.Join(t.TempDir(), "one")
	keys := people(t, dir, "ada", "bo")
	r := startSystemAt(t, clk, dir)
	other := startSystemAt(t, clk, filepath.Join(t.TempDir(), "two"), "--target", "operator,portal,gateway", "--books", "sqlite:"+filepath.Join(dir, "books.db"))

	files := lrtFiles(t, "2026-11-lrt", at)
	draft := r.govern(keys["ada"], 0, append([]string{"draft", "--effective-from", at.Format(time.RFC3339), "--reason", "a test"}, files...)...)
	id, digest := draft["id"].(string), draft["digest"].(string)
	r.govern(keys["bo"], 0, "dry-run", id)
	if got := r.govern(keys["ada"], 1, "approve", id, "--digest", digest); !strings.Contains(fmt.Sprint(got), "a second person approves it") {
		t.Errorf("%v", got)
	}
	r.govern(keys["bo"], 0, "approve", id, "--digest", digest, "--note", "as gazetted")
	if got := r.govern(keys["ada"], 0, "publish", id, "--digest", digest); got["sequence"] != 1.0 {
		t.Errorf("%v", got)
	}
	r.inForce(0)
	clk.Set(at.Add(time.Minute))
	r.inForce(1)
	other.inForce(1)

	if status, answer := r.call(http.MethodPut, r.operator+"/v1/registry", r.operatorKey, "text/csv", someRegistry); status != http.StatusOK {
		t.Fatalf("registry: %d %s", status, answer)
	}
	// One batch with passes on both sides of the instant.
	reads := `{"unit":"LRT-N-1","seq":1,"time":"2026-11-24T10:04:59.999999+08:00","plate":"AA1111","class":"private_car"}
{"unit":"LRT-N-1","seq":2,"time":"2026-11-24T10:05:00+08:00","plate":"BB2222","class":"private_car"}`
	if status, answer := r.call(http.MethodPost, r.gateway+"/v1/reads", r.unitKey, "application/x-ndjson", reads); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, answer)
	}
	charges := "pass_time,toll_point,vehicle,account,class,amount,currency,status\n" +
		"2026-11-24T10:04:59.999999+08:00,LRT-N,plate:AA1111,,private_car,8.00,HKD,unpaid\n" +
		"2026-11-24T10:05:00.000000+08:00,LRT-N,plate:BB2222,,private_car,9.00,HKD,unpaid\n"
	r.charges(charges)
	if _, answer := r.call(http.MethodGet, r.operator+"/v1/charges", r.operatorKey, "application/json", ""); !strings.Contains(answer, `"tariff_version":"2026-11-lrt"`) {
		t.Errorf("the passes do not tell their version: %s", answer)
	}
	rated := func() string {
		got := run(t, "", "tariff", "rate", "--data", dir, "--facility", "LRT", "--class", "private_car", "--at", at.Format(time.RFC3339))
		return got.stdout + got.stderr
	}
	if got := rated(); !strings.HasPrefix(got, "9.00 HKD") || !strings.Contains(got, "2026-11-lrt") {
		t.Errorf("%s", got)
	}
	if got := run(t, "", "tariff", "rate", "--facility", "LRT", "--class", "private_car", "--at", at.Format(time.RFC3339)); !strings.HasPrefix(got.stdout, "8.00 HKD") {
		t.Errorf("without --data: %+v", got)
	}
	for _, command := range [][]string{{"tariff", "verify"}, {"verify"}} {
		if v := run(t, "", append(command, "--data", dir)...); v.status != 0 || !strings.Contains(v.stdout, "holds     tariff-two-persons               1 rows") {
			t.Errorf("%v: %+v", command, v)
		}
	}

	// The other process holds another key, and is not believed with it.
	draft = other.govern(copyStaff(t, dir, other, keys["ada"]), 0, append([]string{"draft", "--effective-from", "2026-12-01T00:00:00+08:00", "--reason", "more"}, lrtFiles(t, "2026-12-lrt", at.AddDate(0, 0, 6))...)...)
	if got := fmt.Sprint(draft["warnings"]); !strings.Contains(got, "version 2026-11-lrt") {
		t.Errorf("nobody says that a published version is gone: %s", got)
	}
	id, digest = draft["id"].(string), draft["digest"].(string)
	other.govern(keys["bo"], 0, "dry-run", id)
	other.govern(keys["bo"], 0, "approve", id, "--digest", digest)
	if got := other.govern(keys["ada"], 1, "publish", id, "--digest", digest); !strings.Contains(fmt.Sprint(got), "own key") {
		t.Errorf("%v", got)
	}
	if other.stop() != 0 || r.stop() != 0 {
		t.Error("ended badly")
	}

	trail := run(t, "", "audit", "export", "--data", dir, "--by", "ada", "--reason", "a test")
	for _, action := range []string{"staff.added", "tariff.seeded", "tariff.drafted", "tariff.tried", "tariff.approved", "tariff.published"} {
		if !strings.Contains(trail.stdout, action) {
			t.Errorf("the audit trail lacks %s: %+v", action, trail)
		}
	}

	// Somebody changes the stored instant; the process that starts again still has
	// what verified last, and says so.
	db, err := sql.Open("sqlite", filepath.Join(dir, "books.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{`DROP TRIGGER tariff_statement_no_update`, `UPDATE tariff_statement SET effective_micros = effective_micros + 86400000000 WHERE sequence = 1`} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := rated(); !strings.Contains(got, "do not verify") {
		t.Errorf("rated by a row that somebody changed: %s", got)
	}
	if v := run(t, "", "verify", "--data", dir); v.status != 1 || !strings.Contains(v.stdout, "VIOLATED  tariff-statements-verify") {
		t.Errorf("%+v", v)
	}
	again := startSystemAt(t, clk, dir, "--network", changedNetwork(t))
	again.inForce(1)
	if got := again.alarms(); !strings.Contains(got, "tariff-refused") || !strings.Contains(got, "network-not-in-force") {
		t.Errorf("%s", got)
	}
	read := `{"unit":"LRT-N-1","seq":3,"time":"2026-11-24T10:05:30+08:00","plate":"CC3333","class":"private_car"}`
	if status, answer := again.call(http.MethodPost, again.gateway+"/v1/reads", again.unitKey, "application/x-ndjson", read); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, answer)
	}
	again.charges(charges + "2026-11-24T10:05:30.000000+08:00,LRT-N,plate:CC3333,,private_car,9.00,HKD,unpaid\n")
}

// copyStaff gives another process the staff of the first, and returns the key
// once it is known there.
func copyStaff(t *testing.T, from string, to *running, keyFile string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(from, "staff.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to.dir, "staff.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if status, _ := to.call(http.MethodGet, to.operator+"/v1/tariff", strings.TrimSpace(string(key)), "", ""); status == http.StatusOK {
			return keyFile
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("a person who was added is not known within seconds")
	return ""
}

// changedNetwork is a folder of Hong Kong's files in which private cars pass LRT
// for nothing: what one person could do to the files beside the system.
func changedNetwork(t *testing.T) string {
	t.Helper()
	files, err := tariff.ReadFiles("hongkong")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range files {
		if name == "tolls.csv" {
			data = bytes.ReplaceAll(data, []byte(",LRT,private_car,all,00:00,24:00,8,"), []byte(",LRT,private_car,all,00:00,24:00,0,"))
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestTariffKeysAndSigning(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if r := run(t, "", "tariff", "key", "--data", dir); r.status != 1 || !strings.Contains(r.stderr, "tariff-key.pem") {
		t.Errorf("%+v", r)
	}
	if r := run(t, "", "tariff", "verify", "--data", dir); r.status != 1 {
		t.Errorf("%+v", r)
	}
	r := startSystem(t, dir, "--target", "operator,portal,gateway")
	info, err := os.Stat(filepath.Join(dir, "tariff-key.pem"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	public := run(t, "", "tariff", "key", "--data", dir)
	if public.status != 0 || !strings.HasPrefix(public.stdout, "-----BEGIN PUBLIC KEY-----") {
		t.Errorf("%+v", public)
	}
	if got := run(t, "pay eve", "tariff", "sign", "--data", dir); got.status != 1 || got.stdout != "" {
		t.Errorf("%+v", got)
	}
	// The key is elsewhere: the statement goes there, the signature comes back.
	keys := people(t, dir, "ada", "bo")
	at := clock.System{}.Now().Add(2 * time.Hour).Truncate(time.Minute)
	for name := range keys {
		copyStaff(t, dir, r, keys[name])
	}
	draft := r.govern(keys["ada"], 0, append([]string{"draft", "--effective-from", at.Format(time.RFC3339), "--reason", "a test"}, lrtFiles(t, "2027-lrt", at)...)...)
	id, digest := draft["id"].(string), draft["digest"].(string)
	r.govern(keys["bo"], 0, "dry-run", id)
	r.govern(keys["bo"], 0, "approve", id, "--digest", digest)
	statement := run(t, "", "tariff", "statement", id, "--url", "http://"+r.operator, "--key-file", keys["ada"])
	signature := run(t, statement.stdout, "tariff", "sign", "--data", dir)
	file := filepath.Join(t.TempDir(), "signature")
	if err := os.WriteFile(file, []byte(signature.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	r.govern(keys["ada"], 0, "publish", id, "--digest", digest, "--signature", file)
	r.govern(keys["bo"], 0, "withdraw", "1", "--reason", "not yet")
	shown := run(t, "", "tariff", "show", "--url", "http://"+r.operator, "--key-file", keys["ada"])
	if shown.status != 0 || !strings.Contains(shown.stdout, "withdrawn") || !strings.Contains(shown.stdout, "by ada, approved by bo") {
		t.Errorf("%+v", shown)
	}
	if one := run(t, "", "tariff", "show", id, "--url", "http://"+r.operator, "--key-file", keys["ada"]); !strings.Contains(one.stdout, "published as statement 1") {
		t.Errorf("%+v", one)
	}
	mistaken := filepath.Join(t.TempDir(), "tolls.csv")
	if err := os.WriteFile(mistaken, []byte("version,facility\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := run(t, "", "tariff", "draft", "--effective-from", at.Format(time.RFC3339), "--reason", "a slip", "--url", "http://"+r.operator, "--key-file", keys["ada"], mistaken)
	if bad.status != 1 || !strings.Contains(bad.stdout, `tolls.csv:1: column "class" is missing`) {
		t.Errorf("%+v", bad)
	}
	if gone := run(t, "", "staff", "remove", "bo", "--data", dir); gone.status != 0 {
		t.Errorf("%+v", gone)
	}
	key, err := os.ReadFile(keys["bo"])
	if err != nil {
		t.Fatal(err)
	}
	status := 0
	for range 100 {
		if status, _ = r.call(http.MethodGet, r.operator+"/v1/tariff", strings.TrimSpace(string(key)), "", ""); status == http.StatusUnauthorized {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if status != http.StatusUnauthorized {
		t.Errorf("who was removed still gets %d", status)
	}
}

func TestGovernanceExitStatus(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"tariff", "draft"}, 2, "folder"},
		{[]string{"tariff", "draft", dir}, 2, "--effective-from and --reason"},
		{[]string{"tariff", "draft", dir, "--effective-from", "x", "--reason", "y", "--draft", "z"}, 2, "go together"},
		{[]string{"tariff", "draft", dir, "--effective-from", "x", "--reason", "y"}, 1, "none of a network's files"},
		{[]string{"tariff", "draft", "none.csv", "--effective-from", "x", "--reason", "y"}, 1, "none.csv"},
		{[]string{"tariff", "approve", "x"}, 2, "--digest"},
		{[]string{"tariff", "publish", "x"}, 2, "--digest"},
		{[]string{"tariff", "show", "--url", "ftp://x", "--key-file", "y"}, 2, "--url"},
		{[]string{"tariff", "show"}, 2, "FREEFLOW_KEY"},
		{[]string{"tariff", "show", "--key-file", filepath.Join(dir, "none")}, 1, "reading your key"},
		{[]string{"tariff", "withdraw"}, 2, "number"},
		{[]string{"tariff", "rate", "--data", dir, "--facility", "CHT", "--class", "taxi", "--at", "2026-03-06T20:03:00Z"}, 1, "there are no"},
		{[]string{"staff"}, 2, "add, remove or list"},
		{[]string{"staff", "add", "Ada", "--data", dir}, 1, "not a person's name"},
		{[]string{"staff", "add", "operator", "--data", dir}, 1, "not a person's name"},
		{[]string{"staff", "remove", "ada", "--data", dir}, 1, "nobody called"},
		{[]string{"run", "--data", filepath.Join(dir, "d"), "--tariff-trust", "none.pem", "--operator-addr", "127.0.0.1:0", "--portal-addr", "127.0.0.1:0", "--gateway-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"}, 1, "none.pem"},
	} {
		t.Setenv("FREEFLOW_KEY", "")
		if r := run(t, "", c.args...); r.status != c.status || !strings.Contains(r.stderr, c.says) {
			t.Errorf("%v: %+v; want status %d and %q", c.args, r, c.status, c.says)
		}
	}
	if r := run(t, "", "staff", "add", "ada", "--data", dir); r.status != 0 {
		t.Errorf("%+v", r)
	}
	if r := run(t, "", "staff", "add", "ada", "--data", dir); r.status != 1 || !strings.Contains(r.stderr, "twice") {
		t.Errorf("%+v", r)
	}
	if r := run(t, "", "staff", "list", "--data", dir); r.status != 0 || !strings.HasPrefix(r.stdout, "ada\t") {
		t.Errorf("%+v", r)
	}
}

// TestAProcessThatStartsBeforeTheSeed rates by its own files until the process
// that holds the key has planted the first statement, and follows from then on.
func TestAProcessThatStartsBeforeTheSeed(t *testing.T) {
	first, second := filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "second")
	a := startSystem(t, first, "--target", "gateway,matcher,parking,portal")
	for _, file := range []string{"tariff-key.pem", "tariff-trust.pem", "tariff-good.json"} {
		if _, err := os.Stat(filepath.Join(first, file)); !os.IsNotExist(err) {
			t.Errorf("%s is there before anything was signed: %v", file, err)
		}
	}
	startSystem(t, second, "--books", "sqlite:"+filepath.Join(first, "books.db"))
	var pinned []byte
	for range 200 {
		if pinned, _ = os.ReadFile(filepath.Join(first, "tariff-trust.pem")); len(pinned) > 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	public := run(t, "", "tariff", "key", "--data", second)
	if public.status != 0 || string(pinned) != public.stdout {
		t.Errorf("trusted is %q, the key is %+v", pinned, public)
	}
	if said := a.said.String(); strings.Contains(said, "refused") || strings.Contains(said, "not refreshed") {
		t.Errorf("%s", said)
	}
	if v := run(t, "", "tariff", "verify", "--data", first); v.status != 0 {
		t.Errorf("%+v", v)
	}
}
