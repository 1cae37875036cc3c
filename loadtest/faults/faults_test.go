//go:build services

package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// points are where a matcher can be told to die (package matcher).
var points = []string{"fetched", "exchanged", "judged", "posted", "committed"}

// A matcher is killed fifty times, ten times at each point between Redis, the
// books and the offsets.
func TestKilledAtEveryPoint(t *testing.T) {
	const kills = 50
	s := start(t, 101)
	stop := s.traffic(t, 30)
	deaths := 0
	for i := 0; deaths < kills; i++ {
		if i == 3*kills {
			t.Fatalf("only %d deaths in %d lives", deaths, i)
		}
		at := fmt.Sprintf("%s:%d", points[i%len(points)], 1+s.rng.IntN(4))
		m := s.matcher(t, "FREEFLOW_KILL_AT="+at)
		if m.diesWithin(10 * time.Second) {
			deaths++
		} else {
			m.kill(t)
		}
	}
	stop()
	s.settle(t, s.matcher(t))
}

// Redis forgets everything once a second.
func TestRedisFlushedEverySecond(t *testing.T) {
	s := start(t, 102)
	client := redis.NewClient(&redis.Options{Addr: s.redis})
	defer client.Close()
	ctx, cancel := context.WithCancel(t.Context())
	flushed := make(chan int, 1)
	go func() {
		n := 0
		for tick := time.NewTicker(time.Second); ; n++ {
			select {
			case <-ctx.Done():
				tick.Stop()
				flushed <- n
				return
			case <-tick.C:
				if err := client.FlushAll(ctx).Err(); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		}
	}()
	m := s.matcher(t)
	s.traffic(t, 25)()
	cancel()
	if n := <-flushed; n < 5 {
		t.Errorf("flushed only %d times", n)
	}
	s.settle(t, m)
}

// Every fifth reply of Redis is lost after the command was done.
func TestRedisRepliesLost(t *testing.T) {
	s := start(t, 103)
	proxy := newLossyProxy(t, s.redis, 5)
	m := s.matcherOn(t, proxy.addr)
	s.traffic(t, 40)()
	s.settle(t, m)
	if proxy.lost.Load() < 10 {
		t.Errorf("only %d replies were lost", proxy.lost.Load())
	}
}

// A matcher is frozen for longer than its session, another takes over, and the
// first thaws and goes on with what it had in hand.
func TestFrozenAndThawed(t *testing.T) {
	s := start(t, 104)
	first := s.matcher(t)
	stop := s.traffic(t, 30)
	second := s.matcher(t)
	for range 5 {
		time.Sleep(time.Duration(500+s.rng.IntN(1000)) * time.Millisecond)
		first.signal(t, syscall.SIGSTOP)
		time.Sleep(3 * session)
		first.signal(t, syscall.SIGCONT)
		first, second = second, first
	}
	stop()
	s.settle(t, first, second)
}

// Matchers come and go once a second.
func TestRebalanceStorm(t *testing.T) {
	s := start(t, 105)
	stop := s.traffic(t, 30)
	var alive []*process
	for range 25 {
		if len(alive) < 2 || (len(alive) < 4 && s.rng.IntN(2) == 0) {
			alive = append(alive, s.matcher(t))
		} else {
			i := s.rng.IntN(len(alive))
			alive[i].terminate(t)
			alive = append(alive[:i], alive[i+1:]...)
		}
		time.Sleep(time.Second)
	}
	stop()
	s.settle(t, alive...)
}

// The suite has to be able to fail: with deduplication switched off in the
// source it must.
func TestMutantWithoutDeduplicationIsCaught(t *testing.T) {
	const guard = "if p.Point == s.Point && p.Near(one, gap) && (into == nil || p.First < into.First) {"
	mutated := overlay(t, "tolling/add.go", guard, strings.Replace(guard, "p.Near(one, gap)", "p.First == one.First", 1))
	s := startWith(t, 106, build(t, "-overlay", mutated))
	m := s.matcher(t)
	s.traffic(t, 200)()
	missing, extra, err := s.compare(t, 20*time.Second, m)
	if err == nil && len(missing)+len(extra) == 0 {
		t.Fatal("a matcher that does not deduplicate was not caught")
	}
	t.Logf("caught: %d rows missing, %d extra, %v", len(missing), len(extra), err)
}

func TestMain(m *testing.M) {
	for _, name := range []string{"FREEFLOW_TEST_KAFKA", "FREEFLOW_TEST_REDIS", "FREEFLOW_TEST_POSTGRES"} {
		if os.Getenv(name) == "" {
			fmt.Fprintf(os.Stderr, "%s is not set; run 'make test-services'\n", name)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }
