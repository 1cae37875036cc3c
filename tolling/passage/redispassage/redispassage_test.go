package redispassage_test

import (
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"freeflow/tolling/passage"
	"freeflow/tolling/passage/passagetest"
	"freeflow/tolling/passage/redispassage"
)

func TestEmbeddedRedis(t *testing.T) {
	passagetest.Run(t, func(t *testing.T) (passage.Store, func()) {
		server := miniredis.RunT(t)
		return redispassage.New(dial(t, server.Addr())), server.FlushAll
	})
}

func dial(t *testing.T, addr string) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, ContextTimeoutEnabled: true})
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}
