package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"freeflow/internal/clock"
)

// TopicSpec is a topic as freeflow wants it.
type TopicSpec struct {
	Name       string
	Partitions int
	// Replicas is the replication factor; zero means the broker's default.
	Replicas int
	// Config are topic settings by Apache Kafka's names.
	Config map[string]string
}

// PartitionsError says that a topic has another number of partitions than
// wanted. It is never changed by freeflow: keys would move between partitions
// and the order of their reads break.
type PartitionsError struct {
	Topic      string
	Have, Want int
}

// Error says what is and what was wanted.
func (e *PartitionsError) Error() string {
	return fmt.Sprintf("topic %s has %d partitions where %d are wanted; set the wanted number to %d, or move to a new topic",
		e.Topic, e.Have, e.Want, e.Have)
}

// EnsureTopics creates the topics that are missing and waits until every
// partition of all of them has a leader. An existing topic is never altered;
// if its number of partitions differs the answer is a *PartitionsError, given
// once all topics stand. It waits for brokers that are not yet there until ctx
// ends.
func EnsureTopics(ctx context.Context, brokers []string, specs []TopicSpec) error {
	wait := newBackoff(20*time.Millisecond, time.Second)
	for {
		err := ensureTopics(ctx, brokers, specs)
		var differs *PartitionsError
		if err == nil || errors.As(err, &differs) || !retryable(err) {
			return err
		}
		if !wait.sleep(ctx) {
			return fmt.Errorf("waiting for the log's topics: %w", errors.Join(ctx.Err(), err))
		}
	}
}

func ensureTopics(ctx context.Context, brokers []string, specs []TopicSpec) error {
	// Creating comes first: a broker with automatic creation on would make a
	// topic with its own defaults if it were only asked about it.
	if err := createTopics(ctx, brokers, specs); err != nil {
		return err
	}
	partitions, err := describeTopics(ctx, brokers, specs)
	if err != nil {
		return err
	}
	var differs error
	for _, spec := range specs {
		have := 0
		for _, p := range partitions {
			if p.Topic != spec.Name {
				continue
			}
			if have++; p.Leader.Host == "" {
				return fmt.Errorf("waiting for the leader of %s/%d: %w", spec.Name, p.ID, kafkago.LeaderNotAvailable)
			}
		}
		if have == 0 {
			return fmt.Errorf("waiting for topic %s: %w", spec.Name, kafkago.UnknownTopicOrPartition)
		}
		if have != spec.Partitions && differs == nil {
			differs = &PartitionsError{Topic: spec.Name, Have: have, Want: spec.Partitions}
		}
	}
	return differs
}

func createTopics(ctx context.Context, brokers []string, specs []TopicSpec) error {
	transport := &kafkago.Transport{ClientID: clientID, DialTimeout: 3 * time.Second}
	defer transport.CloseIdleConnections()
	client := &kafkago.Client{Addr: kafkago.TCP(brokers...), Transport: transport, Timeout: requestTimeout}
	request := &kafkago.CreateTopicsRequest{}
	for _, spec := range specs {
		topic := kafkago.TopicConfig{Topic: spec.Name, NumPartitions: spec.Partitions, ReplicationFactor: spec.Replicas}
		if spec.Replicas == 0 {
			topic.ReplicationFactor = -1
		}
		for name, value := range spec.Config {
			topic.ConfigEntries = append(topic.ConfigEntries, kafkago.ConfigEntry{ConfigName: name, ConfigValue: value})
		}
		request.Topics = append(request.Topics, topic)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*requestTimeout)
	defer cancel()
	res, err := client.CreateTopics(ctx, request)
	if err != nil {
		return fmt.Errorf("creating topics: %w", err)
	}
	for name, err := range res.Errors {
		if err != nil && !errors.Is(err, kafkago.TopicAlreadyExists) {
			return fmt.Errorf("creating topic %s: %w", name, err)
		}
	}
	return nil
}

func describeTopics(ctx context.Context, brokers []string, specs []TopicSpec) ([]kafkago.Partition, error) {
	names := make([]string, len(specs))
	for i, spec := range specs {
		names[i] = spec.Name
	}
	// One topic asked for twice makes some brokers answer twice.
	slices.Sort(names)
	names = slices.Compact(names)
	var errs []error
	for _, broker := range brokers {
		partitions, err := readPartitions(ctx, newDialer(nil), broker, names)
		if err == nil {
			return partitions, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("describing topics: %w", errors.Join(errs...))
}

func readPartitions(ctx context.Context, dialer *kafkago.Dialer, broker string, topics []string) ([]kafkago.Partition, error) {
	conn, err := dialer.DialContext(ctx, "tcp", broker)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := conn.SetDeadline(clock.System{}.Now().Add(requestTimeout)); err != nil {
		return nil, err
	}
	return conn.ReadPartitions(topics...)
}
