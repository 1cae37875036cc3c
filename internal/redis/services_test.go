//go:build services

package redis_test

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"

	"freeflow/internal/redis"
)

// TestCheckOverRedis sets the eviction policy of the server of
// FREEFLOW_TEST_REDIS (host:port) and sets it back.
func TestCheckOverRedis(t *testing.T) {
	address := os.Getenv("FREEFLOW_TEST_REDIS")
	if address == "" {
		t.Fatal("FREEFLOW_TEST_REDIS does not name a server; run this by make test-services")
	}
	client, err := redis.New(address)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	check := func() string {
		t.Helper()
		var out bytes.Buffer
		if err := redis.Check(t.Context(), client, slog.New(slog.NewTextHandler(&out, nil))); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	set := func(policy string) {
		t.Helper()
		if err := client.ConfigSet(t.Context(), "maxmemory-policy", policy).Err(); err != nil {
			t.Fatal(err)
		}
	}
	defer set("noeviction")
	set("allkeys-lru")
	if said := check(); !strings.Contains(said, "level=ERROR") || !strings.Contains(said, "allkeys-lru") {
		t.Errorf("about allkeys-lru the check says %q", said)
	}
	set("noeviction")
	if said := check(); said != "" {
		t.Errorf("about noeviction the check says %q", said)
	}
}
