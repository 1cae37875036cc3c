package database

import "strings"

// PostgreSQL's text cannot hold the character zero, which a plate as seen may
// well hold: refused there, one such read would block its partition for ever.
// So the two lowest bytes are written as two bytes each. The writing is
// one-to-one and keeps the order of bytes.
const (
	rawLow  = "\x00\x01"
	textOf0 = "\x01\x01"
	textOf1 = "\x01\x02"
)

var (
	toPostgres   = strings.NewReplacer("\x00", textOf0, "\x01", textOf1)
	fromPostgres = strings.NewReplacer(textOf0, "\x00", textOf1, "\x01")
)

// EncodeText writes any text so that PostgreSQL takes it.
func EncodeText(s string) string {
	if !strings.ContainsAny(s, rawLow) {
		return s
	}
	return toPostgres.Replace(s)
}

// decodeText undoes EncodeText.
func decodeText(s string) string {
	if strings.IndexByte(s, 1) < 0 {
		return s
	}
	return fromPostgres.Replace(s)
}

// EncodeArgs encodes the texts among the arguments, also those in []string, in
// place, and returns them.
func EncodeArgs(args []any) []any {
	for i, arg := range args {
		switch v := arg.(type) {
		case string:
			args[i] = EncodeText(v)
		case []string:
			for j := range v {
				v[j] = EncodeText(v[j])
			}
		}
	}
	return args
}
