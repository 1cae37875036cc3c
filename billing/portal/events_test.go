package portal

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"freeflow/internal/web"
)

// stream opens /events over a real connection and returns its lines.
func listen(t *testing.T, address string, b *browser, header ...string) (lines <-chan string, status int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+address+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Client{Transport: &http.Transport{}}).Do(r) //nolint:bodyclose // closed by the reader below
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan string)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(out)
		defer resp.Body.Close()
		for s := bufio.NewScanner(resp.Body); s.Scan(); {
			if s.Text() == "" {
				continue
			}
			select {
			case out <- s.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return out, resp.StatusCode
}

// serve runs the portal on a real listener; stop returns once it has ended.
func (p *place) serve(t *testing.T) (address string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(ctx, ln, p, slog.New(slog.DiscardHandler)) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return ln.Addr().String(), stop
}

// next returns the next line, or fails if the stream ends or says nothing.
func next(t *testing.T, lines <-chan string) string {
	t.Helper()
	select {
	case line, ok := <-lines:
		if !ok {
			t.Fatal("the stream ended")
		}
		return line
	case <-time.After(10 * time.Second):
		t.Fatal("the stream says nothing")
	}
	return ""
}

func expect(t *testing.T, lines <-chan string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if got := next(t, lines); got != want {
			t.Fatalf("the stream says %q, want %q", got, want)
		}
	}
}

func ends(t *testing.T, lines <-chan string) {
	t.Helper()
	for {
		select {
		case _, ok := <-lines:
			if !ok {
				return
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the stream goes on")
		}
	}
}

func TestEventsTellOfNewPasses(t *testing.T) {
	p := newPlace(t, func(parts *Parts) { parts.KeepAlive = time.Hour })
	address, _ := p.serve(t)
	b := p.signedIn(t)
	lines, status := listen(t, address, b)
	if status != 200 {
		t.Fatalf("status %d", status)
	}
	expect(t, lines, "retry: 2000", "id: 1", "event: passes", "data:")
	hasNot(t, "the page before", b.get("/").Body.String(), id(1))
	p.put(t, pass(1))
	p.portal.Feed.Notify([]string{"A2", ""}) // not mine
	p.portal.Feed.Notify([]string{"A1", "A1"})
	expect(t, lines, "id: 2", "event: passes", "data:")
	has(t, "the page after", b.get("/").Body.String(), id(1))

	again, _ := listen(t, address, b, "Last-Event-ID", "41")
	expect(t, again, "retry: 2000", "id: 42", "event: passes")
}

func TestStreamsEndWithTheSession(t *testing.T) {
	p := newPlace(t, func(parts *Parts) { parts.KeepAlive = time.Hour })
	address, _ := p.serve(t)
	b := p.signedIn(t)
	lines, _ := listen(t, address, b)
	next(t, lines)
	page := b.get("/").Body.String()
	if w := b.post("/sign-out", map[string][]string{"token": {token(t, page)}}); w.Code != 303 {
		t.Fatalf("signing out: %d", w.Code)
	}
	ends(t, lines)
}

func TestStreamsEndWhenTheSessionExpires(t *testing.T) {
	p := newPlace(t, func(parts *Parts) { parts.KeepAlive = time.Millisecond })
	address, _ := p.serve(t)
	lines, _ := listen(t, address, p.signedIn(t))
	for next(t, lines) != ": alive" {
		continue
	}
	p.clock.Advance(sessionIdle)
	ends(t, lines)
}

func TestStreamsEndWithTheServer(t *testing.T) {
	p := newPlace(t, func(parts *Parts) { parts.KeepAlive = time.Hour })
	address, stop := p.serve(t)
	lines, _ := listen(t, address, p.signedIn(t))
	next(t, lines)
	stop()
	ends(t, lines)
	if n := p.portal.Feed.Listeners(); n != 0 {
		t.Errorf("%d places are still taken", n)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	p := newPlace(t, func(parts *Parts) { parts.KeepAlive = time.Hour })
	b := p.signedIn(t)
	var places []*stream
	for range maxStreamsEach {
		s, err := p.portal.Feed.listen("A1")
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, s)
	}
	if w := b.get("/events", "Accept", "text/event-stream"); w.Code != 503 || !strings.Contains(w.Header().Get("Retry-After"), "30") {
		t.Errorf("one stream too many: %d", w.Code)
	}
	if _, err := p.portal.Feed.listen("A2"); err != nil {
		t.Errorf("another account: %v", err)
	}
	p.portal.Feed.leave(places[0])
	p.portal.Feed.leave(places[0]) // twice does no harm
	if n := p.portal.Feed.Listeners(); n != maxStreamsEach {
		t.Errorf("%d places are taken", n)
	}
	if _, err := p.portal.Feed.listen("A1"); err != nil {
		t.Errorf("after one has left: %v", err)
	}
}

// TestNotifyNeverWaits: a page that does not read costs nothing and finds one
// note, however often something changed.
func TestNotifyNeverWaits(t *testing.T) {
	f := NewFeed()
	s, err := f.listen("A1")
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		f.Notify([]string{"A1"})
	}
	if len(s.changed) != 1 {
		t.Errorf("%d notes", len(s.changed))
	}
}
