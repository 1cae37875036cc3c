package observe

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var morning = time.Date(2026, 11, 24, 1, 0, 0, 0, time.UTC)

func TestPseudonymsAreOneAVehicleAndEpoch(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p, err := LoadPseudonyms(dir, morning)
	if err != nil {
		t.Fatal(err)
	}
	a := p.Of("AB1234")
	if !regexp.MustCompile(`^px1-[a-z2-7]{16}$`).MatchString(a) {
		t.Errorf("pseudonym %q", a)
	}
	for _, same := range []string{"ab 12-34", "plate:AB1234", "AB\u20111234"} {
		if p.Of(same) != a {
			t.Errorf("%q is %s, want %s", same, p.Of(same), a)
		}
	}
	if p.Of("AB1235") == a || p.Of("tag:E280") != p.Of("e280") || p.Of("") != "" || p.Of("plate:") != "" {
		t.Error("others are not others, or nothing is something")
	}
	again, err := LoadPseudonyms(dir, morning.Add(PseudonymEvery-time.Second))
	if err != nil || again.Of("AB1234") != a {
		t.Errorf("after a restart: %v", err)
	}
	later, err := LoadPseudonyms(dir, morning.Add(PseudonymEvery))
	if err != nil || later.Of("AB1234") == a || !strings.HasPrefix(later.Of("AB1234"), "px2-") {
		t.Errorf("in the next epoch: %v %v", later.Of("AB1234"), err)
	}
	if all := later.All("AB1234"); len(all) != 2 || all[0] != a {
		t.Errorf("all: %v", all)
	}
	info, err := os.Stat(filepath.Join(dir, pseudonymFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if NewPseudonyms().Of("AB1234") == a {
		t.Error("two keys, one pseudonym")
	}
	for _, bad := range []string{"{", `{"epochs":[{"epoch":1,"key":"AAAA"}]}`} {
		if err := os.WriteFile(filepath.Join(dir, pseudonymFile), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadPseudonyms(dir, morning); err == nil {
			t.Errorf("keys %q are taken", bad)
		}
	}
}

func TestVeilHidesVehicles(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		log, err := NewLogger(&out, format, "debug")
		if err != nil {
			t.Fatal(err)
		}
		p := NewPseudonyms()
		log = Veil(log, p)
		const tag, plate = "E28011606000020000000001", "AB1234"
		log.With("plate", plate).WithGroup("g").Info("seen plate:"+plate, "err", fmt.Errorf("reading: %w", errors.New("tag:"+tag+" is odd")),
			slog.Group("read", slog.String("tag", tag), slog.Any("vehicle", "plate:"+plate)), "note", "the tag "+tag+", 3 times",
			"list", []string{tag}, "pass", "0123456789abcdef0123456789abcdef", "n", 7, "at", "1764000000000000")
		text := out.String()
		if strings.Contains(text, tag) || strings.Contains(text, plate) {
			t.Errorf("in clear: %s", text)
		}
		if strings.Count(text, p.Of(tag)) != 4 || strings.Count(text, p.Of(plate)) != 3 {
			t.Errorf("not by their pseudonyms: %s", text)
		}
		for _, kept := range []string{"0123456789abcdef0123456789abcdef", "is odd", "3 times", "1764000000000000"} {
			if !strings.Contains(text, kept) {
				t.Errorf("%q is gone: %s", kept, text)
			}
		}
		out.Reset()
		log.Debug("x", "err", error(nil))
		if !strings.Contains(out.String(), "x") {
			t.Error("a nil error broke the log")
		}
	}
}
