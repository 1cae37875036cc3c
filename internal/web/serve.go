package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"freeflow/internal/clock"
)

// Bounds of a connection. A route that needs more says so with ReadWithin and
// WriteWithin.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 60 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10
	// drain is how long open requests may take to end after the stop.
	drain = 10 * time.Second
)

type stopKey struct{}

// Serve answers requests on the listener until ctx ends, then lets the open
// ones finish for up to ten seconds, breaks off the rest, and returns nil. An
// error means that the listener failed. Streams learn of the end by Stopping.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	stop := make(chan struct{})
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		// Requests outlive ctx until they are drained; only streams are told
		// to go at once.
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(context.WithoutCancel(ctx), stopKey{}, (<-chan struct{})(stop))
		},
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	close(stop)
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if err := srv.Shutdown(end); err != nil {
		log.Warn("requests broken off at the stop", "address", ln.Addr().String(), "error", err)
		if err := srv.Close(); err != nil {
			log.Debug("closing server", "error", err)
		}
	}
	if err := <-failed; err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving on %s: %w", ln.Addr(), err)
	}
	return nil
}

// Stopping returns a channel that is closed when the server begins to stop, so
// that a handler that streams can end; without Serve it is nil and never ready.
func Stopping(ctx context.Context) <-chan struct{} {
	stop, _ := ctx.Value(stopKey{}).(<-chan struct{})
	return stop
}

// WriteWithin moves the end of the connection's time for writing to d from
// now. A stream calls it before each write: the server's own bound counts from
// the request's beginning and would cut every stream.
func WriteWithin(w http.ResponseWriter, d time.Duration) error {
	// Sockets know only the machine's clock, whatever a test has injected.
	return http.NewResponseController(w).SetWriteDeadline(clock.System{}.Now().Add(d))
}

// ReadWithin moves the end of the connection's time for reading the body to d
// from now, for uploads that are expected to be long.
func ReadWithin(w http.ResponseWriter, d time.Duration) error {
	return http.NewResponseController(w).SetReadDeadline(clock.System{}.Now().Add(d))
}
