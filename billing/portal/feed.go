package portal

import (
	"errors"
	"sync"
)

// Bounds of streams.
const (
	maxStreams     = 10_000
	maxStreamsEach = 8 // per account
)

// errTooManyStreams says that no more browsers can be told at once.
var errTooManyStreams = errors.New("too many live pages are open")

// Feed tells the open pages of an account that its passes have changed. It
// carries no data: whoever is told looks at the books. Safe for concurrent
// use.
type Feed struct {
	mu    sync.Mutex
	total int
	open  map[string]map[*stream]struct{}
}

// stream is one open page's place in the feed.
type stream struct {
	account string
	// changed holds at most one note: a reader that is slow finds that
	// something changed, not how often.
	changed chan struct{}
}

// NewFeed returns a feed that nobody listens to yet.
func NewFeed() *Feed { return &Feed{open: map[string]map[*stream]struct{}{}} }

// Notify tells the open pages of the accounts; it never waits. Account ids
// are those of the books, without "account:".
func (f *Feed) Notify(accounts []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, account := range accounts {
		for s := range f.open[account] {
			select {
			case s.changed <- struct{}{}:
			default:
			}
		}
	}
}

// listen opens a place for an account; leave must be called once.
func (f *Feed) listen(account string) (*stream, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	mine := f.open[account]
	if f.total >= maxStreams || len(mine) >= maxStreamsEach {
		return nil, errTooManyStreams
	}
	if mine == nil {
		mine = map[*stream]struct{}{}
		f.open[account] = mine
	}
	s := &stream{account: account, changed: make(chan struct{}, 1)}
	mine[s] = struct{}{}
	f.total++
	return s, nil
}

func (f *Feed) leave(s *stream) {
	f.mu.Lock()
	defer f.mu.Unlock()
	mine := f.open[s.account]
	if _, ok := mine[s]; !ok {
		return
	}
	delete(mine, s)
	f.total--
	if len(mine) == 0 {
		delete(f.open, s.account)
	}
}

// Listeners returns how many pages are open, for a gauge.
func (f *Feed) Listeners() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.total
}
