//go:build services

package redispassage_test

import (
	"os"
	"testing"

	"freeflow/tolling/passage"
	"freeflow/tolling/passage/passagetest"
	"freeflow/tolling/passage/redispassage"
)

func TestRealRedis(t *testing.T) {
	addr := os.Getenv("FREEFLOW_TEST_REDIS")
	if addr == "" {
		t.Fatal("FREEFLOW_TEST_REDIS is not set; run 'make test-services'")
	}
	passagetest.Run(t, func(t *testing.T) (passage.Store, func()) {
		client := dial(t, addr)
		flush := func() {
			if err := client.FlushDB(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		}
		flush()
		return redispassage.New(client), flush
	})
}
