package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"freeflow/internal/database"
	"freeflow/parking"
)

// onceKey names a request.
type onceKey struct{ scope, key string }

func keyOf(o *parking.Once) onceKey { return onceKey{o.Scope, o.Key} }

// underWay are the requests that this process is working on. The zero value is
// ready. Another process is met in the database: Do meets Do by a lock that is
// asked for without waiting, everything else waits for the other's transaction
// and then finds its answer.
type underWay struct {
	mu   sync.Mutex
	keys map[onceKey]struct{}
}

// take enters the key; false if it is there.
func (u *underWay) take(k onceKey) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, there := u.keys[k]; there {
		return false
	}
	if u.keys == nil {
		u.keys = map[onceKey]struct{}{}
	}
	u.keys[k] = struct{}{}
	return true
}

func (u *underWay) leave(keys []onceKey) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, k := range keys {
		delete(u.keys, k)
	}
}

// kept is an answer as it stands.
type kept struct {
	key         onceKey
	fingerprint []byte
	answer      parking.Answer
}

const (
	onceColumns = `o.scope, o.request_key, o.fingerprint, o.status, o.body, o.location`
	onceFind    = `SELECT ` + onceColumns + ` FROM parking_once o WHERE o.scope = $1 AND o.request_key = $2`
	onceInsert  = `INSERT INTO parking_once (scope, request_key, fingerprint, status, body, location, allocation, at_micros)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
)

func scanKept(r database.Rows) (k kept, err error) {
	err = r.Scan(&k.key.scope, &k.key.key, &k.fingerprint, &k.answer.Status, &k.answer.Body, &k.answer.Location)
	k.answer.Body, k.answer.Replayed = orNil(k.answer.Body), true
	return k, err
}

// replay is what a repetition is told.
func (k *kept) replay(o *parking.Once) (parking.Answer, error) {
	if string(k.fingerprint) != string(o.Fingerprint[:]) {
		return parking.Answer{}, fmt.Errorf("%s: %w", o.Scope, parking.ErrKeyReused)
	}
	return k.answer, nil
}

// findOnce returns what is kept under the key; nil if nothing is.
func findOnce(ctx context.Context, db database.Session, o *parking.Once) (*kept, error) {
	var found *kept
	err := database.Each(ctx, db, onceFind, []any{o.Scope, o.Key}, func(r database.Rows) error {
		k, err := scanKept(r)
		found = &k
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading a kept answer: %w", err)
	}
	return found, nil
}

func onceArgs(o *parking.Once, a *parking.Answer, allocation string, at int64) []any {
	return []any{o.Scope, o.Key, o.Fingerprint[:], int64(a.Status), notNil(a.Body), a.Location, allocation, at}
}

// keep keeps the answer. Somebody else's answer under the key, committed since
// we looked, undoes this transaction: run again, it finds that answer.
func keep(ctx context.Context, db database.Session, args []any) error {
	_, err := db.Exec(ctx, onceInsert, args...)
	if database.IsDuplicate(err) {
		return errSameKey(err)
	}
	return err
}

func errSameKey(err error) error {
	return errors.Join(fmt.Errorf("%w: the same request had its effect meanwhile", database.ErrRetry), err)
}

// maxBody bounds a kept answer.
const maxBody = 1 << 20

func checkOnce(o *parking.Once, a *parking.Answer) error {
	if o == nil {
		return nil
	}
	if o.Key == "" {
		return fmt.Errorf("%w: the idempotency key is empty", parking.ErrInvalid)
	}
	if err := checkText("the idempotency key", o.Key, maxName); err != nil {
		return err
	}
	if err := checkText("the scope", o.Scope, maxName); err != nil {
		return err
	}
	return checkAnswer(a)
}

func checkAnswer(a *parking.Answer) error {
	if len(a.Body) > maxBody {
		return fmt.Errorf("%w: an answer of %d bytes cannot be kept, at most %d", parking.ErrInvalid, len(a.Body), maxBody)
	}
	return checkText("the location", a.Location, maxText)
}

// Do runs fn once. Where the key is under way already, in this process by any
// call and in others by Do, it is ErrKeyBusy. See parking.Keeping.
func (s *Store) Do(ctx context.Context, once *parking.Once, fn func(parking.Tx) (parking.Answer, error)) (parking.Answer, error) {
	if once != nil {
		if err := checkOnce(once, &parking.Answer{}); err != nil {
			return parking.Answer{}, err
		}
		if !s.keys.take(keyOf(once)) {
			return parking.Answer{}, parking.ErrKeyBusy
		}
		defer s.keys.leave([]onceKey{keyOf(once)})
	}
	var answer parking.Answer
	err := s.db.Write(ctx, func(db database.Session) error {
		var err error
		answer, err = s.do(ctx, db, once, fn)
		return err
	})
	if err != nil {
		return parking.Answer{}, err
	}
	return answer, nil
}

// do is one run of Do.
func (s *Store) do(ctx context.Context, db database.Session, once *parking.Once, fn func(parking.Tx) (parking.Answer, error)) (parking.Answer, error) {
	if once != nil {
		if err := s.claimKey(ctx, db, once); err != nil {
			return parking.Answer{}, err
		}
		found, err := findOnce(ctx, db, once)
		if err != nil {
			return parking.Answer{}, err
		}
		if found != nil {
			return found.replay(once)
		}
	}
	answer, err := fn(&tx{db: db, store: s})
	if err != nil {
		return answer, staleAgain(err)
	}
	answer.Replayed = false
	if once == nil {
		return answer, nil
	}
	if err := checkAnswer(&answer); err != nil {
		return answer, err
	}
	return answer, keep(ctx, db, onceArgs(once, &answer, "", s.clock.Now().UnixMicro()))
}

// claimKey keeps other processes' Do with the same key away.
func (s *Store) claimKey(ctx context.Context, db database.Session, o *parking.Once) error {
	if s.db.Kind() != database.PostgreSQL {
		return nil // one writer
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "parking %d %s %s", len(o.Scope), o.Scope, o.Key))
	var free bool
	_, err := database.One(ctx, db, `SELECT pg_try_advisory_xact_lock($1)`, []any{int64(binary.BigEndian.Uint64(sum[:8]))}, &free)
	if err == nil && !free {
		return parking.ErrKeyBusy
	}
	return err
}

// pruneChunk bounds one transaction of Prune.
const pruneChunk = 2000

// Prune forgets answers kept before the instant, and says how many: requests
// with those keys count as new ones from then on. It works in short
// transactions; what was pruned before an error stays pruned.
func (s *Store) Prune(ctx context.Context, before time.Time) (int64, error) {
	var total int64
	for {
		var n int64
		err := s.db.Write(ctx, func(db database.Session) error {
			var err error
			n, err = db.Exec(ctx, `DELETE FROM parking_once WHERE (scope, request_key) IN
				(SELECT scope, request_key FROM parking_once WHERE at_micros < $1 ORDER BY at_micros LIMIT $2)`, before.UnixMicro(), int64(pruneChunk))
			return err
		})
		if err != nil {
			return total, fmt.Errorf("pruning kept answers: %w", err)
		}
		total += n
		if n < pruneChunk {
			return total, nil
		}
	}
}
