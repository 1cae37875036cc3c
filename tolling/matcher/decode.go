package matcher

import (
	"fmt"
	"math"

	"freeflow/internal/kafka"
	"freeflow/rsu"
	"freeflow/tolling"
)

// never is later than every read.
const never = math.MaxInt64

// reading is one accepted read on its way through a batch.
type reading struct {
	read     rsu.Read
	point    string
	facility string
	sighting tolling.Sighting
}

// decode reads the records of a batch. What cannot be read, or comes from a
// unit that the network no longer has, is set aside with the reason.
func (s *session) decode(records []kafka.Record) ([]reading, []rsu.Rejected) {
	check := rsu.Checker{Roadside: s.Network, Clock: s.Clock}
	reads := make([]reading, 0, len(records))
	var rejected []rsu.Rejected
	for i := range records {
		r := reading{}
		err := r.read.UnmarshalBinary(records[i].Value)
		if err == nil {
			r.point, r.facility, err = check.Place(r.read)
		}
		if err == nil {
			reads = append(reads, r)
			s.Metrics.latest(r.read.TimeMicros)
			continue
		}
		rejected = append(rejected, rsu.NewRejected(s.Clock.Now(), rsu.SourceMatcher, "", rsu.FormProtobuf,
			string(records[i].Value), fmt.Errorf("record %d of partition %d: %w", records[i].Offset, s.partition, err)))
	}
	return reads, rejected
}
