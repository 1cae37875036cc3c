package gateway

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"

	"freeflow/rsu"
)

// recent remembers reads of late by their hashes, in two tables in which each
// hash has one place and a newer one takes it from an older. That bounds the
// memory exactly, needs no lock, and forgets now and then, which is allowed: it
// serves the count of repetitions and an alarm, never a decision about a read.
type recent struct {
	seed     maphash.Seed
	mask     uint64
	contents []atomic.Uint64 // whole reads
	numbers  []atomic.Uint64 // unit, boot and seq
}

// newRecent makes a memory for about size reads.
func newRecent(size int) *recent {
	n := 1 << bits.Len(uint(max(size, 2)-1))
	return &recent{
		seed: maphash.MakeSeed(), mask: uint64(n - 1),
		contents: make([]atomic.Uint64, n), numbers: make([]atomic.Uint64, n),
	}
}

// number is what a unit may give only one read.
type number struct {
	unit, boot string
	seq        uint64
}

// note remembers the read, whose encoding is value. It tells whether the same
// read is remembered already, or else another one of the same number.
func (m *recent) note(r *rsu.Read, value []byte) (known, conflict bool) {
	known = m.swap(m.contents, maphash.Bytes(m.seed, value))
	numbered := m.swap(m.numbers, maphash.Comparable(m.seed, number{r.Unit, r.Boot, r.Seq}))
	return known, numbered && !known
}

// swap puts the hash in its place and tells whether it stood there.
func (m *recent) swap(table []atomic.Uint64, hash uint64) bool {
	if hash == 0 {
		hash = 1 // 0 marks an empty place
	}
	place := &table[hash&m.mask]
	if place.Load() == hash {
		return true
	}
	return place.Swap(hash) == hash
}
