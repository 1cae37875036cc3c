package portal

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/internal/web"
)

// streamWrite is how long a reader may take for one event before it counts as
// gone: slow readers must not hold streams that others could have.
const streamWrite = 10 * time.Second

// events tells an open page that its list has changed; the page then loads it
// again. Events carry no data, so nothing can be missed: the first is sent at
// once, so that a page which was made, or was connected, a while ago (also by
// Last-Event-ID) catches up.
func (p *Portal) events(c echo.Context) error {
	s := p.who(c)
	if s == nil {
		return web.NewProblem(http.StatusUnauthorized, "unauthorized", "", "sign in first")
	}
	place, err := p.Feed.listen(s.account)
	if errors.Is(err, errTooManyStreams) {
		problem := web.NewProblem(http.StatusServiceUnavailable, "busy", "Busy", "too many live pages are open; close some")
		problem.Header = http.Header{"Retry-After": {"30"}}
		return problem
	}
	if err != nil {
		return fmt.Errorf("opening a stream: %w", err)
	}
	defer p.Feed.leave(place)

	w := c.Response()
	w.Header().Set(echo.HeaderContentType, "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // proxies must not hold events back
	write := func(text string) error {
		if err := web.WriteWithin(w, streamWrite); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		if _, err := w.Write([]byte(text)); err != nil {
			return err
		}
		return http.NewResponseController(w).Flush()
	}
	tick := time.NewTicker(p.KeepAlive)
	defer tick.Stop()
	count := int64(1)
	if last, err := strconv.ParseInt(c.Request().Header.Get("Last-Event-ID"), 10, 64); err == nil && last > 0 && last < 1<<53 {
		count = last + 1
	}
	changed := func() string { return fmt.Sprintf("id: %d\nevent: passes\ndata:\n\n", count) }
	if err := write("retry: 2000\n" + changed()); err != nil {
		return nil // the reader is gone
	}
	for {
		text := ": alive\n\n"
		select {
		case <-c.Request().Context().Done():
			return nil
		case <-web.Stopping(c.Request().Context()):
			return nil
		case <-s.ended:
			return nil
		case <-place.changed:
			count++
			text = changed()
		case <-tick.C:
			if !p.sessions.alive(s) {
				return nil
			}
		}
		if err := write(text); err != nil {
			return nil // the reader is gone, or too slow
		}
	}
}
