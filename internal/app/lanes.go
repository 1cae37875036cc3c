package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"freeflow/internal/clock"
	"freeflow/internal/kafka"
	"freeflow/parking"
	"freeflow/parking/cashier"
	"freeflow/rsu"
	"freeflow/tolling/registry"
	"freeflow/tolling/tariff"
)

// topicLanes carries the reads of car parks' lanes, keyed by the site's code.
const topicLanes = "lanes.v1"

// groupLanes is the consumer group of those who turn them into stays.
const groupLanes = "freeflow-lanes"

// roadside is what stands at the road: the network's units, and the lanes of
// car parks, which are toll points of the same roadside.
type roadside struct {
	roads
	sites *siteKeeper
}

// TollPoint returns the toll point and facility of a unit; a lane's are
// "TKO-IN" and "TKO".
func (r roadside) TollPoint(unit string) (tollPoint, facility string, ok bool) {
	if tollPoint, facility, ok = r.roads.TollPoint(unit); ok {
		return tollPoint, facility, true
	}
	site, ok := r.sites.now.Load().lanes[unit]
	if !ok {
		return "", "", false
	}
	return unit[:strings.LastIndexByte(unit, '-')], site.Code, true
}

// topic says where the reads of a facility go: those of car parks are no
// passes. A facility of the network is never a car park, whatever its code.
func (r roadside) topic(facility string) string {
	if hasFacility(r.roads, facility) {
		return kafka.TopicReads
	}
	for _, site := range r.sites.All() {
		if site.Code == facility {
			return topicLanes
		}
	}
	return kafka.TopicReads
}

// hasFacility reports whether the network has a facility of that code.
func hasFacility(n roads, code string) bool {
	return slices.ContainsFunc(n.Facilities(), func(f tariff.Facility) bool { return f.Code == code })
}

// payers answers whom a tag and plate name by the toll registry.
type payers struct{ current *registry.Current }

func (p payers) Payer(_ context.Context, tag, plate string, at time.Time) (cashier.Identity, error) {
	// The confidence of the plate is the stay's affair: with none at all, what
	// is strong is so by the tag.
	s := p.current.Get().Resolve(rsu.Read{
		TimeMicros: at.UnixMicro(), Tag: tag, Plate: plate, Confidence: rsu.Some(0.0),
	}, "")
	name, _ := strings.CutPrefix(s.Vehicle.Name, "plate:")
	return cashier.Identity{
		Vehicle: name, Registered: s.Vehicle.Registered, Account: s.Holder.Account, Class: s.Holder.Class, Exempt: s.Holder.Exempt,
		ClassTag: s.Vehicle.Registered && strings.HasPrefix(name, "tag:"), ByTag: s.Strong, Conflict: s.Conflict,
	}, nil
}

// laneReads turns the reads of lanes into lane events and hands them to the
// cashier. Each read is handed over at least once; its event's id is a digest
// of it, so that again changes nothing.
type laneReads struct {
	roadside roadside
	cashier  *cashier.Cashier
	rejects  rejects
	clock    clock.Clock
	log      *slog.Logger
}

// lanesBatch is how many reads are handed over at a time.
const lanesBatch = 200

// serve works one partition until ctx ends.
func (l laneReads) serve(ctx context.Context, s kafka.Session) error {
	for {
		records, next, err := s.Fetch(ctx, lanesBatch)
		if err != nil {
			return err
		}
		if err := l.take(ctx, records); err != nil {
			return fmt.Errorf("taking the reads of lanes before offset %d: %w", next, err)
		}
		if err := s.Commit(next); err != nil {
			return err
		}
	}
}

func (l laneReads) take(ctx context.Context, records []kafka.Record) error {
	var events []parking.LaneEvent
	var values [][]byte
	var refused []rsu.Rejected
	refuse := func(value []byte, err error) {
		refused = append(refused, rsu.NewRejected(l.clock.Now(), rsu.SourceMatcher, "", rsu.FormProtobuf, string(value), err))
	}
	for _, r := range records {
		event, err := l.event(r.Value)
		if err != nil {
			refuse(r.Value, err)
			continue
		}
		events, values = append(events, event), append(values, r.Value)
	}
	if len(events) > 0 {
		results, err := l.cashier.Lane(ctx, events)
		if err != nil {
			return err
		}
		for i, result := range results {
			if result.Err != nil {
				refuse(values[i], result.Err)
			}
		}
	}
	if len(refused) == 0 {
		return nil
	}
	l.log.WarnContext(ctx, "reads of lanes were set aside", "reads", len(refused), "err", refused[0].Reason)
	return l.rejects.Reject(ctx, refused)
}

// event makes the lane event of a read.
func (l laneReads) event(value []byte) (parking.LaneEvent, error) {
	var read rsu.Read
	if err := read.UnmarshalBinary(value); err != nil {
		return parking.LaneEvent{}, err
	}
	site, ok := l.roadside.sites.now.Load().lanes[read.Unit]
	if !ok {
		return parking.LaneEvent{}, errors.New("its unit is no lane of a car park any more; put the lane back, then drive the read again")
	}
	sum := sha256.Sum256(value)
	e := parking.LaneEvent{
		ID: "read-" + hex.EncodeToString(sum[:16]), CarPark: site.ID, Lane: read.Unit, At: read.Time(),
		Tag: read.Tag, Plate: read.Plate, Class: read.Class, ConfidencePermille: 1000, Source: "reads",
	}
	if read.Confidence.Present {
		e.ConfidencePermille = parking.Permille(read.Confidence.Value)
	}
	for _, lane := range site.Lanes {
		if lane.Unit == read.Unit {
			e.Direction = lane.Direction
		}
	}
	return e, nil
}
