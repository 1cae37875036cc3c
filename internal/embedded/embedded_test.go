package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"freeflow/internal/clock"
	"freeflow/internal/embedded"
	"freeflow/internal/kafka"
)

const topic = "reads"

// TestMain makes this test's binary play the process that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("EMBEDDED_TEST_VICTIM"); dir != "" {
		if err := victim(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// victim publishes numbers one after the other and says each that was
// acknowledged, until it is killed.
func victim(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	parts, err := embedded.Start(ctx, embedded.Config{Dir: dir})
	if err != nil {
		return err
	}
	if err := kafka.EnsureTopics(ctx, parts.KafkaBrokers, []kafka.TopicSpec{{Name: topic, Partitions: 2}}); err != nil {
		return err
	}
	p := kafka.NewPublisher(kafka.Config{Brokers: parts.KafkaBrokers, Linger: -1})
	first, err := strconv.Atoi(os.Getenv("EMBEDDED_TEST_FIRST"))
	if err != nil {
		return err
	}
	for i := first; ; i++ {
		value := strconv.Itoa(i)
		if err := p.Publish(ctx, topic, []kafka.Message{{Key: []byte(strconv.Itoa(i % 10)), Value: []byte(value)}}); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(os.Stdout, value); err != nil {
			return err
		}
	}
}

func start(t *testing.T, cfg embedded.Config) *embedded.Parts {
	t.Helper()
	cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	parts, err := embedded.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := parts.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return parts
}

func ensure(t *testing.T, parts *embedded.Parts, partitions int) {
	t.Helper()
	specs := []kafka.TopicSpec{{Name: topic, Partitions: partitions}}
	if err := kafka.EnsureTopics(t.Context(), parts.KafkaBrokers, specs); err != nil {
		t.Fatal(err)
	}
}

// scan returns how often each value stands in the log.
func scan(t *testing.T, parts *embedded.Parts) map[string]int {
	t.Helper()
	seen := map[string]int{}
	cfg := kafka.FollowConfig{Brokers: parts.KafkaBrokers, Topic: topic}
	err := kafka.Scan(t.Context(), cfg, func(_ int, records []kafka.Record) error {
		for _, r := range records {
			seen[string(r.Value)]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// TestKillLosesNothing kills a publishing process again and again; whatever it
// said was acknowledged stands in the log afterwards, once.
func TestKillLosesNothing(t *testing.T) {
	dir := t.TempDir()
	acknowledged := 0
	for round := range 4 {
		acknowledged = runAndKill(t, dir, acknowledged, 200+150*round)
	}
	seen := scan(t, start(t, embedded.Config{Dir: dir}))
	for i := range acknowledged {
		if n := seen[strconv.Itoa(i)]; n < 1 {
			t.Errorf("message %d was acknowledged and stands in the log %d times", i, n)
		}
	}
	// A message under way when its process was killed may stand there too, and
	// again when the next process began with its number.
	if len(seen) > acknowledged+1 {
		t.Errorf("%d messages stand in the log, of which %d were acknowledged", len(seen), acknowledged)
	}
}

func runAndKill(t *testing.T, dir string, first, count int) (next int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "EMBEDDED_TEST_VICTIM="+dir, "EMBEDDED_TEST_FIRST="+strconv.Itoa(first))
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	next = first
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if got := lines.Text(); got != strconv.Itoa(next) {
			t.Errorf("the process acknowledged %s where %d was due", got, next)
		}
		next++
		if next == first+count {
			// SIGKILL; what it still said by then is read to the end.
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || next < first+count {
		t.Fatalf("the process ended with %v after %d messages of %d", err, next-first, count)
	}
	return next
}

// TestRestartKeepsTheLog: after a clean stop everything is there, offsets go
// on, and so does a publisher that knew the broker before, when it comes back
// at its address.
func TestRestartKeepsTheLog(t *testing.T) {
	dir := t.TempDir()
	parts := start(t, embedded.Config{Dir: dir})
	ensure(t, parts, 3)
	p := kafka.NewPublisher(kafka.Config{Brokers: parts.KafkaBrokers})
	defer p.Close()
	publish := func(first int) {
		t.Helper()
		for i := first; i < first+300; i++ {
			msg := kafka.Message{Key: []byte(strconv.Itoa(i % 7)), Value: []byte(strconv.Itoa(i))}
			if err := p.Publish(t.Context(), topic, []kafka.Message{msg}); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish(0)
	address := parts.KafkaBrokers[0]
	if err := parts.Close(); err != nil {
		t.Fatal(err)
	}
	parts = start(t, embedded.Config{Dir: dir, KafkaListen: address})
	publish(300)
	seen := scan(t, parts)
	if len(seen) != 600 {
		t.Errorf("%d of 600 messages stand in the log", len(seen))
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	parts := start(t, embedded.Config{Dir: dir})
	_, err := embedded.Start(t.Context(), embedded.Config{Dir: dir})
	var locked *embedded.LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() || locked.Dir != dir {
		t.Fatalf("a second start on the same folder: %v", err)
	}
	if !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("the message does not say who holds the folder: %v", err)
	}
	if err := parts.Close(); err != nil {
		t.Fatal(err)
	}
	start(t, embedded.Config{Dir: dir})
}

func TestAFolderThatCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := embedded.Start(t.Context(), embedded.Config{Dir: file}); err == nil {
		t.Error("a file was taken for a data folder")
	}
	if _, err := embedded.Start(t.Context(), embedded.Config{}); err == nil {
		t.Error("no folder was taken for one")
	}
}

// TestRetentionWaitsForTheGroup: what the group has not committed is kept,
// however large or old it is; what it has is deleted.
func TestRetentionWaitsForTheGroup(t *testing.T) {
	const count = 2000
	for _, test := range []struct {
		name    string
		keep    embedded.Retention
		commit  int64
		now     time.Duration // after the present
		atLeast int           // of the messages that must be left
		atMost  int
	}{
		{"small enough", embedded.Retention{Bytes: 1 << 30}, 0, 0, count, count},
		{"too large, nobody works it", embedded.Retention{Bytes: 500 << 10}, 0, 0, 200, 600},
		{"too large, not worked", embedded.Retention{Bytes: 1, Group: "matcher"}, 0, 0, count, count},
		{"too large, worked in part", embedded.Retention{Bytes: 1, Group: "matcher"}, 1200, 0, 800, 800},
		{"too large, all worked", embedded.Retention{Bytes: 500 << 10, Group: "matcher"}, count, 0, 200, 600},
		{"too old, not worked", embedded.Retention{Age: time.Hour, Group: "matcher"}, 0, 2 * time.Hour, count, count},
		{"too old, worked", embedded.Retention{Age: time.Hour, Group: "matcher"}, count, 2 * time.Hour, 0, 0},
		{"young, worked", embedded.Retention{Age: time.Hour, Group: "matcher"}, count, 0, count, count},
	} {
		t.Run(test.name, func(t *testing.T) {
			parts := start(t, embedded.Config{Dir: t.TempDir(), Retention: map[string]embedded.Retention{topic: test.keep}})
			ensure(t, parts, 1)
			p := kafka.NewPublisher(kafka.Config{Brokers: parts.KafkaBrokers, Plain: true})
			defer p.Close()
			for i := 0; i < count; i += 20 {
				var msgs []kafka.Message
				for j := i; j < i+20; j++ {
					msgs = append(msgs, kafka.Message{Value: []byte(fmt.Sprintf("%01000d", j))})
				}
				if err := p.Publish(t.Context(), topic, msgs); err != nil {
					t.Fatal(err)
				}
			}
			if test.commit > 0 {
				commit(t, parts, test.keep.Group, test.commit)
			}
			if err := parts.Tidy(t.Context(), clock.System{}.Now().Add(test.now)); err != nil {
				t.Fatal(err)
			}
			if left := len(scan(t, parts)); left < test.atLeast || left > test.atMost {
				t.Errorf("%d messages are left, want %d to %d", left, test.atLeast, test.atMost)
			}
		})
	}
}

// commit makes group commit offset in partition 0, if it has a name.
func commit(t *testing.T, parts *embedded.Parts, group string, offset int64) {
	t.Helper()
	g := kafka.NewGroup(kafka.GroupConfig{Brokers: parts.KafkaBrokers, GroupID: group, Topic: topic})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := g.Run(ctx, func(ctx context.Context, s kafka.Session) error {
		defer cancel()
		return s.Commit(offset)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRedisKeysExpire: time goes on in the embedded Redis without help.
func TestRedisKeysExpire(t *testing.T) {
	parts := start(t, embedded.Config{Dir: t.TempDir()})
	client := goredis.NewClient(&goredis.Options{Addr: parts.RedisAddr})
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := client.Set(ctx, "k", "v", 1500*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	if n := client.Exists(ctx, "k").Val(); n != 1 {
		t.Fatal("the key is not there")
	}
	for {
		n, err := client.Exists(ctx, "k").Result()
		if err != nil {
			t.Fatalf("the key did not expire: %v", err)
		}
		if n == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond) // polling
	}
}
