package rsu_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"freeflow/rsu"
)

const fullJSON = `{"unit":"CHT-N-1","boot":"b7","seq":18446744073709551615,"time":"2026-11-23T08:00:00.1234569+08:00",` +
	`"tag":"e2801160600002","plate":"ab-12 34","plate_confidence":0.97,"class":"private_car","antenna":-2,"rssi":-61.5,"image":"s3://x/1.jpg"}`

var fullRead = rsu.Read{
	Unit: "CHT-N-1", Boot: "b7", Seq: 18446744073709551615, TimeMicros: 1795392000123456,
	Tag: "E2801160600002", Plate: "AB1234", Confidence: rsu.Some(0.97), Class: "private_car",
	Antenna: rsu.Some[int64](-2), RSSI: rsu.Some(-61.5), Image: "s3://x/1.jpg",
}

func TestDecodeJSONTakesEveryField(t *testing.T) {
	for _, strict := range []bool{false, true} {
		r, err := rsu.DecodeJSON([]byte(" \n"+fullJSON+"\t\r\n"), strict)
		if err != nil {
			t.Fatal(err)
		}
		if r != fullRead {
			t.Errorf("strict %v: got %+v, want %+v", strict, r, fullRead)
		}
	}
	if got := fullRead.Time().Format("2006-01-02T15:04:05.000000Z07:00"); got != "2026-11-23T00:00:00.123456Z" {
		t.Errorf("time %s", got)
	}
}

// with returns an acceptable object with more fields behind.
func with(fields string) string {
	return `{"unit":"CHT-N-1","seq":7,"time":"2026-11-23T08:00:00Z"` + fields + `}`
}

func TestDecodeJSONNullAndEmptyAreAbsent(t *testing.T) {
	want, err := rsu.DecodeJSON([]byte(with("")), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, fields := range []string{
		`,"boot":null,"tag":null,"plate":null,"plate_confidence":null,"class":null,"antenna":null,"rssi":null,"image":null`,
		`,"boot":"","tag":"","plate":"","image":""`,
		`,"plate":" - ‐‑　"`,
	} {
		r, err := rsu.DecodeJSON([]byte(with(fields)), true)
		if err != nil || r != want {
			t.Errorf("%s: %+v, %v", fields, r, err)
		}
	}
}

// An empty class is none that the network has, and is refused like any other.
func TestDecodeJSONEmptyClass(t *testing.T) {
	_, err := rsu.DecodeJSON([]byte(`{"unit":"CHT-N-1","seq":1,"time":"2026-11-23T08:00:00Z","tag":"AA","class":""}`), false)
	if rsu.CodeOf(err) != rsu.CodeUnknownClass {
		t.Errorf("got %v", err)
	}
}

func TestDecodeJSONAccepts(t *testing.T) {
	for name, text := range map[string]string{
		"unknown field":            with(`,"speed":88`),
		"unknown nested":           with(`,"vendor":{"a":[1,{"b":null}],"c":"\u00e9"}`),
		"names differ in case":     with(`,"Unit":"X","UNIT":5,"tag":"AA"`),
		"escaped name":             `{"\u0075nit":"CHT-N-1","seq":7,"time":"2026-11-23T08:00:00Z","t\u0061g":"AA"}`,
		"escaped values":           `{"unit":"CHT\u002dN-1","seq":7,"time":"2026-11-23T08:00:00\u005A","plate":"\u0041\ud83d\ude80"}`,
		"seq zero":                 `{"unit":"CHT-N-1","seq":0,"time":"2026-11-23T08:00:00Z"}`,
		"confidence with exponent": with(`,"plate_confidence":9E-1`),
		"white space everywhere":   " {\t\"unit\" : \"CHT-N-1\" ,\r\n\"seq\":\n7 , \"time\":\"2026-11-23T08:00:00Z\" } ",
	} {
		got, err := rsu.DecodeJSON([]byte(text), false)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if want, err := oracleJSON(text, false); err != nil || got != want {
			t.Errorf("%s: got %+v, oracle %+v, %v", name, got, want, err)
		}
	}
}

func TestDecodeJSONRefuses(t *testing.T) {
	deep := strings.Repeat("[", 200_000)
	for _, tc := range []struct {
		name, text string
		code       rsu.Code
		field      string
	}{
		{"nothing", ``, rsu.CodeNotJSON, ""},
		{"blank", "  ", rsu.CodeNotJSON, ""},
		{"word", `read`, rsu.CodeNotJSON, ""},
		{"byte order mark", "\ufeff" + with(""), rsu.CodeNotJSON, ""},
		{"half", with("")[:30], rsu.CodeNotJSON, ""},
		{"two objects", with("") + with(""), rsu.CodeNotJSON, ""},
		{"trailing comma", with(`,`), rsu.CodeNotJSON, ""},
		{"leading comma", `{,"unit":"x"}`, rsu.CodeNotJSON, ""},
		{"single quotes", `{'unit':'CHT-N-1'}`, rsu.CodeNotJSON, ""},
		{"comment", `{/*x*/"unit":"CHT-N-1","seq":7,"time":"2026-11-23T08:00:00Z"}`, rsu.CodeNotJSON, ""},
		{"NaN", with(`,"rssi":NaN`), rsu.CodeNotJSON, ""},
		{"leading zero", with(`,"antenna":01`), rsu.CodeNotJSON, ""},
		{"leading plus", with(`,"antenna":+1`), rsu.CodeNotJSON, ""},
		{"line break in text", with(",\"boot\":\"a\nb\""), rsu.CodeNotJSON, ""},
		{"bad escape", with(`,"boot":"\x41"`), rsu.CodeNotJSON, ""},
		{"lone surrogate", with(`,"boot":"\ud800"`), rsu.CodeNotJSON, ""},
		{"invalid UTF-8 in a value", with(",\"boot\":\"\xff\""), rsu.CodeNotJSON, ""},
		{"invalid UTF-8 in an unknown value", with(",\"x\":\"\xff\""), rsu.CodeNotJSON, ""},
		{"invalid UTF-8 in an unknown name", with(",\"\xff\":1"), rsu.CodeNotJSON, ""},
		{"surrogates as bytes", with(",\"boot\":\"\xed\xa0\x80\""), rsu.CodeNotJSON, ""},
		{"depth bomb", with(`,"x":` + deep), rsu.CodeNotJSON, ""},
		{"depth bomb alone", deep, rsu.CodeNotJSON, ""},
		{"array", `[` + with("") + `]`, rsu.CodeNotObject, ""},
		{"number", `5`, rsu.CodeNotObject, ""},
		{"text", `"x"`, rsu.CodeNotObject, ""},
		{"null", `null`, rsu.CodeNotObject, ""},
		{"name twice", with(`,"tag":"AA","tag":"AA"`), rsu.CodeDuplicateName, "tag"},
		{"name twice, null", with(`,"tag":null,"tag":"AA"`), rsu.CodeDuplicateName, "tag"},
		{"name twice, escaped", with(`,"tag":"AA","t\u0061g":"AA"`), rsu.CodeDuplicateName, "tag"},
		{"unknown name twice", with(`,"x":1,"x":1`), rsu.CodeDuplicateName, ""},
		{"nested name twice", with(`,"x":{"y":1,"y":2}`), rsu.CodeDuplicateName, ""},
		{"no unit", `{"seq":7,"time":"2026-11-23T08:00:00Z"}`, rsu.CodeMissingField, "unit"},
		{"empty unit", `{"unit":"","seq":7,"time":"2026-11-23T08:00:00Z"}`, rsu.CodeMissingField, "unit"},
		{"null unit", `{"unit":null,"seq":7,"time":"2026-11-23T08:00:00Z"}`, rsu.CodeIllTyped, "unit"},
		{"unit in another case", `{"Unit":"CHT-N-1","seq":7,"time":"2026-11-23T08:00:00Z"}`, rsu.CodeMissingField, "unit"},
		{"unit is a number", `{"unit":5,"seq":7,"time":"2026-11-23T08:00:00Z"}`, rsu.CodeIllTyped, "unit"},
		{"no seq", `{"unit":"CHT-N-1","time":"2026-11-23T08:00:00Z"}`, rsu.CodeMissingField, "seq"},
		{"seq null", `{"unit":"CHT-N-1","seq":null,"time":"2026-11-23T08:00:00Z"}`, rsu.CodeIllTyped, "seq"},
		{"seq 1.0", `{"unit":"CHT-N-1","seq":1.0,"time":"2026-11-23T08:00:00Z"}`, rsu.CodeIllTyped, "seq"},
		{"seq 1e3", `{"unit":"CHT-N-1","seq":1e3,"time":"2026-11-23T08:00:00Z"}`, rsu.CodeIllTyped, "seq"},
		{"seq -1", `{"unit":"CHT-N-1","seq":-1,"time":"2026-11-23T08:00:00Z"}`, rsu.CodeIllTyped, "seq"},
		{"seq -0", `{"unit":"CHT-N-1","seq":-0,"time":"2026-11-23T08:00:00Z"}`, rsu.CodeIllTyped, "seq"},
		{"seq 2^64", `{"unit":"CHT-N-1","seq":18446744073709551616,"time":"2026-11-23T08:00:00Z"}`, rsu.CodeIllTyped, "seq"},
		{"seq as text", `{"unit":"CHT-N-1","seq":"1","time":"2026-11-23T08:00:00Z"}`, rsu.CodeIllTyped, "seq"},
		{"no time", `{"unit":"CHT-N-1","seq":7}`, rsu.CodeMissingField, "time"},
		{"time as number", `{"unit":"CHT-N-1","seq":7,"time":1795392000}`, rsu.CodeIllTyped, "time"},
		{"time null", `{"unit":"CHT-N-1","seq":7,"time":null}`, rsu.CodeIllTyped, "time"},
		{"tag not hex", with(`,"tag":"XY"`), rsu.CodeBadTag, "tag"},
		{"tag of blanks", with(`,"tag":"  "`), rsu.CodeBadTag, "tag"},
		{"tag of half bytes", with(`,"tag":"ABC"`), rsu.CodeBadTag, "tag"},
		{"tag of 63 bytes", with(`,"tag":"` + strings.Repeat("AB", 63) + `"`), rsu.CodeBadTag, "tag"},
		{"tag is a number", with(`,"tag":12`), rsu.CodeIllTyped, "tag"},
		{"tag in full width", with(`,"tag":"ＡＢ"`), rsu.CodeBadTag, "tag"},
		{"plate is an array", with(`,"plate":["AB1234"]`), rsu.CodeIllTyped, "plate"},
		{"plate with U+0000", with(`,"plate":"AB\u00001234"`), rsu.CodeIllTyped, "plate"},
		{"plate too long", with(`,"plate":"` + strings.Repeat("A", 257) + `"`), rsu.CodeTooLong, "plate"},
		{"plate that grows too long", with(`,"plate":"` + strings.Repeat("\ufdfa", 80) + `"`), rsu.CodeTooLong, "plate"},
		{"boot too long", with(`,"boot":"` + strings.Repeat("A", 257) + `"`), rsu.CodeTooLong, "boot"},
		{"image too long", with(`,"image":"` + strings.Repeat("A", 1025) + `"`), rsu.CodeTooLong, "image"},
		{"confidence as text", with(`,"plate_confidence":"0.9"`), rsu.CodeIllTyped, "plate_confidence"},
		{"confidence true", with(`,"plate_confidence":true`), rsu.CodeIllTyped, "plate_confidence"},
		{"rssi beyond all numbers", with(`,"rssi":1e999`), rsu.CodeIllTyped, "rssi"},
		{"antenna 1.5", with(`,"antenna":1.5`), rsu.CodeIllTyped, "antenna"},
		{"antenna 2^63", with(`,"antenna":9223372036854775808`), rsu.CodeIllTyped, "antenna"},
	} {
		_, err := rsu.DecodeJSON([]byte(tc.text), false)
		var refused *rsu.RefusedError
		if !errors.As(err, &refused) {
			t.Errorf("%s: taken, or another error: %v", tc.name, err)
			continue
		}
		if refused.Code != tc.code || refused.Field != tc.field {
			t.Errorf("%s: code %s field %q (%v), want %s %q", tc.name, refused.Code, refused.Field, err, tc.code, tc.field)
		}
		if len(err.Error()) > 250 || strings.Contains(err.Error(), "AB1234") {
			t.Errorf("%s: message %q", tc.name, err)
		}
		if _, err := oracleJSON(tc.text, false); err == nil {
			t.Errorf("%s: the oracle takes it", tc.name)
		}
	}
}

func TestDecodeJSONStrictRefusesUnknownFields(t *testing.T) {
	_, err := rsu.DecodeJSON([]byte(with(`,"speed":88`)), true)
	if rsu.CodeOf(err) != rsu.CodeUnknownField || !strings.Contains(err.Error(), `"speed"`) {
		t.Errorf("got %v", err)
	}
}

func TestTimes(t *testing.T) {
	for _, tc := range []struct {
		text string
		want int64
	}{
		{"1970-01-01T00:00:00Z", 0},
		{"1970-01-01T00:00:00.000001Z", 1},
		{"1970-01-01T08:00:00+08:00", 0},
		{"1969-12-31T23:59:59.9999999Z", -1},
		{"1970-01-01T00:00:00.0000019999999999999999999Z", 1},
		{"1970-01-01T00:00:00.5Z", 500_000},
		{"1970-01-01T23:59:00+23:59", 0},
		{"1969-12-31T00:01:00-23:59", 0},
		{"1970-01-01T00:00:00-00:00", 0},
		{"2024-02-29T00:00:00Z", 1709164800_000000},
		{"2000-02-29T00:00:00Z", 951782400_000000},
		{"0000-02-29T00:00:00Z", -62162121600_000000},
		{"9999-12-31T23:59:59.999999Z", 253402300799_999999},
	} {
		r, err := rsu.DecodeJSON(fmt.Appendf(nil, `{"unit":"u","seq":1,"time":%q}`, tc.text), true)
		if err != nil || r.TimeMicros != tc.want {
			t.Errorf("%s: %d, %v, want %d", tc.text, r.TimeMicros, err, tc.want)
		}
	}
	for _, text := range []string{
		"", "2026-11-23", "2026-11-23T08:00:00", "2026-11-23T08:00:00.5", "2026-11-23t08:00:00Z", "2026-11-23T08:00:00z",
		"2026-11-23 08:00:00Z", "2026-11-23T08:00:00,5Z", "2026-11-23T08:00:00.Z", "2026-11-23T8:00:00Z", "2026-1-23T08:00:00Z",
		"2026-11-23T24:00:00Z", "2026-11-23T08:60:00Z", "2026-11-23T08:00:60Z", "2026-12-31T23:59:60Z", "2026-11-23T08:00:61Z",
		"2026-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
		"2026-01-00T00:00:00Z", "2026-11-23T08:00:00+24:00", "2026-11-23T08:00:00+08:60", "2026-11-23T08:00:00+0800",
		"2026-11-23T08:00:00+08", "2026-11-23T08:00:00+8:00", "2026-11-23T08:00:00 +08:00", " 2026-11-23T08:00:00Z",
		"2026-11-23T08:00:00Z ", "2026-11-23T08:00:00Z+08:00", "+2026-11-23T08:00:00Z", "02026-11-23T08:00:00Z", "-026-11-23T08:00:00Z",
		"2026-11-23T08:00Z", "2026-11-23T08:00:00.-1Z", "2026-11-23T08:00:00.5e1Z", "２026-11-23T08:00:00Z", "20261123T080000Z",
		"2026-W48-1T08:00:00Z", "2026-11-23T+8:00:00Z", "1795392000", "2026-11-23T08:00:00.123456+08:0x",
	} {
		_, err := rsu.DecodeJSON(fmt.Appendf(nil, `{"unit":"u","seq":1,"time":%q}`, text), true)
		if rsu.CodeOf(err) != rsu.CodeBadTime {
			t.Errorf("%q: %v", text, err)
		}
	}
}

type element struct {
	raw  string
	read rsu.Read
	err  error
}

func decodeArray(text string, strict bool) ([]element, error) {
	var got []element
	err := rsu.DecodeJSONArray(text, strict, func(raw string, r rsu.Read, err error) error {
		got = append(got, element{raw, r, err})
		return nil
	})
	return got, err
}

func TestDecodeJSONArrayKeepsNeighboursApart(t *testing.T) {
	good := with(`,"tag":"AA"`)
	for name, bad := range map[string]string{
		"name twice": with(`,"tag":"AA","tag":"AB"`), "invalid UTF-8": with(",\"boot\":\"\xff\""), "lone surrogate": with(`,"boot":"\udfff"`),
		"number": "-1.5e3", "array": `[[{}],"]"]`, "null": "null", "text": `"},{"`, "true": "true", "empty object": "{}",
		"ill-typed": with(`,"boot":{"]":"}"}`), "unknown nested name twice": with(`,"x":[{"a":1,"a":1}]`),
		"deep": strings.Repeat("[", 9000) + strings.Repeat("]", 9000), "bad time": `{"unit":"u","seq":1,"time":"now","x":[1,2]}`,
	} {
		got, err := decodeArray(" ["+good+" ,\n"+bad+","+good+"] \n", false)
		if err != nil || len(got) != 3 {
			t.Errorf("%s: %d elements, %v", name, len(got), err)
			continue
		}
		if got[0].err != nil || got[2].err != nil || got[0].raw != good || got[2].read.Tag != "AA" {
			t.Errorf("%s: neighbours harmed: %+v", name, got)
		}
		if rsu.CodeOf(got[1].err) == "" || got[1].raw != bad {
			t.Errorf("%s: %v, raw %q", name, got[1].err, got[1].raw)
		}
	}
}

func TestDecodeJSONArrayThatDoesNotParse(t *testing.T) {
	good := with(`,"tag":"AA"`)
	for name, text := range map[string]string{
		"no end": "[" + good, "no comma": "[" + good + good + "]", "trailing comma": "[" + good + ",]", "leading comma": "[," + good + "]",
		"something behind": "[" + good + "]x", "two arrays": "[][]", "half an element": "[" + good + `,{"unit":]`, "word": "[nul]",
		"depth bomb": "[" + strings.Repeat("[", 500_000), "deep bomb of objects": "[" + strings.Repeat(`{"a":`, 500_000),
		"closed depth bomb": strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), "number": "[01]", "text without end": `["abc]`, "empty": "", "object": good,
		"control character": "[\"a\x01\"]", "bad escape": `["\u12g4"]`, "bad escape at the end": `["\u12`, "backslash at the end": `["\`,
	} {
		if _, err := decodeArray(text, false); err == nil {
			t.Errorf("%s: parsed", name)
		}
	}
	if got, err := decodeArray(" [ ] ", true); err != nil || len(got) != 0 {
		t.Errorf("empty array: %v, %v", got, err)
	}
	stop := errors.New("enough")
	n := 0
	err := rsu.DecodeJSONArray("[1,2,3]", false, func(string, rsu.Read, error) error { n++; return stop })
	if !errors.Is(err, stop) || n != 1 {
		t.Errorf("stopped after %d with %v", n, err)
	}
}

// drawRead draws a read in its normal form.
func drawRead(t *rapid.T) rsu.Read {
	text := rapid.StringMatching(`[A-Za-z0-9\-_ "\\é香\x{1F680}]{0,20}`)
	r := rsu.Read{
		Unit:       rapid.StringMatching(`[A-Z]{3}-[NS]-[1-4]`).Draw(t, "unit"),
		Boot:       text.Draw(t, "boot"),
		Seq:        rapid.Uint64().Draw(t, "seq"),
		TimeMicros: rapid.Int64Range(-62_000_000_000_000_000, 250_000_000_000_000_000).Draw(t, "time"),
		Tag:        rapid.StringMatching(`([0-9A-F]{2}){0,62}`).Draw(t, "tag"),
		Plate:      rsu.NormalizePlate(text.Draw(t, "plate")),
		Class:      text.Draw(t, "class"),
		Image:      text.Draw(t, "image"),
	}
	if rapid.Bool().Draw(t, "measured") {
		r.Confidence = rsu.Some(rapid.Float64Range(0, 1).Draw(t, "confidence"))
		r.Antenna = rsu.Some(rapid.Int64().Draw(t, "antenna"))
		r.RSSI = rsu.Some(rapid.Float64().Filter(func(f float64) bool { return f != 0 }).Draw(t, "rssi"))
	}
	return r
}

func TestWireFormsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawRead(t)
		got, err := rsu.DecodeJSON(rsu.EncodeJSON(want), true)
		if err != nil || got != want {
			t.Fatalf("JSON: %+v, %v, want %+v", got, err, want)
		}
		b, err := want.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		got, err = rsu.DecodeProto(b, true)
		if err != nil || got != want {
			t.Fatalf("protobuf: %+v, %v, want %+v", got, err, want)
		}
	})
}
