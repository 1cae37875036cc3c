// Package gateway owns the way in: it judges each read alone, appends the
// acceptable ones to the log, and answers once they are durable there. Intake
// is that way; New puts it behind HTTP for roadside units.
//
// Invariants: an answer that claims a read is given only after the log has it;
// accepted and rejected add up to what came; one bad read never costs its
// neighbours; a body that does not parse as a whole is refused as a whole;
// memory is bounded however slow the log is and however large what comes in.
//
// Not promised: that a repetition is recognised (the memory is small and of
// this process), nor that gaps in a unit's numbers are true where several
// gateways share one unit. No read is left out of the log for having been seen:
// what repetitions mean is decided in the books.
package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/internal/clock"
	"freeflow/internal/web"
	"freeflow/rsu/readpb"
)

// Limits bound what a request may bring and cost. A zero field means the
// default.
type Limits struct {
	// Body bounds the body as sent, Unpacked after decompressing, in bytes;
	// 8 MiB and 32 MiB.
	Body, Unpacked int64
	// Reads bounds the reads of a request; 50,000.
	Reads int
	// Line bounds a line of NDJSON, in bytes; a longer one is refused alone.
	// 1 MiB.
	Line int
	// Held bounds the memory of all requests under way, in bytes; further
	// ones get 503. 128 MiB.
	Held int64
	// Publish bounds the wait for the log; 10 s.
	Publish time.Duration
}

func (l Limits) withDefaults() Limits {
	if l.Body == 0 {
		l.Body = 8 << 20
	}
	if l.Unpacked == 0 {
		l.Unpacked = 32 << 20
	}
	if l.Reads == 0 {
		l.Reads = 50_000
	}
	if l.Line == 0 {
		l.Line = 1 << 20
	}
	if l.Held == 0 {
		l.Held = 128 << 20
	}
	if l.Publish == 0 {
		l.Publish = 10 * time.Second
	}
	return l
}

// gateway answers POST /v1/reads.
type gateway struct {
	intake   *Intake
	limits   Limits
	unpacker *unpacker
	budget   *budget
	log      *slog.Logger
}

// New returns the roadside gateway: POST /v1/reads, which keys (web.Bearer)
// guards, and GET /v1/reads.proto, the schema of the protobuf form. The caller
// serves it (web.Serve) and bounds the connections' times.
func New(intake *Intake, keys echo.MiddlewareFunc, log *slog.Logger, clk clock.Clock, limits Limits) (*echo.Echo, error) {
	limits = limits.withDefaults()
	u, err := newUnpacker(limits.Unpacked)
	if err != nil {
		return nil, err
	}
	g := &gateway{
		intake: intake, limits: limits, unpacker: u, log: log,
		budget: &budget{limit: limits.Held, gauge: intake.metrics.held},
	}
	e := web.NewEcho(log, clk)
	e.POST("/v1/reads", g.postReads, keys, web.LimitBody(limits.Body))
	e.GET("/v1/reads.proto", func(c echo.Context) error {
		return c.Blob(http.StatusOK, "text/plain; charset=utf-8", []byte(readpb.Schema()))
	})
	return e, nil
}

func (g *gateway) postReads(c echo.Context) error {
	held := &share{budget: g.budget}
	defer held.release()
	items, err := g.items(c, held)
	if err != nil {
		if errors.Is(err, errBusy) {
			g.intake.metrics.busy.Inc()
			return unavailable("busy", "Too much is under way", "nothing was taken; send the reads again")
		}
		return err
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), g.limits.Publish)
	defer cancel()
	result, err := g.intake.Take(ctx, web.Caller(c), items)
	if gone := c.Request().Context().Err(); err != nil && gone != nil {
		return gone // nobody is there to be answered
	}
	if err != nil {
		g.log.Error("reads were not acknowledged", "request_id", web.RequestID(c), "sender", web.Caller(c), "reads", len(items), "error", err)
		return unavailable("log-unavailable", "The log is not available", "nothing is claimed; send all of these reads again")
	}
	return c.JSON(http.StatusAccepted, result)
}

// items reads the request.
func (g *gateway) items(c echo.Context, held *share) ([]Item, error) {
	req := c.Request()
	strict, err := strictOf(c.QueryParams()["strict"])
	if err != nil {
		return nil, err
	}
	how, err := formOf(req.Header.Get(echo.HeaderContentType))
	if err != nil {
		return nil, err
	}
	coding, err := encoding(req.Header)
	if err != nil {
		return nil, err
	}
	if req.ContentLength > g.limits.Body {
		return nil, tooLarge("the body may have at most " + strconv.FormatInt(g.limits.Body, 10) + " bytes; send fewer reads at a time")
	}
	body, err := readBody(req.Body, req.ContentLength, g.limits.Body, held)
	if err != nil {
		return nil, err
	}
	if body, err = g.unpacker.unpack(coding, body, held); err != nil {
		return nil, err
	}
	s := splitter{strict: strict, most: g.limits.Reads, maxLine: g.limits.Line, held: held}
	size := 200 // of a read as JSON, roughly; of protobuf below
	if how == formProtobuf {
		size = 90
	}
	s.items = make([]Item, 0, min(len(body)/size+1, 1024))
	return s.split(how, body)
}

func strictOf(values []string) (bool, error) {
	if len(values) == 0 {
		return false, nil
	}
	switch values[len(values)-1] {
	case "1", "true":
		return true, nil
	case "", "0", "false":
		return false, nil
	}
	return false, web.BadParameter("strict", "expected 1 or 0")
}

// unavailable is the 503 after which the sender keeps its reads and tries again.
func unavailable(slug, title, detail string) *web.Problem {
	p := web.NewProblem(http.StatusServiceUnavailable, slug, title, detail)
	p.Header = http.Header{"Retry-After": {"2"}}
	return p
}
