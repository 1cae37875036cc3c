// Package passage owns the contract of the open passes: what the matcher needs
// to hold between batches in order to know which pass a read belongs to.
//
// The books decide; this state only makes the matcher fast. It is stamped with
// the offset of the log up to which the books have committed, it is changed
// only after they have, and whoever finds another stamp than the one expected
// gets ErrLost and reads the books. Losing it costs speed only.
package passage

import (
	"context"
	"errors"
)

// ErrLost says that the held state is not the one expected: lost, older,
// newer, or of other books.
var ErrLost = errors.New("open passes are not those expected")

// Key names what is held together: all that a rule can relate to a vehicle at
// a facility.
type Key struct {
	Facility   string
	Vehicle    string
	Registered bool
}

// Item is one held record, encoded by the matcher; opaque here.
type Item struct {
	Key Key
	// LastMicros is the time of the latest read that the record speaks of:
	// microseconds since the Unix epoch, UTC, not negative.
	LastMicros int64
	// Value is nil where nothing is held.
	Value []byte
}

// Stamp says up to where the held state of a partition follows the books.
type Stamp struct {
	// Books is the identity of the books.
	Books string
	// Offset is the books' next offset of the partition.
	Offset int64
	// Owner names the session that keeps the state, without spaces. A session
	// that was frozen and thaws finds another's name and gets ErrLost, even
	// where the offsets agree: what it remembers of the state no longer holds.
	Owner string
}

// Change is what a committed batch did to the held state.
type Change struct {
	// To is the stamp after the change.
	To Stamp
	// Horizon is the new horizon, microseconds since the Unix epoch: every
	// pass of the partition whose last read is at or after it is held.
	Horizon int64
	// Put replaces records.
	Put []Item
	// Drop forgets those of the records named whose LastMicros is before
	// Horizon; the others have been put again since and stay.
	Drop []Key
}

// Store holds the open passes of partitions. Implementations are safe for
// concurrent use with different partitions. Every call is bounded in time by
// ctx, and an error other than ErrLost means that the outcome is unknown; to
// repeat the same call is safe.
type Store interface {
	// Adopt makes at.Owner the owner of the state held for the partition, and
	// returns its horizon, if it is stamped with at's books and offset by
	// whatever owner; else ErrLost.
	Adopt(ctx context.Context, partition int, at Stamp) (horizon int64, err error)
	// Reset forgets what is held for the partition and begins anew with the
	// stamp and horizon given.
	Reset(ctx context.Context, partition int, at Stamp, horizon int64) error
	// Exchange does both halves of a batch's turn in one call: it applies the
	// change of the batch before (nil if there is none; already applied
	// counts as done) to the state stamped at, and returns what is then held
	// for the keys, in their order. ErrLost if the state is stamped neither
	// at nor, with a change, change.To.
	Exchange(ctx context.Context, partition int, at Stamp, change *Change, want []Key) ([]Item, error)
	// Keys calls each with every held record's key and LastMicros (and no
	// value), for rebuilding the order in which they are to be dropped. A
	// record may be given more than once.
	Keys(ctx context.Context, partition int, at Stamp, each func(Item)) error
}
