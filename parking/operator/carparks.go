package operator

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/internal/web"
	"freeflow/parking"
	"freeflow/parking/attendant"
)

// space counts bays of one kind.
type space struct {
	Total int `json:"total"`
	Free  int `json:"free"`
}

// liveForm is what is free, and how old that figure is.
type liveForm struct {
	AsOf         *string          `json:"as_of"`
	Total        int              `json:"total"`
	Free         int              `json:"free"`
	Blocked      int              `json:"blocked"`
	OutOfService int              `json:"out_of_service"`
	Classes      map[string]space `json:"classes"`
	EV           space            `json:"ev"`
	Accessible   space            `json:"accessible"`
	Pools        map[string]space `json:"pools,omitempty"`
}

func liveOf(n attendant.Counts) *liveForm {
	f := &liveForm{
		AsOf: instant(n.At), Total: n.Total, Free: n.Free, Blocked: n.Blocked, OutOfService: n.OutOfService,
		Classes: map[string]space{}, Pools: map[string]space{},
	}
	for class, count := range n.Classes {
		f.Classes[class] = space{count.Total, count.Free}
		// A bay that admits several classes counts in each; of the chargers and
		// accessible bays the class with most is the car park's figure.
		if count.EV >= f.EV.Total {
			f.EV = space{count.EV, count.EVFree}
		}
		if count.Accessible >= f.Accessible.Total {
			f.Accessible = space{count.Accessible, count.AccessibleFree}
		}
	}
	for pool, count := range n.Pools {
		f.Pools[pool] = space{count.Total, count.Free}
	}
	return f
}

// carParkForm is a car park as it is shown.
type carParkForm struct {
	ID             string            `json:"id"`
	Code           string            `json:"code"`
	Name           parking.Text      `json:"name"`
	Address        parking.Text      `json:"address"`
	District       parking.Text      `json:"district"`
	Latitude       float64           `json:"latitude"`
	Longitude      float64           `json:"longitude"`
	Zone           string            `json:"zone"`
	Tariff         string            `json:"tariff"`
	Robotic        bool              `json:"robotic"`
	PromiseSeconds int               `json:"promise_seconds,omitempty"`
	TagLimit       string            `json:"tag_limit,omitempty"`
	ClockStart     string            `json:"clock_start"`
	ClockStop      string            `json:"clock_stop"`
	Source         string            `json:"source"`
	Limits         parking.Limits    `json:"limits"`
	Machines       []parking.Machine `json:"machines"`
	Lanes          []parking.Lane    `json:"lanes"`
	Pools          []parking.Pool    `json:"pools"`
	Live           *liveForm         `json:"live"`
}

func carParkOf(site *parking.CarPark, live *liveForm) carParkForm {
	f := carParkForm{
		ID: site.ID, Code: site.Code, Name: site.Name, Address: site.Published.Address, District: site.Published.District,
		Latitude: site.Published.Latitude, Longitude: site.Published.Longitude, Zone: site.Zone, Tariff: site.Tariff,
		Robotic: len(site.Machines) > 0, PromiseSeconds: site.PromiseSeconds, ClockStart: site.ClockStart, ClockStop: site.ClockStop,
		Source: site.Source, Machines: notNil(site.Machines), Lanes: notNil(site.Lanes), Pools: notNil(site.Pools), Live: live,
		Limits: mostGenerous(site.Bays),
	}
	if site.TagLimitCents > 0 {
		f.TagLimit = billing.FormatCents(site.TagLimitCents)
	}
	return f
}

func notNil[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// mostGenerous is what the largest bay takes, measure by measure; 0 where some
// bay has no limit.
func mostGenerous(bays []parking.Bay) parking.Limits {
	var most parking.Limits
	for i, bay := range bays {
		for _, one := range []struct {
			most *int
			here int
		}{
			{&most.LengthMM, bay.Limits.LengthMM}, {&most.WidthMM, bay.Limits.WidthMM},
			{&most.HeightMM, bay.Limits.HeightMM}, {&most.WeightKG, bay.Limits.WeightKG},
		} {
			if i > 0 && *one.most == 0 || one.here == 0 {
				*one.most = 0
				continue
			}
			*one.most = max(*one.most, one.here)
		}
	}
	return most
}

func (a *API) getCarParks(c echo.Context) error {
	q := web.QueryOf(c, "after", "limit")
	limit := q.Limit(usualRows, mostRows)
	if err := q.Err(); err != nil {
		return err
	}
	var items []carParkForm
	more := false
	for _, site := range a.Sites.All() {
		if site.ID <= q.Text("after") {
			continue
		}
		if len(items) == limit {
			more = true
			break
		}
		form, err := a.shown(c, site)
		if err != nil {
			return err
		}
		items = append(items, form)
	}
	page := web.Page[carParkForm]{Items: notNil(items)}
	if more {
		page.Next = &items[len(items)-1].ID
	}
	web.LinkNext(c, page.Next)
	return tagged(c, page)
}

// shown is the car park with its live figures.
func (a *API) shown(c echo.Context, site *parking.CarPark) (carParkForm, error) {
	counts, err := a.Attendant.Counts(c.Request().Context(), site.ID)
	if err != nil {
		return carParkForm{}, fmt.Errorf("counting the bays of %s: %w", site.ID, err)
	}
	return carParkOf(site, liveOf(counts)), nil
}

func (a *API) getCarPark(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	site, err := a.carPark(c)
	if err != nil {
		return err
	}
	form, err := a.shown(c, site)
	if err != nil {
		return err
	}
	return tagged(c, form)
}

// getSite gives the site file in force, with its version as ETag.
func (a *API) getSite(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	d, err := a.Sites.Definition(c.Request().Context(), c.Param("id"))
	if err != nil {
		return problem(err)
	}
	return taggedAs(c, versionTag(d.Version), d.Document)
}

func versionTag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// putCarPark takes a site file. If-Match, with the tag that getSite gave, makes
// it a change of that version only, If-None-Match: * a new car park only.
func (a *API) putCarPark(c echo.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	document, err := io.ReadAll(c.Request().Body)
	if err != nil {
		return web.ReadingBody(err)
	}
	version, err := a.condition(c, c.Param("id"))
	if err != nil {
		return problem(err)
	}
	d, err := a.Sites.Put(c.Request().Context(), c.Param("id"), document, version, named(c, ""))
	switch {
	case errors.Is(err, parking.ErrStale):
		return changed()
	case errors.Is(err, parking.ErrInvalid):
		return siteProblem(err)
	case err != nil:
		return problem(err)
	}
	c.Response().Header().Set("ETag", versionTag(d.Version))
	status := http.StatusOK
	if d.Version == 1 {
		status = http.StatusCreated
		c.Response().Header().Set(echo.HeaderLocation, "/v1/carparks/"+d.CarPark)
	}
	return c.JSON(status, map[string]any{"id": d.CarPark, "version": d.Version, "put_at": instant(d.PutAt)})
}

// siteProblem lists what is wrong with a site file, fault by fault; one that
// does not parse is a 400.
func siteProblem(err error) error {
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		return web.NewProblem(http.StatusBadRequest, "bad-json", "The body is not valid JSON",
			fmt.Sprintf("at byte %d: %v", syntactic.ByteOffset, syntactic.Err))
	}
	p := web.NewProblem(http.StatusUnprocessableEntity, "bad-site", "The site file is not valid", "see errors for each fault and its place")
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		detail := fmt.Sprintf("a JSON %s does not fit here", semantic.JSONKind)
		if errors.Is(semantic.Err, json.ErrUnknownName) {
			detail = "unknown field"
		}
		p.Errors = []web.Fault{{Detail: detail, Pointer: string(semantic.JSONPointer)}}
		return p
	}
	for _, line := range strings.Split(err.Error(), "\n") {
		line = clean(errors.New(line))
		pointer, detail, found := strings.Cut(line, ": ")
		if !found || !strings.HasPrefix(pointer, "/") {
			pointer, detail = "", line
		}
		if len(p.Errors) < mostFaults {
			p.Errors = append(p.Errors, web.Fault{Detail: detail, Pointer: pointer})
		}
	}
	return p
}

// mostFaults bounds the faults told of one site file.
const mostFaults = 50

// bayForm is one bay with what stands in it.
type bayForm struct {
	parking.Bay
	// State is "free", "taken", "blocked" or "out".
	State      string  `json:"state"`
	Allocation string  `json:"allocation,omitempty"`
	Since      *string `json:"since,omitempty"`
	Reason     string  `json:"reason,omitempty"`
}

// picture finds the car park of the path, what stands in it, and when that was
// read.
func (a *API) picture(c echo.Context) (*parking.CarPark, parking.Occupancy, time.Time, error) {
	if err := web.QueryOf(c).Err(); err != nil {
		return nil, parking.Occupancy{}, time.Time{}, err
	}
	site, err := a.carPark(c)
	if err != nil {
		return nil, parking.Occupancy{}, time.Time{}, err
	}
	live, at, err := a.Attendant.Live(c.Request().Context(), site.ID)
	if err != nil {
		return nil, parking.Occupancy{}, time.Time{}, problem(err)
	}
	return site, live, at, nil
}

func (a *API) getBays(c echo.Context) error {
	site, live, at, err := a.picture(c)
	if err != nil {
		return err
	}
	held := map[string]parking.Allocation{}
	for _, al := range live.Active {
		held[al.Bay] = al
	}
	out := map[string]bool{}
	for _, m := range live.Machines {
		out[m.ID] = m.Out
	}
	items := make([]bayForm, len(site.Bays))
	for i, bay := range site.Bays {
		items[i] = bayForm{Bay: bay, State: "free"}
		al, taken := held[bay.ID]
		switch {
		case taken && al.State == parking.Blocked:
			items[i].State, items[i].Reason = "blocked", al.Reason
		case taken:
			items[i].State = "taken"
		case out[bay.Machine]:
			items[i].State = "out"
		}
		if taken {
			items[i].Allocation, items[i].Since = al.ID, instant(al.AssignedAt)
		}
	}
	return tagged(c, map[string]any{"as_of": instant(at), "items": items})
}

func (a *API) postBlock(c echo.Context) error { return a.closing(c, false) }

func (a *API) postUnblock(c echo.Context) error { return a.closing(c, true) }

func (a *API) closing(c echo.Context, open bool) error {
	site, err := a.carPark(c)
	if err != nil {
		return err
	}
	key, err := once(c)
	if err != nil {
		return err
	}
	var body personBody
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	if err := signature(body.By, body.Reason, true); err != nil {
		return err
	}
	request := attendant.BlockRequest{CarPark: site.ID, Bay: c.Param("bay"), By: named(c, body.By), Reason: body.Reason}
	keep := keeping(key, http.StatusOK, func(al parking.Allocation) any { return a.allocationOf(al, true) }, nil)
	do := a.Attendant.Block
	if open {
		do = a.Attendant.Unblock
	}
	result, err := do(c.Request().Context(), request, keep)
	return respond(c, a, key, result, err, nil)
}

// queuedForm is one wanted car.
type queuedForm struct {
	Position   int     `json:"position"`
	Allocation string  `json:"allocation"`
	Bay        string  `json:"bay"`
	Machine    string  `json:"machine"`
	State      string  `json:"state"`
	Requested  *string `json:"requested_at"`
	NotBefore  *string `json:"not_before,omitempty"`
	Promised   *string `json:"promised_at"`
}

func (a *API) getRetrievals(c echo.Context) error {
	_, live, at, err := a.picture(c)
	if err != nil {
		return err
	}
	byID := map[string]parking.Allocation{}
	for _, al := range live.Active {
		byID[al.ID] = al
	}
	items := []queuedForm{}
	place := map[string]int{}
	for _, command := range live.Queue {
		if command.Kind != parking.Fetch {
			continue
		}
		place[command.Machine]++
		al := byID[command.Allocation]
		items = append(items, queuedForm{
			Position: place[command.Machine], Allocation: command.Allocation, Bay: command.Bay, Machine: command.Machine,
			State: string(command.State), Requested: instant(al.RequestedAt), NotBefore: instant(al.NotBefore), Promised: instant(al.PromisedAt),
		})
	}
	return tagged(c, map[string]any{"as_of": instant(at), "items": items})
}

func (a *API) getPromises(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	site, err := a.carPark(c)
	if err != nil {
		return err
	}
	f, err := a.Attendant.Promises(site.ID)
	if err != nil {
		return problem(err)
	}
	ms := func(d time.Duration) int64 { return d.Milliseconds() }
	return tagged(c, map[string]any{
		"samples": f.Samples, "site_promise_ms": ms(f.Site),
		"wait_ms":               map[string]int64{"p50": ms(f.WaitP50), "p95": ms(f.WaitP95)},
		"wait_with_user_ms":     map[string]int64{"p50": ms(f.WithUserP50), "p95": ms(f.WithUserP95)},
		"late_ms":               map[string]int64{"p50": ms(f.LateP50), "p95": ms(f.LateP95)},
		"promise_kept_permille": f.KeptPermille, "within_site_promise_permille": f.WithinPermille,
	})
}
