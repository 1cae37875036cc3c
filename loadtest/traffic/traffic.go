// Package traffic makes reads: adversarial ones, in which the cases that break
// a matcher occur all the time, and a city's, realistic and at any rate, for
// demonstrations and load.
//
// Invariants: everything is a function of the seed and the configuration; the
// ground truth is known, so that an oracle can say what must come out.
//
// It imports nothing of the product: reads leave it as text, as they would
// leave a roadside unit.
//
// Not promised: that two versions of this package give the same reads for one
// seed.
package traffic

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// Read is one observation as a roadside unit would report it. Empty strings,
// Confidence below 0, Antenna 0 and RSSI 0 mean absent.
type Read struct {
	Unit, Boot string
	Seq        uint64
	TimeMicros int64 // since the Unix epoch
	Tag, Plate string
	Confidence float64
	Class      string
	Antenna    int
	RSSI       float64
	Image      string
}

// absent marks a confidence that was not given.
const absent = -1

// hongKong is Asia/Hong_Kong, which has had no daylight saving since 1979.
var hongKong = time.FixedZone("HKT", 8*60*60)

// AppendJSON appends the read as one JSON object (contract section 3), the
// time in Hong Kong's offset with six decimals.
func (r *Read) AppendJSON(b []byte) []byte {
	b = append(b, `{"unit":`...)
	b = appendString(b, r.Unit)
	if r.Boot != "" {
		b = append(b, `,"boot":`...)
		b = appendString(b, r.Boot)
	}
	b = append(b, `,"seq":`...)
	b = strconv.AppendUint(b, r.Seq, 10)
	b = append(b, `,"time":"`...)
	b = appendTime(b, r.TimeMicros)
	b = append(b, '"')
	if r.Tag != "" {
		b = append(b, `,"tag":`...)
		b = appendString(b, r.Tag)
	}
	if r.Plate != "" {
		b = append(b, `,"plate":`...)
		b = appendString(b, r.Plate)
	}
	if r.Confidence >= 0 {
		b = append(b, `,"plate_confidence":`...)
		b = strconv.AppendFloat(b, r.Confidence, 'f', -1, 64)
	}
	if r.Class != "" {
		b = append(b, `,"class":`...)
		b = appendString(b, r.Class)
	}
	if r.Antenna != 0 {
		b = append(b, `,"antenna":`...)
		b = strconv.AppendInt(b, int64(r.Antenna), 10)
	}
	if r.RSSI != 0 {
		b = append(b, `,"rssi":`...)
		b = strconv.AppendFloat(b, r.RSSI, 'f', -1, 64)
	}
	if r.Image != "" {
		b = append(b, `,"image":`...)
		b = appendString(b, r.Image)
	}
	return append(b, '}')
}

// appendTime writes an instant such as 2026-11-23T08:00:00.123456+08:00
// without going through package time's layouts, which would cost more than the
// rest of a read.
func appendTime(b []byte, micros int64) []byte {
	const day = 24 * 60 * 60
	micros += 8 * 60 * 60 * 1_000_000 // from here on, Hong Kong's wall clock
	seconds, fraction := micros/1_000_000, micros%1_000_000
	year, month, date := civil(seconds / day)
	ofDay := int(seconds % day)
	b = appendDigits(b, year, 4)
	b = appendDigits(append(b, '-'), month, 2)
	b = appendDigits(append(b, '-'), date, 2)
	b = appendDigits(append(b, 'T'), ofDay/3600, 2)
	b = appendDigits(append(b, ':'), ofDay/60%60, 2)
	b = appendDigits(append(b, ':'), ofDay%60, 2)
	b = appendDigits(append(b, '.'), int(fraction), 6)
	return append(b, "+08:00"...)
}

// civil turns days since 1970-01-01 into a date of the Gregorian calendar. It
// counts years from 1 March, so that the leap day is a year's last.
func civil(days int64) (year, month, date int) {
	const perEra = 146_097 // days of 400 years
	d := days + 719_468    // since 0000-03-01
	era := d / perEra
	ofEra := d % perEra
	yearOfEra := (ofEra - ofEra/1460 + ofEra/36_524 - ofEra/146_096) / 365
	ofYear := ofEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	m := (5*ofYear + 2) / 153
	date = int(ofYear-(153*m+2)/5) + 1
	month = int(m) + 3
	year = int(yearOfEra + era*400)
	if month > 12 {
		month -= 12
		year++
	}
	return year, month, date
}

func appendDigits(b []byte, n, width int) []byte {
	var digits [8]byte
	for i := width - 1; i >= 0; i-- {
		digits[i] = byte('0' + n%10)
		n /= 10
	}
	return append(b, digits[:width]...)
}

// appendString writes a JSON string. Names, plates and tags made here hold
// neither control characters nor broken UTF-8; quotes and backslashes are
// escaped all the same.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		if c := s[i]; c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

// escaped writes a JSON string with every character as an escape.
func escaped(s string) string {
	b := []byte{'"'}
	for _, r := range s {
		if r > 0xFFFF || r == utf8.RuneError {
			b = utf8.AppendRune(b, r)
			continue
		}
		b = append(b, `\u`...)
		hex := strconv.FormatInt(int64(r), 16)
		for range 4 - len(hex) {
			b = append(b, '0')
		}
		b = append(b, hex...)
	}
	return string(append(b, '"'))
}
