package operator

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"

	"freeflow/internal/web"
	"freeflow/parking"
)

// Bounds of what is sent, in bytes.
const (
	maxMark   = 64
	maxID     = 128
	maxPath   = 256
	maxReason = 1000
)

// byMachine is how a machine's own decisions are written down: nobody else may
// speak in its name, since what it says of a bay binds.
const byMachine = "machine"

// The times that make sense anywhere in the API.
var (
	earliest = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// How far ahead a car may be asked for, and how long a stay may be priced.
const (
	mostAhead = 31 * 24 * time.Hour
	mostStay  = 366 * 24 * time.Hour
)

// parameters unescapes the path's parameters and answers 404 to what can be no
// id, so that it reaches neither a store nor a kept answer.
func parameters(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		values := slices.Clone(c.ParamValues())
		for i, value := range values {
			if c.Request().URL.RawPath != "" {
				// echo routes by the path as it was sent, and leaves it so.
				var err error
				if value, err = url.PathUnescape(value); err != nil {
					return web.NotFound("there is no such thing")
				}
			}
			if value == "" || !plain(value, maxPath) {
				return web.NotFound("there is no such thing")
			}
			values[i] = value
		}
		c.SetParamValues(values...)
		return next(c)
	}
}

// noQuery refuses parameters of a route that has none.
func noQuery(c echo.Context) error { return web.QueryOf(c).Err() }

// plain reports whether the text is at most so many bytes of UTF-8 without
// control characters.
func plain(text string, most int) bool {
	return len(text) <= most && utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// short refuses a field that is no short text; empty passes.
func short(pointer, text string, most int) error {
	if !plain(text, most) {
		return web.BadField(pointer, fmt.Sprintf("is not a text of at most %d bytes without control characters", most))
	}
	return nil
}

// prose refuses a field that is no text for people: lines and tabs are allowed.
func prose(pointer, text string) error {
	return short(pointer, strings.NewReplacer("\n", "", "\r", "", "\t", "").Replace(text), maxReason)
}

// signature checks who decided, and why, where that has to be said.
func signature(by, reason string, needed bool) error {
	if by == byMachine {
		return web.BadField("/by", "is what machines are called; write a person's name")
	}
	if err := short("/by", by, maxID); err != nil {
		return err
	}
	if needed && strings.TrimSpace(reason) == "" {
		return web.BadField("/reason", "is missing: say why")
	}
	return prose("/reason", reason)
}

// timeForm is RFC 3339; package time also takes commas and hours of one digit.
var timeForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$`)

// moment reads a time of a body.
func moment(pointer, text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || !timeForm.MatchString(text) {
		return t, web.BadField(pointer, "is not a time; write it as 2026-11-23T08:00:00+08:00")
	}
	if t.Before(earliest) || !t.Before(latest) {
		return t, web.BadField(pointer, "is not within the years 2000 to 2199")
	}
	return t, nil
}

// moments reads several; what is empty stays zero.
func moments(fields ...timeField) error {
	for _, one := range fields {
		if one.text == "" {
			continue
		}
		t, err := moment(one.pointer, one.text)
		if err != nil {
			return err
		}
		*one.into = t
	}
	return nil
}

type timeField struct {
	pointer, text string
	into          *time.Time
}

// parameterTime reads a parameter that is a time; false if it is absent.
func parameterTime(q *web.Query, name string) (time.Time, bool) {
	t, ok := q.Instant(name)
	if ok && (t.Before(earliest) || !t.Before(latest)) {
		q.Refuse(name, "is not within the years 2000 to 2199")
	}
	return t, ok
}

// span reads the parameters from and to.
func span(q *web.Query) (from, to time.Time) {
	from, hasFrom := parameterTime(q, "from")
	to, hasTo := parameterTime(q, "to")
	if !hasFrom {
		q.Refuse("from", "is missing")
	}
	if !hasTo {
		q.Refuse("to", "is missing")
	}
	switch {
	case !hasFrom || !hasTo:
	case !to.After(from):
		q.Refuse("to", "is not after from")
	case to.Sub(from) > mostStay:
		q.Refuse("to", "is more than 366 days after from")
	}
	return from, to
}

// plate brings a plate into the form in which plates are compared (contract
// section 3): NFKC, without white space and hyphens (U+002D, U+2010, U+2011), in
// upper case. What is taken away can let characters meet that compose, hence
// the repetition.
func plate(text string) string {
	upper := cases.Upper(language.Und)
	for range 8 {
		next := upper.String(strings.Map(func(r rune) rune {
			if r == '-' || r == '\u2010' || r == '\u2011' || unicode.IsSpace(r) {
				return -1
			}
			return r
		}, norm.NFKC.String(text)))
		if next == text {
			break
		}
		text = next
	}
	return text
}

// mark is a plate or "tag:" + tag as it may be typed; a ticket's name stays as
// it is. A parameter of which nothing is left is refused: it would select
// everything.
func mark(q *web.Query, name string) string {
	text := q.Text(name)
	found := text
	if tag, ok := strings.CutPrefix(text, "tag:"); ok {
		found = "tag:" + strings.ToUpper(tag)
	} else if !strings.HasPrefix(text, "ticket:") {
		found = plate(strings.TrimPrefix(text, "plate:"))
	}
	if text != "" && (strings.TrimPrefix(strings.TrimPrefix(found, "tag:"), "ticket:") == "" || !plain(found, 4*maxID)) {
		q.Refuse(name, "names no vehicle; write a plate, tag:TAG or ticket:TICKET")
	}
	return found
}

// cursor is a place in a list that is in order of time and id; the zero value
// is its beginning.
type cursor struct {
	micros int64
	id     string
}

func cursorAt(at time.Time, id string) cursor { return cursor{at.UnixMicro(), id} }

func (p cursor) String() string { return strconv.FormatInt(p.micros, 10) + "." + p.id }

// cursorOf reads the parameter after.
func cursorOf(q *web.Query) (p cursor, given bool) {
	text := q.Text("after")
	if text == "" {
		return p, false
	}
	micros, id, ok := strings.Cut(text, ".")
	at, err := strconv.ParseInt(micros, 10, 64)
	if !ok || err != nil || id == "" {
		q.Refuse("after", "is not the next of an answer before")
	}
	return cursor{at, id}, true
}

// compare orders cursors by time, then by id.
func (p cursor) compare(o cursor) int {
	switch {
	case p.micros != o.micros && p.micros < o.micros:
		return -1
	case p.micros != o.micros:
		return 1
	}
	return strings.Compare(p.id, o.id)
}

// currentVersion is the version of the car park's file in force, 0 for none.
func (a *API) currentVersion(c echo.Context, id string) (int64, error) {
	d, err := a.Sites.Definition(c.Request().Context(), id)
	if isNotFound(err) {
		return 0, nil
	}
	return d.Version, err
}

// condition reads If-Match and If-None-Match of a PUT: the version that the
// change is of, 0 for none, -1 where it does not matter. 412 where the
// condition does not hold already.
func (a *API) condition(c echo.Context, id string) (int64, error) {
	match, noneMatch := tagsOf(c, "If-Match"), tagsOf(c, "If-None-Match")
	if len(match)+len(noneMatch) == 0 {
		return -1, nil
	}
	now, err := a.currentVersion(c, id)
	if err != nil {
		return 0, err
	}
	tag := versionTag(now)
	// If-Match compares strongly: a weak tag never matches (RFC 9110, 13.1.1).
	if len(match) > 0 && (now == 0 || !slices.Contains(match, "*") && !slices.Contains(match, tag)) {
		return 0, changed()
	}
	if now != 0 && slices.ContainsFunc(noneMatch, func(t string) bool { return t == "*" || strings.TrimPrefix(t, "W/") == tag }) {
		return 0, changed()
	}
	// It must still hold when the change is made.
	return now, nil
}

// tagsOf are the entity tags of a header that lists them.
func tagsOf(c echo.Context, header string) []string {
	var tags []string
	for _, value := range c.Request().Header.Values(header) {
		for _, tag := range strings.Split(value, ",") {
			if tag = strings.TrimSpace(tag); tag != "" {
				tags = append(tags, tag)
			}
		}
	}
	return tags
}

func changed() *web.Problem {
	return web.NewProblem(http.StatusPreconditionFailed, "changed", "Changed since it was read", "read it again, then repeat the change")
}

// laneOf finds a lane of the site.
func laneOf(site *parking.CarPark, unit string) (parking.Lane, bool) {
	for _, lane := range site.Lanes {
		if lane.Unit == unit {
			return lane, true
		}
	}
	return parking.Lane{}, false
}
