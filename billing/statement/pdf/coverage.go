package pdf

import (
	"encoding/binary"
	"errors"
)

// coverage has a bit for each character of the basic plane: the font shows it.
type coverage []uint64

func (c coverage) has(r rune) bool { return r >= 0 && r <= 0xFFFF && c[r>>6]&(1<<(r&63)) != 0 }

var errFont = errors.New("it has no table of characters of format 4 where one is looked for")

// coverageOf reads the font's table of characters: TrueType, "cmap", subtable
// of platform 3 (Windows), encoding 1 (Unicode, basic plane), format 4.
func coverageOf(font []byte) (coverage, error) {
	at := func(i int) int {
		if i < 0 || i+2 > len(font) {
			return 0
		}
		return int(binary.BigEndian.Uint16(font[i:]))
	}
	long := func(i int) int { return at(i)<<16 | at(i+2) }
	cmap := 0
	for i := range at(4) {
		if e := 12 + 16*i; e+16 <= len(font) && string(font[e:e+4]) == "cmap" {
			cmap = long(e + 8)
		}
	}
	if cmap == 0 {
		return nil, errFont
	}
	table := 0
	for i := range at(cmap + 2) {
		if e := cmap + 4 + 8*i; at(e) == 3 && at(e+2) == 1 {
			table = cmap + long(e+4)
		}
	}
	if table == 0 || at(table) != 4 {
		return nil, errFont
	}
	c := make(coverage, 0x10000/64)
	double := at(table + 6) // twice the number of segments
	for i := 0; i < double; i += 2 {
		end, start := at(table+14+i), at(table+16+double+i)
		delta := at(table + 16 + 2*double + i)
		place := table + 16 + 3*double + i
		for r := start; r <= end && r < 0xFFFF; r++ {
			glyph := (r + delta) & 0xFFFF
			if offset := at(place); offset != 0 {
				if glyph = at(place + offset + 2*(r-start)); glyph != 0 {
					glyph = (glyph + delta) & 0xFFFF
				}
			}
			if glyph != 0 {
				c[r>>6] |= 1 << (r & 63)
			}
		}
	}
	return c, nil
}
