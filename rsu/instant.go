package rsu

import "time"

// parseTime reads an RFC 3339 time to microseconds since the Unix epoch. It is
// stricter than time.Parse, which takes a comma, single digits and (by layout)
// offsets of more than a day: upper-case T and Z, all digits there, a real
// date, no 24:00, an offset within 23:59. Digits beyond the microsecond are
// cut, never rounded, so that a read cannot move into the next minute.
func parseTime(s string) (int64, error) {
	const want = "; expected RFC 3339 with offset, for instance 2026-11-23T08:00:00.123456+08:00"
	bad := func(message string) (int64, error) { return 0, refuse(CodeBadTime, "time", message+want) }
	if len(s) < len("2006-01-02T15:04:05Z") {
		return bad("too short for a time with seconds and offset")
	}
	year, ok1 := digits(s[0:4])
	month, ok2 := digits(s[5:7])
	day, ok3 := digits(s[8:10])
	hour, ok4 := digits(s[11:13])
	minute, ok5 := digits(s[14:16])
	second, ok6 := digits(s[17:19])
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6) ||
		s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return bad("not of the form YYYY-MM-DDTHH:MM:SS")
	}
	switch {
	case month < 1 || month > 12 || day < 1 || day > daysIn(year, month):
		return bad("there is no such date")
	case second == 60:
		return bad("leap seconds are not taken, send second 59 or the next minute")
	case hour > 23 || minute > 59 || second > 59:
		return bad("there is no such time of day")
	}
	rest := s[19:]
	micros := int64(0)
	if rest[0] == '.' {
		n := 1
		for scale := int64(100_000); n < len(rest) && rest[n] >= '0' && rest[n] <= '9'; n++ {
			micros += int64(rest[n]-'0') * scale
			scale /= 10
		}
		if n == 1 {
			return bad("no digits after the point")
		}
		rest = rest[n:]
	}
	offset := int64(0)
	switch {
	case rest == "Z":
	case len(rest) == 6 && (rest[0] == '+' || rest[0] == '-') && rest[3] == ':':
		h, okH := digits(rest[1:3])
		m, okM := digits(rest[4:6])
		if !okH || !okM || h > 23 || m > 59 {
			return bad("the offset is not within 23:59")
		}
		offset = int64(h)*3600 + int64(m)*60
		if rest[0] == '-' {
			offset = -offset
		}
	default:
		return bad("no offset (Z or +HH:MM) at the end")
	}
	at := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	return (at.Unix()-offset)*1_000_000 + micros, nil
}

// digits reads decimal digits only: no sign, no space.
func digits(s string) (int, bool) {
	n := 0
	for i := range len(s) {
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + int(c)
	}
	return n, true
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// appendTime writes the instant as RFC 3339 in UTC, always with six decimals.
func appendTime(b []byte, micros int64) []byte {
	return time.UnixMicro(micros).UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
}

// ParseTime reads a time in the one form that freeflow takes, RFC 3339 with
// upper-case T and Z, to microseconds since the Unix epoch; further digits are
// cut. The error is a RefusedError.
func ParseTime(s string) (micros int64, err error) { return parseTime(s) }
