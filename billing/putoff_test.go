package billing

import (
	"testing"
	"time"
)

func TestPutOffPause(t *testing.T) {
	for failures, want := range map[int64]time.Duration{-1: 10 * time.Second, 0: 10 * time.Second, 1: 10 * time.Second, 2: 20 * time.Second,
		3: 40 * time.Second, 9: 2560 * time.Second, 10: time.Hour, 1 << 62: time.Hour} {
		if got := PutOffPause(failures); got != want {
			t.Errorf("after %d failures %s, want %s", failures, got, want)
		}
	}
}
