package matcher

import "freeflow/tolling/passage"

const (
	// expiryStep is the width of a bucket of expiry in microseconds: 1 s.
	expiryStep = 1_000_000
	// maxDrops bounds how many keys one batch drops, so that a pause in the
	// traffic does not make one long call.
	maxDrops = 2000
)

// expiry remembers held keys by the time of their latest read, roughly, so that
// old ones can be dropped without looking at all. A key that was touched again
// stands in several buckets; the store drops it only if its record is old.
type expiry struct {
	buckets map[int64][]passage.Key
	due     []passage.Key
}

func (e *expiry) add(k passage.Key, last int64) {
	if e.buckets == nil {
		e.buckets = make(map[int64][]passage.Key)
	}
	b := last / expiryStep
	e.buckets[b] = append(e.buckets[b], k)
}

// before takes out keys of buckets that lie wholly before the horizon.
func (e *expiry) before(horizon int64) []passage.Key {
	for b, keys := range e.buckets {
		if (b+1)*expiryStep <= horizon {
			e.due = append(e.due, keys...)
			delete(e.buckets, b)
		}
	}
	n := min(len(e.due), maxDrops)
	drop := e.due[:n:n]
	if e.due = e.due[n:]; len(e.due) == 0 {
		e.due = nil
	}
	return drop
}
