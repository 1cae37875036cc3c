package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"freeflow/internal/clock"
	"freeflow/internal/kafka"
)

// orderPerKey: concurrent callers, each with a key of its own; all is there
// once, in the order of the calls, one key in one partition.
func (s suite) orderPerKey(t *testing.T) {
	const callers, calls, size = 8, 40, 25
	topic := s.topic(t, 5)
	p := s.publisher(t, kafka.Config{})
	ctx := within(t)
	before := clock.System{}.Now().Add(-time.Minute)
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for i := range calls {
				msgs := numbered(fmt.Sprintf("key-%d", caller), i*size, size)
				msgs[0].Headers = []kafka.Header{{Key: "call", Value: []byte(strconv.Itoa(i))}}
				if err := p.Publish(ctx, topic, msgs); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	next := map[string]int{}
	home := map[string]int{}
	headers := 0
	err := kafka.Scan(ctx, kafka.FollowConfig{Brokers: s.brokers, Topic: topic}, func(partition int, records []kafka.Record) error {
		for _, r := range records {
			key := string(r.Key)
			if was, ok := home[key]; ok && was != partition {
				t.Errorf("key %s stands in partitions %d and %d", key, was, partition)
			}
			home[key] = partition
			if got := string(r.Value); got != strconv.Itoa(next[key]) {
				t.Fatalf("key %s: %s came where %d was due", key, got, next[key])
			}
			next[key]++
			if r.Time.Before(before) || r.Time.After(clock.System{}.Now().Add(time.Minute)) {
				t.Errorf("record time %v is not the time of arrival", r.Time)
			}
			headers += len(r.Headers)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for caller := range callers {
		if key := fmt.Sprintf("key-%d", caller); next[key] != calls*size {
			t.Errorf("%s: %d of %d messages", key, next[key], calls*size)
		}
	}
	if headers != callers*calls {
		t.Errorf("%d headers came of %d", headers, callers*calls)
	}
}

// publishWhileUnreachable: a caller that gives up gets an error in time, one
// with patience succeeds when the brokers are back, and the order holds.
func (s suite) publishWhileUnreachable(t *testing.T) {
	topic := s.topic(t, 1)
	net := newNetwork()
	p := s.publisher(t, kafka.Config{Dial: net.dial, Timeout: patience})
	ctx := within(t)
	if err := p.Publish(ctx, topic, numbered("k", 0, 1)); err != nil {
		t.Fatal(err)
	}
	net.set(true)
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if err := p.Publish(short, topic, numbered("k", 1, 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("publishing while the brokers are unreachable: %v, want the context's error", err)
	}
	patient := make(chan error, 1)
	go func() { patient <- p.Publish(ctx, topic, numbered("k", 2, 1)) }()
	select {
	case err := <-patient:
		t.Fatalf("publishing answered %v while the brokers were unreachable", err)
	case <-time.After(200 * time.Millisecond):
	}
	net.set(false)
	if err := <-patient; err != nil {
		t.Fatalf("publishing once the brokers were back: %v", err)
	}
	var got []string
	err := kafka.Scan(ctx, kafka.FollowConfig{Brokers: s.brokers, Topic: topic}, func(_ int, records []kafka.Record) error {
		for _, r := range records {
			got = append(got, string(r.Value))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// The abandoned message may stand there or not, also twice; the order of
	// first appearance is that of the calls.
	joined := strings.Join(got, "")
	if !strings.HasPrefix(joined, "0") || !strings.HasSuffix(joined, "2") || strings.Count(joined, "0") != 1 {
		t.Errorf("the log has %q", got)
	}
}

// boundedMemory: with no broker to take them, no more bytes are taken in than
// allowed; the other callers wait and obey their contexts.
func (s suite) boundedMemory(t *testing.T) {
	topic := s.topic(t, 1)
	net := newNetwork()
	p := s.publisher(t, kafka.Config{Dial: net.dial, MaxInFlight: 64 << 10, Timeout: time.Second})
	if err := p.Publish(within(t), topic, numbered("k", 0, 1)); err != nil {
		t.Fatal(err)
	}
	net.set(true)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	const callers = 200
	value := make([]byte, 4<<10)
	var mu sync.Mutex
	waited := 0
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			err := p.Publish(ctx, topic, []kafka.Message{{Value: value}})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("publishing without brokers: %v, want the context's error", err)
			}
			if err != nil && strings.Contains(err.Error(), "waiting for room") {
				mu.Lock()
				waited++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if most := 64 / 4; callers-waited > most {
		t.Errorf("%d callers of 4 KiB each were let in at once, into 64 KiB", callers-waited)
	}
	// The room comes back once the brokers do.
	net.set(false)
	if err := p.Publish(within(t), topic, []kafka.Message{{Value: make([]byte, 60<<10)}}); err != nil {
		t.Errorf("publishing afterwards: %v", err)
	}
}

func (s suite) tooLargeIsRefused(t *testing.T) {
	topic := s.topic(t, 1)
	p := s.publisher(t, kafka.Config{})
	ctx := within(t)
	if err := p.Publish(ctx, topic, []kafka.Message{{Value: make([]byte, 1<<20)}}); err == nil {
		t.Error("a message of 1 MiB was taken")
	}
	// Many that fit one by one, but not together, go in several batches.
	big := make([]kafka.Message, 30)
	for i := range big {
		big[i] = kafka.Message{Key: []byte("k"), Value: make([]byte, 100<<10)}
	}
	if err := p.Publish(ctx, topic, big); err != nil {
		t.Errorf("publishing 3 MB: %v", err)
	}
}
