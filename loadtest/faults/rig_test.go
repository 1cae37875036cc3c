//go:build services

package faults

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	kafkago "github.com/segmentio/kafka-go"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/internal/clock"
	"freeflow/internal/kafka"
	"freeflow/loadtest/oracle"
	"freeflow/loadtest/traffic"
)

// session is the matchers' session timeout: how long a killed one blocks its
// partitions.
const session = time.Second

// system is one freeflow on the real parts, with a stream to send and what it
// must come to.
type system struct {
	seed                uint64
	rng                 *rand.Rand
	binary, dir         string
	kafka, redis, books string
	gateway, operator   string
	unitKey, operKey    string
	lines, want         []string
}

func start(t *testing.T, seed uint64) *system { return startWith(t, seed, build(t)) }

func startWith(t *testing.T, seed uint64, binary string) *system {
	t.Helper()
	t.Logf("seed %d", seed)
	s := &system{
		seed: seed, rng: newRand(seed), binary: binary, dir: t.TempDir(),
		kafka: os.Getenv("FREEFLOW_TEST_KAFKA"), redis: os.Getenv("FREEFLOW_TEST_REDIS"),
		gateway: freeAddr(t), operator: freeAddr(t),
	}
	s.books = freshDatabase(t)
	dropTopics(t, s.kafka)
	registry := s.stream(t)
	s.run(t, s.redis, nil, "--target", "gateway,operator", "--gateway-addr", s.gateway, "--operator-addr", s.operator)
	s.unitKey, s.operKey = s.credentials(t)
	s.await(t, "http://"+s.operator+"/openapi.json")
	s.request(t, http.MethodPut, "http://"+s.operator+"/v1/registry", s.operKey, "text/csv", registry)
	return s
}

// stream makes the reads, keeps those that a gateway takes today, in the order
// of time with some late ones, and asks the oracle.
func (s *system) stream(t *testing.T) (registry string) {
	t.Helper()
	stream := traffic.Adversarial(s.seed, 3000)
	limit := clock.System{}.Now().Add(-time.Minute).UnixMicro()
	type dated struct {
		at   int64
		line string
	}
	var kept []dated
	var reads []oracle.Read
	for _, l := range stream.Lines {
		if l.Rejected || strings.TrimSpace(l.Text) == "" {
			continue
		}
		read, err := oracle.ParseRead([]byte(l.Text))
		if err != nil {
			t.Fatal(err)
		}
		if read.TimeMicros > limit || read.Tag == "" && read.Plate == "" {
			continue
		}
		reads = append(reads, read)
		kept = append(kept, dated{read.TimeMicros + s.rng.Int64N(90_000_000), strings.ReplaceAll(l.Text, "\n", " ")})
	}
	slices.SortStableFunc(kept, func(a, b dated) int { return cmp.Compare(a.at, b.at) })
	for _, d := range kept {
		s.lines = append(s.lines, d.line)
	}
	network, err := oracle.HongKong()
	if err != nil {
		t.Fatal(err)
	}
	rows, err := oracle.ParseRegistry(strings.NewReader(stream.Registry))
	if err != nil {
		t.Fatal(err)
	}
	passes, err := oracle.New(network, rows).Rows(reads)
	if err != nil {
		t.Fatal(err)
	}
	if s.want = oracle.ChargesLines(passes); len(s.want) < 100 {
		t.Fatalf("only %d passes, that proves nothing", len(s.want))
	}
	return stream.Registry
}

// traffic sends the stream, a part every tenth of a second, again and again
// until stop is called and all has been sent at least once.
func (s *system) traffic(t *testing.T, part int) (stop func()) {
	t.Helper()
	stopping, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for round := 0; ; round++ {
			for chunk := range slices.Chunk(s.lines, part) {
				if round > 0 {
					select {
					case <-stopping:
						done <- nil
						return
					default:
					}
				}
				if err := s.send(chunk); err != nil {
					done <- err
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
	}()
	return func() {
		close(stopping)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

func (s *system) send(lines []string) error {
	body := []byte(strings.Join(lines, "\n"))
	for try := 0; ; try++ {
		answer, err := do(http.MethodPost, "http://"+s.gateway+"/v1/reads", s.unitKey, "application/x-ndjson", body)
		if err == nil {
			var result struct {
				Accepted int
				Rejected []any
			}
			if err := json.Unmarshal(answer, &result); err != nil {
				return err
			}
			if result.Accepted != len(lines) {
				return fmt.Errorf("%d of %d reads accepted: %s", result.Accepted, len(lines), answer)
			}
			return nil
		}
		if try == 20 {
			return err
		}
		time.Sleep(250 * time.Millisecond)
	}
}

// settle waits until the matchers have posted all, and demands the oracle's
// charges and sound books.
func (s *system) settle(t *testing.T, matchers ...*process) {
	t.Helper()
	missing, extra, err := s.compare(t, 60*time.Second, matchers...)
	if err != nil {
		t.Fatalf("seed %d: %v", s.seed, err)
	}
	if len(missing)+len(extra) > 0 {
		t.Fatalf("seed %d:\nmissing:\n%s\nextra:\n%s", s.seed, strings.Join(missing, "\n"), strings.Join(extra, "\n"))
	}
	store := s.store(t)
	checks, err := store.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		for _, v := range c.Violations {
			t.Errorf("%s: %s", c.Invariant, v.Detail)
		}
	}
	t.Logf("%d passes as the oracle has them, %d invariants hold", len(s.want), len(checks))
}

func (s *system) compare(t *testing.T, patience time.Duration, matchers ...*process) (missing, extra []string, err error) {
	t.Helper()
	store := s.store(t)
	ends, err := kafka.Ends(t.Context(), kafka.FollowConfig{Brokers: []string{s.kafka}, Topic: kafka.TopicReads})
	if err != nil {
		return nil, nil, err
	}
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for left := true; left; {
		left = false
		for partition, end := range ends {
			progress, err := store.Progress(t.Context(), partition)
			if err != nil {
				return nil, nil, err
			}
			left = left || progress.NextOffset < end
		}
		select {
		case <-deadline.C:
			return nil, nil, errors.New("not all reads were posted in time")
		case <-time.After(100 * time.Millisecond):
		}
	}
	for _, m := range matchers {
		m.terminate(t)
	}
	filter := billing.Filter{Limit: 1000}
	var got []string
	for {
		page, err := store.List(t.Context(), filter)
		if err != nil {
			return nil, nil, err
		}
		for _, p := range page {
			got = append(got, strings.Join(billing.ChargeRow(p, time.FixedZone("", 8*3600)), ","))
		}
		if len(page) < filter.Limit {
			break
		}
		last := page[len(page)-1]
		filter.After = billing.Cursor{FirstMicros: last.FirstMicros, TollPoint: last.TollPoint, Vehicle: last.Vehicle, ID: last.ID}
	}
	missing, extra = oracle.Difference(s.want, got)
	return missing, extra, nil
}

func (s *system) store(t *testing.T) *books.Store {
	t.Helper()
	store, err := books.Open(t.Context(), s.books, books.Options{Clock: clock.System{}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func (s *system) matcher(t *testing.T, env ...string) *process {
	return s.run(t, s.redis, env, "--target", "matcher")
}

func (s *system) matcherOn(t *testing.T, redis string) *process {
	return s.run(t, redis, nil, "--target", "matcher")
}

func (s *system) credentials(t *testing.T) (unit, operator string) {
	t.Helper()
	for range 200 {
		text, err := os.ReadFile(filepath.Join(s.dir, "credentials.json"))
		if err == nil {
			var c struct {
				UnitKey     string `json:"unit_key"`
				OperatorKey string `json:"operator_key"`
			}
			if err := json.Unmarshal(text, &c); err != nil {
				t.Fatal(err)
			}
			return c.UnitKey, c.OperatorKey
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("no credentials were written")
	return "", ""
}

func (s *system) await(t *testing.T, address string) {
	t.Helper()
	for range 200 {
		if response, err := http.Get(address); err == nil {
			_ = response.Body.Close()
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%s does not answer", address)
}

func (s *system) request(t *testing.T, method, address, key, kind, body string) {
	t.Helper()
	if _, err := do(method, address, key, kind, []byte(body)); err != nil {
		t.Fatal(err)
	}
}

func do(method, address, key, kind string, body []byte) ([]byte, error) {
	request, err := http.NewRequest(method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", kind)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 300 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, address, response.Status, answer)
	}
	return answer, nil
}

// process is a freeflow that the test started and ends.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	out  *bytes.Buffer
}

func (s *system) run(t *testing.T, redis string, env []string, args ...string) *process {
	t.Helper()
	args = append([]string{"run", "--data", s.dir, "--kafka", s.kafka, "--redis", redis, "--books", s.books,
		"--admin-addr", freeAddr(t), "--session-timeout", session.String(), "--log-level", "warn"}, args...)
	p := &process{cmd: exec.Command(s.binary, args...), done: make(chan struct{}), out: &bytes.Buffer{}}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is asked of the state
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill(t)
		if t.Failed() {
			text := p.out.String()
			t.Logf("%v said:\n%s", args[len(args)-2:], text[max(0, len(text)-4000):])
		}
	})
	return p
}

func (p *process) diesWithin(d time.Duration) bool {
	select {
	case <-p.done:
		return true
	case <-time.After(d):
		return false
	}
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
}

func (p *process) kill(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	<-p.done
}

func (p *process) terminate(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGCONT)
	p.signal(t, syscall.SIGTERM)
	if !p.diesWithin(20 * time.Second) {
		t.Error("did not end within 20 s of SIGTERM")
		p.kill(t)
	}
}

// build builds the program with the points at which it can die.
func build(t *testing.T, flags ...string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "freeflow")
	args := append([]string{"build", "-tags", "failpoint", "-o", binary}, flags...)
	cmd := exec.Command("go", append(args, "./cmd/freeflow")...)
	cmd.Dir = root(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	return binary
}

// overlay writes what go build's -overlay takes to see one file with a
// replacement in it.
func overlay(t *testing.T, file, old, new string) string {
	t.Helper()
	path := filepath.Join(root(t), file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(old)) {
		t.Fatalf("%s does not contain %q any more; mend the mutant", file, old)
	}
	mutated := filepath.Join(t.TempDir(), "mutated.go")
	if err := os.WriteFile(mutated, bytes.Replace(text, []byte(old), []byte(new), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: mutated}})
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(out, list, 0o600); err != nil {
		t.Fatal(err)
	}
	return out
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// freshDatabase makes an empty database beside the one given, and drops it
// after the test.
func freshDatabase(t *testing.T) string {
	t.Helper()
	base := os.Getenv("FREEFLOW_TEST_POSTGRES")
	name := fmt.Sprintf("faults_%x", rand.Uint64())
	admin := func(ctx context.Context, statement string) {
		conn, err := pgx.Connect(ctx, base)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Error(err)
		}
	}
	admin(t.Context(), "CREATE DATABASE "+name)
	t.Cleanup(func() { admin(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)") })
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// dropTopics empties the log: the books of each test are new.
func dropTopics(t *testing.T, broker string) {
	t.Helper()
	client := &kafkago.Client{Addr: kafkago.TCP(broker), Timeout: 10 * time.Second, Transport: &kafkago.Transport{}}
	names := []string{kafka.TopicReads, kafka.TopicRejected, "charges.v1"}
	if _, err := client.DeleteTopics(t.Context(), &kafkago.DeleteTopicsRequest{Topics: names}); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		meta, err := client.Metadata(t.Context(), &kafkago.MetadataRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(meta.Topics, func(topic kafkago.Topic) bool { return slices.Contains(names, topic.Name) }) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("topics are still there after 10 s")
}

// lossyProxy passes connections on to a server and loses every nth reply: the
// server has done the command, the client sees the connection break.
type lossyProxy struct {
	addr string
	lost atomic.Int64
}

func newLossyProxy(t *testing.T, server string, every int64) *lossyProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	p := &lossyProxy{addr: l.Addr().String()}
	var replies atomic.Int64
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", server)
			if err != nil {
				_ = client.Close()
				continue
			}
			hangUp := func() { _, _ = client.Close(), upstream.Close() }
			go func() {
				defer hangUp()
				_, _ = io.Copy(upstream, client)
			}()
			go func() {
				defer hangUp()
				buf := make([]byte, 64<<10)
				for {
					n, err := upstream.Read(buf)
					if err != nil {
						return
					}
					if replies.Add(1)%every == 0 {
						p.lost.Add(1)
						return
					}
					if _, err := client.Write(buf[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return p
}
