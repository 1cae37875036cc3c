package operator

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"freeflow/internal/web"
	"freeflow/parking"
	"freeflow/parking/attendant"
)

// machineForm is a machine and how it is.
type machineForm struct {
	parking.Machine
	Boot       string  `json:"boot,omitempty"`
	Reconciled bool    `json:"reconciled"`
	Out        bool    `json:"out"`
	LiftsOut   int     `json:"lifts_out,omitempty"`
	Reason     string  `json:"reason,omitempty"`
	By         string  `json:"by,omitempty"`
	ReportedAt *string `json:"reported_at"`
	Queue      int     `json:"queue"`
}

func machineOf(m parking.Machine, s parking.MachineStatus, queue int) machineForm {
	return machineForm{
		Machine: m, Boot: s.Boot, Reconciled: s.Reconciled, Out: s.Out, LiftsOut: s.LiftsOut,
		Reason: s.Reason, By: s.By, ReportedAt: instant(s.ReportedAt), Queue: queue,
	}
}

func (a *API) getMachines(c echo.Context) error {
	site, live, at, err := a.picture(c)
	if err != nil {
		return err
	}
	status := map[string]parking.MachineStatus{}
	for _, m := range live.Machines {
		status[m.ID] = m
	}
	queue := map[string]int{}
	for _, command := range live.Queue {
		queue[command.Machine]++
	}
	items := make([]machineForm, len(site.Machines))
	for i, m := range site.Machines {
		items[i] = machineOf(m, status[m.ID], queue[m.ID])
	}
	return tagged(c, map[string]any{"as_of": instant(at), "items": items})
}

// machine finds the machine of the path.
func (a *API) machine(c echo.Context) (*parking.CarPark, *parking.Machine, error) {
	site, err := a.carPark(c)
	if err != nil {
		return nil, nil, err
	}
	m, ok := site.Machine(c.Param("machine"))
	if !ok {
		return nil, nil, web.NotFound("there is no such machine")
	}
	return site, m, nil
}

// maxBoot bounds the name of a controller's run, in bytes.
const maxBoot = 128

func checkBoot(boot string) error {
	if boot == "" || !plain(boot, maxBoot) {
		return web.BadField("/boot", fmt.Sprintf("names the controller's run, 1 to %d bytes, another one after each start", maxBoot))
	}
	return nil
}

func (a *API) postInventory(c echo.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	site, m, err := a.machine(c)
	if err != nil {
		return err
	}
	var body struct {
		Boot string `json:"boot"`
		Bays []struct {
			Bay      string `json:"bay"`
			Presence string `json:"presence"`
		} `json:"bays"`
	}
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	if err := checkBoot(body.Boot); err != nil {
		return err
	}
	items := make([]parking.InventoryItem, len(body.Bays))
	seen := map[string]bool{}
	for i, bay := range body.Bays {
		at := fmt.Sprintf("/bays/%d", i)
		if seen[bay.Bay] {
			return web.BadField(at+"/bay", "is there already")
		}
		seen[bay.Bay] = true
		known, ok := site.Bay(bay.Bay)
		if bay.Bay != attendant.GateItem && (!ok || known.Machine != m.ID) {
			return web.BadField(at+"/bay", "is no bay of this machine")
		}
		switch presence := parking.Presence(bay.Presence); presence {
		case parking.Occupied, parking.Empty, parking.Unsure:
			items[i] = parking.InventoryItem{Bay: bay.Bay, Presence: presence}
		default:
			return web.BadField(at+"/presence", "is none of occupied, empty, unknown")
		}
	}
	found, err := a.Attendant.Inventory(c.Request().Context(), attendant.InventoryReport{
		CarPark: site.ID, Machine: m.ID, Boot: body.Boot, Items: items,
	})
	if err != nil {
		return problem(err)
	}
	type difference struct {
		Bay        string `json:"bay"`
		Machine    string `json:"machine"`
		Books      string `json:"books"`
		Allocation string `json:"allocation,omitempty"`
		Action     string `json:"action"`
	}
	differences := make([]difference, len(found))
	for i, d := range found {
		differences[i] = difference{d.Bay, string(d.Machine), string(d.Books), d.Allocation, d.Action}
	}
	return c.JSON(http.StatusOK, map[string]any{"discrepancies": differences})
}

// commandForm is an order to a machine.
type commandForm struct {
	ID         string `json:"id"`
	Kind       string `json:"kind"`
	Allocation string `json:"allocation,omitempty"`
	Bay        string `json:"bay"`
	From       string `json:"from,omitempty"`
	Attempt    int    `json:"attempt"`
}

func (a *API) postNext(c echo.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	site, m, err := a.machine(c)
	if err != nil {
		return err
	}
	var body struct {
		Boot string `json:"boot"`
	}
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	if err := checkBoot(body.Boot); err != nil {
		return err
	}
	turn, err := a.Attendant.Next(c.Request().Context(), attendant.Poll{CarPark: site.ID, Machine: m.ID, Boot: body.Boot})
	if err != nil {
		return problem(err)
	}
	var command *commandForm
	if t := turn.Command; t != nil {
		command = &commandForm{ID: t.ID, Kind: string(t.Kind), Allocation: t.Allocation, Bay: t.Bay, From: t.From, Attempt: t.Attempt}
	}
	return c.JSON(http.StatusOK, map[string]any{
		"command": command, "inventory": turn.InventoryWanted, "retry_after_ms": turn.RetryAfter.Milliseconds(),
	})
}

func (a *API) postReport(c echo.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	site, m, err := a.machine(c)
	if err != nil {
		return err
	}
	var body struct {
		Boot     string `json:"boot"`
		Command  string `json:"command,omitempty"`
		State    string `json:"state"`
		Presence string `json:"presence,omitempty"`
		Detail   string `json:"detail,omitempty"`
	}
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	if err := checkBoot(body.Boot); err != nil {
		return err
	}
	if err := short("/command", body.Command, maxID); err != nil {
		return err
	}
	if err := prose("/detail", body.Detail); err != nil {
		return err
	}
	switch parking.Presence(body.Presence) {
	case "", parking.Occupied, parking.Empty, parking.Unsure:
	default:
		return web.BadField("/presence", "is none of occupied, empty, unknown")
	}
	switch body.State {
	case attendant.ReportRunning, attendant.ReportDone, attendant.ReportFailed, attendant.ReportGone:
	default:
		return web.BadField("/state", "is none of running, done, failed, gone")
	}
	err = a.Attendant.Report(c.Request().Context(), attendant.Report{
		CarPark: site.ID, Machine: m.ID, Boot: body.Boot, Command: body.Command, State: body.State,
		Presence: parking.Presence(body.Presence), Detail: body.Detail,
	})
	if err != nil {
		return problem(err)
	}
	return c.NoContent(http.StatusNoContent)
}

func (a *API) postOut(c echo.Context) error { return a.service(c, a.Attendant.SetOut) }
func (a *API) postIn(c echo.Context) error  { return a.service(c, a.Attendant.SetIn) }

func (a *API) service(c echo.Context, do func(context.Context, attendant.ServiceRequest, attendant.Keep[parking.MachineStatus]) (attendant.Result[parking.MachineStatus], error)) error {
	site, m, err := a.machine(c)
	if err != nil {
		return err
	}
	key, err := once(c)
	if err != nil {
		return err
	}
	var body struct {
		LiftsOut int    `json:"lifts_out,omitempty"`
		By       string `json:"by,omitempty"`
		Reason   string `json:"reason"`
	}
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	if body.LiftsOut < 0 || body.LiftsOut > m.Lifts {
		return web.BadField("/lifts_out", fmt.Sprintf("is not a number from 0 (the whole machine) to %d", m.Lifts))
	}
	if err := signature(body.By, body.Reason, true); err != nil {
		return err
	}
	keep := keeping(key, http.StatusOK, func(s parking.MachineStatus) any { return machineOf(*m, s, 0) }, nil)
	result, err := do(c.Request().Context(), attendant.ServiceRequest{
		CarPark: site.ID, Machine: m.ID, LiftsOut: body.LiftsOut, By: named(c, body.By), Reason: body.Reason,
	}, keep)
	return respond(c, a, key, result, err, nil)
}

// alarmForm is an alarm that stands.
type alarmForm struct {
	ID      string  `json:"id"`
	Kind    string  `json:"kind"`
	Subject string  `json:"subject"`
	Detail  string  `json:"detail"`
	Raised  *string `json:"raised_at"`
}

// getAlarms lists those that stand, newest first.
func (a *API) getAlarms(c echo.Context) error {
	q := web.QueryOf(c, "after", "limit")
	limit := q.Limit(usualRows, mostRows)
	after, begun := cursorOf(q)
	if err := q.Err(); err != nil {
		return err
	}
	site, err := a.carPark(c)
	if err != nil {
		return err
	}
	var alarms []parking.Alarm
	err = a.Keeping.View(c.Request().Context(), func(tx parking.Tx) (err error) {
		alarms, err = tx.Alarms(c.Request().Context(), site.ID, mostAlarms)
		return err
	})
	if err != nil {
		return problem(err)
	}
	place := func(one parking.Alarm) cursor { return cursorAt(one.Raised, one.ID) }
	slices.SortFunc(alarms, func(x, y parking.Alarm) int { return place(y).compare(place(x)) })
	alarms = slices.DeleteFunc(alarms, func(one parking.Alarm) bool { return begun && place(one).compare(after) >= 0 })
	alarms, next := nextCursor(alarms, limit, func(one parking.Alarm) string { return place(one).String() })
	items := make([]alarmForm, len(alarms))
	for i, one := range alarms {
		items[i] = alarmForm{one.ID, one.Kind, one.Subject, one.Detail, instant(one.Raised)}
	}
	web.LinkNext(c, next)
	return tagged(c, web.Page[alarmForm]{Items: items, Next: next})
}

func (a *API) postClearAlarm(c echo.Context) error {
	key, err := once(c)
	if err != nil {
		return err
	}
	var body struct {
		By   string `json:"by,omitempty"`
		Note string `json:"note"`
	}
	if err := web.DecodeJSON(c, &body); err != nil {
		return err
	}
	if strings.TrimSpace(body.Note) == "" {
		return web.BadField("/note", "is missing: say what was found")
	}
	if err := prose("/note", body.Note); err != nil {
		return err
	}
	if err := signature(body.By, "", false); err != nil {
		return err
	}
	answer, err := a.Keeping.Do(c.Request().Context(), key, func(tx parking.Tx) (parking.Answer, error) {
		err := tx.Clear(c.Request().Context(), c.Param("id"), named(c, body.By), body.Note, a.Clock.Now())
		return answerOf(http.StatusOK, map[string]any{"id": c.Param("id"), "cleared": true}, ""), err
	})
	if err != nil {
		return problem(err)
	}
	return write(c, answer)
}
