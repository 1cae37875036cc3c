// Package redispassage holds open passes in Redis: one hash a partition, one
// script call a batch. It runs on Redis, Valkey, Redis Cluster (one key a call)
// and on the embedded server alike.
//
// Invariants: the stamp lies in the same hash as the records, so that losing a
// part means losing all, and loss is noticed; a script whose reply was lost
// finds its own stamp when it is repeated and changes nothing twice.
//
// Not promised: durability. See passage.Store.
package redispassage

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"freeflow/tolling/passage"
)

var (
	//go:embed exchange.lua
	exchangeSource string
	//go:embed adopt.lua
	adoptSource string
)

// life is how long an abandoned partition's hash stays; every batch renews it.
const life = 24 * time.Hour

// lastDigits is the width of the time in front of each value. Digits compare
// alike in every locale, which bytes do not in Lua.
const lastDigits = 16

// metaField is the stamp's field; records' fields contain '|'.
const metaField = "@"

// Store implements passage.Store. The client must not retry by itself more
// than the caller can bear to wait; a repeat is harmless.
type Store struct {
	client          redis.UniversalClient
	exchange, adopt *redis.Script
}

// New returns a store on the client.
func New(client redis.UniversalClient) *Store {
	return &Store{client: client, exchange: redis.NewScript(exchangeSource), adopt: redis.NewScript(adoptSource)}
}

// key names the partition's hash. The braces make it one slot of a cluster;
// the books' identity keeps the state of other books apart.
func key(partition int, books string) string {
	return "freeflow:open:{" + books + ":" + strconv.Itoa(partition) + "}"
}

func field(k passage.Key) string {
	flag := "|0|"
	if k.Registered {
		flag = "|1|"
	}
	return k.Facility + flag + k.Vehicle
}

func unfield(s string) (passage.Key, bool) {
	facility, rest, ok := strings.Cut(s, "|")
	if !ok || len(rest) < 2 || rest[1] != '|' {
		return passage.Key{}, false
	}
	return passage.Key{Facility: facility, Registered: rest[0] == '1', Vehicle: rest[2:]}, true
}

func digits(micros int64) string { return fmt.Sprintf("%0*d", lastDigits, micros) }

// Adopt implements passage.Store.
func (s *Store) Adopt(ctx context.Context, partition int, at passage.Stamp) (int64, error) {
	horizon, err := s.adopt.Run(ctx, s.client, []string{key(partition, at.Books)},
		strconv.FormatInt(at.Offset, 10), at.Owner).Text()
	if errors.Is(err, redis.Nil) {
		return 0, passage.ErrLost
	}
	if err != nil {
		return 0, fmt.Errorf("adopting open passes of partition %d: %w", partition, err)
	}
	micros, err := strconv.ParseInt(horizon, 10, 64)
	if err != nil {
		return 0, passage.ErrLost
	}
	return micros, nil
}

// Reset implements passage.Store.
func (s *Store) Reset(ctx context.Context, partition int, at passage.Stamp, horizon int64) error {
	k := key(partition, at.Books)
	_, err := s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Del(ctx, k)
		p.HSet(ctx, k, metaField, strconv.FormatInt(at.Offset, 10)+" "+digits(horizon)+" "+at.Owner)
		p.PExpire(ctx, k, life)
		return nil
	})
	if err != nil {
		return fmt.Errorf("resetting open passes of partition %d: %w", partition, err)
	}
	return nil
}

// Exchange implements passage.Store.
func (s *Store) Exchange(ctx context.Context, partition int, at passage.Stamp, change *passage.Change, want []passage.Key) ([]passage.Item, error) {
	if change == nil {
		change = &passage.Change{To: passage.Stamp{Offset: -1}}
	}
	args := make([]any, 0, 8+2*len(change.Put)+len(change.Drop)+len(want))
	to := ""
	if change.To.Offset >= 0 {
		to = strconv.FormatInt(change.To.Offset, 10)
	}
	args = append(args, strconv.FormatInt(at.Offset, 10), to, at.Owner, digits(change.Horizon), life.Milliseconds(),
		len(change.Put), len(change.Drop), len(want))
	for _, item := range change.Put {
		args = append(args, field(item.Key), digits(item.LastMicros)+string(item.Value))
	}
	for _, k := range change.Drop {
		args = append(args, field(k))
	}
	for _, k := range want {
		args = append(args, field(k))
	}
	reply, err := s.exchange.Run(ctx, s.client, []string{key(partition, at.Books)}, args...).Slice()
	if err != nil {
		return nil, fmt.Errorf("exchanging open passes of partition %d: %w", partition, err)
	}
	if len(reply) == 0 || reply[0] != int64(1) {
		return nil, passage.ErrLost
	}
	if len(reply) != 1+len(want) {
		return nil, fmt.Errorf("exchanging open passes of partition %d: %d records answered, %d asked for", partition, len(reply)-1, len(want))
	}
	items := make([]passage.Item, len(want))
	for i, k := range want {
		items[i].Key = k
		value, ok := reply[1+i].(string)
		if !ok {
			continue // nothing held
		}
		if items[i].LastMicros, items[i].Value, err = cutLast(value); err != nil {
			return nil, passage.ErrLost
		}
	}
	return items, nil
}

func cutLast(value string) (int64, []byte, error) {
	if len(value) < lastDigits {
		return 0, nil, errors.New("record too short")
	}
	last, err := strconv.ParseInt(value[:lastDigits], 10, 64)
	return last, []byte(value[lastDigits:]), err
}

// Keys implements passage.Store.
func (s *Store) Keys(ctx context.Context, partition int, at passage.Stamp, each func(passage.Item)) error {
	var cursor uint64
	for {
		page, next, err := s.client.HScan(ctx, key(partition, at.Books), cursor, "", 1000).Result()
		if err != nil {
			return fmt.Errorf("listing open passes of partition %d: %w", partition, err)
		}
		for i := 0; i+1 < len(page); i += 2 {
			k, ok := unfield(page[i])
			if !ok {
				continue // the stamp
			}
			last, _, err := cutLast(page[i+1])
			if err != nil {
				return passage.ErrLost
			}
			each(passage.Item{Key: k, LastMicros: last})
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}
