package opendata

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"freeflow/parking"
)

// snapshot is what the sources said at one moment. It is never changed.
type snapshot struct {
	// asked is when the sources were asked last, read when they last answered.
	asked, read time.Time
	// fault is why there is nothing; nil otherwise.
	fault error
	// sites are in the order of their ids.
	sites []*siteView
}

// siteView is one site with its figure, nil if it has none.
type siteView struct {
	Site
	built  *capacity
	figure *Figure
}

// cache keeps the latest snapshot. busy holds a token while a new one is made.
type cache struct {
	current atomic.Pointer[snapshot]
	busy    chan struct{}
}

// snapshot returns the sources' state, at most a refresh interval old. Where
// the sources fail it returns the last one that they gave, until that is as
// old as a figure may be: its figures carry their own time and are withdrawn
// by it.
func (f *Feed) snapshot(ctx context.Context) (*snapshot, error) {
	if s := f.recent(); s != nil {
		return s, s.fault
	}
	select {
	case f.cache.busy <- struct{}{}:
		defer func() { <-f.cache.busy }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for open data: %w", ctx.Err())
	}
	if s := f.recent(); s != nil { // made by another request meanwhile
		return s, s.fault
	}
	// The reading serves all requests, so that it does not end with the one
	// that happened to begin it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshTime)
	defer cancel()
	before := f.cache.current.Load()
	s, err := f.read(ctx, before)
	now := f.clock.Now()
	switch {
	case err == nil:
		s.asked, s.read = now, now
	case before != nil && before.fault == nil && within(now.Sub(before.read), f.settings.Limit):
		f.log.Warn("open data: a source does not answer; the last figures are kept until they are too old", "error", err)
		kept := *before
		kept.asked, s = now, &kept
	default:
		s = &snapshot{asked: now, fault: unavailable(err)}
	}
	f.cache.current.Store(s)
	return s, s.fault
}

// recent returns the present snapshot if the sources need not be asked yet.
func (f *Feed) recent() *snapshot {
	s := f.cache.current.Load()
	if s == nil || !within(f.clock.Now().Sub(s.asked), f.settings.Refresh) {
		return nil
	}
	return s
}

// within reports whether an age is below the limit; one below 0, after a clock
// was set back, is not.
func within(age, limit time.Duration) bool { return age >= 0 && age < limit }

func (f *Feed) read(ctx context.Context, before *snapshot) (*snapshot, error) {
	sites, err := f.sites.Sites(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading car parks: %w", err)
	}
	figures, err := f.figures.Figures(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading figures: %w", err)
	}
	known := map[*parking.CarPark]*capacity{}
	if before != nil {
		for _, s := range before.sites {
			known[s.CarPark] = s.built
		}
	}
	out := &snapshot{sites: make([]*siteView, 0, len(sites))}
	for _, site := range sites {
		if site.CarPark == nil {
			return nil, fmt.Errorf("reading car parks: one of them is empty")
		}
		v := &siteView{Site: site, built: known[site.CarPark]}
		if v.built == nil {
			v.built = capacityOf(site.CarPark)
		}
		if figure, ok := figures[site.CarPark.ID]; ok {
			v.figure = &figure
		}
		out.sites = append(out.sites, v)
	}
	slices.SortFunc(out.sites, func(a, b *siteView) int { return cmp.Compare(a.CarPark.ID, b.CarPark.ID) })
	return out, nil
}

// fresh returns the site's figure if it may be told at the instant, else nil.
func (f *Feed) fresh(s *siteView, now time.Time) *Figure {
	if s.figure == nil || s.figure.At.IsZero() {
		return nil
	}
	if age := now.Sub(s.figure.At); age >= f.settings.Limit || age < -maxAhead {
		return nil
	}
	return s.figure
}

// free returns what the figure says of a type; false where it says nothing, or
// nothing that can be true.
func (s *siteView) free(k kind, figure *Figure) (Free, bool) {
	p := &s.built.places[k]
	free, ok := figure.Free[p.class]
	if !ok || !p.believable(free) {
		return Free{}, false
	}
	return free, true
}

// maxAge is how long an answer made now may be kept: not past the moment at
// which one of its figures has to be withdrawn.
func (f *Feed) maxAge(s *snapshot, now time.Time) time.Duration {
	age := f.settings.MaxAge
	for _, site := range s.sites {
		if figure := f.fresh(site, now); figure != nil {
			age = min(age, figure.At.Add(f.settings.Limit).Sub(now))
		}
	}
	return age
}
