package gateway_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"freeflow/internal/kafka"
	"freeflow/rsu"
	"freeflow/rsu/gateway"
	"freeflow/rsu/readpb"
)

// wire is one way of sending reads.
type wire struct {
	name, contentType string
	join              func(reads []string) string
}

var jsonWires = []wire{
	{"array", "application/json", func(reads []string) string { return "[" + strings.Join(reads, ",") + "]" }},
	{"array, spaced", "application/json; charset=UTF-8", func(reads []string) string { return "\n [ " + strings.Join(reads, " ,\n ") + " ]\n" }},
	{"array, no type", "", func(reads []string) string { return "[" + strings.Join(reads, ",") + "]" }},
	{"lines", "application/x-ndjson", func(reads []string) string { return strings.Join(reads, "\n") }},
	{"lines with blanks", "application/x-ndjson", func(reads []string) string { return "\n \t\r\n" + strings.Join(reads, "\r\n\n  \n") + "\n\n" }},
	{"lines as json", "application/json", func(reads []string) string { return strings.Join(reads, "\n") + "\n" }},
	{"lines, no type", "", func(reads []string) string { return strings.Join(reads, "\n") + "\n" }},
}

var codings = []string{"", "gzip", "zstd"}

func (h *harness) send(t testing.TB, w wire, coding, target string, reads []string) gateway.Result {
	t.Helper()
	return accepted(t, h.do(request(target, bytes.NewReader(pack(t, coding, w.join(reads))), "Content-Type", w.contentType, "Content-Encoding", coding)))
}

func schemaRead(unit string, seq uint64) *readpb.Read {
	return &readpb.Read{
		Unit: proto.String(unit), Seq: proto.Uint64(seq), TimeMicros: proto.Int64(1795392000500000),
		Tag: proto.String("e28011"), Plate: proto.String("ab 1234"), PlateConfidence: proto.Float64(0.5),
	}
}

func TestEveryFormAndEncoding(t *testing.T) {
	for _, w := range jsonWires {
		for _, coding := range codings {
			t.Run(w.name+" "+coding, func(t *testing.T) {
				h := newHarness(t, gateway.Limits{})
				got := h.send(t, w, coding, "/v1/reads?strict=1", []string{object(1, `,"tag":"e28011"`), object(2, `,"plate":"ab-12 34"`)})
				if got.Accepted != 2 || got.Duplicate != 0 || len(got.Rejected) != 0 {
					t.Fatalf("%+v", got)
				}
				reads := h.log.reads(t)
				if len(reads) != 2 || reads[0].Tag != "E28011" || reads[1].Plate != "AB1234" || reads[0].TimeMicros != 1795392000500000 || reads[1].Seq != 2 {
					t.Errorf("%+v", reads)
				}
			})
		}
	}
	for _, coding := range codings {
		t.Run("protobuf "+coding, func(t *testing.T) {
			h := newHarness(t, gateway.Limits{})
			batch, err := proto.Marshal(&readpb.ReadBatch{Reads: []*readpb.Read{schemaRead("CHT-N-1", 1), schemaRead("EHC-N-1", 2)}})
			if err != nil {
				t.Fatal(err)
			}
			got := accepted(t, h.do(request("/v1/reads", bytes.NewReader(pack(t, coding, string(batch))), "Content-Type", "application/x-protobuf", "Content-Encoding", coding)))
			reads := h.log.reads(t)
			if got.Accepted != 2 || len(reads) != 2 || reads[1].Unit != "EHC-N-1" || reads[0].Tag != "E28011" || reads[0].Plate != "AB1234" {
				t.Errorf("%+v, %+v", got, reads)
			}
		})
	}
}

// refusals are all of section 3 of the contract, as JSON.
var refusals = []struct {
	name, read string
	code       rsu.Code
}{
	{"number", `5`, rsu.CodeNotObject},
	{"nested array", `[[]]`, rsu.CodeNotObject},
	{"null", `null`, rsu.CodeNotObject},
	{"text", `"],[\""`, rsu.CodeNotObject},
	{"name twice", object(9, `,"tag":"AA","tag":"AA"`), rsu.CodeDuplicateName},
	{"name twice in an unknown field", object(9, `,"tag":"AA","x":{"y":1,"y":2}`), rsu.CodeDuplicateName},
	{"invalid UTF-8", object(9, ",\"plate\":\"A\xff1\""), rsu.CodeNotJSON},
	{"lone surrogate", object(9, `,"plate":"\ud800"`), rsu.CodeNotJSON},
	{"no unit", `{"seq":9,"time":"2026-11-23T08:00:00Z","tag":"AA"}`, rsu.CodeMissingField},
	{"unit in another case", `{"Unit":"CHT-N-1","seq":9,"time":"2026-11-23T08:00:00+08:00","tag":"AA"}`, rsu.CodeMissingField},
	{"no seq", `{"unit":"CHT-N-1","time":"2026-11-23T08:00:00+08:00","tag":"AA"}`, rsu.CodeMissingField},
	{"seq 1.0", `{"unit":"CHT-N-1","seq":1.0,"time":"2026-11-23T08:00:00+08:00","tag":"AA"}`, rsu.CodeIllTyped},
	{"seq too large", `{"unit":"CHT-N-1","seq":18446744073709551616,"time":"2026-11-23T08:00:00+08:00","tag":"AA"}`, rsu.CodeIllTyped},
	{"no time", `{"unit":"CHT-N-1","seq":9,"tag":"AA"}`, rsu.CodeMissingField},
	{"time without offset", `{"unit":"CHT-N-1","seq":9,"time":"2026-11-23T08:00:00","tag":"AA"}`, rsu.CodeBadTime},
	{"time in lower case", `{"unit":"CHT-N-1","seq":9,"time":"2026-11-23t00:00:00z","tag":"AA"}`, rsu.CodeBadTime},
	{"time before 2020", `{"unit":"CHT-N-1","seq":9,"time":"2020-01-01T07:59:59.999999+08:00","tag":"AA"}`, rsu.CodeTooOld},
	{"time ahead", `{"unit":"CHT-N-1","seq":9,"time":"2026-11-23T08:15:00.000001+08:00","tag":"AA"}`, rsu.CodeInFuture},
	{"unknown unit", `{"unit":"CHT-N-9","seq":9,"time":"2026-11-23T08:00:00+08:00","tag":"AA"}`, rsu.CodeUnknownUnit},
	{"unknown class", object(9, `,"tag":"AA","class":"tank"`), rsu.CodeUnknownClass},
	{"neither tag nor plate", object(9, ``), rsu.CodeNoMark},
	{"empty tag and plate of hyphens", object(9, `,"tag":"","plate":"- -"`), rsu.CodeNoMark},
	{"tag no hex", object(9, `,"tag":"XY","plate":"AB1234"`), rsu.CodeBadTag},
	{"tag of half bytes", object(9, `,"tag":"ABC"`), rsu.CodeBadTag},
	{"tag too long", object(9, `,"tag":"`+strings.Repeat("AB", 63)+`"`), rsu.CodeBadTag},
	{"confidence 1.01", object(9, `,"plate":"AB1234","plate_confidence":1.01`), rsu.CodeConfidence},
	{"confidence -0.01", object(9, `,"plate":"AB1234","plate_confidence":-0.01`), rsu.CodeConfidence},
	{"confidence as text", object(9, `,"plate":"AB1234","plate_confidence":"1"`), rsu.CodeIllTyped},
	{"antenna 1.5", object(9, `,"tag":"AA","antenna":1.5`), rsu.CodeIllTyped},
	{"image a number", object(9, `,"tag":"AA","image":1`), rsu.CodeIllTyped},
}

// Each refusal stands between two good reads, which it must not cost.
func TestRefusalsHarmNoNeighbour(t *testing.T) {
	var reads []string
	for i, r := range refusals {
		reads = append(reads, object(100+i, `,"tag":"AA"`), r.read)
	}
	reads = append(reads, object(99, `,"tag":"AA"`))
	for _, w := range jsonWires {
		for _, coding := range codings {
			t.Run(w.name+" "+coding, func(t *testing.T) {
				h := newHarness(t, gateway.Limits{})
				got := h.send(t, w, coding, "/v1/reads", reads)
				checkRefusals(t, h, got)
				for i, e := range h.log.rejected(t) {
					want := strings.ToValidUTF8(refusals[i].read, "\ufffd")
					if e.Read != want || e.Form != rsu.FormJSON || e.Code != refusals[i].code || e.Source != rsu.SourceGateway || e.Sender != "unit_key" || !e.At.Equal(arrival) {
						t.Errorf("%s: envelope %+v", refusals[i].name, e)
					}
				}
			})
		}
	}
}

func checkRefusals(t *testing.T, h *harness, got gateway.Result) {
	t.Helper()
	if got.Accepted != len(refusals)+1 || len(got.Rejected) != len(refusals) {
		t.Fatalf("accepted %d, rejected %d of %d: %+v", got.Accepted, len(got.Rejected), len(refusals), got.Rejected)
	}
	for i, r := range got.Rejected {
		if r.Index != 2*i+1 || r.Code != refusals[i].code || r.Reason == "" || len(r.Reason) > 250 || strings.Contains(r.Reason, "AB1234") {
			t.Errorf("%s: %+v", refusals[i].name, r)
		}
	}
	if n := len(h.log.messages(kafka.TopicRejected)); n != len(refusals) {
		t.Errorf("%d rejected reads recorded", n)
	}
	seen := map[uint64]bool{}
	for _, r := range h.log.reads(t) {
		seen[r.Seq] = true
	}
	for i := range len(refusals) + 1 {
		if !seen[uint64(99+i)] {
			t.Errorf("the read with seq %d is lost", 99+i)
		}
	}
}

func TestProtobufRefusalsHarmNoNeighbour(t *testing.T) {
	good := func(seq uint64) []byte {
		b, err := proto.Marshal(schemaRead("CHT-N-1", seq))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	changed := func(change func(*readpb.Read)) []byte {
		r := schemaRead("CHT-N-1", 9)
		change(r)
		b, err := proto.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	bad := []struct {
		read []byte
		code rsu.Code
	}{
		{nil, rsu.CodeMissingField},
		{[]byte("\xff\xff"), rsu.CodeNotProtobuf},
		{append(good(9), 1<<3|2, 1, 0xff), rsu.CodeDuplicateName},
		{[]byte{1<<3 | 2, 1, 0xff}, rsu.CodeIllTyped},
		{changed(func(r *readpb.Read) { r.Seq = nil }), rsu.CodeMissingField},
		{changed(func(r *readpb.Read) { r.TimeMicros = nil }), rsu.CodeMissingField},
		{changed(func(r *readpb.Read) { r.TimeMicros = proto.Int64(1577836799999999) }), rsu.CodeTooOld},
		{changed(func(r *readpb.Read) { r.TimeMicros = proto.Int64(arrival.UnixMicro() + 300_000_001) }), rsu.CodeInFuture},
		{changed(func(r *readpb.Read) { r.Unit = proto.String("nowhere") }), rsu.CodeUnknownUnit},
		{changed(func(r *readpb.Read) { r.Class = proto.String("tank") }), rsu.CodeUnknownClass},
		{changed(func(r *readpb.Read) { r.Tag, r.Plate = nil, proto.String("-") }), rsu.CodeNoMark},
		{changed(func(r *readpb.Read) { r.Tag = proto.String("0g") }), rsu.CodeBadTag},
		{changed(func(r *readpb.Read) { r.PlateConfidence = proto.Float64(1.5) }), rsu.CodeConfidence},
	}
	var batch []byte
	add := func(b []byte) { batch = protowire.AppendBytes(append(batch, 1<<3|2), b) }
	for i, b := range bad {
		add(good(uint64(100 + i)))
		add(b.read)
	}
	add(good(99))
	for _, coding := range codings {
		h := newHarness(t, gateway.Limits{})
		got := accepted(t, h.do(request("/v1/reads", bytes.NewReader(pack(t, coding, string(batch))), "Content-Type", "application/protobuf", "Content-Encoding", coding)))
		if got.Accepted != len(bad)+1 || len(got.Rejected) != len(bad) || len(h.log.reads(t)) != len(bad)+1 {
			t.Fatalf("%s: %+v", coding, got)
		}
		envelopes := h.log.rejected(t)
		for i, r := range got.Rejected {
			if r.Index != 2*i+1 || r.Code != bad[i].code || envelopes[i].Form != rsu.FormProtobuf {
				t.Errorf("%s %d: %+v", coding, i, r)
			}
			if raw, err := envelopes[i].Raw(); err != nil || raw != string(bad[i].read) {
				t.Errorf("%s %d: kept %q, %v", coding, i, raw, err)
			}
		}
	}
}

func TestStrict(t *testing.T) {
	h := newHarness(t, gateway.Limits{})
	body := "[" + object(1, `,"tag":"AA","speed":88`) + "," + object(2, `,"tag":"AA"`) + "]"
	if got := h.post(t, "application/json", body); got.Accepted != 2 {
		t.Errorf("%+v", got)
	}
	got := accepted(t, h.do(request("/v1/reads?strict=1", strings.NewReader(body), "Content-Type", "application/json")))
	if got.Accepted != 1 || len(got.Rejected) != 1 || got.Rejected[0].Index != 0 || got.Rejected[0].Code != rsu.CodeUnknownField || !strings.Contains(got.Rejected[0].Reason, "speed") {
		t.Errorf("%+v", got)
	}
	wantProblem(t, h.do(request("/v1/reads?strict=perhaps", strings.NewReader(body))), http.StatusBadRequest, "bad-parameter")
}

func TestNothingToTake(t *testing.T) {
	for name, req := range map[string]*http.Request{
		"empty array":    request("/v1/reads", strings.NewReader(" [ ] "), "Content-Type", "application/json"),
		"no lines":       request("/v1/reads", strings.NewReader(""), "Content-Type", "application/x-ndjson"),
		"blank lines":    request("/v1/reads", strings.NewReader("\n \r\n\t\n"), "Content-Type", "application/x-ndjson"),
		"empty protobuf": request("/v1/reads", strings.NewReader(""), "Content-Type", "application/x-protobuf"),
	} {
		h := newHarness(t, gateway.Limits{})
		rec := h.do(req)
		if got := strings.TrimSpace(rec.Body.String()); rec.Code != http.StatusAccepted || got != `{"accepted":0,"duplicate":0,"rejected":[]}` {
			t.Errorf("%s: %d %s", name, rec.Code, got)
		}
	}
}

func TestOneObjectOverSeveralLines(t *testing.T) {
	h := newHarness(t, gateway.Limits{})
	body := strings.ReplaceAll(object(1, `,"tag":"AA"`), ",", ",\n  ")
	if got := h.post(t, "application/json", body+"\n"); got.Accepted != 1 || len(got.Rejected) != 0 {
		t.Errorf("%+v", got)
	}
}

// A bad first line is a bad line, not a bad body, whatever the content type.
func TestBadFirstLineCostsNoNeighbour(t *testing.T) {
	good := object(1, `,"tag":"AA"`)
	for _, first := range []string{"xx", "null", "\x00", "\ufeff" + good, "7"} {
		for _, contentType := range []string{"", "application/json", "application/x-ndjson"} {
			h := newHarness(t, gateway.Limits{})
			got := accepted(t, h.do(request("/v1/reads", strings.NewReader(first+"\n"+good+"\n"), "Content-Type", contentType)))
			if got.Accepted != 1 || len(got.Rejected) != 1 || got.Rejected[0].Index != 0 {
				t.Errorf("%q as %q: %+v", first, contentType, got)
			}
		}
	}
}

// What does not parse as a whole is refused as a whole.
func TestBodiesThatDoNotParse(t *testing.T) {
	good := object(1, `,"tag":"AA"`)
	protobuf, err := proto.Marshal(&readpb.ReadBatch{Reads: []*readpb.Read{schemaRead("CHT-N-1", 1), schemaRead("CHT-N-1", 2)}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, contentType, body, slug string }{
		{"cut array", "application/json", "[" + good + "," + good[:40], "bad-json"},
		{"array without end", "application/json", "[" + good, "bad-json"},
		{"two arrays", "application/json", "[" + good + "][" + good + "]", "bad-json"},
		{"trailing comma", "application/json", "[" + good + ",]", "bad-json"},
		{"syntax in an element", "", "[" + good + `,{"unit":}]`, "bad-json"},
		{"depth bomb", "application/json", "[" + good + "," + strings.Repeat("[", 1<<20), "bad-json"},
		{"closed depth bomb", "application/json", strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000), "bad-json"},
		{"number", "application/json", "5", "bad-json"},
		{"empty", "application/json", "", "bad-json"},
		{"blank", "", " \n", "bad-json"},
		{"html", "", "<html>", "bad-json"},
		{"cut protobuf", "application/x-protobuf", string(protobuf[:len(protobuf)-1]), "bad-protobuf"},
		{"JSON as protobuf", "application/x-protobuf", "[" + good + "]", "bad-protobuf"},
	} {
		h := newHarness(t, gateway.Limits{})
		wantProblem(t, h.do(request("/v1/reads", strings.NewReader(tc.body), "Content-Type", tc.contentType)), http.StatusBadRequest, tc.slug)
		if n := len(h.log.messages(kafka.TopicReads)) + len(h.log.messages(kafka.TopicRejected)); n != 0 {
			t.Errorf("%s: %d messages were published", tc.name, n)
		}
	}
}

// Wherever compressed data are cut, nothing of them is taken.
func TestTruncatedCompressionTakesNothing(t *testing.T) {
	var lines strings.Builder
	for i := range 50 {
		fmt.Fprintf(&lines, "%s\n", object(i, `,"tag":"AA"`))
	}
	for _, coding := range []string{"gzip", "zstd"} {
		whole := pack(t, coding, lines.String())
		for cut := range len(whole) {
			h := newHarness(t, gateway.Limits{})
			wantProblem(t, h.do(request("/v1/reads", bytes.NewReader(whole[:cut]), "Content-Type", "application/x-ndjson", "Content-Encoding", coding)),
				http.StatusBadRequest, "broken-body")
			if n := len(h.log.messages(kafka.TopicReads)); n != 0 {
				t.Fatalf("%s cut at %d of %d: %d reads taken", coding, cut, len(whole), n)
			}
		}
		for name, body := range map[string][]byte{"garbage behind": append(bytes.Clone(whole), "garbage"...), "plain": []byte(lines.String())} {
			h := newHarness(t, gateway.Limits{})
			wantProblem(t, h.do(request("/v1/reads", bytes.NewReader(body), "Content-Type", "application/x-ndjson", "Content-Encoding", coding)), http.StatusBadRequest, "broken-body")
			if n := len(h.log.messages(kafka.TopicReads)); n != 0 {
				t.Errorf("%s, %s: %d reads taken", coding, name, n)
			}
		}
		// Members one behind the other are one body.
		h := newHarness(t, gateway.Limits{})
		two := append(bytes.Clone(whole), pack(t, coding, object(50, `,"tag":"AA"`))...)
		if got := accepted(t, h.do(request("/v1/reads", bytes.NewReader(two), "Content-Type", "application/x-ndjson", "Content-Encoding", coding))); got.Accepted != 51 {
			t.Errorf("%s members: %+v", coding, got)
		}
	}
}

func TestLongLineIsRefusedAlone(t *testing.T) {
	h := newHarness(t, gateway.Limits{})
	long := object(2, `,"tag":"AA","x":"`+strings.Repeat("x", 1<<20)+`"`)
	atLimit := object(3, `,"tag":"AA","x":""`)
	atLimit = strings.Replace(atLimit, `"x":""`, `"x":"`+strings.Repeat("x", 1<<20-len(atLimit))+`"`, 1)
	got := h.post(t, "application/x-ndjson", object(1, `,"tag":"AA"`)+"\n"+long+"\n"+atLimit+"\n"+object(4, `,"tag":"AA"`))
	if got.Accepted != 3 || len(got.Rejected) != 1 || got.Rejected[0].Index != 1 || got.Rejected[0].Code != rsu.CodeTooLong {
		t.Errorf("%+v", got)
	}
	if e := h.log.rejected(t); len(e) != 1 || len(e[0].Read) != 4096 || !e[0].Truncated {
		t.Errorf("envelope of %d bytes", len(e[0].Read))
	}
}
