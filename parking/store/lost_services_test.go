//go:build services

package store

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"freeflow/parking"
	"freeflow/parking/storetest"
)

// TestPostgresLostCommitAnswer: the server commits, the answer never comes. The
// same request finds its effect done and its answer kept.
func TestPostgresLostCommitAnswer(t *testing.T) {
	direct := postgresURL(t)
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	thief := newCommitThief(t, u.Host)
	u.Host = thief.listener.Addr().String()
	if err := Migrate(context.Background(), direct); err != nil {
		t.Fatal(err)
	}
	opts := testOptions()
	opts.Migrate = false
	s := openTest(t, u.String(), opts)
	ctx := context.Background()
	c := claimOf("a1", "B1")
	d := parking.Departure{Allocation: "a1", To: parking.Gone, Once: &parking.Once{Scope: "s", Key: "d"}}
	block := func(tx parking.Tx) (parking.Answer, error) {
		return parking.Answer{}, tx.PutAllocation(ctx, parking.Allocation{ID: "a2", CarPark: "P", Bay: "B2", State: parking.Blocked, Revision: 1})
	}
	for _, request := range []struct {
		name string
		send func() (parking.Answer, error)
	}{
		{"claim", func() (parking.Answer, error) {
			o, err := s.Claim(ctx, storetest.Now, []parking.Claim{c})
			if err != nil {
				return parking.Answer{}, err
			}
			return o[0].Answer, o[0].Err
		}},
		{"departure", func() (parking.Answer, error) {
			o, err := s.Depart(ctx, storetest.Now, []parking.Departure{d})
			if err != nil {
				return parking.Answer{}, err
			}
			return o[0].Answer, o[0].Err
		}},
		{"do", func() (parking.Answer, error) { return s.Do(ctx, &parking.Once{Scope: "s", Key: "do"}, block) }},
	} {
		thief.armed.Store(true)
		if _, err := request.send(); err == nil || thief.armed.Load() {
			t.Fatalf("%s with a lost answer: %v", request.name, err)
		}
		if a, err := request.send(); err != nil || !a.Replayed {
			t.Errorf("%s again: %+v, %v", request.name, a, err)
		}
	}
	o, err := s.Occupancy(ctx, "P", storetest.Now)
	if err != nil || len(o.Active) != 1 || o.Active[0].ID != "a2" {
		t.Errorf("%+v, %v", o.Active, err)
	}
	if broken := violated(t, s); len(broken) != 0 {
		t.Errorf("broken: %v", broken)
	}
}

// commitThief is a proxy that, once armed, waits for the answer to a COMMIT,
// keeps it and cuts the line.
type commitThief struct {
	listener net.Listener
	armed    atomic.Bool
}

func newCommitThief(t *testing.T, server string) *commitThief {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &commitThief{listener: listener}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			behind, err := net.Dial("tcp", server)
			if err != nil {
				t.Error(err)
				client.Close()
				return
			}
			wg.Go(func() { p.carry(client, behind) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		wg.Wait()
	})
	return p
}

// carry copies both ways until one side ends.
func (p *commitThief) carry(client, server net.Conn) {
	defer client.Close()
	defer server.Close()
	go func() {
		defer server.Close()
		_, _ = io.Copy(server, client) // the end of either side is seen below
	}()
	buffer := make([]byte, 1<<16)
	for {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		if bytes.Contains(buffer[:n], []byte("COMMIT\x00")) && p.armed.CompareAndSwap(true, false) {
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}
