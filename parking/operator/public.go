package operator

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/internal/recent"
	"freeflow/internal/web"
	"freeflow/parking"
)

// What strangers may do, each network on its own.
const (
	// asksAtOnce and askEvery bound questions for what is due: whoever tries
	// plates learns nothing by their number.
	asksAtOnce = 20
	askEvery   = 15 * time.Second
	// writesAtOnce and writeEvery bound quotes and reservations, each of which
	// is a row to keep.
	writesAtOnce = 60
	writeEvery   = 2 * time.Second
	// mostHeld bounds the reservations of one network that have not ended:
	// holds cost nothing, and would let one stranger empty a pool.
	mostHeld     = 5
	maxHolders   = 20_000
	retryHolding = time.Minute
)

// holders remembers which reservations were made from which network. It counts
// in this process alone, and forgets at a restart. Safe for concurrent use.
type holders struct {
	mu  sync.Mutex
	all *recent.Map[string, holding]
}

// holding is what one network has: ids, and how many requests are under way.
type holding struct {
	ids     []string
	pending int
}

func newHolders() *holders { return &holders{all: recent.New[string, holding](maxHolders, nil)} }

// enter counts one more reservation under way. Where there are too many it
// counts nothing and returns those that are known, for the caller to see which
// have ended.
func (h *holders) enter(network string) (known []string, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	one, _ := h.all.Get(network)
	if len(one.ids)+one.pending >= mostHeld {
		return slices.Clone(one.ids), false
	}
	one.pending++
	h.all.Put(network, one)
	return nil, true
}

// leave ends what enter began; id is the reservation that was made, empty for
// none.
func (h *holders) leave(network, id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	one, ok := h.all.Get(network)
	if !ok {
		return // forgotten meanwhile, for others
	}
	one.pending = max(one.pending-1, 0)
	if id != "" {
		one.ids = append(slices.Clone(one.ids), id)
	}
	h.all.Put(network, one)
}

// ended takes reservations off a network's count.
func (h *holders) ended(network string, ids []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	one, ok := h.all.Get(network)
	if !ok {
		return
	}
	one.ids = slices.DeleteFunc(slices.Clone(one.ids), func(id string) bool { return slices.Contains(ids, id) })
	h.all.Put(network, one)
}

// errTooMany: the network has as many reservations, or requests for a space, as
// it may.
var errTooMany = errors.New("too many reservations from this address")

// holding makes room for one more reservation of the network that asks, and
// returns what is to be called at the end with the id that was made. errTooMany
// where there is none.
func (a *API) holding(c echo.Context) (done func(id string), err error) {
	network := web.Network(c.RealIP())
	known, ok := a.holders.enter(network)
	if !ok {
		over, err := a.over(c.Request().Context(), known)
		if err != nil {
			return nil, err
		}
		a.holders.ended(network, over)
		if _, ok = a.holders.enter(network); !ok {
			return nil, errTooMany
		}
	}
	return func(id string) { a.holders.leave(network, id) }, nil
}

// over are those of the reservations that take no place any more.
func (a *API) over(ctx context.Context, ids []string) (over []string, err error) {
	now := a.Clock.Now()
	err = a.Keeping.View(ctx, func(tx parking.Tx) error {
		over = nil
		for _, id := range ids {
			r, err := tx.Reservation(ctx, id)
			switch {
			case isNotFound(err):
				over = append(over, id)
			case err != nil:
				return err
			case !r.Counts(now):
				over = append(over, id)
			}
		}
		return nil
	})
	return over, err
}
