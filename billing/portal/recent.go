package portal

import "container/list"

// recent is a map that holds at most max values and forgets the one used least
// recently to make room. It is not safe for concurrent use.
type recent[K comparable, V any] struct {
	max    int
	order  *list.List // of entry, most recently used first
	at     map[K]*list.Element
	forget func(V) // called with what is removed; may be nil
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

func newRecent[K comparable, V any](most int, forget func(V)) *recent[K, V] {
	return &recent[K, V]{max: most, order: list.New(), at: make(map[K]*list.Element), forget: forget}
}

// get returns the value of the key and marks it as used.
func (r *recent[K, V]) get(key K) (value V, ok bool) {
	e, ok := r.at[key]
	if !ok {
		return value, false
	}
	r.order.MoveToFront(e)
	return e.Value.(entry[K, V]).value, true
}

// put stores a value under a key that is not there yet, or replaces it.
func (r *recent[K, V]) put(key K, value V) {
	if e, ok := r.at[key]; ok {
		e.Value = entry[K, V]{key, value}
		r.order.MoveToFront(e)
		return
	}
	for r.order.Len() >= r.max {
		r.remove(r.order.Back().Value.(entry[K, V]).key)
	}
	r.at[key] = r.order.PushFront(entry[K, V]{key, value})
}

// remove forgets a key; one that is not there is no fault.
func (r *recent[K, V]) remove(key K) {
	e, ok := r.at[key]
	if !ok {
		return
	}
	r.order.Remove(e)
	delete(r.at, key)
	if r.forget != nil {
		r.forget(e.Value.(entry[K, V]).value)
	}
}
