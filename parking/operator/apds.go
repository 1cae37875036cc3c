package operator

import (
	"github.com/labstack/echo/v4"

	"freeflow/internal/web"
	"freeflow/parking"
)

// What follows has the names of the Alliance for Parking Data Standards (APDS
// 4.1, ISO/TS 5206-1) where they fit: places, their characteristics, sessions
// and segments. It does not claim conformance; ids are freeflow's own, not
// UUIDs.

// words is a text in the languages that there are, as APDS has it.
type words struct {
	Language string `json:"language"`
	String   string `json:"string"`
}

func wordsOf(t parking.Text) []words {
	out := []words{}
	for _, one := range []words{{"en", t.En}, {"zh-Hant", t.ZhHant}, {"zh-Hans", t.ZhHans}} {
		if one.String != "" {
			out = append(out, one)
		}
	}
	return out
}

// apdsList is a list with APDS' envelope.
type apdsList[T any] struct {
	Meta apdsMeta `json:"meta"`
	Data []T      `json:"data"`
}

type apdsMeta struct {
	Count int `json:"count"`
	// Next is the parameter "after" of the next page; null at the end.
	Next *string `json:"next"`
}

type apdsPlace struct {
	ID              string              `json:"id"`
	Version         int64               `json:"version"`
	Type            string              `json:"type"`
	Layer           int                 `json:"layer"`
	Name            []words             `json:"name"`
	TimeZone        string              `json:"timeZone"`
	Characteristics apdsCharacteristics `json:"placeCharacteristics"`
	Occupancy       apdsOccupancy       `json:"occupancyLevel"`
	Accesses        []apdsAccess        `json:"vehicularAccesses"`
}

type apdsCharacteristics struct {
	SpacesTotal      int    `json:"spacesTotal"`
	EVChargingPoints int    `json:"evChargingPoints"`
	Robotic          bool   `json:"robotic"`
	StructureType    string `json:"structureType,omitempty"`
	AccessControlled bool   `json:"accessControlled"`
}

type apdsOccupancy struct {
	SpacesAvailable int     `json:"spacesAvailable"`
	MeasuredAt      *string `json:"measuredDateTime"`
}

type apdsAccess struct {
	ID        string `json:"id"`
	Direction string `json:"direction"`
}

func (a *API) place(c echo.Context, site *parking.CarPark) (apdsPlace, error) {
	counts, err := a.Attendant.Counts(c.Request().Context(), site.ID)
	if err != nil {
		return apdsPlace{}, err
	}
	d, err := a.Sites.Definition(c.Request().Context(), site.ID)
	if err != nil {
		return apdsPlace{}, err
	}
	p := apdsPlace{
		ID: site.ID, Version: d.Version, Type: "place", Layer: 1, Name: wordsOf(site.Name), TimeZone: site.Zone,
		Characteristics: apdsCharacteristics{
			SpacesTotal: len(site.Bays), Robotic: len(site.Machines) > 0, StructureType: site.Published.Kind, AccessControlled: len(site.Lanes) > 0,
		},
		Occupancy: apdsOccupancy{SpacesAvailable: counts.Free, MeasuredAt: instant(counts.At)}, Accesses: make([]apdsAccess, len(site.Lanes)),
	}
	for _, bay := range site.Bays {
		if bay.EV {
			p.Characteristics.EVChargingPoints++
		}
	}
	for i, lane := range site.Lanes {
		p.Accesses[i] = apdsAccess{lane.Unit, map[parking.Direction]string{parking.In: "entrance", parking.Out: "exit"}[lane.Direction]}
	}
	return p, nil
}

func (a *API) getPlaces(c echo.Context) error {
	q := web.QueryOf(c, "after", "limit")
	limit := q.Limit(usualRows, mostRows)
	if err := q.Err(); err != nil {
		return err
	}
	list := apdsList[apdsPlace]{Data: []apdsPlace{}}
	for _, site := range a.Sites.All() {
		if site.ID <= q.Text("after") {
			continue
		}
		if len(list.Data) == limit {
			list.Meta.Next = &list.Data[limit-1].ID
			break
		}
		place, err := a.place(c, site)
		if err != nil {
			return problem(err)
		}
		list.Data = append(list.Data, place)
	}
	list.Meta.Count = len(list.Data)
	web.LinkNext(c, list.Meta.Next)
	return tagged(c, list)
}

func (a *API) getPlace(c echo.Context) error {
	if err := web.QueryOf(c).Err(); err != nil {
		return err
	}
	site, err := a.carPark(c)
	if err != nil {
		return err
	}
	place, err := a.place(c, site)
	if err != nil {
		return problem(err)
	}
	return tagged(c, place)
}

type apdsSession struct {
	ID          string           `json:"id"`
	Version     int64            `json:"version"`
	Start       *string          `json:"actualStart"`
	End         *string          `json:"actualEnd"`
	Initiator   string           `json:"initiator"`
	Credentials []apdsCredential `json:"identifiedCredentials"`
	Segments    []apdsSegment    `json:"segments"`
}

type apdsCredential struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

type apdsSegment struct {
	Start      *string `json:"actualStart"`
	End        *string `json:"actualEnd"`
	PlaceID    string  `json:"hierarchyElementId"`
	SpaceID    string  `json:"spaceId,omitempty"`
	Validation string  `json:"validationType"`
}

// credentials are what a stay was known by, in APDS' words.
func credentials(s parking.Stay) []apdsCredential {
	out := []apdsCredential{}
	for _, one := range []apdsCredential{{"licensePlate", s.Plate}, {"rfid", s.Tag}, {"ticket", s.Ticket}} {
		if one.ID != "" {
			out = append(out, one)
		}
	}
	return out
}

// getSessions lists the stays of a car park.
func (a *API) getSessions(c echo.Context) error {
	q := web.QueryOf(c, "place", "from", "after", "limit")
	limit := q.Limit(usualRows, mostSessions)
	from, _ := parameterTime(q, "from")
	place := q.Needed("place")
	if err := q.Err(); err != nil {
		return err
	}
	site, ok := a.Sites.CarPark(place)
	if !ok {
		return web.NotFound("there is no such place")
	}
	ctx := c.Request().Context()
	stays, err := a.Cashier.Stays(ctx, site.ID, "", parking.Page{After: q.Text("after"), Limit: limit + 1, From: from})
	if err != nil {
		return ofList(err)
	}
	stays, next := nextCursor(stays, limit, func(s parking.Stay) string { return s.ID })
	list := apdsList[apdsSession]{Meta: apdsMeta{Count: len(stays), Next: next}, Data: make([]apdsSession, len(stays))}
	err = a.Keeping.View(ctx, func(tx parking.Tx) error {
		for i, s := range stays {
			segment := apdsSegment{Start: instant(s.Entry), End: instant(s.Exit), PlaceID: s.CarPark, Validation: "none"}
			if s.Allocation != "" {
				al, err := tx.Allocation(ctx, s.Allocation)
				if err != nil && !isNotFound(err) {
					return err
				}
				segment.SpaceID = al.Bay
			}
			list.Data[i] = apdsSession{
				ID: s.ID, Version: s.Revision, Start: instant(s.Entry), End: instant(s.Exit), Initiator: "system",
				Credentials: credentials(s), Segments: []apdsSegment{segment},
			}
		}
		return nil
	})
	if err != nil {
		return problem(err)
	}
	web.LinkNext(c, next)
	return tagged(c, list)
}
