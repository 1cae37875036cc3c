package rsu

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// EncodeJSON returns the read as a JSON object with the contract's names, for
// tools and evidence. Absent fields are left out; the time is in UTC with six
// decimals. DecodeJSON gives the same read back.
func EncodeJSON(r Read) []byte { return AppendJSON(make([]byte, 0, 256), r) }

// AppendJSON appends what EncodeJSON returns.
func AppendJSON(b []byte, r Read) []byte {
	b = append(b, `{"unit":`...)
	b = appendString(b, r.Unit)
	b = appendText(b, `,"boot":`, r.Boot)
	b = append(b, `,"seq":`...)
	b = strconv.AppendUint(b, r.Seq, 10)
	b = append(b, `,"time":"`...)
	b = appendTime(b, r.TimeMicros)
	b = append(b, '"')
	b = appendText(b, `,"tag":`, r.Tag)
	b = appendText(b, `,"plate":`, r.Plate)
	b = appendFloat(b, `,"plate_confidence":`, r.Confidence)
	b = appendText(b, `,"class":`, r.Class)
	if r.Antenna.Present {
		b = append(b, `,"antenna":`...)
		b = strconv.AppendInt(b, r.Antenna.Value, 10)
	}
	b = appendFloat(b, `,"rssi":`, r.RSSI)
	b = appendText(b, `,"image":`, r.Image)
	return append(b, '}')
}

func appendText(b []byte, lead, s string) []byte {
	if s == "" {
		return b
	}
	return appendString(append(b, lead...), s)
}

func appendFloat(b []byte, lead string, v Optional[float64]) []byte {
	if !v.Present {
		return b
	}
	return strconv.AppendFloat(append(b, lead...), v.Value, 'g', -1, 64)
}

func appendString(b []byte, s string) []byte {
	// The error says that bytes were no UTF-8 and have become U+FFFD; the
	// texts of a decoded read are UTF-8.
	b, _ = jsontext.AppendQuote(b, s)
	return b
}
