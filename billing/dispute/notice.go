package dispute

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"freeflow/billing"
)

// maxNamed bounds the disputes that one notice opens.
const maxNamed = 60

// OpenAllByNotice is OpenByNotice for all that a notice names and that is owed;
// surcharges follow their tolls. What is in dispute already stays as it is.
// billing.ErrNotFound where plate and number do not go together;
// billing.ErrConflict where nothing could be opened.
func (s *Service) OpenAllByNotice(ctx context.Context, tx Tx, plate, number string, o Opening, now time.Time) ([]Dispute, error) {
	named, err := tx.NoticeNames(ctx, plate, number)
	if err == nil && (number == "" || len(named) == 0) {
		err = billing.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("opening disputes by a notice: %w", err)
	}
	var (
		opened  []Dispute
		refused error
	)
	for _, id := range named[:min(len(named), maxNamed)] {
		if toll := surchargeOf(id); toll != id && slices.Contains(named, toll) {
			continue
		}
		o.Receivable = id
		d, err := s.OpenByNotice(ctx, tx, plate, number, o, now)
		switch {
		case errors.Is(err, billing.ErrConflict):
			refused = err
		case err != nil:
			return nil, err
		default:
			opened = append(opened, d)
		}
	}
	if len(opened) == 0 && refused == nil {
		refused = fmt.Errorf("opening disputes by a notice: %w", conflict("it names nothing that could be disputed"))
	}
	if len(opened) == 0 {
		return nil, refused
	}
	return opened, nil
}
