package redis_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"freeflow/internal/clock"
	"freeflow/internal/redis"
)

func TestNewReadsAddresses(t *testing.T) {
	server := miniredis.RunT(t)
	server.RequireUserAuth("gate", "secret")
	for _, test := range []struct{ address, want string }{
		{"redis://gate:secret@" + server.Addr() + "/2", ""},
		{"redis://gate:wrong@" + server.Addr(), "WRONGPASS"},
		{" , ", "no address"},
		{"", "no address"},
		{"http://" + server.Addr(), "reading the Redis URL"},
	} {
		client, err := redis.New(test.address)
		if err == nil {
			err = client.Set(t.Context(), "k", "v", 0).Err()
			client.Close()
		}
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%q: %v, want %q", test.address, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the password stands in %q", err)
		}
	}
	server.Select(2)
	if got, err := server.DB(2).Get("k"); err != nil || got != "v" {
		t.Errorf("database 2 has %q, %v", got, err)
	}
}

// swallow is a server that takes commands and lets their answers get lost: it
// passes what a client says to addr, and cuts the line instead of answering
// once it has seen the word.
func swallow(t *testing.T, addr, word string, seen *atomic.Int32) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go relay(client, addr, word, seen)
		}
	}()
	return listener.Addr().String()
}

func relay(client net.Conn, addr, word string, seen *atomic.Int32) {
	defer client.Close()
	server, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer server.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
		answer := make([]byte, 64<<10)
		m, err := server.Read(answer)
		if err != nil {
			return
		}
		if bytes.Contains(buf[:n], []byte(word)) {
			seen.Add(1)
			return
		}
		if _, err := client.Write(answer[:m]); err != nil {
			return
		}
	}
}

// A lost answer is an error, never a second try: the second would find the key
// there and say that somebody else had claimed it.
func TestALostAnswerIsNotAskedForAgain(t *testing.T) {
	server := miniredis.RunT(t)
	var sent atomic.Int32
	client, err := redis.New(swallow(t, server.Addr(), "claim", &sent))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ok, err := client.SetNX(t.Context(), "claim", "me", 0).Result()
	if err == nil {
		t.Errorf("the lost answer came as %v", ok)
	}
	if sent.Load() != 1 {
		t.Errorf("the claim was sent %d times", sent.Load())
	}
	if !server.Exists("claim") {
		t.Error("the claim never reached the server: the test proves nothing")
	}
}

func TestCallsObeyTheirContext(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				// Takes everything, answers nothing, until the client goes.
				_, _ = io.Copy(io.Discard, conn)
			}()
		}
	}()
	client, err := redis.New(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := clock.System{}.Now()
	if err := client.Get(ctx, "k").Err(); err == nil {
		t.Error("a silent server gave an answer")
	}
	if took := (clock.System{}).Now().Sub(began); took > time.Second {
		t.Errorf("the call took %v with 50 ms allowed", took)
	}
}

func TestCheckSaysWhatItCannotKnow(t *testing.T) {
	server := miniredis.RunT(t)
	client, err := redis.New(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	if err := redis.Check(t.Context(), client, log); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "does not tell its eviction policy") {
		t.Errorf("the log says %q", out.String())
	}
	server.Close()
	if err := redis.Check(t.Context(), client, log); err == nil {
		t.Error("a server that is gone passes the check")
	} else if errors.Is(err, context.Canceled) {
		t.Errorf("the check failed for another reason: %v", err)
	}
}
