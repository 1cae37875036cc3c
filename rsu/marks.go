package rsu

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"
)

// NormalizeTag returns the EPC in upper-case hex. An empty tag stays empty
// (absent). A tag that is not hex, not of whole bytes or longer than MaxTag
// bytes is refused with a RefusedError.
func NormalizeTag(tag string) (string, error) {
	if len(tag) > 2*MaxTag {
		return "", refuse(CodeBadTag, "tag", fmt.Sprintf("%d characters came, an EPC has at most %d (%d bytes as hex)", len(tag), 2*MaxTag, MaxTag))
	}
	lower := false
	for i := range len(tag) {
		switch c := tag[i]; {
		case c >= '0' && c <= '9' || c >= 'A' && c <= 'F':
		case c >= 'a' && c <= 'f':
			lower = true
		default:
			return "", refuse(CodeBadTag, "tag", fmt.Sprintf("not hex at character %d; expected the EPC as digits 0-9 and A-F only", i+1))
		}
	}
	if len(tag)%2 != 0 {
		return "", refuse(CodeBadTag, "tag", fmt.Sprintf("%d hex digits came; whole bytes have an even number", len(tag)))
	}
	if lower {
		tag = strings.ToUpper(tag)
	}
	return tag, nil
}

// NormalizePlate returns the form in which plates are compared: NFKC, without
// white space (Unicode's property) and hyphens (U+002D, U+2010, U+2011), in
// upper case (Unicode's full mapping, of no language). It is idempotent. A
// plate of which nothing is left counts as absent. The plate has to be valid
// UTF-8; its length is for the caller to bound.
func NormalizePlate(plate string) string {
	ascii, changes := true, false
	for i := range len(plate) {
		switch c := plate[i]; {
		case c >= utf8.RuneSelf:
			ascii = false
		case c >= 'a' && c <= 'z' || droppedASCII(c):
			changes = true
		}
	}
	switch {
	case !ascii:
		return normalizeUnicode(plate)
	case !changes:
		return plate
	}
	out := make([]byte, 0, len(plate))
	for i := range len(plate) {
		c := plate[i]
		if droppedASCII(c) {
			continue
		}
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		out = append(out, c)
	}
	return string(out)
}

// normalizeUnicode repeats the three steps until nothing changes: what stood
// apart can compose after the second step ("A", space, acute) and after the
// third (dotless i, dot above). Without that, a plate normalised twice would
// differ from one normalised once, and a lookup by what the books hold would
// miss. Two rounds settle every known text; the bound is for the unknown.
func normalizeUnicode(plate string) string {
	upper := cases.Upper(language.Und)
	for range 8 {
		next := upper.String(strings.Map(dropMarks, norm.NFKC.String(plate)))
		if next == plate {
			break
		}
		plate = next
	}
	return plate
}

// droppedASCII and dropMarks know the characters that plates are compared
// without.
func droppedASCII(c byte) bool {
	return c == ' ' || c == '-' || c >= '\t' && c <= '\r'
}

func dropMarks(r rune) rune {
	switch {
	case r == '-' || r == '\u2010' || r == '\u2011' || unicode.IsSpace(r):
		return -1
	}
	return r
}
