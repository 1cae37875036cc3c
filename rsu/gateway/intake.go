package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freeflow/internal/clock"
	"freeflow/internal/kafka"
	"freeflow/rsu"
)

// Publisher appends messages to a topic of the log. It returns nil only once
// every message is durable there, and an error where that is not known. It
// keeps the messages' order per key. It is safe for concurrent use. After an
// error it may still hold on to the messages, so they are never used twice.
type Publisher interface {
	Publish(ctx context.Context, topic string, msgs []kafka.Message) error
}

// Config is what an Intake is made of.
type Config struct {
	Roadside rsu.Roadside
	Clock    clock.Clock
	// Publisher takes the accepted reads.
	Publisher Publisher
	// Topic says to which topic the reads of a facility go; nil means that all
	// go to kafka.TopicReads.
	Topic func(facility string) string
	// Rejects takes the refused ones; nil where the caller keeps them itself.
	Rejects Publisher
	// Source is who the Intake is to readers of the rejected reads.
	Source rsu.Source
	Log    *slog.Logger
	// Metrics is where the metrics are registered; nil for none.
	Metrics prometheus.Registerer
	// Recent is how many reads are remembered in order to recognise
	// repetitions, rounded up to a power of two; 0 means 262,144 (4 MiB).
	Recent int
}

// Item is one read as it came: the raw form, and what became of decoding it.
type Item struct {
	Form rsu.Form
	// Raw is kept if the read is refused.
	Raw string
	// Read is the decoded read; it counts only if Err is nil.
	Read rsu.Read
	// Err is why the raw form could not be decoded, a RefusedError.
	Err error
}

// JSONItem decodes one JSON object; see rsu.DecodeJSON.
func JSONItem(raw string, strict bool) Item {
	r, err := rsu.DecodeJSONText(raw, strict)
	return Item{Form: rsu.FormJSON, Raw: raw, Read: r, Err: err}
}

// ProtoItem decodes one freeflow.rsu.v1.Read; see rsu.DecodeProto.
func ProtoItem(raw string, strict bool) Item {
	r, err := rsu.DecodeProto([]byte(raw), strict)
	return Item{Form: rsu.FormProtobuf, Raw: raw, Read: r, Err: err}
}

// Result says what became of the items of one call. Accepted and the number
// rejected add up to the number of items.
type Result struct {
	// Accepted counts the reads that are durable in the log now.
	Accepted int `json:"accepted"`
	// Duplicate is the part of Accepted that was recognised as a repetition.
	Duplicate int `json:"duplicate"`
	// Rejected is never nil, in order of index.
	Rejected []Rejection `json:"rejected"`
}

// Rejection says why an item was refused.
type Rejection struct {
	// Index is the item's place, from 0.
	Index int `json:"index"`
	// Code is the reason for programs, Reason for people.
	Code   rsu.Code `json:"code"`
	Reason string   `json:"reason"`
}

// Bounds of the writing of refused reads.
const (
	rejectChunk   = 500
	rejectTimeout = 5 * time.Second
)

// Intake judges reads and appends the good ones to the log. It is the only way
// in: the HTTP gateway and replays both take it. It is safe for concurrent use.
type Intake struct {
	cfg       Config
	checker   rsu.Checker
	recent    *recent
	sequences *sequences
	alarms    *alarms
	metrics   *metrics
	header    []kafka.Header
	rejHeader []kafka.Header
}

// NewIntake makes an Intake. The error says what the Config lacks, or that its
// metrics are registered already.
func NewIntake(cfg Config) (*Intake, error) {
	if cfg.Roadside == nil || cfg.Clock == nil || cfg.Publisher == nil || cfg.Log == nil || cfg.Source == "" {
		return nil, errors.New("making the intake: roadside, clock, publisher, source and log are all needed")
	}
	if cfg.Recent == 0 {
		cfg.Recent = 1 << 18
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("making the intake: %w", err)
	}
	raised := newAlarms(cfg.Log)
	return &Intake{
		cfg:       cfg,
		checker:   rsu.Checker{Roadside: cfg.Roadside, Clock: cfg.Clock},
		recent:    newRecent(cfg.Recent),
		sequences: newSequences(m, raised),
		alarms:    raised,
		metrics:   m,
		header:    []kafka.Header{{Key: rsu.HeaderContentType, Value: []byte(rsu.ContentTypeRead)}},
		rejHeader: []kafka.Header{{Key: rsu.HeaderContentType, Value: []byte(rsu.ContentTypeRejected)}},
	}, nil
}

// Take judges each item alone and returns once all that are acceptable are
// durable in the log. An error means that nothing is claimed: some may be in
// the log all the same, and sending all of them again is safe. Sender names who
// sent them, for the record of what is refused; it may be empty.
//
// A read that is recognised as a repetition is published all the same. The
// memory that recognises it does not know that the first copy was acknowledged
// to anyone, nor that the log still has it, and the books make the second copy
// harmless (rule 9 of the contract); leaving it out could lose a read, which
// nothing makes harmless (rule 10).
func (in *Intake) Take(ctx context.Context, sender string, items []Item) (Result, error) {
	return in.take(ctx, sender, items, in.cfg.Rejects != nil)
}

func (in *Intake) take(ctx context.Context, sender string, items []Item, record bool) (Result, error) {
	arrival := in.cfg.Clock.Now()
	result := Result{Rejected: []Rejection{}}
	var refused []int
	accepted := make([]*rsu.Read, 0, len(items))
	msgs := make([]kafka.Message, 0, len(items))
	values := make([]byte, 0, 112*len(items))
	topics := make([]string, 0, len(items))
	facility, key, topic := "", []byte(nil), kafka.TopicReads
	for i := range items {
		item := &items[i]
		at := ""
		if item.Err == nil {
			at, item.Err = in.checker.CheckAt(item.Read, arrival)
		}
		if item.Err != nil {
			result.Rejected = append(result.Rejected, Rejection{Index: i, Code: rsu.CodeOf(item.Err), Reason: item.Err.Error()})
			refused = append(refused, i)
			continue
		}
		if at != facility || key == nil {
			facility, key = at, []byte(at)
			if in.cfg.Topic != nil {
				topic = in.cfg.Topic(at)
			}
		}
		start := len(values)
		var err error
		if values, err = item.Read.AppendBinary(values); err != nil {
			return Result{}, fmt.Errorf("encoding a read: %w", err)
		}
		// Where values has grown since, what was cut from it before stays
		// good: nothing is written to it again.
		msgs = append(msgs, kafka.Message{Key: key, Value: values[start:len(values):len(values)], Headers: in.header})
		topics = append(topics, topic)
		accepted = append(accepted, &item.Read)
	}
	if len(msgs) > 0 {
		err := in.publish(ctx, topics, msgs)
		in.metrics.published(in.cfg.Clock.Now().Sub(arrival), err)
		if err != nil {
			return Result{}, fmt.Errorf("publishing %d reads: %w", len(msgs), err)
		}
	}
	// From here on the reads are durable, and the answer has to say so.
	result.Accepted = len(msgs)
	result.Duplicate = in.remember(arrival, accepted, msgs)
	in.metrics.taken(result)
	if record && len(refused) > 0 {
		in.record(ctx, arrival, sender, items, refused)
	}
	return result, nil
}

// publish appends each message to its topic. Nearly always all have the same:
// a request comes from one unit.
func (in *Intake) publish(ctx context.Context, topics []string, msgs []kafka.Message) error {
	for _, topic := range slices.Compact(slices.Sorted(slices.Values(topics))) {
		mine := msgs
		if slices.ContainsFunc(topics, func(other string) bool { return other != topic }) {
			mine = make([]kafka.Message, 0, len(msgs))
			for i, m := range msgs {
				if topics[i] == topic {
					mine = append(mine, m)
				}
			}
		}
		if err := in.cfg.Publisher.Publish(ctx, topic, mine); err != nil {
			return err
		}
	}
	return nil
}

// remember notes what has been accepted, raises alarms, and returns how many
// were recognised as repetitions.
func (in *Intake) remember(arrival time.Time, reads []*rsu.Read, msgs []kafka.Message) int {
	duplicates := 0
	for i, r := range reads {
		known, conflict := in.recent.note(r, msgs[i].Value)
		if known {
			duplicates++
		}
		if conflict {
			in.metrics.conflicts.Inc()
			in.alarms.raise(AlarmConflict, r.Unit, arrival, 1, fmt.Sprintf(
				"seq %d came with two contents: the unit counts wrongly, or somebody forges its reads", r.Seq))
		}
	}
	in.sequences.note(arrival, reads)
	return duplicates
}

// record writes refused reads to their topic. They are refused and answered as
// such whether or not that succeeds: waiting for it without end would hold up
// the acknowledgement of reads that are durable already, and who sent a refused
// read has it still. What could not be written is counted and logged.
func (in *Intake) record(ctx context.Context, at time.Time, sender string, items []Item, refused []int) {
	ctx, cancel := context.WithTimeout(ctx, rejectTimeout)
	defer cancel()
	for len(refused) > 0 {
		chunk := refused[:min(len(refused), rejectChunk)]
		msgs := make([]kafka.Message, 0, len(chunk))
		var err error
		for _, i := range chunk {
			item := &items[i]
			value, mErr := rsu.NewRejected(at, in.cfg.Source, sender, item.Form, item.Raw, item.Err).MarshalBinary()
			if mErr != nil {
				err = mErr
				break
			}
			msgs = append(msgs, kafka.Message{Value: value, Headers: in.rejHeader})
		}
		if err == nil {
			err = in.cfg.Rejects.Publish(ctx, kafka.TopicRejected, msgs)
		}
		if err != nil {
			in.metrics.unrecorded.Add(float64(len(refused)))
			in.cfg.Log.Error("refused reads were not written to their topic; they cannot be driven again from there",
				"reads", len(refused), "sender", sender, "error", err)
			return
		}
		refused = refused[len(chunk):]
	}
}

// Alarms returns what was raised within the last day by this process, newest
// first, at most 256.
func (in *Intake) Alarms() []Alarm { return in.alarms.list(in.cfg.Clock.Now()) }
