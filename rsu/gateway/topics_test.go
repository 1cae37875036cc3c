package gateway_test

import (
	"context"
	"log/slog"
	"testing"

	"freeflow/internal/clock"
	"freeflow/internal/kafka"
	"freeflow/rsu"
	"freeflow/rsu/gateway"
)

// Reads of facilities with a topic of their own go there and nowhere else, in
// one request with others too.
func TestFacilitiesWithTheirOwnTopic(t *testing.T) {
	log := &topics{}
	in, err := gateway.NewIntake(gateway.Config{
		Roadside: road{}, Clock: clock.At(arrival), Publisher: log, Source: rsu.SourceGateway, Log: slog.New(slog.DiscardHandler),
		Topic: func(facility string) string {
			if facility == "EHC" {
				return "lanes.test"
			}
			return kafka.TopicReads
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	read := func(unit, seq string) gateway.Item {
		return gateway.JSONItem(`{"unit":"`+unit+`","seq":`+seq+`,"time":"2026-11-23T08:00:00+08:00","tag":"AA"}`, false)
	}
	result, err := in.Take(context.Background(), "", []gateway.Item{read("CHT-N-1", "1"), read("EHC-N-1", "2"), read("CHT-S-1", "3"), read("EHC-N-1", "4")})
	if err != nil || result.Accepted != 4 {
		t.Fatalf("%+v, %v", result, err)
	}
	for topic, want := range map[string][]uint64{kafka.TopicReads: {1, 3}, "lanes.test": {2, 4}} {
		got := log.messages(topic)
		if len(got) != len(want) {
			t.Fatalf("%s has %d records, want %d", topic, len(got), len(want))
		}
		for i, m := range got {
			var r rsu.Read
			if err := r.UnmarshalBinary(m.Value); err != nil || r.Seq != want[i] {
				t.Errorf("%s: record %d is %+v (%v)", topic, i, r, err)
			}
		}
	}
}
