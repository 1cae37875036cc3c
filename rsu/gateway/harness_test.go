package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"freeflow/internal/clock"
	"freeflow/internal/kafka"
	"freeflow/internal/web"
	"freeflow/rsu"
	"freeflow/rsu/gateway"
)

const key = "0123456789abcdef-unit"

// road is a network of two facilities, and of the classes of Hong Kong that
// the tests use.
type road struct{}

func (road) TollPoint(unit string) (point, facility string, ok bool) {
	switch unit {
	case "CHT-N-1", "CHT-N-2", "CHT-S-1", "EHC-N-1":
		return unit[:5], unit[:3], true
	}
	return "", "", false
}

func (road) KnowsClass(class string) bool { return class == "private_car" || class == "taxi" }

func (road) EarliestMicros() int64 { return rsu.UsualEarliest }

// topics is a log in memory. Hook, if set, runs before each publish and can
// hold it up or make it fail.
type topics struct {
	hook func(ctx context.Context, topic string) error

	mu   sync.Mutex
	msgs map[string][]kafka.Message
}

func (l *topics) Publish(ctx context.Context, topic string, msgs []kafka.Message) error {
	if l.hook != nil {
		if err := l.hook(ctx, topic); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.msgs == nil {
		l.msgs = make(map[string][]kafka.Message)
	}
	l.msgs[topic] = append(l.msgs[topic], msgs...)
	return nil
}

func (l *topics) messages(topic string) []kafka.Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]kafka.Message(nil), l.msgs[topic]...)
}

// reads decodes what stands on reads.v1.
func (l *topics) reads(t testing.TB) []rsu.Read {
	t.Helper()
	var out []rsu.Read
	for _, m := range l.messages(kafka.TopicReads) {
		var r rsu.Read
		if err := r.UnmarshalBinary(m.Value); err != nil {
			t.Fatalf("a record that cannot be read: %v", err)
		}
		if want := r.Unit[:3]; string(m.Key) != want {
			t.Errorf("key %q, want %q", m.Key, want)
		}
		if len(m.Headers) != 1 || m.Headers[0].Key != "content-type" || string(m.Headers[0].Value) != rsu.ContentTypeRead {
			t.Errorf("headers %v", m.Headers)
		}
		out = append(out, r)
	}
	return out
}

// rejected decodes what stands on reads.rejected.v1.
func (l *topics) rejected(t testing.TB) []rsu.Rejected {
	t.Helper()
	var out []rsu.Rejected
	for _, m := range l.messages(kafka.TopicRejected) {
		var e rsu.Rejected
		if err := e.UnmarshalBinary(m.Value); err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

type harness struct {
	echo    *echo.Echo
	intake  *gateway.Intake
	log     *topics
	clock   *clock.Fixed
	metrics *prometheus.Registry
	lines   *bytes.Buffer
}

var arrival = time.Date(2026, 11, 23, 0, 10, 0, 0, time.UTC)

func newHarness(t testing.TB, limits gateway.Limits) *harness {
	t.Helper()
	h := &harness{log: &topics{}, clock: clock.At(arrival), metrics: prometheus.NewRegistry(), lines: &bytes.Buffer{}}
	logger := slog.New(slog.NewTextHandler(&locked{w: h.lines}, nil))
	var err error
	h.intake, err = gateway.NewIntake(gateway.Config{
		Roadside: road{}, Clock: h.clock, Publisher: h.log, Rejects: h.log,
		Source: rsu.SourceGateway, Log: logger, Metrics: h.metrics, Recent: 1 << 12,
	})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := web.Bearer(web.Key{Name: "unit_key", Secret: key})
	if err != nil {
		t.Fatal(err)
	}
	if h.echo, err = gateway.New(h.intake, keys, logger, h.clock, limits); err != nil {
		t.Fatal(err)
	}
	return h
}

// locked makes a buffer safe for several goroutines.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// request makes a POST of reads; header are pairs.
func request(target string, body io.Reader, header ...string) *http.Request {
	req := httptest.NewRequest(http.MethodPost, target, body)
	req.Header.Set("Authorization", "Bearer "+key)
	for i := 0; i < len(header); i += 2 {
		if header[i+1] == "" {
			req.Header.Del(header[i])
			continue
		}
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

func (h *harness) do(req *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.echo.ServeHTTP(rec, req)
	return rec
}

// post sends a body and wants 202.
func (h *harness) post(t testing.TB, contentType, body string) gateway.Result {
	t.Helper()
	return accepted(t, h.do(request("/v1/reads", strings.NewReader(body), "Content-Type", contentType)))
}

func accepted(t testing.TB, rec *httptest.ResponseRecorder) gateway.Result {
	t.Helper()
	if rec.Code != http.StatusAccepted {
		t.Fatalf("status %d: %s", rec.Code, rec.Body)
	}
	var result gateway.Result
	if err := json.Unmarshal(rec.Body.Bytes(), &result); err != nil {
		t.Fatalf("%s: %v", rec.Body, err)
	}
	if result.Rejected == nil {
		t.Fatalf("rejected is no array: %s", rec.Body)
	}
	return result
}

// wantProblem wants a problem document of the status and type.
func wantProblem(t testing.TB, rec *httptest.ResponseRecorder, status int, slug string) {
	t.Helper()
	var p struct {
		Type, Title, Detail string
		Status              int
	}
	if rec.Code != status || !strings.HasPrefix(rec.Header().Get("Content-Type"), "application/problem+json") {
		t.Fatalf("status %d %s, want %d: %s", rec.Code, rec.Header().Get("Content-Type"), status, rec.Body)
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil || p.Status != status || !strings.HasSuffix(p.Type, "/"+slug) || p.Title == "" {
		t.Fatalf("%s (%v), want type %s", rec.Body, err, slug)
	}
}

// object returns a read as JSON with seq and more fields.
func object(seq int, fields string) string {
	return fmt.Sprintf(`{"unit":"CHT-N-1","boot":"b1","seq":%d,"time":"2026-11-23T08:00:00.5+08:00"%s}`, seq, fields)
}

func pack(t testing.TB, coding, body string) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&buf)
	case "zstd":
		enc, err := zstd.NewWriter(&buf)
		if err != nil {
			t.Fatal(err)
		}
		w = enc
	default:
		return []byte(body)
	}
	if _, err := io.WriteString(w, body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
