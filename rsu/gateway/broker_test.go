package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"freeflow/internal/clock"
	"freeflow/internal/embedded"
	"freeflow/internal/kafka"
	"freeflow/internal/web"
	"freeflow/rsu"
	"freeflow/rsu/gateway"
)

// TestOverSocketsToABroker goes the whole way: an HTTP client, the server, the
// publisher and the embedded broker; and then the broker goes away.
func TestOverSocketsToABroker(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	parts, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	broker := parts.Close
	defer func() {
		if err := broker(); err != nil {
			t.Error(err)
		}
	}()
	specs := []kafka.TopicSpec{{Name: kafka.TopicReads, Partitions: 4}, {Name: kafka.TopicRejected, Partitions: 1}}
	if err := kafka.EnsureTopics(t.Context(), parts.KafkaBrokers, specs); err != nil {
		t.Fatal(err)
	}
	publisher := kafka.NewPublisher(kafka.Config{Brokers: parts.KafkaBrokers, Timeout: time.Second, Log: log})
	defer publisher.Close()
	in, err := gateway.NewIntake(gateway.Config{Roadside: road{}, Clock: clock.At(arrival), Publisher: publisher, Rejects: publisher, Source: rsu.SourceGateway, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := web.Bearer(web.Key{Name: "unit_key", Secret: key})
	if err != nil {
		t.Fatal(err)
	}
	e, err := gateway.New(in, keys, log, clock.At(arrival), gateway.Limits{Publish: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- web.Serve(ctx, ln, e, log) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	post := func(body []byte) (int, gateway.Result) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+ln.Addr().String()+"/v1/reads", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Encoding", "zstd")
		req.Header.Set("Content-Type", "application/x-ndjson")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		var result gateway.Result
		if resp.StatusCode == http.StatusAccepted {
			if err := json.Unmarshal(answer, &result); err != nil {
				t.Fatal(err)
			}
		}
		return resp.StatusCode, result
	}

	var lines strings.Builder
	units := []string{"CHT-N-1", "CHT-S-1", "EHC-N-1"}
	for i := range 300 {
		fmt.Fprintln(&lines, strings.Replace(object(i, `,"tag":"AA"`), "CHT-N-1", units[i%3], 1))
	}
	lines.WriteString("{}\n")
	status, result := post(pack(t, "zstd", lines.String()))
	if status != http.StatusAccepted || result.Accepted != 300 || len(result.Rejected) != 1 || result.Rejected[0].Index != 300 {
		t.Fatalf("%d %+v", status, result)
	}
	partition := map[string]int{}
	seen := map[uint64]bool{}
	err = kafka.Scan(t.Context(), kafka.FollowConfig{Brokers: parts.KafkaBrokers, Topic: kafka.TopicReads}, func(p int, records []kafka.Record) error {
		for _, rec := range records {
			var r rsu.Read
			if err := r.UnmarshalBinary(rec.Value); err != nil {
				return err
			}
			facility := r.Unit[:3]
			if at, ok := partition[facility]; ok && at != p || string(rec.Key) != facility {
				return fmt.Errorf("%s stands in partitions %d and %d, key %q", facility, at, p, rec.Key)
			}
			partition[facility] = p
			seen[r.Seq] = true
		}
		return nil
	})
	if err != nil || len(seen) != 300 {
		t.Fatalf("%d of 300 reads in the log, %v", len(seen), err)
	}
	rejected := 0
	err = kafka.Scan(t.Context(), kafka.FollowConfig{Brokers: parts.KafkaBrokers, Topic: kafka.TopicRejected}, func(_ int, records []kafka.Record) error {
		for _, rec := range records {
			var env rsu.Rejected
			if err := env.UnmarshalBinary(rec.Value); err != nil || env.Read != "{}" || env.Sender != "unit_key" {
				return fmt.Errorf("%+v: %w", env, err)
			}
			rejected++
		}
		return nil
	})
	if err != nil || rejected != 1 {
		t.Fatalf("%d rejected reads in the log, %v", rejected, err)
	}

	if err := broker(); err != nil {
		t.Fatal(err)
	}
	broker = func() error { return nil }
	if status, _ := post(pack(t, "zstd", object(1, `,"tag":"AA"`))); status != http.StatusServiceUnavailable {
		t.Errorf("without a broker: %d", status)
	}
}
