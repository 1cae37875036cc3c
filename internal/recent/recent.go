// Package recent owns a map of bounded size: to make room it forgets what was
// used least recently. It is for what is kept in memory about strangers, of
// whom there may be any number.
//
// Invariant: there are never more entries than the bound. Not promised: that an
// entry is there still; whoever needs it for good keeps it elsewhere.
package recent

import "container/list"

// Map holds at most so many values. It is not safe for concurrent use.
type Map[K comparable, V any] struct {
	most   int
	order  *list.List // of entry, most recently used first
	at     map[K]*list.Element
	forget func(V)
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

// New returns an empty map of at most so many entries, at least one. forget is
// called with each value that is removed, by Remove or to make room, and not
// with one that Put replaces; it may be nil.
func New[K comparable, V any](most int, forget func(V)) *Map[K, V] {
	return &Map[K, V]{most: max(most, 1), order: list.New(), at: make(map[K]*list.Element), forget: forget}
}

// Len returns how many entries there are.
func (m *Map[K, V]) Len() int { return len(m.at) }

// Get returns the value of the key and marks it as used.
func (m *Map[K, V]) Get(key K) (value V, ok bool) {
	e, ok := m.at[key]
	if !ok {
		return value, false
	}
	m.order.MoveToFront(e)
	return e.Value.(entry[K, V]).value, true
}

// Put stores a value under a key that is not there yet, or replaces it.
func (m *Map[K, V]) Put(key K, value V) {
	if e, ok := m.at[key]; ok {
		e.Value = entry[K, V]{key, value}
		m.order.MoveToFront(e)
		return
	}
	for m.order.Len() >= m.most {
		m.Remove(m.order.Back().Value.(entry[K, V]).key)
	}
	m.at[key] = m.order.PushFront(entry[K, V]{key, value})
}

// Remove forgets a key; one that is not there is no fault.
func (m *Map[K, V]) Remove(key K) {
	e, ok := m.at[key]
	if !ok {
		return
	}
	m.order.Remove(e)
	delete(m.at, key)
	if m.forget != nil {
		m.forget(e.Value.(entry[K, V]).value)
	}
}
