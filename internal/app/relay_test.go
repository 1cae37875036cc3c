package app

import (
	"slices"
	"testing"
)

func TestTouchedAccounts(t *testing.T) {
	for payload, want := range map[string][]string{
		`{"posted_at":"2026-11-23T00:00:00Z","passes":[{"account":"a"},{"account":""},{"account":"b"}]}`: {"a", "b"},
		`{"charges":[{"account":"a","kind":"parking"},{"account":"","previous_account":"b"}]}`:           {"a", "b"},
		`{"money":[{"holder":"a","kind":"receipt"},{"holder":"tag:FF","kind":"collection"}]}`:            {"a", "tag:FF"},
		`{"charges":[{"account":""}]}`: nil,
		`{}`:                           nil,
	} {
		got, err := touchedAccounts([]byte(payload))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v, want %q", payload, got, err, want)
		}
	}
	if _, err := touchedAccounts([]byte(`{`)); err == nil {
		t.Error("understood half an event")
	}
}
