package rsu_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"freeflow/rsu"
)

func TestRejectedRoundTrip(t *testing.T) {
	at := time.Date(2026, 11, 23, 8, 0, 0, 123_456_000, time.FixedZone("", 8*3600))
	_, refusal := rsu.DecodeJSON([]byte(`{"unit":5}`), false)
	for _, tc := range []struct {
		form rsu.Form
		raw  string
	}{
		{rsu.FormJSON, with(`,"tag":"AA"`)}, {rsu.FormJSON, ""}, {rsu.FormProtobuf, "\x0a\x01\xff\x00"},
	} {
		e := rsu.NewRejected(at, rsu.SourceGateway, "unit_key", tc.form, tc.raw, refusal)
		b, err := e.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var got rsu.Rejected
		if err := got.UnmarshalBinary(b); err != nil || got != e {
			t.Errorf("%+v, %v, want %+v", got, err, e)
		}
		if raw, err := got.Raw(); err != nil || raw != tc.raw {
			t.Errorf("raw %q, %v, want %q", raw, err, tc.raw)
		}
		if got.Code != rsu.CodeIllTyped || !strings.HasPrefix(got.Reason, "unit: ") {
			t.Errorf("reason %s %q", got.Code, got.Reason)
		}
		var plain map[string]any
		if err := json.Unmarshal(b, &plain); err != nil || plain["at"] != "2026-11-23T00:00:00.123456Z" || plain["source"] != "gateway" {
			t.Errorf("%s: %v", b, err)
		}
	}
}

func TestRejectedIsCut(t *testing.T) {
	_, refusal := rsu.DecodeJSON(nil, false)
	for name, raw := range map[string]string{
		"ascii": strings.Repeat("x", 1<<20), "characters": strings.Repeat("香", 5000), "invalid": strings.Repeat("\xff", 5000),
		"rockets": "x" + strings.Repeat("🚀", 5000), "half a character at the end": strings.Repeat("x", 4095) + "香",
	} {
		e := rsu.NewRejected(time.UnixMicro(0), rsu.SourceReplay, "", rsu.FormJSON, raw, refusal)
		if !e.Truncated || !utf8.ValidString(e.Read) {
			t.Errorf("%s: truncated %v", name, e.Truncated)
		}
		if name == "invalid" {
			if e.Read != strings.Repeat("\ufffd", 4096) {
				t.Errorf("%s: %d bytes", name, len(e.Read))
			}
		} else if strings.Contains(e.Read, "\ufffd") || len(e.Read) > 4096 || len(e.Read) < 4093 || !strings.HasPrefix(raw, e.Read) {
			t.Errorf("%s: %d bytes", name, len(e.Read))
		}
		if _, err := e.Decode(); err == nil || !strings.Contains(err.Error(), "part of the read") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRejectedDecodesAgain(t *testing.T) {
	b, err := fullRead.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	refusal := &rsu.RefusedError{Code: rsu.CodeUnknownUnit, Field: "unit", Message: "no such"}
	for _, e := range []rsu.Rejected{
		rsu.NewRejected(time.UnixMicro(0), rsu.SourceMatcher, "", rsu.FormProtobuf, string(b), refusal),
		rsu.NewRejected(time.UnixMicro(0), rsu.SourceGateway, "", rsu.FormJSON, fullJSON, refusal),
	} {
		if r, err := e.Decode(); err != nil || r != fullRead {
			t.Errorf("%s: %+v, %v", e.Form, r, err)
		}
	}
	for _, e := range []rsu.Rejected{{Form: "xml", Read: "x"}, {Form: rsu.FormProtobuf, Read: "%"}} {
		if _, err := e.Decode(); err == nil {
			t.Errorf("%+v decoded", e)
		}
	}
	for _, bad := range []string{"", "5", `{"at":"yesterday"}`, `{"at":5}`} {
		var e rsu.Rejected
		if err := e.UnmarshalBinary([]byte(bad)); err == nil {
			t.Errorf("%q is no envelope", bad)
		}
	}
}
