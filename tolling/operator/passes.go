package operator

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/internal/audit"
	"freeflow/internal/web"
	"freeflow/rsu"
	"freeflow/tolling"
)

// mostReads bounds the reads shown of one pass; one that stood in a jam has
// thousands.
const mostReads = 1000

// reason is why a pass is under review, as a code and in words.
type reason struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

func reasonsOf(codes string) []reason {
	reasons := []reason{}
	for _, code := range reasonCodes(codes) {
		reasons = append(reasons, reason{code, reasonText(code)})
	}
	return reasons
}

func reasonText(code string) string {
	switch tolling.Reason(code) {
	case tolling.MarkConflict:
		return "Tag and plate are assigned to vehicles with different plates; the vehicle is taken to be the plate's."
	case tolling.NoClass:
		return "The vehicle class is neither registered nor measured."
	case tolling.NoTariff:
		return "The network has no tariff for this class, facility and time."
	case tolling.WeakPlate:
		return "No tag named the vehicle, and no plate that named it was read with a confidence of 0.90 or more."
	case tolling.TurnRound:
		return "The same vehicle passed the facility in the opposite direction less than the turn-round time before."
	case tolling.SameCarTwice:
		return "Another vehicle's pass at the same toll point and time carried this mark too: it may be one car charged twice."
	case tolling.Reopened:
		return "A person had decided, and later reads changed what the decision was made on."
	default:
		return code
	}
}

type readJSON struct {
	Unit       string   `json:"unit"`
	Seq        uint64   `json:"seq"`
	Boot       string   `json:"boot,omitempty"`
	Time       string   `json:"time"`
	Tag        string   `json:"tag,omitempty"`
	Plate      string   `json:"plate,omitempty"`
	Confidence *float64 `json:"plate_confidence,omitempty"`
	Class      string   `json:"class,omitempty"`
	Antenna    *int64   `json:"antenna,omitempty"`
	RSSI       *float64 `json:"rssi,omitempty"`
	Image      string   `json:"image,omitempty"`
}

func readOf(r rsu.Read, zone *time.Location) readJSON {
	j := readJSON{
		Unit: r.Unit, Seq: r.Seq, Boot: r.Boot, Time: billing.FormatPassTime(r.TimeMicros, zone),
		Tag: r.Tag, Plate: r.Plate, Class: r.Class, Image: r.Image,
	}
	if r.Confidence.Present {
		j.Confidence = &r.Confidence.Value
	}
	if r.Antenna.Present {
		j.Antenna = &r.Antenna.Value
	}
	if r.RSSI.Present {
		j.RSSI = &r.RSSI.Value
	}
	return j
}

type revisionJSON struct {
	Revision   int64    `json:"revision"`
	ReplacedAt string   `json:"replaced_at"`
	PassTime   string   `json:"pass_time"`
	LastTime   string   `json:"last_time"`
	Vehicle    string   `json:"vehicle"`
	Status     string   `json:"status"`
	Class      string   `json:"class"`
	Account    string   `json:"account"`
	Amount     string   `json:"amount"`
	Rule       string   `json:"rule"`
	Reasons    []string `json:"reasons"`
}

type entryJSON struct {
	Account string `json:"account"`
	Amount  string `json:"amount"`
}

type transactionJSON struct {
	ID       string      `json:"id"`
	Kind     string      `json:"kind"`
	Revision int64       `json:"revision"`
	Reverses string      `json:"reverses,omitempty"`
	PostedAt string      `json:"posted_at"`
	Currency string      `json:"currency"`
	Entries  []entryJSON `json:"entries"`
}

type decisionJSON struct {
	Status  string `json:"status"`
	Class   string `json:"class"`
	Account string `json:"account"`
	Amount  string `json:"amount"`
	Rule    string `json:"rule"`
	By      string `json:"by"`
	Note    string `json:"note"`
	At      string `json:"at"`
}

// passJSON is one pass explained.
type passJSON struct {
	charge
	LastTime     string            `json:"last_time"`
	Registered   bool              `json:"registered"`
	ReviewFor    []reason          `json:"review_for"`
	Decision     *decisionJSON     `json:"decision"`
	MergedInto   *string           `json:"merged_into"`
	Reads        []readJSON        `json:"reads"`
	ReadsMissing bool              `json:"reads_missing"`
	ReadsOmitted int               `json:"reads_omitted"`
	Revisions    []revisionJSON    `json:"revisions"`
	Transactions []transactionJSON `json:"transactions"`
}

// passID returns the id in the request's path; what cannot be an id is not
// looked for.
func passID(c echo.Context) (string, error) {
	id := c.Param("id")
	ok := len(id) == 32
	for i := 0; ok && i < len(id); i++ {
		ok = id[i] >= '0' && id[i] <= '9' || id[i] >= 'a' && id[i] <= 'f'
	}
	if !ok {
		return "", noPass()
	}
	return id, nil
}

func noPass() error { return web.NotFound("there is no pass with this id") }

func (a *API) getPass(c echo.Context) error {
	q := web.QueryOf(c, "reason")
	seen := a.viewOf(c, q, audit.Viewed, "GET /v1/passes/{id}")
	if err := q.Err(); err != nil {
		return err
	}
	id, err := passID(c)
	if err != nil {
		return err
	}
	h, err := a.Books.ViewHistory(c.Request().Context(), id, seen.pass)
	if errors.Is(err, billing.ErrNotFound) {
		return noPass()
	}
	if err != nil {
		return fmt.Errorf("reading the pass: %w", err)
	}
	out := a.passOf(h)
	if h.Pass.MergedInto == "" {
		x, err := a.Explainer.Explain(c.Request().Context(), id)
		switch {
		case errors.Is(err, billing.ErrNotFound):
			out.ReadsMissing = true
		case err != nil:
			return fmt.Errorf("finding the reads of the pass: %w", err)
		default:
			out.ReadsMissing = !x.Complete
			shown := x.Reads[:min(len(x.Reads), mostReads)]
			out.ReadsOmitted = len(x.Reads) - len(shown)
			for _, r := range shown {
				out.Reads = append(out.Reads, readOf(r, a.Network.Zone()))
			}
		}
	}
	return c.JSON(http.StatusOK, out)
}

func (a *API) passOf(h billing.History) passJSON {
	zone := a.Network.Zone()
	p := h.Pass
	out := passJSON{
		charge:       chargeOf(p, zone),
		LastTime:     billing.FormatPassTime(p.LastMicros, zone),
		Registered:   p.Registered,
		ReviewFor:    reasonsOf(p.Reasons),
		Decision:     decisionOf(p.Decision, zone),
		Reads:        []readJSON{},
		Revisions:    make([]revisionJSON, len(h.Revisions)),
		Transactions: make([]transactionJSON, len(h.Transactions)),
	}
	if p.MergedInto != "" {
		out.MergedInto = &p.MergedInto
	}
	for i, r := range h.Revisions {
		then := billing.ChargeRow(billing.Pass{Status: r.Status, AmountCents: r.AmountCents}, zone)
		out.Revisions[i] = revisionJSON{
			Revision: r.Revision, ReplacedAt: billing.FormatPassTime(r.ReplacedAt.UnixMicro(), zone),
			PassTime: billing.FormatPassTime(r.FirstMicros, zone), LastTime: billing.FormatPassTime(r.LastMicros, zone),
			Vehicle: r.Vehicle, Status: r.Status, Class: r.Class, Account: r.Account, Amount: then[5],
			Rule: r.Rule, Reasons: reasonCodes(r.Reasons),
		}
	}
	for i, t := range h.Transactions {
		out.Transactions[i] = transactionJSON{
			ID: t.ID, Kind: t.Kind, Revision: t.Revision, Reverses: t.Reverses,
			PostedAt: billing.FormatPassTime(t.PostedAt.UnixMicro(), zone), Currency: t.Currency,
			Entries: make([]entryJSON, len(t.Entries)),
		}
		for k, e := range t.Entries {
			out.Transactions[i].Entries[k] = entryJSON{e.Account, billing.FormatCents(e.AmountCents)}
		}
	}
	return out
}

func decisionOf(d *billing.Decision, zone *time.Location) *decisionJSON {
	if d == nil {
		return nil
	}
	return &decisionJSON{
		Status: d.Status, Class: d.Class, Account: d.Account, Amount: billing.FormatCents(d.AmountCents),
		Rule: d.Rule, By: d.By, Note: d.Note, At: billing.FormatPassTime(d.At.UnixMicro(), zone),
	}
}

type alarmJSON struct {
	Kind   string `json:"kind"`
	Unit   string `json:"unit,omitempty"`
	First  string `json:"first"`
	Last   string `json:"last"`
	Count  int64  `json:"count"`
	Detail string `json:"detail"`
}

func (a *API) getAlarms(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	alarms, err := a.Alarms.Alarms(c.Request().Context())
	if err != nil {
		return fmt.Errorf("listing alarms: %w", err)
	}
	zone := a.Network.Zone()
	items := make([]alarmJSON, len(alarms))
	for i, al := range alarms {
		items[i] = alarmJSON{
			Kind: al.Kind, Unit: al.Unit, Count: al.Count, Detail: al.Detail,
			First: billing.FormatPassTime(al.First.UnixMicro(), zone), Last: billing.FormatPassTime(al.Last.UnixMicro(), zone),
		}
	}
	return c.JSON(http.StatusOK, struct {
		Items []alarmJSON `json:"items"`
	}{items})
}
