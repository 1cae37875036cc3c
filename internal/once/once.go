// Package once owns the answers to requests that their client may send more
// than once: a request's effect and its answer are kept in one transaction of
// the store that the effect belongs to.
//
// Invariants: under one scope and key there is one effect and one answer, also
// when several processes are asked at once, and whatever is lost on the way
// back; the same key with another fingerprint has no effect.
//
// Not promised: that a request is recognised after its answer was pruned; that
// a failed one is kept: it may be tried again with the same key. Where an
// effect cannot be in the transaction, ID names it, so that doing it again
// meets itself.
package once

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"freeflow/internal/clock"
	"freeflow/internal/database"
)

// Errors of Do.
var (
	// ErrReused: the key stands for another request.
	ErrReused = errors.New("the idempotency key was used for another request")
	// ErrBusy: the first request with the key is under way.
	ErrBusy = errors.New("a request with the idempotency key is under way")
	// ErrInvalid: a scope, key or answer that cannot be kept.
	ErrInvalid = errors.New("cannot be kept")
)

// Request names a request that may come again.
type Request struct {
	// Scope tells callers and operations apart, Key one caller's requests; each
	// 1 to 1,024 bytes.
	Scope, Key string
	// Fingerprint is a digest of all that the request says.
	Fingerprint [sha256.Size]byte
}

// ID is a name for the request's effect, the same for each repetition: 32
// lower-case hex digits.
func (r Request) ID() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %s", len(r.Scope), r.Scope, r.Key))
	return hex.EncodeToString(sum[:16])
}

// Answer is what was answered.
type Answer struct {
	Status int
	// Body is at most 1 MiB.
	Body []byte
	// Location is the header of that name; may be empty.
	Location string
	// Replayed says that the effect is of an earlier request.
	Replayed bool
}

// Made is an answer with a value as JSON in its body.
func Made(status int, v any, location string) (Answer, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return Answer{}, fmt.Errorf("writing an answer: %w", err)
	}
	return Answer{Status: status, Body: append(body, '\n'), Location: location}, nil
}

const (
	maxName = 1 << 10
	maxBody = 1 << 20
)

// Keeper keeps answers in a table of a store:
//
//	CREATE TABLE name (at_micros bigint, status bigint, scope, request_key
//	bytewise text, location text, fingerprint bytea, body bytea, PRIMARY KEY
//	(scope, request_key)), and an index on at_micros
//
// Safe for concurrent use.
type Keeper struct {
	db    *database.DB
	table string
	clock clock.Clock
	mu    sync.Mutex
	// underWay are the requests that this process works on; another process is
	// met in the database.
	underWay map[Request]struct{}
}

// NewKeeper returns a keeper. The table's name is the program's own.
func NewKeeper(db *database.DB, table string, clk clock.Clock) *Keeper {
	return &Keeper{db: db, table: table, clock: clk, underWay: map[Request]struct{}{}}
}

// Do runs fn in one transaction together with the keeping of its answer. If
// the request had its effect already, fn is not run and the kept answer comes
// back, Replayed. Where the database asks to try again fn is run again, a
// bounded number of times. Errors: ErrReused, ErrBusy, ErrInvalid, fn's own,
// which undo everything.
func (k *Keeper) Do(ctx context.Context, r Request, fn func(database.Session) (Answer, error)) (Answer, error) {
	if err := check(r); err != nil {
		return Answer{}, err
	}
	if !k.take(r) {
		return Answer{}, ErrBusy
	}
	defer k.leave(r)
	var answer Answer
	err := k.db.Write(ctx, func(db database.Session) error {
		if err := k.claim(ctx, db, r); err != nil {
			return err
		}
		kept, found, err := k.find(ctx, db, r)
		if err != nil || found {
			answer = kept
			return err
		}
		if answer, err = fn(db); err != nil {
			return err
		}
		answer.Replayed = false
		return k.keep(ctx, db, r, answer)
	})
	if err != nil {
		return Answer{}, err
	}
	return answer, nil
}

// slot is what makes two requests meet: not the fingerprint.
func slot(r Request) Request { return Request{Scope: r.Scope, Key: r.Key} }

func (k *Keeper) take(r Request) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, there := k.underWay[slot(r)]; there {
		return false
	}
	k.underWay[slot(r)] = struct{}{}
	return true
}

func (k *Keeper) leave(r Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.underWay, slot(r))
}

// claim keeps other processes with the same key away until the transaction
// ends. SQLite has one writer.
func (k *Keeper) claim(ctx context.Context, db database.Session, r Request) error {
	if k.db.Kind() != database.PostgreSQL {
		return nil
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %s %s", k.table, len(r.Scope), r.Scope, r.Key))
	var free bool
	_, err := database.One(ctx, db, `SELECT pg_try_advisory_xact_lock($1)`, []any{int64(binary.BigEndian.Uint64(sum[:8]))}, &free)
	if err == nil && !free {
		return ErrBusy
	}
	return err
}

func (k *Keeper) find(ctx context.Context, db database.Session, r Request) (a Answer, found bool, err error) {
	var fingerprint []byte
	var status int64
	found, err = database.One(ctx, db, `SELECT fingerprint, status, body, location FROM `+k.table+` WHERE scope = $1 AND request_key = $2`,
		[]any{r.Scope, r.Key}, &fingerprint, &status, &a.Body, &a.Location)
	if err != nil || !found {
		if err != nil {
			err = fmt.Errorf("reading a kept answer: %w", err)
		}
		return Answer{}, false, err
	}
	if string(fingerprint) != string(r.Fingerprint[:]) {
		return Answer{}, false, fmt.Errorf("%s: %w", r.Scope, ErrReused)
	}
	a.Status, a.Replayed = int(status), true
	return a, true, nil
}

func (k *Keeper) keep(ctx context.Context, db database.Session, r Request, a Answer) error {
	if len(a.Body) > maxBody || len(a.Location) > maxName {
		return fmt.Errorf("%w: an answer of %d bytes, at most %d", ErrInvalid, len(a.Body), maxBody)
	}
	if a.Body == nil {
		a.Body = []byte{}
	}
	_, err := db.Exec(ctx, `INSERT INTO `+k.table+` (scope, request_key, fingerprint, status, body, location, at_micros)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`, r.Scope, r.Key, r.Fingerprint[:], int64(a.Status), a.Body, a.Location, k.clock.Now().UnixMicro())
	if err != nil {
		return fmt.Errorf("keeping an answer: %w", err)
	}
	return nil
}

func check(r Request) error {
	for _, part := range []struct{ what, text string }{{"scope", r.Scope}, {"key", r.Key}} {
		if part.text == "" || len(part.text) > maxName || !utf8.ValidString(part.text) {
			return fmt.Errorf("%w: the %s has %d bytes; it must be text of 1 to %d", ErrInvalid, part.what, len(part.text), maxName)
		}
	}
	return nil
}

// pruneChunk bounds one transaction of Prune.
const pruneChunk = 2000

// Prune forgets answers kept before the instant, and says how many. It works in
// short transactions; what was pruned before an error stays pruned.
func (k *Keeper) Prune(ctx context.Context, before time.Time) (int64, error) {
	var total int64
	for {
		var n int64
		err := k.db.Write(ctx, func(db database.Session) error {
			var err error
			n, err = db.Exec(ctx, `DELETE FROM `+k.table+` WHERE (scope, request_key) IN
				(SELECT scope, request_key FROM `+k.table+` WHERE at_micros < $1 ORDER BY at_micros LIMIT $2)`, before.UnixMicro(), int64(pruneChunk))
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
