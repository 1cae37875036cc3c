package carparks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"freeflow/internal/clock"
)

var (
	seed   = flag.Uint64("seed", 0, "what the kills and the clients' pauses are drawn from; 0 draws one")
	binary = flag.String("freeflow", "", "the freeflow binary; built if empty")
)

const (
	// startTime bounds how long a process may take to be ready.
	startTime = 60 * time.Second
	// askEvery is the pause between two questions after a state that is to come.
	askEvery = 20 * time.Millisecond
)

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "carparks-")
	if err == nil && *binary == "" {
		*binary = filepath.Join(dir, "freeflow")
		err = build(*binary)
	}
	status := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		status = m.Run()
		os.RemoveAll(dir)
	}
	os.Exit(status)
}

// build makes a binary.
func build(path string, flags ...string) error {
	args := append(append([]string{"build", "-o", path}, flags...), "freeflow/cmd/freeflow")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("building freeflow: %w\n%s", err, out)
	}
	return nil
}

// server is one process of the product, which is killed and started again.
type server struct {
	program, books, data string
	client               *http.Client
	// base is where its operators' API is, or was before it was killed.
	base atomic.Pointer[string]
	key  string

	// mu is held by whoever starts or ends the process.
	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{}
	log   bytes.Buffer
}

// newServer starts a process over the books; it ends with the test.
func newServer(t *testing.T, name, program, books string, client *http.Client) *server {
	t.Helper()
	s := &server{program: program, books: books, data: filepath.Join(t.TempDir(), name), client: client}
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.kill()
		if t.Failed() {
			text := s.log.String()
			t.Logf("process %s said at last:\n%s", name, text[max(0, len(text)-3000):])
		}
	})
	return s
}

// start starts the process on new addresses and waits until it is ready. s.mu
// is held.
func (s *server) start(ctx context.Context) error {
	addresses, err := freeAddresses(3)
	if err != nil {
		return err
	}
	s.cmd = exec.Command(s.program, "run", "--target", "parking", "--no-sample-carparks", "--data", s.data, "--books", s.books,
		"--operator-addr", addresses[0], "--portal-addr", addresses[1], "--admin-addr", addresses[2], "--log-level", "warn")
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("starting the process: %w", err)
	}
	cmd, ended := s.cmd, make(chan struct{})
	s.ended = ended
	go func() {
		_ = cmd.Wait() // how it ended is asked where that matters
		close(ended)
	}()
	err = await(ctx, startTime, func() error {
		select {
		case <-ended:
			return fatal{fmt.Errorf("the process ended by itself: %v\n%s", cmd.ProcessState, s.log.String())}
		default:
		}
		_, err := s.get(ctx, "http://"+addresses[2]+"/readyz")
		return err
	})
	if err != nil {
		return fmt.Errorf("waiting for the process to be ready: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(s.data, "credentials.json"))
	if err != nil {
		return err
	}
	var keys struct {
		Operator string `json:"operator_key"`
	}
	if err := json.Unmarshal(text, &keys); err != nil {
		return err
	}
	if s.key != "" && s.key != keys.Operator {
		return errors.New("the process has another key than before")
	}
	base := "http://" + addresses[0]
	s.key = keys.Operator
	s.base.Store(&base)
	return nil
}

// kill is kill -9, and returns when the process is gone. s.mu is held.
func (s *server) kill() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may have ended by itself
	<-s.ended
}

// strike kills the process and starts it again.
func (s *server) strike(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kill()
	return s.start(ctx)
}

// answer is what a request came to.
type answer struct {
	status int
	body   []byte
}

// problem is the last part of a problem document's type.
func (a answer) problem() string {
	var p struct{ Type string }
	if json.Unmarshal(a.body, &p) != nil {
		return ""
	}
	return p.Type[strings.LastIndex(p.Type, "/")+1:]
}

// decided is the answer without the name of the single request that it was an
// answer to.
func (a answer) decided() string { return requestID.ReplaceAllString(a.String(), "") }

var requestID = regexp.MustCompile(`"request_id":"[0-9a-f]*",?`)

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, bytes.TrimSpace(a.body)) }

// send makes one request of the operators' API; an error means that nobody
// knows what became of it.
func (s *server) send(ctx context.Context, method, path, key, body string) (answer, error) {
	base := s.base.Load()
	if base == nil {
		return answer{}, errors.New("the process has not been started")
	}
	req, err := http.NewRequestWithContext(ctx, method, *base+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", `"`+key+`"`)
	}
	return s.do(req)
}

func (s *server) do(req *http.Request) (answer, error) {
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	return answer{resp.StatusCode, text}, err
}

// get is a GET without a key that has to be answered with 200.
func (s *server) get(ctx context.Context, url string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return answer{}, err
	}
	a, err := s.do(req)
	if err == nil && a.status != http.StatusOK {
		err = errors.New(a.String())
	}
	return a, err
}

// freeAddresses are loopback addresses on which nobody listened just now.
func freeAddresses(n int) ([]string, error) {
	var addresses []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

// fatal is an error after which waiting is no use.
type fatal struct{ error }

// await asks until the check is content, or returns its last complaint.
func await(ctx context.Context, patience time.Duration, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := check()
		var stop fatal
		if err == nil || errors.As(err, &stop) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(askEvery):
		}
	}
}

// nanos is a clock in nanoseconds, from an origin of its own.
type nanos struct {
	clock  clock.System
	origin time.Time
}

func (n *nanos) now() int64 { return int64(n.clock.Now().Sub(n.origin)) }
