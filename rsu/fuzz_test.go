package rsu_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"freeflow/rsu"
)

// FuzzDecodeJSON compares the decoder with one made of package jsontext alone,
// and wants every read that it takes to survive both wire forms.
func FuzzDecodeJSON(f *testing.F) {
	f.Add(fullJSON, true)
	f.Add(with(`,"x":{"y":[1,null,"\ud83d\ude80"]},"tag":"aa"`), false)
	f.Add(with(`,"plate_confidence":-0.0,"rssi":1E-7,"antenna":-0`), false)
	f.Add(`{"\u0075nit":"a\/b","seq":0,"time":"2024-02-29T23:59:59.999999999-23:59"}`, true)
	f.Add("{\"unit\":\"\xff\"}", false)
	f.Add(with(`,"tag":null,"tag":null`), false)
	f.Fuzz(func(t *testing.T, text string, strict bool) {
		got, err := rsu.DecodeJSONText(text, strict)
		want, wantErr := oracleJSON(text, strict)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, oracle %v", text, err, wantErr)
		}
		if err != nil {
			if rsu.CodeOf(err) == "" {
				t.Fatalf("%q: untyped error %v", text, err)
			}
			return
		}
		if got != want {
			t.Fatalf("%q: %+v, oracle %+v", text, got, want)
		}
		b, err := got.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var again rsu.Read
		if err := again.UnmarshalBinary(b); err != nil || again != got {
			t.Fatalf("protobuf: %+v, %v, want %+v", again, err, got)
		}
		if y := got.Time().Year(); y >= 0 && y <= 9999 { // beyond, UTC has no RFC 3339
			if again, err = rsu.DecodeJSON(rsu.EncodeJSON(got), true); err != nil || again != got {
				t.Fatalf("JSON: %+v, %v, want %+v", again, err, got)
			}
		}
	})
}

// FuzzDecodeJSONArray compares the stepping over elements with jsontext's.
func FuzzDecodeJSONArray(f *testing.F) {
	f.Add("[" + fullJSON + "]")
	f.Add(`[1,[{"a":[]}],"\u12aB",{"a":1,"a":-0.5e+7}, true ]`)
	f.Add("[\"\xff\",\"\\ud800\",nul]")
	f.Add("[]x")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := decodeArray(text, false)
		dec := jsontext.NewDecoder(strings.NewReader(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
		value, wantErr := dec.ReadValue()
		good := wantErr == nil && value.Kind() == '[' && strings.Trim(text[dec.InputOffset():], " \t\r\n") == ""
		if good != (err == nil) {
			t.Fatalf("%q: %v, jsontext %v", text, err, wantErr)
		}
		if !good {
			return
		}
		dec = jsontext.NewDecoder(strings.NewReader(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
		if _, err := dec.ReadToken(); err != nil {
			t.Fatal(err)
		}
		for i, e := range got {
			raw, err := dec.ReadValue()
			if err != nil || string(raw) != e.raw {
				t.Fatalf("element %d: %q, jsontext %q, %v", i, e.raw, raw, err)
			}
			one, err := rsu.DecodeJSONText(e.raw, false)
			if (err == nil) != (e.err == nil) || err == nil && one != e.read {
				t.Fatalf("element %d: %+v %v, alone %+v %v", i, e.read, e.err, one, err)
			}
		}
		if dec.PeekKind() != ']' {
			t.Fatalf("%q: elements are missing", text)
		}
	})
}

func FuzzNormalizePlate(f *testing.F) {
	for _, s := range []string{"AB 1234", "ａb‐１２", "A \u0301", "\u0131\u0307", "ß\u0345", "粵Z1234港", strings.Repeat("\u0301", 40)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if utf8.ValidString(s) && len(s) <= rsu.MaxName {
			checkPlate(t, s)
		}
	})
}

func FuzzNormalizeTag(f *testing.F) {
	for _, s := range []string{"", "e280", "E28", "0g", strings.Repeat("f", 126)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tag, err := rsu.NormalizeTag(s)
		if err != nil {
			return
		}
		again, err := rsu.NormalizeTag(tag)
		if err != nil || again != tag || !strings.EqualFold(tag, s) || len(tag)%2 != 0 || strings.Trim(tag, "0123456789ABCDEF") != "" {
			t.Fatalf("%q: %q, again %q, %v", s, tag, again, err)
		}
	})
}

// FuzzDecodeProto wants whatever is taken to be what the schema's own code
// reads, and to survive.
func FuzzDecodeProto(f *testing.F) {
	b, _ := fullRead.MarshalBinary()
	f.Add(b, true)
	f.Add(append(b, 12<<3, 5), false)
	f.Add([]byte{0x0a, 0x01, 'u', 0x18, 0x00, 0x20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, false)
	f.Fuzz(func(t *testing.T, data []byte, strict bool) {
		r, err := rsu.DecodeProto(data, strict)
		if err != nil {
			if rsu.CodeOf(err) == "" {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		b, err := r.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := rsu.DecodeProto(b, true); err != nil || again != r {
			t.Fatalf("%+v, %v, want %+v", again, err, r)
		}
		if _, err := schemaReads(data); err != nil {
			t.Fatalf("the schema's code refuses what was taken: %v", err)
		}
	})
}
