package rsu_test

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"freeflow/rsu"
)

// oracleJSON decodes a read by package jsontext's tokens alone: slower and by
// other means than the product, for comparing the two.
func oracleJSON(text string, strict bool) (rsu.Read, error) {
	var r rsu.Read
	dec := jsontext.NewDecoder(strings.NewReader(text))
	tok, err := dec.ReadToken()
	if err != nil {
		return r, err
	}
	if tok.Kind() != '{' {
		return r, errors.New("no object")
	}
	seen := map[string]bool{}
	for dec.PeekKind() != '}' {
		nameTok, err := dec.ReadToken()
		if err != nil {
			return r, err
		}
		name := nameTok.String()
		if dec.PeekKind() == 'n' && name != "unit" && name != "seq" && name != "time" {
			if _, err := dec.ReadToken(); err != nil {
				return r, err
			}
			if strict && !strings.Contains(" boot tag plate plate_confidence class antenna rssi image ", " "+name+" ") {
				return r, errors.New("unknown")
			}
			continue
		}
		want := map[string]jsontext.Kind{
			"unit": '"', "boot": '"', "seq": '0', "time": '"', "tag": '"', "plate": '"', "plate_confidence": '0',
			"class": '"', "antenna": '0', "rssi": '0', "image": '"',
		}[name]
		if want == 0 {
			if strict {
				return r, errors.New("unknown")
			}
			if err := dec.SkipValue(); err != nil {
				return r, err
			}
			continue
		}
		tok, err := dec.ReadToken()
		if err != nil {
			return r, err
		}
		if tok.Kind() != want {
			return r, errors.New("type")
		}
		seen[name] = true
		s := tok.String()
		if want == '"' && (strings.Contains(s, "\x00") || name != "image" && name != "tag" && name != "time" && len(s) > 256 || len(s) > 1024 && name == "image") {
			return r, errors.New("text")
		}
		switch name {
		case "unit":
			r.Unit = s
		case "boot":
			r.Boot = s
		case "class":
			if s == "" {
				return r, errors.New("class")
			}
			r.Class = s
		case "image":
			r.Image = s
		case "tag":
			if r.Tag, err = rsu.NormalizeTag(s); err != nil {
				return r, err
			}
		case "plate":
			if r.Plate = rsu.NormalizePlate(s); len(r.Plate) > 256 {
				return r, errors.New("plate")
			}
		case "time":
			at, err := oracleTime(s)
			if err != nil {
				return r, err
			}
			r.TimeMicros = at
		case "seq":
			if r.Seq, err = strconv.ParseUint(s, 10, 64); err != nil {
				return r, err
			}
		case "antenna":
			v, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				return r, err
			}
			r.Antenna = rsu.Some(v)
		default:
			v, err := strconv.ParseFloat(s, 64)
			if err != nil {
				return r, err
			}
			if v == 0 {
				v = 0
			}
			if name == "rssi" {
				r.RSSI = rsu.Some(v)
			} else {
				r.Confidence = rsu.Some(v)
			}
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return r, err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return r, errors.New("trailing")
	}
	if r.Unit == "" || !seen["seq"] || !seen["time"] {
		return r, errors.New("missing")
	}
	return r, nil
}

// oracleTime lets time.Parse do the calendar after a look at the form.
func oracleTime(s string) (int64, error) {
	bad := errors.New("time")
	shape := []byte(s)
	for i, c := range shape {
		if c >= '0' && c <= '9' {
			shape[i] = '9'
		}
	}
	head, tail := "", ""
	if len(shape) >= 19 {
		head, tail = string(shape[:19]), string(shape[19:])
	}
	if head != "9999-99-99T99:99:99" {
		return 0, bad
	}
	if strings.HasPrefix(tail, ".9") {
		tail = strings.TrimLeft(tail[1:], "9")
	}
	if tail != "Z" && tail != "+99:99" && tail != "-99:99" {
		return 0, bad
	}
	if tail != "Z" && (s[len(s)-5:len(s)-3] > "23" || s[len(s)-2:] > "59") {
		return 0, bad
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, err
	}
	// UnixMicro rounds towards minus infinity for times before 1970 too: the
	// nanoseconds are always counted forwards.
	return at.Unix()*1_000_000 + int64(at.Nanosecond())/1000, nil
}
