package opendata

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"freeflow/internal/web"
)

// maxIDs bounds the car parks that one request can name.
const maxIDs = 200

// request is a request for carpark-info-vacancy.
type request struct {
	vacancy  bool
	kinds    kindSet
	filtered bool // by vehicle type
	// ids is nil where all are meant.
	ids      map[string]bool
	extent   *extent
	language string
}

// extent is a rectangle of the map, its edges included.
type extent struct{ left, bottom, right, top float64 }

func (e *extent) contains(longitude, latitude float64) bool {
	return longitude >= e.left && longitude <= e.right && latitude >= e.bottom && latitude <= e.top
}

// wants reports whether the site is asked for.
func (r *request) wants(s *siteView) bool {
	if r.ids != nil && !r.ids[s.CarPark.ID] {
		return false
	}
	if r.extent != nil && !r.extent.contains(s.CarPark.Published.Longitude, s.CarPark.Published.Latitude) {
		return false
	}
	return !r.filtered || r.kinds.meets(s.built)
}

// parseRequest reads the parameters; an empty one counts as absent.
func parseRequest(c echo.Context) (*request, error) {
	q := web.QueryOf(c, "data", "vehicleTypes", "carparkIds", "extent", "lang")
	r := &request{kinds: allKinds, language: english}
	switch q.Text("data") {
	case "", "info":
	case "vacancy":
		r.vacancy = true
	default:
		q.Refuse("data", "is neither info nor vacancy")
	}
	// The specification's own fallback: a language that it does not have is
	// answered in zh_TW, and not refused.
	switch language := q.Text("lang"); language {
	case "":
	case english, simplified:
		r.language = language
	default:
		r.language = traditional
	}
	if text := q.Text("vehicleTypes"); text != "" {
		r.kinds, r.filtered = 0, true
		for _, name := range strings.Split(text, ",") {
			k, ok := kindNamed(name)
			if !ok {
				q.Refuse("vehicleTypes", "has a type that is none of privateCar, LGV, HGV, CV, coach, motorCycle")
				break
			}
			r.kinds = r.kinds.with(k)
		}
	}
	if text := q.Text("carparkIds"); text != "" {
		r.ids = map[string]bool{}
		for _, id := range strings.Split(text, ",") {
			if id == "" {
				q.Refuse("carparkIds", "has an empty id")
			}
			r.ids[id] = true
		}
		if len(r.ids) > maxIDs {
			q.Refuse("carparkIds", fmt.Sprintf("names more than %d car parks; leave it out for all of them", maxIDs))
		}
	}
	if text := q.Text("extent"); text != "" {
		r.extent = parseExtent(q, text)
	}
	return r, q.Err()
}

// degrees is the only way to write a coordinate: ParseFloat alone would take
// "Inf", "NaN" and "0x1p4" as well.
var degrees = regexp.MustCompile(`^-?[0-9]{1,3}(\.[0-9]{1,30})?$`)

func parseExtent(q *web.Query, text string) *extent {
	parts := strings.Split(text, ",")
	var v [4]float64
	if len(parts) != len(v) {
		q.Refuse("extent", "is not leftLon,bottomLat,rightLon,topLat")
		return nil
	}
	for i, part := range parts {
		var err error
		if v[i], err = strconv.ParseFloat(part, 64); err != nil || !degrees.MatchString(part) {
			q.Refuse("extent", "has a coordinate that is not in decimal degrees, like 114.1532")
			return nil
		}
	}
	e := &extent{v[0], v[1], v[2], v[3]}
	if e.left < -180 || e.right > 180 || e.bottom < -90 || e.top > 90 {
		q.Refuse("extent", "lies outside -180,-90,180,90; longitude comes first")
	}
	if e.left > e.right || e.bottom > e.top {
		q.Refuse("extent", "has its edges in the wrong order; write leftLon,bottomLat,rightLon,topLat")
	}
	return e
}
