package gateway

import (
	"context"
	"fmt"

	"freeflow/rsu"
)

// Redriven says what became of refused reads that were offered again.
type Redriven struct {
	// Offered counts the envelopes, Accepted the reads that are durable in the
	// log now, Duplicate the part of them recognised as a repetition.
	Offered   int `json:"offered"`
	Accepted  int `json:"accepted"`
	Duplicate int `json:"duplicate"`
	// Rejected are those still refused, or not kept whole; Index is the
	// envelope's place in the call.
	Rejected []Rejection `json:"rejected"`
}

// CodeNotKept is the code of an envelope that does not hold all of its read.
const CodeNotKept rsu.Code = "not_kept"

// Redrive offers the reads of envelopes (values of the topic reads.rejected.v1)
// once more, as if they arrived now. What is refused again is not written to
// that topic again: it stands there still. Doing it twice is harmless, since
// the accepted reads are then repetitions. An error means that nothing is
// claimed. The caller bounds how many it offers at a time.
func (in *Intake) Redrive(ctx context.Context, envelopes [][]byte) (Redriven, error) {
	items := make([]Item, len(envelopes))
	for i, value := range envelopes {
		var e rsu.Rejected
		raw := ""
		err := e.UnmarshalBinary(value)
		if err == nil {
			raw, err = e.Raw()
		}
		switch {
		case err != nil:
			items[i] = Item{Err: &rsu.RefusedError{Code: CodeNotKept, Message: err.Error()}}
		case e.Form == rsu.FormProtobuf:
			items[i] = ProtoItem(raw, false)
		default:
			items[i] = JSONItem(raw, false)
		}
	}
	result, err := in.take(ctx, "", items, false)
	if err != nil {
		return Redriven{}, fmt.Errorf("driving reads again: %w", err)
	}
	return Redriven{Offered: len(items), Accepted: result.Accepted, Duplicate: result.Duplicate, Rejected: result.Rejected}, nil
}
