package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/zstd"

	"freeflow/internal/kafka"
	"freeflow/rsu/gateway"
)

func TestKeys(t *testing.T) {
	h := newHarness(t, gateway.Limits{})
	body := "[" + object(1, `,"tag":"AA"`) + "]"
	for name, authorization := range map[string]string{
		"missing": "", "wrong": "Bearer " + key[:len(key)-1] + "x", "longer": "Bearer " + key + "x", "basic": "Basic " + key, "bare": key, "empty": "Bearer ",
	} {
		rec := h.do(request("/v1/reads", strings.NewReader(body), "Authorization", authorization))
		wantProblem(t, rec, http.StatusUnauthorized, "unauthorized")
		if !strings.HasPrefix(rec.Header().Get("WWW-Authenticate"), "Bearer ") || strings.Contains(rec.Body.String(), key) {
			t.Errorf("%s: %v %s", name, rec.Header(), rec.Body)
		}
	}
	if n := len(h.log.messages(kafka.TopicReads)); n != 0 {
		t.Errorf("%d reads were taken without a key", n)
	}
}

func TestRoutes(t *testing.T) {
	h := newHarness(t, gateway.Limits{})
	get := func(method, path string) *httptest.ResponseRecorder {
		return h.do(httptest.NewRequest(method, path, nil))
	}
	wantProblem(t, get(http.MethodGet, "/v1/nothing"), http.StatusNotFound, "not-found")
	rec := get(http.MethodGet, "/v1/reads")
	wantProblem(t, rec, http.StatusMethodNotAllowed, "method-not-allowed")
	if !strings.Contains(rec.Header().Get("Allow"), http.MethodPost) {
		t.Errorf("allow %q", rec.Header().Get("Allow"))
	}
	if rec := get(http.MethodGet, "/v1/reads.proto"); rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), "message ReadBatch") {
		t.Errorf("schema: %d %s", rec.Code, rec.Body)
	}
}

// Who does not say what is sent, or says what tools say by themselves, sends
// JSON.
func TestContentTypesOfTools(t *testing.T) {
	for _, contentType := range []string{"", "application/x-www-form-urlencoded", "text/plain; charset=UTF-8", "application/octet-stream"} {
		for _, body := range []string{"[" + object(1, `,"tag":"AA"`) + "]", object(1, `,"tag":"AA"`)} {
			h := newHarness(t, gateway.Limits{})
			if got := accepted(t, h.do(request("/v1/reads", strings.NewReader(body), "Content-Type", contentType))); got.Accepted != 1 {
				t.Errorf("%q: %+v", contentType, got)
			}
		}
	}
}

func TestUnsupported(t *testing.T) {
	body := "[" + object(1, `,"tag":"AA"`) + "]"
	for _, contentType := range []string{"application/xml", "multipart/form-data", "application/json; charset=utf-16", "/", "application/json; ="} {
		h := newHarness(t, gateway.Limits{})
		rec := h.do(request("/v1/reads", strings.NewReader(body), "Content-Type", contentType))
		wantProblem(t, rec, http.StatusUnsupportedMediaType, "unsupported-media-type")
		if !strings.Contains(rec.Body.String(), "application/x-ndjson") || rec.Header().Get("Accept-Post") == "" {
			t.Errorf("%s: %s", contentType, rec.Body)
		}
	}
	for _, coding := range []string{"br", "deflate", "gzip, zstd", "gzip,gzip", "zstd, identity, gzip", "GZIP2"} {
		h := newHarness(t, gateway.Limits{})
		rec := h.do(request("/v1/reads", strings.NewReader(body), "Content-Type", "application/json", "Content-Encoding", coding))
		wantProblem(t, rec, http.StatusUnsupportedMediaType, "unsupported-encoding")
		if !strings.Contains(rec.Body.String(), "gzip, zstd, identity") || rec.Header().Get("Accept-Encoding") != "gzip, zstd, identity" {
			t.Errorf("%s: %s", coding, rec.Body)
		}
		if n := len(h.log.messages(kafka.TopicReads)); n != 0 {
			t.Errorf("%s: taken", coding)
		}
	}
	for _, coding := range []string{"identity", "GZIP", "x-gzip", " gzip , identity"} {
		h := newHarness(t, gateway.Limits{})
		packed := pack(t, map[bool]string{true: "gzip"}[strings.Contains(strings.ToLower(coding), "gzip")], body)
		if got := accepted(t, h.do(request("/v1/reads", bytes.NewReader(packed), "Content-Type", "application/json", "Content-Encoding", coding))); got.Accepted != 1 {
			t.Errorf("%s: %+v", coding, got)
		}
	}
}

func TestTooLarge(t *testing.T) {
	limits := gateway.Limits{Body: 4 << 10, Unpacked: 64 << 10, Reads: 100, Held: 8 << 20}
	lines := func(n int) string { return strings.Repeat(object(1, `,"tag":"AA"`)+"\n", n) }
	ndjson := []string{"Content-Type", "application/x-ndjson"}
	big := strings.Repeat(" ", 65<<10)
	// A frame that says nothing of its size, as a stream has it.
	var stream bytes.Buffer
	enc, err := zstd.NewWriter(&stream, zstd.WithWindowSize(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	for range 65 {
		if _, err := enc.Write(bytes.Repeat([]byte(" "), 1<<10)); err != nil {
			t.Fatal(err)
		}
		if err := enc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
	for name, req := range map[string]*http.Request{
		"body":            request("/v1/reads", strings.NewReader(lines(60)), ndjson...),
		"body, no length": request("/v1/reads", io.MultiReader(strings.NewReader(lines(60))), ndjson...),
		"gzip":            request("/v1/reads", bytes.NewReader(pack(t, "gzip", big)), append(ndjson, "Content-Encoding", "gzip")...),
		"zstd":            request("/v1/reads", bytes.NewReader(pack(t, "zstd", big)), append(ndjson, "Content-Encoding", "zstd")...),
		"zstd stream":     request("/v1/reads", &stream, append(ndjson, "Content-Encoding", "zstd")...),
		"reads":           request("/v1/reads", bytes.NewReader(pack(t, "gzip", lines(101))), append(ndjson, "Content-Encoding", "gzip")...),
		"elements":        request("/v1/reads", strings.NewReader("["+strings.Repeat("1,", 100)+"1]"), "Content-Type", "application/json"),
	} {
		h := newHarness(t, limits)
		wantProblem(t, h.do(req), http.StatusRequestEntityTooLarge, "too-large")
		if n := len(h.log.messages(kafka.TopicReads)) + len(h.log.messages(kafka.TopicRejected)); n != 0 {
			t.Errorf("%s: %d messages", name, n)
		}
	}
	h := newHarness(t, limits)
	if got := accepted(t, h.do(request("/v1/reads", bytes.NewReader(pack(t, "zstd", lines(100))), append(ndjson, "Content-Encoding", "zstd")...))); got.Accepted != 100 {
		t.Errorf("just within the bounds: %+v", got)
	}
}

// The largest request that the default limits allow must fit into the default
// budget, or its sender could try for ever.
func TestTheLargestRequestFits(t *testing.T) {
	pad := strings.Repeat(" ", 500)
	var body strings.Builder
	for i := range 50_000 {
		body.WriteString(object(i, `,"tag":"AA"`+pad))
		body.WriteByte('\n')
	}
	body.WriteString(strings.Repeat(" ", 32<<20-body.Len()))
	for _, coding := range []string{"gzip", "zstd"} {
		h := newHarness(t, gateway.Limits{})
		got := accepted(t, h.do(request("/v1/reads", bytes.NewReader(pack(t, coding, body.String())), "Content-Type", "application/x-ndjson", "Content-Encoding", coding)))
		if got.Accepted != 50_000 {
			t.Errorf("%s: %d accepted", coding, got.Accepted)
		}
	}
}

func TestBodyThatBreaksOff(t *testing.T) {
	h := newHarness(t, gateway.Limits{})
	body := io.MultiReader(strings.NewReader(object(1, `,"tag":"AA"`)+"\n"+object(2, `,"tag":"AA"`)+"\n"), iotest.ErrReader(io.ErrUnexpectedEOF))
	wantProblem(t, h.do(request("/v1/reads", body, "Content-Type", "application/x-ndjson")), http.StatusBadRequest, "broken-body")
	if n := len(h.log.messages(kafka.TopicReads)); n != 0 {
		t.Errorf("%d reads of a broken body were taken", n)
	}
}

// Nothing is answered before the log has the reads.
func TestAnswersOnlyOnceDurable(t *testing.T) {
	h := newHarness(t, gateway.Limits{})
	entered, open := make(chan struct{}), make(chan struct{})
	h.log.hook = func(context.Context, string) error {
		close(entered)
		<-open
		return nil
	}
	answered := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		answered <- h.do(request("/v1/reads", strings.NewReader("["+object(1, `,"tag":"AA"`)+"]"), "Content-Type", "application/json"))
	}()
	<-entered
	select {
	case rec := <-answered:
		t.Fatalf("answered %d before the log had the read", rec.Code)
	case <-time.After(20 * time.Millisecond): // longer makes the test stricter, never red
	}
	close(open)
	if got := accepted(t, <-answered); got.Accepted != 1 {
		t.Errorf("%+v", got)
	}
}

func TestLogNotAvailable(t *testing.T) {
	body := func() io.Reader { return strings.NewReader("[" + object(1, `,"tag":"AA"`) + `,5]`) }
	for name, hook := range map[string]func(context.Context, string) error{
		"fails": func(context.Context, string) error { return errors.New("broker 10.1.2.3:9092 says no") },
		"hangs": func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() },
	} {
		h := newHarness(t, gateway.Limits{Publish: 30 * time.Millisecond})
		h.log.hook = hook
		rec := h.do(request("/v1/reads", body(), "Content-Type", "application/json"))
		wantProblem(t, rec, http.StatusServiceUnavailable, "log-unavailable")
		if rec.Header().Get("Retry-After") == "" || strings.Contains(rec.Body.String(), "10.1.2.3") || strings.Contains(rec.Body.String(), "accepted") {
			t.Errorf("%s: %v %s", name, rec.Header(), rec.Body)
		}
		if n := len(h.log.messages(kafka.TopicRejected)); n != 0 {
			t.Errorf("%s: a refusal was recorded that was never answered", name)
		}
		// The sender tries again: nothing of the failure is remembered.
		h.log.hook = nil
		if got := accepted(t, h.do(request("/v1/reads", body(), "Content-Type", "application/json"))); got.Accepted != 1 || got.Duplicate != 0 || len(got.Rejected) != 1 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A refusal is answered although its topic fails, and neighbours stay accepted.
func TestRejectedTopicNotAvailable(t *testing.T) {
	h := newHarness(t, gateway.Limits{})
	h.log.hook = func(_ context.Context, topic string) error {
		if topic == kafka.TopicRejected {
			return errors.New("no")
		}
		return nil
	}
	got := h.post(t, "application/json", "[5,"+object(1, `,"tag":"AA"`)+"]")
	if got.Accepted != 1 || len(got.Rejected) != 1 || len(h.log.reads(t)) != 1 {
		t.Errorf("%+v", got)
	}
	if v := h.metric(t, "freeflow_gateway_rejects_unrecorded_total"); v != 1 {
		t.Errorf("unrecorded %v", v)
	}
}

// A stalled log must not let requests pile up without bound.
func TestStalledLogTurnsRequestsAway(t *testing.T) {
	h := newHarness(t, gateway.Limits{Held: 1 << 20, Publish: time.Minute})
	open := make(chan struct{})
	entered := make(chan struct{}, 100)
	h.log.hook = func(context.Context, string) error {
		entered <- struct{}{}
		<-open
		return nil
	}
	body := "[" + object(1, `,"tag":"AA"`) + "]"
	send := func() *httptest.ResponseRecorder {
		return h.do(request("/v1/reads", strings.NewReader(body), "Content-Type", "application/json"))
	}
	var wg sync.WaitGroup
	answers := make(chan *httptest.ResponseRecorder, 100)
	held := 0
	for turnedAway := false; !turnedAway; {
		if held > 50 {
			t.Fatal("50 requests of 64 KiB are held in 1 MiB")
		}
		done := make(chan *httptest.ResponseRecorder, 1)
		wg.Go(func() { done <- send() })
		select {
		case <-entered:
			held++
			wg.Go(func() { answers <- <-done })
		case rec := <-done:
			turnedAway = true
			wantProblem(t, rec, http.StatusServiceUnavailable, "busy")
			if rec.Header().Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		}
	}
	if held < 5 {
		t.Errorf("only %d requests were held in 1 MiB", held)
	}
	close(open)
	wg.Wait()
	for range held {
		if got := accepted(t, <-answers); got.Accepted != 1 {
			t.Errorf("%+v", got)
		}
	}
	if v := h.metric(t, "freeflow_gateway_held_bytes"); v != 0 {
		t.Errorf("%v bytes are held by nobody", v)
	}
	if got := accepted(t, send()); got.Accepted != 1 {
		t.Errorf("after the stall: %+v", got)
	}
}

// Many at once: every read answered as accepted is in the log, once a request.
func TestManyAtOnce(t *testing.T) {
	h := newHarness(t, gateway.Limits{})
	var wg sync.WaitGroup
	units := []string{"CHT-N-1", "CHT-N-2", "CHT-S-1", "EHC-N-1"}
	for g := range 8 {
		wg.Go(func() {
			for i := range 25 {
				var reads []string
				for j := range 20 {
					reads = append(reads, strings.Replace(object(g*10_000+i*20+j, `,"tag":"AA"`), "CHT-N-1", units[g%4], 1))
				}
				reads = append(reads, "5")
				w := jsonWires[(g+i)%len(jsonWires)]
				rec := h.do(request("/v1/reads", bytes.NewReader(pack(t, codings[i%3], w.join(reads))), "Content-Type", w.contentType, "Content-Encoding", codings[i%3]))
				if rec.Code != http.StatusAccepted || !strings.Contains(rec.Body.String(), `"accepted":20,"duplicate":0,"rejected":[{"index":20,`) {
					t.Errorf("%d %s", rec.Code, rec.Body)
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]int{}
	for _, r := range h.log.reads(t) {
		seen[fmt.Sprint(r.Unit, r.Seq)]++
	}
	if len(seen) != 8*25*20 || len(h.log.messages(kafka.TopicReads)) != len(seen) {
		t.Errorf("%d reads in the log, %d different", len(h.log.messages(kafka.TopicReads)), len(seen))
	}
}
