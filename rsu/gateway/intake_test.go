package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"freeflow/internal/clock"
	"freeflow/internal/kafka"
	"freeflow/rsu"
	"freeflow/rsu/gateway"
)

// metric returns the sum of a metric over its labels.
func (h *harness) metric(t testing.TB, name string) float64 {
	t.Helper()
	families, err := h.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			sum := 0.0
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
			return sum
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

func (h *harness) alarm(kind string) gateway.Alarm {
	for _, a := range h.intake.Alarms() {
		if a.Kind == kind {
			return a
		}
	}
	return gateway.Alarm{}
}

// Repetitions count as accepted, are recognised whatever their form, and are
// published all the same.
func TestRepetitions(t *testing.T) {
	h := newHarness(t, gateway.Limits{})
	first := object(1, `,"tag":"e28011","plate":"ab 12"`)
	if got := h.post(t, "application/json", "["+first+"]"); got.Accepted != 1 || got.Duplicate != 0 {
		t.Fatalf("%+v", got)
	}
	same := `{"plate":"ＡＢ-１２","tag":"E28011","x":0,"time":"2026-11-23T00:00:00.5000009Z","boot":"b1","seq":1,"unit":"CHT-N-1","class":null}`
	got := h.post(t, "application/json", "["+same+","+object(2, `,"tag":"AA"`)+","+object(2, `,"tag":"aa"`)+"]")
	if got.Accepted != 3 || got.Duplicate != 2 {
		t.Errorf("%+v", got)
	}
	if n := len(h.log.reads(t)); n != 4 {
		t.Errorf("%d reads published", n)
	}
	if h.metric(t, "freeflow_gateway_reads_duplicate_total") != 2 || len(h.intake.Alarms()) != 0 {
		t.Errorf("duplicates %v, alarms %v", h.metric(t, "freeflow_gateway_reads_duplicate_total"), h.intake.Alarms())
	}
}

// Same unit, boot and seq with other content is another read, and an alarm.
func TestConflictsAreKeptAndRaiseAnAlarm(t *testing.T) {
	base := rsu.Read{Unit: "CHT-N-1", Boot: "b1", Seq: 7, TimeMicros: arrival.UnixMicro(), Tag: "AA", Plate: "SECRET1", Class: "taxi",
		Confidence: rsu.Some(0.5), Antenna: rsu.Some[int64](1), RSSI: rsu.Some(-60.0), Image: "i"}
	for name, change := range map[string]func(*rsu.Read){
		"time": func(r *rsu.Read) { r.TimeMicros++ }, "tag": func(r *rsu.Read) { r.Tag = "AB" }, "plate": func(r *rsu.Read) { r.Plate = "SECRET2" },
		"confidence": func(r *rsu.Read) { r.Confidence.Value = 0.6 }, "no confidence": func(r *rsu.Read) { r.Confidence = rsu.Optional[float64]{} },
		"class": func(r *rsu.Read) { r.Class = "" }, "antenna": func(r *rsu.Read) { r.Antenna.Value = 2 }, "rssi": func(r *rsu.Read) { r.RSSI.Value = -61 },
		"image": func(r *rsu.Read) { r.Image = "j" },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, gateway.Limits{})
			other := base
			change(&other)
			take := func(r rsu.Read) gateway.Result {
				got, err := h.intake.Take(t.Context(), "", []gateway.Item{gateway.JSONItem(string(rsu.EncodeJSON(r)), true)})
				if err != nil || got.Accepted != 1 {
					t.Fatalf("%+v, %v", got, err)
				}
				return got
			}
			for i, r := range []rsu.Read{base, other, base, other} {
				if got := take(r); (got.Duplicate == 1) != (i >= 2) {
					t.Errorf("read %d: %+v", i, got)
				}
			}
			if reads := h.log.reads(t); len(reads) != 4 || reads[0] != base || reads[1] != other {
				t.Errorf("%+v", reads)
			}
			alarm := h.alarm(gateway.AlarmConflict)
			if alarm.Unit != "CHT-N-1" || alarm.Count != 1 || !alarm.First.Equal(arrival) || !strings.Contains(alarm.Detail, "seq 7") {
				t.Errorf("%+v", alarm)
			}
			if h.metric(t, "freeflow_gateway_sequence_conflicts_total") != 1 {
				t.Error("not counted")
			}
			if log := h.lines.String(); !strings.Contains(log, "sequence-conflict") || strings.Contains(log, "SECRET") || strings.Contains(alarm.Detail, "SECRET") {
				t.Errorf("log: %s", log)
			}
		})
	}
	h := newHarness(t, gateway.Limits{})
	for _, change := range []func(*rsu.Read){func(*rsu.Read) {}, func(r *rsu.Read) { r.Seq = 8; r.Tag = "AB" }, func(r *rsu.Read) { r.Boot = "b2"; r.Tag = "AB" }, func(r *rsu.Read) { r.Unit = "CHT-N-2"; r.Tag = "AB" }} {
		r := base
		change(&r)
		if _, err := h.intake.Take(t.Context(), "", []gateway.Item{gateway.JSONItem(string(rsu.EncodeJSON(r)), true)}); err != nil {
			t.Fatal(err)
		}
	}
	if len(h.intake.Alarms()) != 0 {
		t.Errorf("reads of other numbers raise %+v", h.intake.Alarms())
	}
}

func TestGapsAndClocks(t *testing.T) {
	h := newHarness(t, gateway.Limits{})
	send := func(seqs ...int) {
		var reads []string
		for _, s := range seqs {
			reads = append(reads, object(s, `,"tag":"AA"`))
		}
		h.post(t, "application/json", "["+strings.Join(reads, ",")+"]")
	}
	send(10, 11, 14)
	if v := h.metric(t, "freeflow_gateway_sequence_gaps"); v != 2 {
		t.Errorf("gaps %v", v)
	}
	send(13)
	if v := h.metric(t, "freeflow_gateway_sequence_gaps"); v != 1 {
		t.Errorf("gaps %v after a late read", v)
	}
	if h.metric(t, "freeflow_gateway_sequence_missing_total") != 0 || len(h.intake.Alarms()) != 0 {
		t.Errorf("missing too early: %v", h.intake.Alarms())
	}
	send(12 + 1024)
	if v := h.metric(t, "freeflow_gateway_sequence_missing_total"); v != 1 {
		t.Errorf("missing %v", v)
	}
	if a := h.alarm(gateway.AlarmGap); a.Unit != "CHT-N-1" || a.Count != 1 {
		t.Errorf("%+v", a)
	}
	if v := h.metric(t, "freeflow_gateway_unit_lag_seconds"); v != 599.5 {
		t.Errorf("lag %v", v)
	}
	if a := h.alarm(gateway.AlarmClock); a.Unit != "" {
		t.Errorf("%+v", a)
	}
	h.clock.Set(arrival.Add(-10*time.Minute - 2*time.Second))
	send(12 + 1025)
	if a := h.alarm(gateway.AlarmClock); a.Unit != "CHT-N-1" || a.Count != 1 || h.metric(t, "freeflow_gateway_unit_lag_seconds") != -2.5 {
		t.Errorf("%+v", a)
	}
	h.clock.Set(arrival.Add(25 * time.Hour))
	if got := h.intake.Alarms(); len(got) != 0 {
		t.Errorf("alarms of yesterday: %+v", got)
	}
}

// What was refused can be driven again once the cause is mended; what is still
// refused does not pile up on its topic.
func TestRedrive(t *testing.T) {
	h := newHarness(t, gateway.Limits{})
	long := object(5, `,"x":"`+strings.Repeat("x", 5000)+`"`)
	early := strings.Replace(object(1, `,"tag":"AA"`), "08:00:00.5", "08:20:00", 1)
	got := h.post(t, "application/json", "["+early+","+object(2, "")+","+long+"]")
	if got.Accepted != 0 || len(got.Rejected) != 3 {
		t.Fatalf("%+v", got)
	}
	unknown := rsu.Read{Unit: "CHT-N-2", Seq: 3, TimeMicros: arrival.UnixMicro(), Tag: "BB"}
	b, err := unknown.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	fromMatcher, err := rsu.NewRejected(arrival, rsu.SourceMatcher, "", rsu.FormProtobuf, string(b), errors.New("no such unit then")).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var envelopes [][]byte
	for _, m := range h.log.messages(kafka.TopicRejected) {
		envelopes = append(envelopes, m.Value)
	}
	envelopes = append(envelopes, fromMatcher, []byte("no envelope"))

	h.clock.Set(arrival.Add(time.Hour))
	for round := range 2 {
		again, err := h.intake.Redrive(t.Context(), envelopes)
		if err != nil {
			t.Fatal(err)
		}
		if again.Offered != 5 || again.Accepted != 2 || again.Duplicate != 2*round || len(again.Rejected) != 3 {
			t.Fatalf("round %d: %+v", round, again)
		}
		for i, want := range []gateway.Rejection{{Index: 1, Code: rsu.CodeNoMark}, {Index: 2, Code: gateway.CodeNotKept}, {Index: 4, Code: gateway.CodeNotKept}} {
			if r := again.Rejected[i]; r.Index != want.Index || r.Code != want.Code {
				t.Errorf("%+v, want %+v", r, want)
			}
		}
	}
	if reads := h.log.reads(t); len(reads) != 4 || reads[0].Seq != 1 || reads[1] != unknown {
		t.Errorf("%+v", reads)
	}
	if n := len(h.log.messages(kafka.TopicRejected)); n != 3 {
		t.Errorf("%d envelopes after driving again, want 3", n)
	}
	h.log.hook = func(context.Context, string) error { return errors.New("no") }
	if _, err := h.intake.Redrive(t.Context(), envelopes); err == nil {
		t.Error("no error from a log that fails")
	}
}

func TestManyRejectedAreWrittenInParts(t *testing.T) {
	h := newHarness(t, gateway.Limits{})
	calls := 0
	h.log.hook = func(_ context.Context, topic string) error {
		if topic == kafka.TopicRejected {
			calls++
		}
		return nil
	}
	got := h.post(t, "application/json", "["+strings.Repeat("1,", 1200)+"1]")
	if len(got.Rejected) != 1201 || len(h.log.messages(kafka.TopicRejected)) != 1201 || calls != 3 {
		t.Errorf("%d rejected, %d recorded in %d calls", len(got.Rejected), len(h.log.messages(kafka.TopicRejected)), calls)
	}
}

// A replay has its own record of what is refused.
func TestIntakeWithoutRejects(t *testing.T) {
	log := &topics{}
	in, err := gateway.NewIntake(gateway.Config{Roadside: road{}, Clock: clock.At(arrival), Publisher: log, Source: rsu.SourceReplay, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := in.Take(t.Context(), "", []gateway.Item{gateway.JSONItem("x", false), gateway.JSONItem(object(1, `,"tag":"AA"`), false), gateway.ProtoItem("\xff", false)})
	if err != nil || got.Accepted != 1 || len(got.Rejected) != 2 || len(log.messages(kafka.TopicRejected)) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := gateway.NewIntake(gateway.Config{}); err == nil {
		t.Error("an intake of nothing")
	}
	if got, err := in.Take(t.Context(), "", nil); err != nil || got.Accepted != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Alarms and metrics stay bounded by the network's units: what names no unit
// leaves no trace in them.
func TestUnknownUnitsLeaveNoLabels(t *testing.T) {
	h := newHarness(t, gateway.Limits{})
	for i := range 50 {
		h.post(t, "application/json", "["+strings.Replace(object(i, `,"tag":"AA"`), "CHT-N-1", fmt.Sprintf("unit-%d", i), 1)+"]")
	}
	families, err := h.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if strings.HasPrefix(l.GetValue(), "unit-") {
					t.Fatalf("%s has the label %s", f.GetName(), l.GetValue())
				}
			}
		}
	}
	if v := h.metric(t, "freeflow_gateway_reads_rejected_total"); v != 50 {
		t.Errorf("rejected %v", v)
	}
}
