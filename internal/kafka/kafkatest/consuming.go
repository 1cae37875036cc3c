package kafkatest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"freeflow/internal/clock"
	"freeflow/internal/kafka"
)

// resumeInsideABatch: all messages are one record batch at the broker; reading
// begins in the middle of it at exactly the offset asked for, and a new
// session at exactly the one committed.
func (s suite) resumeInsideABatch(t *testing.T) {
	topic := s.topic(t, 1)
	s.publish(t, topic, numbered("k", 0, 100))
	ctx := within(t)
	done := make(chan error, 1)
	try := 0
	stop := start(t, s.group(t, topic, rand.Text(), nil), func(ctx context.Context, ses kafka.Session) error {
		try++
		err := func() error {
			if try == 1 {
				if err := expect(ctx, ses, 10, 0, 10); err != nil {
					return err
				}
				if err := ses.SeekTo(37); err != nil {
					return err
				}
				if err := expect(ctx, ses, 5, 37, 42); err != nil {
					return err
				}
				if err := ses.SeekTo(3); err != nil {
					return err
				}
				if err := expect(ctx, ses, 1000, 3, 100); err != nil {
					return err
				}
				return ses.Commit(42)
			}
			return expect(ctx, ses, 1000, 42, 100)
		}()
		if try == 1 && err == nil {
			return errors.New("begin again")
		}
		done <- err
		<-ctx.Done()
		return ctx.Err()
	})
	defer stop()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Error("the session never came")
	}
}

// expect fetches once and wants the records from first to before end.
func expect(ctx context.Context, ses kafka.Session, limit int, first, end int64) error {
	records, next, err := ses.Fetch(ctx, limit)
	if err != nil {
		return err
	}
	if got := int64(len(records)); got != end-first || next != end {
		return fmt.Errorf("fetching at %d: %d records and next offset %d, want %d and %d", first, got, next, end-first, end)
	}
	for i, r := range records {
		if at := first + int64(i); r.Offset != at || string(r.Value) != strconv.FormatInt(at, 10) {
			return fmt.Errorf("record %d has offset %d and value %s, want %d", i, r.Offset, r.Value, at)
		}
	}
	return nil
}

// work serves a partition: it counts what comes and commits behind it.
func work(c *tally) func(context.Context, kafka.Session) error {
	return func(ctx context.Context, ses kafka.Session) error {
		for {
			records, next, err := ses.Fetch(ctx, 50)
			if err != nil {
				return err
			}
			for i, r := range records {
				if i > 0 && r.Offset <= records[i-1].Offset {
					return fmt.Errorf("offset %d came after %d", r.Offset, records[i-1].Offset)
				}
				c.add(r.Key, r.Value)
			}
			if err := ses.Commit(next); err != nil {
				return err
			}
		}
	}
}

// rebalanceLosesNothing: a second member comes and the first one goes while
// messages arrive. Nothing is lost, no partition is served twice at a time.
func (s suite) rebalanceLosesNothing(t *testing.T) {
	const partitions, keys, rounds = 4, 16, 120
	topic := s.topic(t, partitions)
	id := rand.Text()
	c := newTally(keys * rounds)
	var mu sync.Mutex
	serving := map[int]string{}
	served := map[string]int{}
	both := make(chan struct{})
	member := func(name string) func() {
		serve := work(c)
		return start(t, s.group(t, topic, id, nil), func(ctx context.Context, ses kafka.Session) error {
			mu.Lock()
			if other, busy := serving[ses.Partition()]; busy {
				t.Errorf("partition %d is served by %s and by %s", ses.Partition(), other, name)
			}
			serving[ses.Partition()] = name
			served[name]++
			perMember := map[string]int{}
			for _, who := range serving {
				perMember[who]++
			}
			if perMember["first"] == partitions/2 && perMember["second"] == partitions/2 {
				close(both)
			}
			mu.Unlock()
			err := serve(ctx, ses)
			mu.Lock()
			delete(serving, ses.Partition())
			mu.Unlock()
			return err
		})
	}
	p := s.publisher(t, kafka.Config{})
	publish := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			for k := range keys {
				if err := p.Publish(within(t), topic, numbered(fmt.Sprintf("key-%d", k), i, 1)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	stopFirst := member("first")
	defer stopFirst()
	publish(0, rounds/3)
	stopSecond := member("second")
	defer stopSecond()
	publish(rounds/3, 2*rounds/3)
	select {
	case <-both:
	case <-within(t).Done():
		t.Fatal("the two members never shared the partitions evenly")
	}
	stopFirst()
	publish(2*rounds/3, rounds)
	c.wait(t)
}

// serveFailsOthersGoOn: one partition's serve fails again and again; the other
// partition is worked on, in the same generation.
func (s suite) serveFailsOthersGoOn(t *testing.T) {
	topic := s.topic(t, 2)
	failed := make(chan struct{}, 1000)
	c := newTally(1)
	good := -1
	records := numbered("k", 0, 1)
	s.publish(t, topic, records)
	err := kafka.Scan(within(t), kafka.FollowConfig{Brokers: s.brokers, Topic: topic}, func(partition int, _ []kafka.Record) error {
		good = partition
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	begun := 0
	serve := work(c)
	stop := start(t, s.group(t, topic, rand.Text(), nil), func(ctx context.Context, ses kafka.Session) error {
		if ses.Partition() != good {
			select {
			case failed <- struct{}{}:
			default:
			}
			return errors.New("this partition is broken")
		}
		mu.Lock()
		begun++
		mu.Unlock()
		return serve(ctx, ses)
	})
	defer stop()
	ctx := within(t)
	for range 5 {
		select {
		case <-failed:
		case <-ctx.Done():
			t.Fatal("the broken partition was not begun again")
		}
	}
	c.wait(t)
	mu.Lock()
	defer mu.Unlock()
	if begun != 1 {
		t.Errorf("the good partition was begun %d times", begun)
	}
}

// brokenConnections: every connection of the member breaks again and again;
// each message still comes, and none twice within one session.
func (s suite) brokenConnections(t *testing.T) {
	const rounds, size = 30, 20
	topic := s.topic(t, 1)
	net := newNetwork()
	c := newTally(rounds * size)
	stop := start(t, s.group(t, topic, rand.Text(), net.dial), func(ctx context.Context, ses kafka.Session) error {
		at := int64(-1)
		for {
			records, next, err := ses.Fetch(ctx, 7)
			if err != nil {
				return err
			}
			for _, r := range records {
				if r.Offset <= at {
					t.Errorf("offset %d came again after %d", r.Offset, at)
				}
				at = r.Offset
				c.add(r.Key, r.Value)
			}
			if next != at+1 {
				t.Errorf("the offset after %d is said to be %d", at, next)
			}
			if err := ses.Commit(next); err != nil && !errors.Is(err, kafka.ErrEnded) {
				t.Error(err)
			}
		}
	})
	defer stop()
	p := s.publisher(t, kafka.Config{})
	for i := range rounds {
		if err := p.Publish(within(t), topic, numbered("k", i*size, size)); err != nil {
			t.Fatal(err)
		}
		if i%5 == 4 {
			net.cut()
		}
	}
	c.wait(t)
	if net.dials < 4 {
		t.Errorf("%d connections were made: the test broke none", net.dials)
	}
}

// commitAfterTheEnd: a session that outlives its generation commits nothing.
func (s suite) commitAfterTheEnd(t *testing.T) {
	topic := s.topic(t, 1)
	s.publish(t, topic, numbered("k", 0, 10))
	id := rand.Text()
	sessions := make(chan kafka.Session, 1)
	stop := start(t, s.group(t, topic, id, nil), func(ctx context.Context, ses kafka.Session) error {
		if err := ses.Commit(3); err != nil {
			t.Errorf("committing within the generation: %v", err)
		}
		sessions <- ses
		<-ctx.Done()
		return ctx.Err()
	})
	var old kafka.Session
	select {
	case old = <-sessions:
	case <-within(t).Done():
		t.Fatal("no session came")
	}
	stop()
	if err := old.Commit(9); !errors.Is(err, kafka.ErrEnded) {
		t.Errorf("committing after the generation: %v, want ErrEnded", err)
	}
	// The commit made just before the end counts, the one after does not.
	at := make(chan int64, 1)
	stop = start(t, s.group(t, topic, id, nil), func(ctx context.Context, ses kafka.Session) error {
		records, _, err := ses.Fetch(ctx, 1)
		if err != nil {
			return err
		}
		at <- records[0].Offset
		<-ctx.Done()
		return ctx.Err()
	})
	defer stop()
	select {
	case got := <-at:
		if got != 3 {
			t.Errorf("the next generation begins at %d, want 3", got)
		}
	case <-within(t).Done():
		t.Fatal("no second session came")
	}
}

// leavesAtOnce: a member that stops gives its partitions up at once; its
// successor need not wait for the session to time out.
func (s suite) leavesAtOnce(t *testing.T) {
	topic := s.topic(t, 1)
	id := rand.Text()
	began := make(chan struct{}, 2)
	member := func() func() {
		g := kafka.NewGroup(kafka.GroupConfig{
			Brokers: s.brokers, GroupID: id, Topic: topic, Log: logTo(t),
			SessionTimeout: patience, Heartbeat: 200 * time.Millisecond,
		})
		return start(t, g, func(ctx context.Context, _ kafka.Session) error {
			began <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		})
	}
	await := func(what string) {
		t.Helper()
		select {
		case <-began:
		case <-time.After(patience / 3):
			t.Fatalf("%s got no partition", what)
		}
	}
	stop := member()
	await("the first member")
	stop()
	stop = member()
	defer stop()
	await("its successor")
}

func (s suite) fetchEndsWithItsContext(t *testing.T) {
	topic := s.topic(t, 1)
	took := make(chan time.Duration, 1)
	stop := start(t, s.group(t, topic, rand.Text(), nil), func(ctx context.Context, ses kafka.Session) error {
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		began := clock.System{}.Now()
		if _, _, err := ses.Fetch(short, 10); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("fetching from an empty partition: %v, want the context's error", err)
		}
		took <- clock.System{}.Now().Sub(began)
		<-ctx.Done()
		return ctx.Err()
	})
	defer stop()
	select {
	case d := <-took:
		if d > 10*time.Second {
			t.Errorf("fetching took %v after its context had ended", d)
		}
	case <-within(t).Done():
		t.Fatal("fetching did not end")
	}
}

// offsetsNotKept: an offset beyond the log is an error that says so, not an
// endless wait; the bounds tell what there is.
func (s suite) offsetsNotKept(t *testing.T) {
	topic := s.topic(t, 1)
	s.publish(t, topic, numbered("k", 0, 10))
	result := make(chan error, 1)
	stop := start(t, s.group(t, topic, rand.Text(), nil), func(ctx context.Context, ses kafka.Session) error {
		result <- func() error {
			oldest, next, err := ses.Bounds(ctx)
			if err != nil {
				return err
			}
			if oldest != 0 || next != 10 {
				return fmt.Errorf("the bounds are %d and %d, want 0 and 10", oldest, next)
			}
			if err := ses.SeekTo(-1); err == nil {
				return errors.New("seeking to -1 was taken")
			}
			if err := ses.SeekTo(500); err != nil {
				return err
			}
			_, _, err = ses.Fetch(ctx, 1)
			var missing *kafka.OffsetError
			if !errors.As(err, &missing) || missing.Offset != 500 || missing.Next != 10 {
				return fmt.Errorf("fetching beyond the end: %w, want an OffsetError", err)
			}
			return nil
		}()
		<-ctx.Done()
		return ctx.Err()
	})
	defer stop()
	select {
	case err := <-result:
		if err != nil {
			t.Error(err)
		}
	case <-within(t).Done():
		t.Fatal("no answer came")
	}
}

func (s suite) ensureTopics(t *testing.T) {
	ctx := within(t)
	old := s.topic(t, 2)
	fresh := "test." + rand.Text()
	specs := []kafka.TopicSpec{{Name: old, Partitions: 3}, {Name: fresh, Partitions: 4, Config: map[string]string{"retention.ms": "3600000"}}}
	err := kafka.EnsureTopics(ctx, s.brokers, specs)
	var differs *kafka.PartitionsError
	if !errors.As(err, &differs) || differs.Topic != old || differs.Have != 2 || differs.Want != 3 {
		t.Fatalf("asking for 3 partitions of a topic with 2: %v", err)
	}
	// The fresh one stands all the same, and asking again changes nothing.
	specs[0].Partitions = 2
	if err := kafka.EnsureTopics(ctx, s.brokers, specs); err != nil {
		t.Fatal(err)
	}
	s.publish(t, fresh, numbered("k", 0, 1))
}

// followAndScan: Follow gives what comes after it began, Scan what was there
// when it began, and ends.
func (s suite) followAndScan(t *testing.T) {
	topic := s.topic(t, 3)
	for k := range 5 {
		s.publish(t, topic, numbered(fmt.Sprintf("old-%d", k), 0, 100))
	}
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	cfg := kafka.FollowConfig{Brokers: s.brokers, Topic: topic, Log: logTo(t)}
	followed := make(chan string, 10000)
	ended := make(chan error, 1)
	go func() {
		ended <- kafka.Follow(ctx, cfg, func(_ int, records []kafka.Record) error {
			for _, r := range records {
				followed <- string(r.Key)
			}
			return nil
		})
	}()
	// Follow tells nobody when it stands; so messages are sent until one comes.
	p := s.publisher(t, kafka.Config{})
	got := map[string]bool{}
	for i := 0; len(got) < 3; i++ {
		if err := p.Publish(ctx, topic, numbered(fmt.Sprintf("new-%d", i%3), i, 1)); err != nil {
			t.Fatal(err)
		}
		select {
		case key := <-followed:
			if key[:3] != "new" {
				t.Fatalf("Follow delivered %s, which was there before", key)
			}
			got[key] = true
		case <-time.After(20 * time.Millisecond):
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("following until the context ended: %v", err)
	}

	c := newTally(500)
	err := kafka.Scan(within(t), cfg, func(_ int, records []kafka.Record) error {
		for _, r := range records {
			if string(r.Key[:3]) == "old" {
				c.add(r.Key, r.Value)
			}
		}
		return nil
	})
	if err != nil || c.count() != 500 {
		t.Errorf("scanning gave %d of 500 messages: %v", c.count(), err)
	}
	ends, err := kafka.Ends(within(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	held := map[int]int64{}
	err = kafka.Scan(within(t), cfg, func(partition int, records []kafka.Record) error {
		held[partition] = records[len(records)-1].Offset + 1
		return nil
	})
	if err != nil || len(ends) != 3 {
		t.Errorf("the ends are %v: %v", ends, err)
	}
	for partition, end := range ends {
		if held[partition] != end {
			t.Errorf("partition %d ends at %d, and its last record is before %d", partition, end, held[partition])
		}
	}
	stop := errors.New("enough")
	if err := kafka.Scan(within(t), cfg, func(int, []kafka.Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a failing handler ends Scan with %v", err)
	}
}
