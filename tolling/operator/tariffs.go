package operator

import (
	"crypto/ed25519"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/internal/clock"
	"freeflow/internal/web"
	"freeflow/tolling/governance"
	"freeflow/tolling/tariff"
)

//go:embed openapi_tariffs.json
var tariffsOpenAPI []byte

// TariffsOpenAPI returns the OpenAPI 3.1 document of the API of tolls.
func TariffsOpenAPI() []byte { return append([]byte(nil), tariffsOpenAPI...) }

// Bounds of requests about tolls.
const (
	// maxFiles bounds the files of a network, as sent.
	maxFiles = 32 << 20
	// tryTime bounds a dry run and a report; one of each kind runs at a time.
	tryTime = 15 * time.Minute
	// mostDrafts is the most drafts of a page: each comes with all of it.
	mostDrafts = 50
)

// TariffParts are what the API of tolls is made of; all are needed.
type TariffParts struct {
	Desk     *governance.Desk
	Displays *governance.Displays
	Clock    clock.Clock
	// Keys returns the keys that are trusted, by fingerprint.
	Keys func() governance.Keys
}

// Tariffs answers those who change tolls, and the signs that display them. Safe
// for concurrent use.
type Tariffs struct {
	TariffParts
	// busy holds a token while passes of a long time are read.
	busy chan struct{}
}

// NewTariffs returns an API made of the parts.
func NewTariffs(p TariffParts) (*Tariffs, error) {
	if p.Desk == nil || p.Displays == nil || p.Clock == nil || p.Keys == nil {
		return nil, errors.New("API of tolls: every part is needed")
	}
	return &Tariffs{TariffParts: p, busy: make(chan struct{}, 1)}, nil
}

// Routes adds the API's routes, each behind the key. Whatever changes tolls
// needs a person's own key.
func (a *Tariffs) Routes(e *echo.Echo, key echo.MiddlewareFunc) {
	usual, files := web.Deadline(usualTime), web.LimitBody(maxFiles)
	g := e.Group("/v1", key)
	g.GET("/tariff", a.getTariff, usual)
	g.GET("/tariff/keys", a.getKeys, usual)
	g.GET("/tariff/statements/:sequence", a.getStatement, usual)
	g.GET("/tariff/statements/:sequence/files", a.getStatementFiles, usual)
	g.POST("/tariff/statements/:sequence/withdrawal", a.postWithdrawal, usual)
	g.GET("/tariff/drafts", a.getDrafts, usual)
	g.POST("/tariff/drafts", a.postDraft, files, web.Deadline(uploadTime))
	g.GET("/tariff/drafts/:id", a.getDraft, usual)
	g.GET("/tariff/drafts/:id/files", a.getDraftFiles, usual)
	g.GET("/tariff/drafts/:id/difference", a.getDifference, usual)
	g.GET("/tariff/drafts/:id/statement", a.getDraftStatement, usual)
	g.POST("/tariff/drafts/:id/revisions", a.postRevision, files, web.Deadline(uploadTime))
	g.POST("/tariff/drafts/:id/dry-runs", a.postDryRun, web.Deadline(tryTime))
	g.POST("/tariff/drafts/:id/approval", a.postApproval, usual)
	g.POST("/tariff/drafts/:id/publication", a.postPublication, usual)
	g.POST("/tariff/drafts/:id/discard", a.postDiscard, usual)
	g.POST("/displayed-tolls", a.postDisplayed, usual)
	g.GET("/displayed-tolls/findings", a.getFindings, usual)
	g.POST("/displayed-tolls/findings/:id/close", a.postClose, usual)
	g.GET("/displayed-tolls/report", a.getReport, web.Deadline(tryTime))
}

// person returns who asks, where that is a person.
func person(c echo.Context) (string, error) {
	name, ok := web.Person(c)
	if !ok {
		return "", web.NewProblem(http.StatusForbidden, "person-needed", "A person's own key is needed",
			"tolls are changed by named persons; use your own key (freeflow staff add NAME makes one)")
	}
	return name, nil
}

// tariffProblem says what an error of the desk looks like from outside.
func tariffProblem(err error) error {
	for _, one := range []struct {
		is     error
		status int
		slug   string
	}{
		{governance.ErrNotFound, http.StatusNotFound, "not-found"},
		{governance.ErrForbidden, http.StatusForbidden, "second-person-needed"},
		{governance.ErrSignature, http.StatusConflict, "signature-refused"},
		{governance.ErrStale, http.StatusConflict, "changed-meanwhile"},
		{governance.ErrConflict, http.StatusConflict, "conflict"},
		{governance.ErrInvalid, http.StatusUnprocessableEntity, "bad-field"},
	} {
		if errors.Is(err, one.is) {
			return web.NewProblem(one.status, one.slug, "", err.Error())
		}
	}
	return err
}

// at writes an instant as the API has it; null for none.
func (a *Tariffs) at(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := t.In(a.Desk.Live.Zone()).Format(time.RFC3339Nano)
	return &text
}

// wishJSON is the body of a draft or a revision.
type wishJSON struct {
	Files         map[string]string `json:"files"`
	EffectiveFrom string            `json:"effective_from"`
	Backdated     bool              `json:"backdated"`
	Reason        string            `json:"reason"`
	// Revision is the one that the author saw; for a further revision.
	Revision *int64 `json:"revision"`
}

func (a *Tariffs) wish(c echo.Context) (by string, w governance.Wish, revision int64, err error) {
	if err := web.QueryOf(c).Err(); err != nil {
		return "", w, 0, err
	}
	if by, err = person(c); err != nil {
		return "", w, 0, err
	}
	var body wishJSON
	if err := web.DecodeJSON(c, &body); err != nil {
		return "", w, 0, err
	}
	w = governance.Wish{Files: tariff.Files{}, Backdated: body.Backdated, Reason: body.Reason}
	for name, text := range body.Files {
		w.Files[name] = []byte(text)
	}
	if w.Effective, err = tariff.ParseInstant(body.EffectiveFrom); err != nil {
		return "", w, 0, web.BadField("/effective_from", err.Error())
	}
	if body.Revision != nil {
		revision = *body.Revision
	}
	return by, w, revision, nil
}

func (a *Tariffs) postDraft(c echo.Context) error {
	by, w, revision, err := a.wish(c)
	if err != nil {
		return err
	}
	if revision != 0 {
		return web.BadField("/revision", "a new draft has none; leave it out")
	}
	d, err := a.Desk.Draft(c.Request().Context(), by, w)
	if err != nil {
		return tariffProblem(err)
	}
	c.Response().Header().Set(echo.HeaderLocation, "/v1/tariff/drafts/"+d.ID)
	return c.JSON(http.StatusCreated, a.draft(&d))
}

func (a *Tariffs) postRevision(c echo.Context) error {
	by, w, revision, err := a.wish(c)
	if err != nil {
		return err
	}
	if revision < 1 {
		return web.BadField("/revision", "say which revision you saw, so that nobody's change is written over")
	}
	d, err := a.Desk.Revise(c.Request().Context(), by, c.Param("id"), revision, w)
	if err != nil {
		return tariffProblem(err)
	}
	return c.JSON(http.StatusCreated, a.draft(&d))
}

func (a *Tariffs) getDrafts(c echo.Context) error {
	q := web.QueryOf(c, "after", "limit")
	limit := q.Limit(20, mostDrafts)
	if err := q.Err(); err != nil {
		return err
	}
	drafts, err := a.Desk.List(c.Request().Context(), q.Text("after"), limit+1)
	if err != nil {
		return err
	}
	var next *string
	if len(drafts) > limit {
		drafts = drafts[:limit]
		next = &drafts[limit-1].ID
	}
	items := make([]draftJSON, len(drafts))
	for i := range drafts {
		items[i] = a.draft(&drafts[i])
		// A page is not the place for every sum of every run.
		for j := range items[i].DryRuns {
			items[i].DryRuns[j].Groups, items[i].DryRuns[j].Largest = []groupJSON{}, []changeJSON{}
		}
	}
	web.LinkNext(c, next)
	return c.JSON(http.StatusOK, web.Page[draftJSON]{Items: items, Next: next})
}

func (a *Tariffs) getDraft(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	d, err := a.Desk.Get(c.Request().Context(), c.Param("id"))
	if err != nil {
		return tariffProblem(err)
	}
	return c.JSON(http.StatusOK, a.draft(&d))
}

// filesJSON are a network's files, and their digest.
type filesJSON struct {
	Content string            `json:"content"`
	Files   map[string]string `json:"files"`
}

func filesOf(files tariff.Files) filesJSON {
	j := filesJSON{Content: files.Digest(), Files: map[string]string{}}
	for name, data := range files {
		j.Files[name] = string(data)
	}
	return j
}

func (a *Tariffs) getDraftFiles(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	files, err := a.Desk.Files(c.Request().Context(), c.Param("id"))
	if err != nil {
		return tariffProblem(err)
	}
	return c.JSON(http.StatusOK, filesOf(files))
}

func (a *Tariffs) getDifference(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	d, err := a.Desk.Diff(c.Request().Context(), c.Param("id"))
	if err != nil {
		return tariffProblem(err)
	}
	return c.JSON(http.StatusOK, d)
}

// tryJSON is the body of a dry run.
type tryJSON struct {
	Digest string `json:"digest"`
	From   string `json:"from"`
	To     string `json:"to"`
	// Weeks moves the passes; absent means as many as are needed.
	Weeks *int `json:"weeks"`
}

func (a *Tariffs) postDryRun(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	by, err := person(c)
	if err != nil {
		return err
	}
	var body tryJSON
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	p := governance.Period{Weeks: -1}
	if p.From, err = instantField("/from", body.From); err != nil {
		return err
	}
	if p.To, err = instantField("/to", body.To); err != nil {
		return err
	}
	if body.Weeks != nil {
		if p.Weeks = *body.Weeks; p.Weeks < 0 {
			return web.BadField("/weeks", "is negative; passes are moved forward or not at all")
		}
	}
	if err := a.enter(); err != nil {
		return err
	}
	defer a.leave()
	run, err := a.Desk.DryRun(c.Request().Context(), by, c.Param("id"), body.Digest, p)
	if err != nil {
		return tariffProblem(err)
	}
	return c.JSON(http.StatusCreated, a.dryRun(&run))
}

// enter and leave keep one reading of many passes at a time.
func (a *Tariffs) enter() error {
	select {
	case a.busy <- struct{}{}:
		return nil
	default:
		return web.Busy("another dry run or report is being made")
	}
}

func (a *Tariffs) leave() { <-a.busy }

func instantField(pointer, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := tariff.ParseInstant(text)
	if err != nil {
		return at, web.BadField(pointer, err.Error())
	}
	return at, nil
}

func (a *Tariffs) postApproval(c echo.Context) error {
	var body struct {
		Digest string `json:"digest"`
		DryRun string `json:"dry_run"`
		Note   string `json:"note"`
	}
	by, err := a.act(c, &body)
	if err != nil {
		return err
	}
	d, err := a.Desk.Approve(c.Request().Context(), by, c.Param("id"), body.Digest, body.DryRun, body.Note)
	if err != nil {
		return tariffProblem(err)
	}
	return c.JSON(http.StatusOK, a.draft(&d))
}

// act reads who asks and what.
func (a *Tariffs) act(c echo.Context, body any) (string, error) {
	if err := web.QueryOf(c).Err(); err != nil {
		return "", err
	}
	by, err := person(c)
	if err != nil {
		return "", err
	}
	return by, web.DecodeJSON(c, body)
}

func (a *Tariffs) postPublication(c echo.Context) error {
	var body struct {
		Digest    string  `json:"digest"`
		Signature *string `json:"signature"`
	}
	by, err := a.act(c, &body)
	if err != nil {
		return err
	}
	var signature []byte
	if body.Signature != nil {
		if signature, err = base64.StdEncoding.DecodeString(*body.Signature); err != nil || len(signature) != ed25519.SignatureSize {
			return web.BadField("/signature", "is not an Ed25519 signature in base64")
		}
	}
	d, err := a.Desk.Publish(c.Request().Context(), by, c.Param("id"), body.Digest, signature)
	if err != nil {
		return tariffProblem(err)
	}
	return c.JSON(http.StatusOK, a.draft(&d))
}

func (a *Tariffs) postDiscard(c echo.Context) error {
	var body struct {
		Reason string `json:"reason"`
	}
	by, err := a.act(c, &body)
	if err != nil {
		return err
	}
	d, err := a.Desk.Discard(c.Request().Context(), by, c.Param("id"), body.Reason)
	if err != nil {
		return tariffProblem(err)
	}
	return c.JSON(http.StatusOK, a.draft(&d))
}

// getDraftStatement gives the bytes that have to be signed.
func (a *Tariffs) getDraftStatement(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	s, err := a.Desk.Statement(c.Request().Context(), c.Param("id"))
	if err != nil {
		return tariffProblem(err)
	}
	return c.Blob(http.StatusOK, "text/plain; charset=utf-8", s.Bytes())
}

func (a *Tariffs) postWithdrawal(c echo.Context) error {
	var body struct {
		Reason string `json:"reason"`
	}
	by, err := a.act(c, &body)
	if err != nil {
		return err
	}
	sequence, err := sequenceOf(c)
	if err != nil {
		return err
	}
	if _, err := a.Desk.Withdraw(c.Request().Context(), by, sequence, body.Reason); err != nil {
		return tariffProblem(err)
	}
	return c.JSON(http.StatusOK, a.tariff(usualRows))
}

func sequenceOf(c echo.Context) (int64, error) {
	n, err := strconv.ParseInt(c.Param("sequence"), 10, 64)
	if err != nil || n < 0 {
		return 0, web.NotFound(fmt.Sprintf("there is no statement %.40q", c.Param("sequence")))
	}
	return n, nil
}

// entry returns the statement that the request names, if it is in force here.
func (a *Tariffs) entry(c echo.Context) (*governance.Entry, error) {
	if err := web.QueryOf(c).Err(); err != nil {
		return nil, err
	}
	sequence, err := sequenceOf(c)
	if err != nil {
		return nil, err
	}
	entries := a.Desk.Live.Chain().Entries()
	if sequence >= int64(len(entries)) {
		return nil, web.NotFound(fmt.Sprintf("there is no statement %d", sequence))
	}
	return &entries[sequence], nil
}

func (a *Tariffs) getStatement(c echo.Context) error {
	e, err := a.entry(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, a.statement(e, a.Desk.Live.Chain()))
}

func (a *Tariffs) getStatementFiles(c echo.Context) error {
	e, err := a.entry(c)
	if err != nil {
		return err
	}
	if e.Files == nil {
		return web.NotFound("a withdrawal has no files")
	}
	return c.JSON(http.StatusOK, filesOf(e.Files))
}

func (a *Tariffs) getTariff(c echo.Context) error {
	q := web.QueryOf(c, "limit")
	limit := q.Limit(usualRows, mostRows)
	if err := q.Err(); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, a.tariff(limit))
}

// getKeys gives the trusted public keys as PEM, for those who check elsewhere.
func (a *Tariffs) getKeys(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	type keyJSON struct {
		Key    string `json:"key"`
		Public string `json:"public_key"`
	}
	items := []keyJSON{}
	for name, key := range a.Keys() {
		text, err := governance.EncodePublic(key)
		if err != nil {
			return err
		}
		items = append(items, keyJSON{name, string(text)})
	}
	return c.JSON(http.StatusOK, struct {
		Items []keyJSON `json:"items"`
	}{items})
}
