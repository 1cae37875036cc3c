package rsu_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"freeflow/rsu"
	"freeflow/rsu/readpb"
)

// schemaRead puts a read into generated code's form.
func schemaRead(r rsu.Read) *readpb.Read {
	text := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	m := &readpb.Read{
		Unit: text(r.Unit), Boot: text(r.Boot), Seq: &r.Seq, TimeMicros: &r.TimeMicros, Tag: text(r.Tag),
		Plate: text(r.Plate), Class: text(r.Class), Image: text(r.Image),
	}
	if r.Confidence.Present {
		m.PlateConfidence = &r.Confidence.Value
	}
	if r.Antenna.Present {
		m.Antenna = &r.Antenna.Value
	}
	if r.RSSI.Present {
		m.Rssi = &r.RSSI.Value
	}
	return m
}

// The codec written by hand and the schema must be one on the wire.
func TestCodecAgreesWithTheSchema(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRead(t)
		own, err := r.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var back readpb.Read
		if err := proto.Unmarshal(own, &back); err != nil {
			t.Fatal(err)
		}
		if want := schemaRead(r); !proto.Equal(&back, want) {
			t.Fatalf("generated code reads %v, want %v", &back, want)
		}
		theirs, err := proto.MarshalOptions{Deterministic: true}.Marshal(schemaRead(r))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(own, theirs) {
			t.Fatalf("bytes differ:\n%x\n%x", own, theirs)
		}
		var got rsu.Read
		if err := got.UnmarshalBinary(theirs); err != nil || got != r {
			t.Fatalf("%+v, %v, want %+v", got, err, r)
		}
	})
}

func TestDecodeProtoNormalises(t *testing.T) {
	raw := fullRead
	raw.Tag, raw.Plate = strings.ToLower(raw.Tag), "ａb-12 34"
	b, err := proto.Marshal(schemaRead(raw))
	if err != nil {
		t.Fatal(err)
	}
	if r, err := rsu.DecodeProto(b, true); err != nil || r != fullRead {
		t.Errorf("%+v, %v", r, err)
	}
	minus := schemaRead(fullRead)
	minus.Rssi = proto.Float64(math.Copysign(0, -1))
	b, err = proto.Marshal(minus)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := rsu.DecodeProto(b, true); err != nil || math.Signbit(r.RSSI.Value) || !r.RSSI.Present {
		t.Errorf("minus zero: %+v, %v", r, err)
	}
}

func TestDecodeProtoRefuses(t *testing.T) {
	whole, err := fullRead.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	add := func(b ...byte) []byte { return append(bytes.Clone(whole), b...) }
	message := func(change func(*readpb.Read)) []byte {
		m := schemaRead(fullRead)
		change(m)
		b, err := proto.MarshalOptions{AllowPartial: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, tc := range []struct {
		name   string
		data   []byte
		strict bool
		code   rsu.Code
		field  string
	}{
		{"nothing", nil, false, rsu.CodeMissingField, "unit"},
		{"text", []byte(fullJSON), false, rsu.CodeNotProtobuf, ""},
		{"cut", whole[:len(whole)-3], false, rsu.CodeNotProtobuf, ""},
		{"no unit", message(func(m *readpb.Read) { m.Unit = nil }), false, rsu.CodeMissingField, "unit"},
		{"empty unit", message(func(m *readpb.Read) { m.Unit = proto.String("") }), false, rsu.CodeMissingField, "unit"},
		{"no seq", message(func(m *readpb.Read) { m.Seq = nil }), false, rsu.CodeMissingField, "seq"},
		{"no time", message(func(m *readpb.Read) { m.TimeMicros = nil }), false, rsu.CodeMissingField, "time"},
		{"bad tag", message(func(m *readpb.Read) { m.Tag = proto.String("XY") }), false, rsu.CodeBadTag, "tag"},
		{"U+0000", message(func(m *readpb.Read) { m.Plate = proto.String("A\x001") }), false, rsu.CodeIllTyped, "plate"},
		{"NaN", message(func(m *readpb.Read) { m.PlateConfidence = proto.Float64(math.NaN()) }), false, rsu.CodeIllTyped, "plate_confidence"},
		{"infinite", message(func(m *readpb.Read) { m.Rssi = proto.Float64(math.Inf(-1)) }), false, rsu.CodeIllTyped, "rssi"},
		{"field twice", add(whole...), false, rsu.CodeDuplicateName, "unit"},
		{"another type", protowire.AppendVarint([]byte{1 << 3}, 5), false, rsu.CodeIllTyped, "unit"},
		{"not UTF-8", []byte{1<<3 | 2, 1, 0xff}, false, rsu.CodeIllTyped, "unit"},
		{"unknown field, strict", add(20<<3&0x7f|0x80, 1, 5), true, rsu.CodeUnknownField, ""},
		{"broken unknown field", add(12<<3|2, 9), false, rsu.CodeNotProtobuf, ""},
		{"endless text", add(12<<3|2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1), false, rsu.CodeNotProtobuf, ""},
		{"field zero", add(0, 0), false, rsu.CodeNotProtobuf, ""},
	} {
		_, err := rsu.DecodeProto(tc.data, tc.strict)
		var refused *rsu.RefusedError
		if !errors.As(err, &refused) || refused.Code != tc.code || refused.Field != tc.field {
			t.Errorf("%s: %v, want %s %q", tc.name, err, tc.code, tc.field)
		}
	}
	if r, err := rsu.DecodeProto(add(12<<3, 5), false); err != nil || r != fullRead {
		t.Errorf("unknown field: %+v, %v", r, err)
	}
}

func TestDecodeProtoBatchKeepsNeighboursApart(t *testing.T) {
	whole, err := fullRead.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var batch []byte
	for _, read := range [][]byte{whole, []byte("garbage"), {1<<3 | 2, 1, 0xff}, {}, whole} {
		batch = protowire.AppendBytes(append(batch, 1<<3|2), read)
	}
	decode := func(data []byte, strict bool) (reads []rsu.Read, errs []error, err error) {
		err = rsu.DecodeProtoBatch(data, strict, func(_ string, r rsu.Read, err error) error {
			reads, errs = append(reads, r), append(errs, err)
			return nil
		})
		return reads, errs, err
	}
	reads, errs, err := decode(append(batch, 12<<3, 5), false)
	if err != nil || len(reads) != 5 || reads[0] != fullRead || reads[4] != fullRead || errs[0] != nil || errs[4] != nil {
		t.Fatalf("%+v, %v, %v", reads, errs, err)
	}
	for i := 1; i < 4; i++ {
		if rsu.CodeOf(errs[i]) == "" {
			t.Errorf("read %d: %v", i, errs[i])
		}
	}
	for name, data := range map[string][]byte{"cut": batch[:len(batch)-1], "another type": {1 << 3, 5}, "text": []byte(`[{"unit":"x"}]`), "field zero": {0}} {
		if _, _, err := decode(data, false); err == nil {
			t.Errorf("%s: parsed", name)
		}
	}
	if _, _, err := decode(append(batch, 12<<3, 5), true); rsu.CodeOf(err) != rsu.CodeUnknownField {
		t.Errorf("strict: %v", err)
	}
}

func TestSchemaNamesEveryField(t *testing.T) {
	for _, want := range []string{"message ReadBatch", "repeated Read reads = 1", "uint64 seq = 3", "int64 time_micros = 4"} {
		if !strings.Contains(readpb.Schema(), want) {
			t.Errorf("the schema has no %q", want)
		}
	}
}

// schemaReads decodes a read by generated code.
func schemaReads(data []byte) (*readpb.Read, error) {
	var m readpb.Read
	err := proto.Unmarshal(data, &m)
	return &m, err
}
