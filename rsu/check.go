package rsu

import (
	"fmt"
	"time"

	"freeflow/internal/clock"
)

// Ahead is how far a read's time may be ahead of the clock at arrival; exactly
// this much is accepted.
const Ahead = 5 * time.Minute

// Checker judges whether a decoded read is acceptable to a network. It is safe
// for concurrent use.
type Checker struct {
	Roadside Roadside
	Clock    clock.Clock
}

// Check judges the read as one that arrives now. The error is a RefusedError.
func (c Checker) Check(r Read) error {
	_, err := c.CheckAt(r, c.Clock.Now())
	return err
}

// CheckAt judges the read as one that arrived at the instant given, and returns
// the facility at which its unit stands. The error is a RefusedError.
func (c Checker) CheckAt(r Read, arrival time.Time) (facility string, err error) {
	_, facility, err = c.Place(r)
	if err != nil {
		return "", err
	}
	if earliest := c.Roadside.EarliestMicros(); r.TimeMicros < earliest {
		return "", refuse(CodeTooOld, "time", fmt.Sprintf("before %s; is the unit's clock set?", time.UnixMicro(earliest).UTC().Format(time.RFC3339)))
	}
	if at := r.Time(); at.After(arrival.Add(Ahead)) {
		return "", refuse(CodeInFuture, "time", fmt.Sprintf("%s ahead of the clock at arrival, at most %s is taken; set the unit's clock",
			at.Sub(arrival).Round(time.Microsecond), Ahead))
	}
	return facility, nil
}

// Place judges all but the time, which is judged once, at arrival: it is what
// a later reader of the log has to ask. It returns the toll point and facility
// at which the read's unit stands. The error is a RefusedError.
func (c Checker) Place(r Read) (tollPoint, facility string, err error) {
	tollPoint, facility, ok := c.Roadside.TollPoint(r.Unit)
	switch {
	case !ok:
		return "", "", refuse(CodeUnknownUnit, "unit", fmt.Sprintf("%q is no unit of this network", cut(r.Unit)))
	case r.Tag == "" && r.Plate == "":
		return "", "", refuse(CodeNoMark, "", "neither tag nor plate; a read has at least one of them")
	case r.Confidence.Present && !(r.Confidence.Value >= 0 && r.Confidence.Value <= 1):
		return "", "", refuse(CodeConfidence, "plate_confidence", fmt.Sprintf("%g came; expected a number from 0 to 1", r.Confidence.Value))
	case r.Class != "" && !c.Roadside.KnowsClass(r.Class):
		return "", "", refuse(CodeUnknownClass, "class", fmt.Sprintf("%q is no class of this network", cut(r.Class)))
	}
	return tollPoint, facility, nil
}
