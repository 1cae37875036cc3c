package portal

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
)

// TestWordsAreWholeAndUsed: both languages say everything, Chinese in Chinese,
// and nothing is said that no page uses.
func TestWordsAreWholeAndUsed(t *testing.T) {
	var source strings.Builder
	for _, pattern := range []string{"pages/*.html", "*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			source.Write(b)
		}
	}
	same := map[string]bool{"Brand": true}
	en, zh := reflect.ValueOf(english), reflect.ValueOf(chinese)
	for i := range en.NumField() {
		name := en.Type().Field(i).Name
		if en.Field(i).String() == "" || zh.Field(i).String() == "" {
			t.Errorf("%s is missing", name)
		}
		han := strings.ContainsFunc(zh.Field(i).String(), func(r rune) bool { return unicode.Is(unicode.Han, r) })
		if !han && !same[name] && name != "Code" {
			t.Errorf("%s is not Chinese: %q", name, zh.Field(i))
		}
		if !regexp.MustCompile(`(W|\$w|\bw|Other|chinese|english)\.` + name + `\b`).MatchString(source.String()) {
			t.Errorf("%s is not used", name)
		}
	}
}

func TestPreferredLanguage(t *testing.T) {
	for accept, want := range map[string]string{
		"": "en", "en-GB": "en", "zh-HK": "zh-HK", "zh-TW,en;q=0.5": "zh-HK", "zh-CN": "zh-HK", "zh-Hant": "zh-HK",
		"fr-FR,zh-HK;q=0.8": "zh-HK", "fr": "en", "en;q=0.1,zh;q=0.9": "zh-HK", "\x00": "en", strings.Repeat("zh,", 200): "en",
	} {
		if got := preferred(accept).Code; got != want {
			t.Errorf("%.30q: %s", accept, got)
		}
	}
}

func TestMoneyAndDates(t *testing.T) {
	for _, tc := range []struct {
		cents    int64
		currency string
		want     string
	}{
		{0, "HKD", "HK$0.00"}, {5, "HKD", "HK$0.05"}, {123456789, "HKD", "HK$1,234,567.89"}, {99999, "TWD", "NT$999.99"},
		{-2500, "HKD", "−HK$25.00"}, {100, "EUR", "EUR\u00a01.00"}, {100000, "HKD", "HK$1,000.00"},
	} {
		if got := money(tc.cents, tc.currency); got != tc.want {
			t.Errorf("%d %s: %q", tc.cents, tc.currency, got)
		}
	}
	at := time.Date(2026, 3, 1, 7, 8, 9, 0, hk)
	for got, want := range map[string]string{
		english.day(at): "Sunday 1 March 2026", chinese.day(at): "2026年3月1日 星期日",
		english.exact(at): "1 March 2026, 07:08:09", chinese.exact(at): "2026年3月1日 07:08:09",
		english.month(at): "March 2026", chinese.month(at): "2026年3月",
		english.vehicle("tag:E2"): "Tag E2", english.vehicle("plate:AB1"): "AB1", english.vehicle("AB1"): "AB1",
		counted(1, " pass", " passes"): "1 pass", counted(1234, " pass", " passes"): "1,234 passes",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
