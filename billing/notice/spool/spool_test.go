package spool_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"freeflow/billing/notice"
	"freeflow/billing/notice/spool"
)

// TestSpool: one file a message, whole, for its owner alone; a repetition
// replaces its own.
func TestSpool(t *testing.T) {
	dir := t.TempDir()
	s, err := spool.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	m := notice.Message{Reference: "n1/post", Channel: notice.Post, Vehicle: "plate:AB1", Text: notice.Text{Subject: "S", Body: "B\n行"}}
	for range 2 {
		if err := s.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "post", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the folder has %v, %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal(text, &got); err != nil || got["body"] != "B\n行" || got["reference"] != "n1/post" {
		t.Errorf("the file says %s, %v", text, err)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if err := s.Send(t.Context(), notice.Message{Reference: "x", Channel: "pigeon"}); err == nil {
		t.Error("a channel that is not there took a message")
	}
}

// TestSpoolFails: a folder that cannot be made or written is said, and leaves no
// half a message; names that are no names of files are kept apart.
func TestSpoolFails(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := spool.New(file); err == nil {
		t.Error("a file was taken for a folder")
	}
	s, err := spool.New(filepath.Join(dir, "notices"))
	if err != nil {
		t.Fatal(err)
	}
	for _, reference := range []string{"a/b", "a:b", "../a", strings.Repeat("n", 300) + "1", strings.Repeat("n", 300) + "2"} {
		if err := s.Send(t.Context(), notice.Message{Reference: reference, Channel: notice.Post}); err != nil {
			t.Errorf("%s: %v", reference, err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "notices", "post", "*"))
	if err != nil || len(files) != 5 {
		t.Errorf("five messages are %d files, %v", len(files), err)
	}
	if outside, _ := filepath.Glob(filepath.Join(dir, "*")); len(outside) != 2 {
		t.Errorf("outside the folder are %v", outside)
	}
	if err := os.RemoveAll(filepath.Join(dir, "notices", "sms")); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), notice.Message{Reference: "x", Channel: notice.SMS}); err == nil {
		t.Error("a folder that is gone took a message")
	}
}
