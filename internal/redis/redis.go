// Package redis owns how freeflow connects to Redis, Valkey or a cluster of
// them: with deadlines that hold, and without retries of its own.
//
// Invariants: a command is sent once, unless the server said that it did not
// run it (a cluster's redirection); no call outlives its context or three
// seconds, whichever is less.
//
// Not promised: that a command whose answer was lost did not run. On a cluster
// the library asks again after a broken connection whatever it is told. So
// scripts must give the same answer when they are repeated.
package redis

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	dialTimeout = 2 * time.Second
	callTimeout = 3 * time.Second
	// poolSize is per server. Each partition has one call under way at a
	// time, so that this serves some dozens of them and the rest of freeflow.
	poolSize = 64
)

// New makes a client for address: host:port, a redis:// or rediss:// URL with
// user, password and database, or several host:port of a cluster, separated by
// commas. It connects on first use.
func New(address string) (goredis.UniversalClient, error) {
	options := &goredis.UniversalOptions{}
	if strings.Contains(address, "://") {
		parsed, err := goredis.ParseURL(address)
		if err != nil {
			// The library's message repeats the URL, password included.
			return nil, fmt.Errorf("reading the Redis URL: want redis://[user:password@]host:port[/database]")
		}
		options.Addrs = []string{parsed.Addr}
		options.Username, options.Password = parsed.Username, parsed.Password
		options.DB, options.TLSConfig = parsed.DB, parsed.TLSConfig
	} else {
		for part := range strings.SplitSeq(address, ",") {
			if part = strings.TrimSpace(part); part != "" {
				options.Addrs = append(options.Addrs, part)
			}
		}
		if len(options.Addrs) == 0 {
			return nil, fmt.Errorf("connecting to Redis: no address given; want host:port")
		}
	}
	// A lost answer that the library asks for again comes back as "already
	// there": a claim would look like somebody else's, and a read be dropped.
	options.MaxRetries = -1
	// Without this the library ignores the deadlines of contexts.
	options.ContextTimeoutEnabled = true
	options.DialTimeout = dialTimeout
	options.ReadTimeout = callTimeout
	options.WriteTimeout = callTimeout
	options.PoolTimeout = callTimeout
	options.PoolSize = poolSize
	options.MinIdleConns = 1
	// The server's name and version of this client are nobody's business.
	options.DisableIdentity = true
	return goredis.NewUniversalClient(options), nil
}

// Check tells whether the server answers, and warns loudly about an eviction
// policy with which it may forget open passes under memory pressure: each then
// costs a reload from the books. A server that does not tell its policy is
// reported as such.
func Check(ctx context.Context, client goredis.UniversalClient, log *slog.Logger) error {
	if err := client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("asking Redis for a sign of life: %w", err)
	}
	policy, err := evictionPolicy(ctx, client)
	switch {
	case err != nil:
		log.Warn("Redis does not tell its eviction policy; make sure that maxmemory-policy is noeviction", "err", err)
	case policy != "noeviction":
		log.Error("Redis may forget open passes when its memory is full; set maxmemory-policy to noeviction and give freeflow a server of its own",
			"maxmemory_policy", policy)
	}
	return nil
}

// evictionPolicy asks in the two ways there are: hosted servers often refuse
// CONFIG, and some tell it in INFO.
func evictionPolicy(ctx context.Context, client goredis.UniversalClient) (string, error) {
	const name = "maxmemory_policy:"
	if info, err := client.Info(ctx, "memory").Result(); err == nil {
		for line := range strings.Lines(info) {
			if policy, ok := strings.CutPrefix(strings.TrimSpace(line), name); ok {
				return policy, nil
			}
		}
	}
	settings, err := client.ConfigGet(ctx, "maxmemory-policy").Result()
	if err != nil {
		return "", err
	}
	policy, ok := settings["maxmemory-policy"]
	if !ok {
		return "", fmt.Errorf("CONFIG GET maxmemory-policy gives nothing")
	}
	return policy, nil
}
