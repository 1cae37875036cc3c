package operator

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/internal/audit"
	"freeflow/internal/web"
	"freeflow/tolling/registry"
)

// errUnpackedTooLarge says that a small body unpacks to a large one.
var errUnpackedTooLarge = errors.New("unpacked registry is too large")

func (a *API) putRegistry(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	if err := checkCSVType(c.Request().Header.Get(echo.HeaderContentType)); err != nil {
		return err
	}
	if !a.beginRegistry() {
		return web.Busy("another registry is on its way in or out")
	}
	defer a.endRegistry()
	// A recorder in a test has no deadlines; a real connection does.
	_ = web.ReadWithin(c.Response(), uploadTime)
	_ = web.WriteWithin(c.Response(), uploadTime)

	body := &watched{r: c.Request().Body}
	in := io.Reader(body)
	switch strings.ToLower(c.Request().Header.Get(echo.HeaderContentEncoding)) {
	case "", "identity":
	case "gzip":
		unpacked, err := gzip.NewReader(body)
		if err != nil {
			return badGzip(body)
		}
		in = &bounded{r: unpacked, left: maxRegistry}
	default:
		p := web.NewProblem(http.StatusUnsupportedMediaType, "unsupported-media-type", "",
			"Content-Encoding may be gzip, or absent")
		p.Header = http.Header{"Accept-Encoding": {"gzip"}}
		return p
	}
	version, rows, err := a.Registry.Put(c.Request().Context(), in)
	if err != nil {
		return registryProblem(err, body)
	}
	return c.JSON(http.StatusOK, struct {
		Version int64 `json:"version"`
		Rows    int   `json:"rows"`
	}{version, rows})
}

// registryProblem tells apart what is wrong with the file, with its way here,
// and with us.
func registryProblem(err error, body *watched) error {
	var parse *registry.ParseError
	switch {
	case errors.As(err, &parse):
		p := web.NewProblem(http.StatusUnprocessableEntity, "registry", "The registry is not valid",
			fmt.Sprintf("nothing was changed; mend the %d problems and send the whole file again", len(parse.Problems)+parse.More))
		for _, problem := range parse.Problems {
			p.Errors = append(p.Errors, web.Fault{Detail: problem.Message, Line: problem.Line})
		}
		if parse.More > 0 {
			_ = p.With("more", parse.More)
		}
		return p
	case errors.Is(err, billing.ErrConflict):
		return web.NewProblem(http.StatusConflict, "conflict", "The registry contradicts what accounts keep",
			"nothing was changed: "+err.Error())
	case errors.Is(err, errUnpackedTooLarge):
		return web.NewProblem(http.StatusRequestEntityTooLarge, "too-large", "",
			"the registry may have at most "+strconv.Itoa(maxRegistry)+" bytes, also unpacked")
	case body.err != nil:
		return web.ReadingBody(body.err)
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.Is(err, io.ErrUnexpectedEOF):
		return badGzip(body)
	}
	return fmt.Errorf("putting the registry: %w", err)
}

func badGzip(body *watched) error {
	if body.err != nil {
		return web.ReadingBody(body.err)
	}
	return web.NewProblem(http.StatusBadRequest, "broken-body", "The body broke off", "the body is not whole, valid gzip")
}

func (a *API) getRegistry(c echo.Context) error {
	q := web.QueryOf(c, "source", "reason")
	source := q.Text("source")
	seen := a.viewOf(c, q, audit.Exported, "GET /v1/registry")
	if err := q.Err(); err != nil {
		return err
	}
	if source == "file" {
		source = ""
	}
	if !a.beginRegistry() {
		return web.Busy("another registry is on its way in or out")
	}
	defer a.endRegistry()
	ctx := c.Request().Context()
	version, err := a.Books.RegistryVersion(ctx)
	if err != nil {
		return fmt.Errorf("reading the registry's version: %w", err)
	}
	c.Response().Header().Set("Cache-Control", "private, no-cache")
	if tag := etag(version); c.Request().Header.Get("If-None-Match") == tag {
		c.Response().Header().Set("ETag", tag)
		return c.NoContent(http.StatusNotModified)
	}
	// Who owns which car is everybody's business too, though no movement.
	if err := a.Books.NoteView(ctx, seen.registry(version)); err != nil {
		return fmt.Errorf("noting the view: %w", err)
	}
	stored, version, err := a.Books.Registry(ctx)
	if err != nil {
		return fmt.Errorf("reading the registry: %w", err)
	}
	rows := make([]registry.Assignment, 0, len(stored))
	for _, s := range stored {
		// What accounts keep is theirs: the file can be sent back as it is.
		if s.Source == source {
			rows = append(rows, registryRow(s))
		}
	}
	c.Response().Header().Set("ETag", etag(version))
	setCSV(c, "registry.csv")
	_ = web.WriteWithin(c.Response(), uploadTime) // as in putRegistry
	if err := registry.Write(c.Response(), rows, a.Network.Zone()); err != nil {
		panic(http.ErrAbortHandler) // half a registry must not look whole
	}
	return nil
}

func registryRow(s billing.Assignment) registry.Assignment {
	return registry.Assignment{
		Account: s.Account, Plate: s.Plate, Class: s.Class, Tag: s.Tag,
		FromMicros: s.FromMicros, ToMicros: s.ToMicros, Exempt: s.Exempt,
	}
}

func etag(version int64) string { return `"registry-` + strconv.FormatInt(version, 10) + `"` }

func (a *API) beginRegistry() bool {
	select {
	case a.registryBusy <- struct{}{}:
		return true
	default:
		return false
	}
}

func (a *API) endRegistry() { <-a.registryBusy }

// checkCSVType refuses what is certainly not a registry.csv. What curl and
// other tools say when they were not told is let pass: the header row decides.
func checkCSVType(contentType string) error {
	if contentType == "" {
		return nil
	}
	media, parameters, err := mime.ParseMediaType(contentType)
	charset := strings.ToLower(parameters["charset"])
	switch media {
	case "text/csv", "text/plain", "application/csv", "application/octet-stream", "application/x-www-form-urlencoded":
		if err == nil && (charset == "" || charset == "utf-8" || charset == "us-ascii") {
			return nil
		}
	}
	return web.NewProblem(http.StatusUnsupportedMediaType, "unsupported-media-type", "",
		"send registry.csv with 'Content-Type: text/csv', in UTF-8")
}

// watched remembers why reading the body failed, however its reader words it.
type watched struct {
	r   io.Reader
	err error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}

// bounded fails once more than left bytes were read.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return 0, errUnpackedTooLarge
	}
	return n, err
}
