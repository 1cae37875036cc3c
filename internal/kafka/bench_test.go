package kafka_test

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"freeflow/internal/clock"
	"freeflow/internal/embedded"
	"freeflow/internal/kafka"
)

// BenchmarkPublish measures the time from a call to its answer, in open loop:
// requests of 100 messages of 100 bytes, one key a request, begin at fixed
// instants whether or not earlier ones were answered. It runs over the
// embedded broker, or over the one of FREEFLOW_TEST_KAFKA if that is set.
func BenchmarkPublish(b *testing.B) {
	brokers := []string{os.Getenv("FREEFLOW_TEST_KAFKA")}
	if brokers[0] == "" {
		brokers = startEmbedded(b, embedded.Config{}).KafkaBrokers
	}
	for _, rate := range []int{1_000, 10_000, 40_000, 100_000} {
		b.Run(fmt.Sprintf("rate=%d", rate), func(b *testing.B) {
			topic := fmt.Sprintf("bench.%d.%d", rate, clock.System{}.Now().UnixNano())
			if err := kafka.EnsureTopics(b.Context(), brokers, []kafka.TopicSpec{{Name: topic, Partitions: 6}}); err != nil {
				b.Fatal(err)
			}
			p := kafka.NewPublisher(kafka.Config{Brokers: brokers})
			defer p.Close()
			publishAtRate(b, p, topic, rate)
		})
	}
}

func publishAtRate(b *testing.B, p *kafka.Publisher, topic string, rate int) {
	const size = 100
	facilities := []string{"CHT", "EHC", "WHC", "TLT", "TCT", "ABT", "SMT", "LRT", "TSCA"}
	value := make([]byte, 100)
	for i := range value {
		value[i] = byte('a' + i%17)
	}
	requests := make([][]kafka.Message, len(facilities))
	for f, key := range facilities {
		for range size {
			requests[f] = append(requests[f], kafka.Message{Key: []byte(key), Value: value})
		}
	}
	warm := p.Publish(b.Context(), topic, requests[0])
	if warm != nil {
		b.Fatal(warm)
	}
	gap := time.Second * size / time.Duration(rate)
	took := make([]time.Duration, b.N)
	var wg sync.WaitGroup
	now := clock.System{}.Now
	began := now()
	b.ResetTimer()
	for i := range b.N {
		due := began.Add(time.Duration(i) * gap)
		time.Sleep(due.Sub(now()))
		wg.Go(func() {
			if err := p.Publish(b.Context(), topic, requests[i%len(requests)]); err != nil {
				b.Error(err)
			}
			took[i] = now().Sub(due)
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(took)
	ms := func(q float64) float64 {
		return float64(took[int(q*float64(len(took)-1))]) / float64(time.Millisecond)
	}
	b.ReportMetric(float64(b.N*size)/now().Sub(began).Seconds(), "msg/s")
	b.ReportMetric(ms(0.5), "p50-ms")
	b.ReportMetric(ms(0.99), "p99-ms")
	b.ReportMetric(ms(1), "max-ms")
}
