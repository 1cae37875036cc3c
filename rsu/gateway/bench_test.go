package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"freeflow/internal/clock"
	"freeflow/internal/kafka"
	"freeflow/internal/web"
	"freeflow/rsu"
	"freeflow/rsu/gateway"
	"freeflow/rsu/readpb"
)

// nowhere is a log that costs nothing.
type nowhere struct{}

func (nowhere) Publish(context.Context, string, []kafka.Message) error { return nil }

// BenchmarkRequest measures a whole request of 100 reads of one unit, from the
// handler to the answer, with a log that costs nothing.
func BenchmarkRequest(b *testing.B) {
	const reads = 100
	log := slog.New(slog.DiscardHandler)
	in, err := gateway.NewIntake(gateway.Config{Roadside: road{}, Clock: clock.At(arrival), Publisher: nowhere{}, Rejects: nowhere{},
		Source: rsu.SourceGateway, Log: log, Metrics: prometheus.NewRegistry()})
	if err != nil {
		b.Fatal(err)
	}
	keys, err := web.Bearer(web.Key{Name: "unit_key", Secret: key})
	if err != nil {
		b.Fatal(err)
	}
	e, err := gateway.New(in, keys, log, clock.At(arrival), gateway.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	var objects []string
	var batch readpb.ReadBatch
	for i := range reads {
		objects = append(objects, fmt.Sprintf(`{"unit":"CHT-N-1","boot":"4f1c9a52","seq":%d,"time":"2026-11-23T08:00:00.%06d+08:00","tag":"E2801160600002066666%04X","plate":"AB %d","plate_confidence":0.97,"class":"private_car","antenna":2,"rssi":-61.5}`, i, i, i, 1000+i))
		r, err := rsu.DecodeJSON([]byte(objects[i]), true)
		if err != nil {
			b.Fatal(err)
		}
		batch.Reads = append(batch.Reads, &readpb.Read{Unit: &r.Unit, Boot: &r.Boot, Seq: &r.Seq, TimeMicros: &r.TimeMicros, Tag: &r.Tag, Plate: &r.Plate,
			PlateConfidence: &r.Confidence.Value, Class: &r.Class, Antenna: &r.Antenna.Value, Rssi: &r.RSSI.Value})
	}
	protobuf, err := proto.Marshal(&batch)
	if err != nil {
		b.Fatal(err)
	}
	array := []byte("[" + strings.Join(objects, ",") + "]")
	for _, bc := range []struct {
		name, contentType, coding string
		body                      []byte
	}{
		{"array", "application/json", "", array},
		{"lines", "application/x-ndjson", "", []byte(strings.Join(objects, "\n"))},
		{"array-gzip", "application/json", "gzip", pack(b, "gzip", string(array))},
		{"array-zstd", "application/json", "zstd", pack(b, "zstd", string(array))},
		{"protobuf", "application/x-protobuf", "", protobuf},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rec := httptest.NewRecorder()
				e.ServeHTTP(rec, request("/v1/reads", bytes.NewReader(bc.body), "Content-Type", bc.contentType, "Content-Encoding", bc.coding))
				if rec.Code != http.StatusAccepted {
					b.Fatal(rec.Body)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/reads, "ns/read")
			b.ReportMetric(float64(len(bc.body))/reads, "bytes/read")
		})
	}
}
