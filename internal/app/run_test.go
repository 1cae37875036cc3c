package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"freeflow/internal/app"
	"freeflow/internal/clock"
)

// running is a whole system in this process, on free ports.
type running struct {
	t                                *testing.T
	dir                              string
	portal, operator, gateway, admin string
	unitKey, operatorKey             string
	email, password                  string
	stop                             func() int
	// said is what it wrote to the standard error: its log.
	said *lockedBuffer
}

// lockedBuffer is written by the system and read by the test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var greeting = regexp.MustCompile(`(?s)portal +http://(\S+).*operators +http://(\S+).*gateway +http://(\S+).*metrics +http://([^/]+)/.*Stop with`)

func startSystem(t *testing.T, dir string, more ...string) *running {
	t.Helper()
	return startSystemAt(t, clock.System{}, dir, more...)
}

// startSystemAt starts a system by another clock.
func startSystemAt(t *testing.T, clk clock.Clock, dir string, more ...string) *running {
	t.Helper()
	var said lockedBuffer
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int, 1)
	go func() {
		done <- app.Main(ctx, app.Env{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &said, Clock: clk},
			append([]string{"run", "--data", dir, "--portal-addr", "127.0.0.1:0", "--operator-addr", "127.0.0.1:0",
				"--gateway-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--partitions", "2", "--log-level", "warn"}, more...))
	}()
	r := &running{t: t, dir: dir, said: &said}
	var once sync.Once
	status := -1
	r.stop = func() int {
		once.Do(func() { cancel(); status = <-done })
		return status
	}
	t.Cleanup(func() { r.stop() })
	for range 300 {
		if m := greeting.FindStringSubmatch(said.String()); m != nil {
			r.portal, r.operator, r.gateway, r.admin = m[1], m[2], m[3], m[4]
			r.credentials()
			return r
		}
		select {
		case s := <-done:
			done <- s
			t.Fatalf("ended with %d: %s", s, said.String())
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Fatalf("did not start: %s", said.String())
	return nil
}

func (r *running) credentials() {
	r.t.Helper()
	path := filepath.Join(r.dir, "credentials.json")
	info, err := os.Stat(path)
	if err != nil {
		r.t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		r.t.Errorf("%s has mode %v", path, info.Mode())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	var c struct {
		UnitKey     string `json:"unit_key"`
		OperatorKey string `json:"operator_key"`
		Motorist    struct{ Email, Password string }
	}
	if err := json.Unmarshal(text, &c); err != nil {
		r.t.Fatal(err)
	}
	r.unitKey, r.operatorKey, r.email, r.password = c.UnitKey, c.OperatorKey, c.Motorist.Email, c.Motorist.Password
}

// call sends a request and returns status and body.
func (r *running) call(method, address, key, kind, body string) (int, string) {
	r.t.Helper()
	request, err := http.NewRequest(method, "http://"+address, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
		request.Header.Set("Accept", kind)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

// charges waits until charges.csv of the operators' API is as wanted.
func (r *running) charges(want string) {
	r.t.Helper()
	var got string
	for range 100 {
		if _, got = r.call(http.MethodGet, r.operator+"/v1/charges", r.operatorKey, "text/csv", ""); contractColumns(got) == want {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	r.t.Errorf("charges are\n%s\nwant\n%s", got, want)
}

// contractColumns cuts further columns off.
func contractColumns(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.TrimRight(line, "\r\n"), ",")
		b.WriteString(strings.Join(cells[:min(8, len(cells))], ",") + "\n")
	}
	return b.String()
}

// A running system gives what replay gives: registry in, reads in, charges out,
// a pass explained, a review decided, the books sound, all of it still there
// after a restart.
func TestRunEndToEnd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	r := startSystem(t, dir)
	if status, answer := r.call(http.MethodPut, r.operator+"/v1/registry", r.operatorKey, "text/csv", someRegistry); status != http.StatusOK {
		t.Fatalf("registry: %d %s", status, answer)
	}
	status, answer := r.call(http.MethodPost, r.gateway+"/v1/reads", r.unitKey, "application/json", "["+someRead+","+otherRead+`,{"unit":"X"}]`)
	if status != http.StatusAccepted || !strings.Contains(answer, `"accepted":2`) || !strings.Contains(answer, `"index":2`) {
		t.Fatalf("reads: %d %s", status, answer)
	}
	r.charges(chargesOf)

	// Nobody gets in without the right key.
	for _, address := range []string{r.operator + "/v1/charges", r.operator + "/v1/reviews", r.gateway + "/v1/reads"} {
		for _, key := range []string{"", "wrong", r.unitKey + "x"} {
			method := http.MethodGet
			if strings.HasSuffix(address, "reads") {
				method = http.MethodPost
			}
			if status, _ := r.call(method, address, key, "application/json", "[]"); status != http.StatusUnauthorized {
				t.Errorf("%s with key %q: %d", address, key, status)
			}
		}
	}

	// A weak plate goes to review, and is decided.
	weak := `{"unit":"ABT-N-1","seq":9,"time":"2026-03-07T10:00:00+08:00","plate":"AB1234","plate_confidence":0.5}`
	if status, answer := r.call(http.MethodPost, r.gateway+"/v1/reads", r.unitKey, "application/x-ndjson", weak); status != http.StatusAccepted {
		t.Fatalf("weak read: %d %s", status, answer)
	}
	review := "2026-03-07T10:00:00.000000+08:00,ABT-N,AB1234,A1,private_car,,HKD,review\n"
	r.charges(chargesOf + review)
	var reviews struct {
		Items []struct {
			ID      string
			Reasons []string
		}
	}
	_, answer = r.call(http.MethodGet, r.operator+"/v1/reviews", r.operatorKey, "application/json", "")
	if err := json.Unmarshal([]byte(answer), &reviews); err != nil || len(reviews.Items) != 1 || reviews.Items[0].Reasons[0] != "weak-plate" {
		t.Fatalf("reviews: %v %s", err, answer)
	}
	id := reviews.Items[0].ID
	if status, answer := r.call(http.MethodPost, r.operator+"/v1/reviews/"+id, r.operatorKey, "application/json",
		`{"decision":"charged","note":"the picture shows it"}`); status != http.StatusOK {
		t.Fatalf("decision: %d %s", status, answer)
	}
	decided := chargesOf + strings.Replace(review, ",,HKD,review", ",8.00,HKD,charged", 1)
	r.charges(decided)
	status, answer = r.call(http.MethodGet, r.operator+"/v1/passes/"+id, r.operatorKey, "application/json", "")
	for _, part := range []string{`"seq":9`, `"plate_confidence":0.5`, `"account":"operator:ABT"`, "the picture shows it"} {
		if status != http.StatusOK || !strings.Contains(answer, part) {
			t.Errorf("explained: %d, want %s in %s", status, part, answer)
		}
	}

	// The decision stands when the same read comes again, and is open again
	// when a late read moves the pass into another minute.
	if status, _ := r.call(http.MethodPost, r.gateway+"/v1/reads", r.unitKey, "application/x-ndjson", weak); status != http.StatusAccepted {
		t.Error(status)
	}
	r.charges(decided)
	earlier := strings.Replace(strings.Replace(weak, "10:00:00", "09:59:30", 1), `"seq":9`, `"seq":8`, 1)
	if status, _ := r.call(http.MethodPost, r.gateway+"/v1/reads", r.unitKey, "application/x-ndjson", earlier); status != http.StatusAccepted {
		t.Error(status)
	}
	reopened := chargesOf + strings.Replace(review, "10:00:00", "09:59:30", 1)
	r.charges(reopened)

	if status := r.stop(); status != 0 {
		t.Errorf("ended with %d", status)
	}
	if v := run(t, "", "verify", "--data", dir, "--json"); v.status != 0 || !strings.Contains(v.stdout, `"holds": true`) {
		t.Errorf("verify: %d %s %s", v.status, v.stdout, v.stderr)
	}
	again := startSystem(t, dir)
	if again.unitKey != r.unitKey || again.password != r.password {
		t.Error("credentials changed at the second start")
	}
	again.charges(reopened)
}

// The motorist's page shows the charges of the account, and only those.
func TestRunPortal(t *testing.T) {
	r := startSystem(t, filepath.Join(t.TempDir(), "data"))
	registry := someRegistry + "M00001,HK1234,taxi,,2025-01-01T00:00:00+08:00,,\n"
	if status, answer := r.call(http.MethodPut, r.operator+"/v1/registry", r.operatorKey, "text/csv", registry); status != http.StatusOK {
		t.Fatalf("registry: %d %s", status, answer)
	}
	at := clock.System{}.Now().Add(-time.Minute).Format("2006-01-02T15:04:05Z")
	read := fmt.Sprintf(`{"unit":"CHT-N-1","seq":1,"time":%q,"plate":"HK1234"}`+"\n"+`{"unit":"CHT-N-2","seq":1,"time":%q,"plate":"AB1234"}`, at, at)
	if status, answer := r.call(http.MethodPost, r.gateway+"/v1/reads", r.unitKey, "application/x-ndjson", read); status != http.StatusAccepted {
		t.Fatalf("read: %d %s", status, answer)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	page := func(method, path string, form url.Values) string {
		t.Helper()
		request, err := http.NewRequest(method, "http://"+r.portal+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	form := page(http.MethodGet, "/sign-in", nil)
	fields := url.Values{}
	for _, m := range regexp.MustCompile(`<input[^>]*name="([^"]+)"[^>]*>`).FindAllStringSubmatch(form, -1) {
		value := regexp.MustCompile(`value="([^"]*)"`).FindStringSubmatch(m[0])
		if value != nil {
			fields.Set(m[1], value[1])
		}
	}
	fields.Set("email", r.email)
	fields.Set("password", r.password)
	home := page(http.MethodPost, "/sign-in", fields)
	for range 100 {
		if strings.Contains(home, "HK1234") {
			break
		}
		time.Sleep(50 * time.Millisecond)
		home = page(http.MethodGet, "/", nil)
	}
	if !strings.Contains(home, "HK1234") || !strings.Contains(home, "25.00") {
		t.Errorf("the page does not show the charge:\n%s", home)
	}
	if strings.Contains(home, "AB1234") {
		t.Error("the page shows another account's vehicle")
	}
}

func TestRunSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	held := startSystem(t, filepath.Join(dir, "held"))
	away := "127.0.0.1:1"
	torn := filepath.Join(dir, "torn")
	if err := os.MkdirAll(torn, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(torn, "credentials.json"), []byte(`{"unit_key"`), 0o600); err != nil {
		t.Fatal(err)
	}
	free := []string{"--portal-addr", "127.0.0.1:0", "--operator-addr", "127.0.0.1:0", "--gateway-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"}
	tests := []struct {
		name   string
		args   []string
		status int
		says   []string
	}{
		{"a second process on the folder", []string{"--data", held.dir}, 1, []string{held.dir, fmt.Sprint(os.Getpid())}},
		{"Kafka is away", []string{"--data", filepath.Join(dir, "1"), "--kafka", away, "--start-timeout", "1s"}, 1, []string{away, "--kafka"}},
		{"Redis is away", []string{"--data", filepath.Join(dir, "2"), "--redis", away}, 1, []string{away, "--redis"}},
		{"PostgreSQL is away", []string{"--data", filepath.Join(dir, "3"), "--books", "postgres://nobody@127.0.0.1:1/x?connect_timeout=1"}, 1, []string{"books"}},
		{"a port is taken", []string{"--data", filepath.Join(dir, "4"), "--portal-addr", held.portal}, 1, []string{held.portal, "--portal-addr"}},
		{"torn credentials", []string{"--data", torn}, 1, []string{"credentials.json", "mend"}},
		{"unknown target", []string{"--target", "gateway,bogus"}, 2, []string{"bogus", "matcher"}},
		{"demo without a gateway", []string{"--demo", "--target", "matcher"}, 2, []string{"--demo"}},
		{"bad partitions", []string{"--partitions", "0"}, 2, []string{"--partitions"}},
		{"bad log format", []string{"--log-format", "xml"}, 2, []string{"xml"}},
		{"stray argument", []string{"now"}, 2, []string{"now"}},
		{"demo on another network", []string{"--data", filepath.Join(dir, "5"), "--demo", "--network", "taiwan"}, 1, []string{"hongkong"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := run(t, "", append(append([]string{"run"}, free...), test.args...)...)
			if r.status != test.status {
				t.Errorf("status %d, want %d: %s", r.status, test.status, r.stderr)
			}
			for _, words := range test.says {
				if !strings.Contains(r.stderr, words) {
					t.Errorf("says %q, want %q in it", r.stderr, words)
				}
			}
		})
	}
}
