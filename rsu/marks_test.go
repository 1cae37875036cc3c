package rsu_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"freeflow/rsu"
)

func TestNormalizePlate(t *testing.T) {
	for _, tc := range []struct{ plate, want string }{
		{"", ""},
		{"AB1234", "AB1234"},
		{"ab 1234", "AB1234"},
		{" A-B\t1\n2\v3\f4\r", "AB1234"},
		{"ＡＢ　１２３４", "AB1234"},
		{"ａｂ－１２３４", "AB1234"},                  // full-width hyphen is U+002D after NFKC
		{"AB\u20101\u201123\u00a04", "AB1234"}, // U+2010, U+2011, no-break space
		{"AB\u0085\u1680\u2003\u2028\u2029\u202f\u205f12", "AB12"},
		{"AB\u200b12", "AB\u200b12"},               // zero width space is no white space
		{"AB\u2013\u2014\u221212", "AB–—\u221212"}, // dashes and the minus are no hyphens
		{"A\x1cB", "A\x1cB"},                       // separators of ASCII are no white space
		{"粵ａ·12x34港", "粵A·12X34港"},
		{"①②Ⅳ", "12IV"},
		{"ﬁ", "FI"},
		{"straße", "STRASSE"},
		{"é", "É"},
		{"e\u0301", "É"},
		{"A \u0301", "Á"}, // composes once the space is gone
		{"\u0131\u0307", "\u0130"},
		{"ŉ", "ʼN"},
		{"--- ", ""},
	} {
		if got := rsu.NormalizePlate(tc.plate); got != tc.want {
			t.Errorf("%q: %q, want %q", tc.plate, got, tc.want)
		}
	}
}

func checkPlate(t interface{ Errorf(string, ...any) }, plate string) {
	once := rsu.NormalizePlate(plate)
	if twice := rsu.NormalizePlate(once); twice != once {
		t.Errorf("%q: %q, and again %q", plate, once, twice)
	}
	if !utf8.ValidString(once) {
		t.Errorf("%q: %q is no UTF-8", plate, once)
	}
	for _, r := range once {
		if unicode.IsSpace(r) || strings.ContainsRune("-\u2010\u2011", r) || r >= 'a' && r <= 'z' {
			t.Errorf("%q: %q keeps %q", plate, once, r)
		}
	}
	if got := rsu.NormalizePlate(" " + plate); len(plate) > 0 && utf8.RuneStart(plate[0]) && plate[0] < utf8.RuneSelf && got != once {
		t.Errorf("%q: %q, with a space before %q", plate, once, got)
	}
}

func TestNormalizePlateIsIdempotent(t *testing.T) {
	// Beyond plane 3 there are only characters without any mapping.
	for r := rune(1); r < 0x40000; r++ {
		if utf8.ValidRune(r) {
			checkPlate(t, "A"+string(r)+"1")
		}
	}
	// Characters whose forms interact: marks that compose, special casing.
	odd := rapid.SampledFrom([]rune("aAiI1 -ßıİŉǰΐΰςΣ\u0345\u0301\u0307\u0308\u030c\u0327\u034fᾳᾼﬀﬃ\u1e9e\ufdfa①ⅳ가\u1100\u1161\u11a8\u0b47\u0b56ǆǅ\u00ad\u2011\u3000\u00a8"))
	rapid.Check(t, func(t *rapid.T) {
		checkPlate(t, string(rapid.SliceOfN(odd, 0, 40).Draw(t, "odd")))
		checkPlate(t, rapid.String().Draw(t, "any"))
	})
}

func TestNormalizeTag(t *testing.T) {
	long := strings.Repeat("aB", rsu.MaxTag)
	for _, tc := range []struct{ tag, want string }{
		{"", ""}, {"00", "00"}, {"e28011", "E28011"}, {"E28011", "E28011"}, {"aBcDeF0123456789", "ABCDEF0123456789"}, {long, strings.ToUpper(long)},
	} {
		if got, err := rsu.NormalizeTag(tc.tag); err != nil || got != tc.want {
			t.Errorf("%q: %q, %v", tc.tag, got, err)
		}
	}
	for _, tag := range []string{"0", "ABC", "GG", "0x12", " AB", "AB ", "A B", "A-", "ÀÀ", "+1", "\xff\xff", long + "00"} {
		if _, err := rsu.NormalizeTag(tag); rsu.CodeOf(err) != rsu.CodeBadTag {
			t.Errorf("%q: %v", tag, err)
		}
	}
}
