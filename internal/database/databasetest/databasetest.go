// Package databasetest owns what tests of stores need of a real PostgreSQL: a
// schema of their own on the server that FREEFLOW_TEST_POSTGRES names, and a
// way to the server that loses the answer to a COMMIT when told to.
//
// Invariant: what a test makes is gone when it ends. Not promised: a server;
// without one the test fails and says what to set.
package databasetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

// server is the address that the environment names.
func server(t testing.TB) string {
	t.Helper()
	address := os.Getenv("FREEFLOW_TEST_POSTGRES")
	if address == "" {
		t.Fatal("FREEFLOW_TEST_POSTGRES is not set: give the postgres:// address of a database where schemas may be created, or run 'make test-services'")
	}
	return address
}

// schemas counts the schemas made by this process.
var schemas atomic.Int64

// URL makes a schema of its own for a test, returns the address under which it
// is all there is, and drops it afterwards.
func URL(t testing.TB) string {
	t.Helper()
	address := server(t)
	ctx := context.Background()
	admin, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal("connecting to FREEFLOW_TEST_POSTGRES failed") // the error may hold a password
	}
	name := fmt.Sprintf("freeflow_test_%d_%d", os.Getpid(), schemas.Add(1))
	if _, err := admin.Exec(ctx, "CREATE SCHEMA "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec(ctx, "DROP SCHEMA "+name+" CASCADE"); err != nil {
			t.Error(err)
		}
		if err := admin.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal("FREEFLOW_TEST_POSTGRES is no URL")
	}
	query := u.Query()
	query.Set("search_path", name)
	u.RawQuery = query.Encode()
	return u.String()
}

// CommitThief is a way to a server that, once armed, waits for the answer to a
// COMMIT, keeps it and cuts the line.
type CommitThief struct {
	listener net.Listener
	armed    atomic.Bool
}

// NewCommitThief returns a way to the server at the address, host:port, which
// ends with the test.
func NewCommitThief(t testing.TB, address string) *CommitThief {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &CommitThief{listener: listener}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			behind, err := net.Dial("tcp", address)
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

// Addr is where the way begins, host:port.
func (p *CommitThief) Addr() string { return p.listener.Addr().String() }

// Arm makes the next answer to a COMMIT get lost.
func (p *CommitThief) Arm() { p.armed.Store(true) }

// Armed reports whether none has been lost since Arm.
func (p *CommitThief) Armed() bool { return p.armed.Load() }

// carry copies both ways until one side ends.
func (p *CommitThief) carry(client, server net.Conn) {
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
