package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"time"

	"github.com/go-json-experiment/json"

	"freeflow/internal/database"
)

// Posted is one transaction of the ledger.
type Posted struct {
	At time.Time
	// Posting is the number of the posting that made it; later postings have
	// larger ones.
	Posting int64
	ID      string
	Entries int64
	// Encoding is all of it, with its entries, in the ledger's canonical
	// encoding: JSON of one line, without its end. Valid during the call only.
	Encoding []byte
}

// Ledger is what is needed of a ledger to digest its days.
type Ledger interface {
	// FirstPosted returns when the first transaction was posted; false if
	// there is none.
	FirstPosted(ctx context.Context) (time.Time, bool, error)
	// Posted calls each with every transaction posted in [from, to), in the
	// order of time, then id by bytes, within bounded memory; it ends with
	// each's first error.
	Posted(ctx context.Context, from, to time.Time, each func(*Posted) error) error
}

// Action and subject of a closed day.
const (
	dayClosed  = "ledger.day-closed"
	daySubject = "ledger-day"
)

// dayForm is a day's name.
const dayForm = "2006-01-02"

// maxDays bounds the days that one call of CloseDays closes.
const maxDays = 400

// dayDetail is what the chain keeps of a day's ledger. Numbers of microseconds
// are below 2^53 until the year 2255.
type dayDetail struct {
	Zone string `json:"zone"`
	// From and To bound the day, in microseconds since 1970 UTC.
	From         int64 `json:"from_micros"`
	To           int64 `json:"to_micros"`
	Transactions int64 `json:"transactions"`
	Entries      int64 `json:"entries"`
	// LastPosting is the largest posting among them.
	LastPosting int64 `json:"last_posting"`
	// SHA256 is over the encodings, each with a line feed after it.
	SHA256 string `json:"sha256"`
}

// digest collects a day.
type digest struct {
	detail dayDetail
	hash   hash.Hash
}

func newDigest(from, to int64) *digest {
	return &digest{dayDetail{From: from, To: to}, sha256.New()}
}

func (d *digest) add(p *Posted) {
	d.detail.Transactions++
	d.detail.Entries += p.Entries
	d.detail.LastPosting = max(d.detail.LastPosting, p.Posting)
	d.hash.Write(p.Encoding)
	d.hash.Write([]byte{'\n'})
}

func (d *digest) end() dayDetail {
	d.detail.SHA256 = hex.EncodeToString(d.hash.Sum(nil))
	return d.detail
}

// CloseDays digests the ledger of every day of the zone that ended at least
// delay before now and has not been digested yet, from the day of the first
// posting on, days without postings too, and appends each as an event. It says
// how many. It can be run again and by several processes: each day is closed
// once. Postings bear the time of the clock, so that none can fall into a day
// that ended longer ago than a posting takes: delay must be longer than that.
func (l *Log) CloseDays(ctx context.Context, ledger Ledger, zone *time.Location, now time.Time, delay time.Duration) (int, error) {
	from, found, err := l.nextDay(ctx, ledger, zone)
	if err != nil || !found {
		return 0, err
	}
	var days []time.Time // the beginnings of the days, and the end of the last
	for d := from; len(days) <= maxDays; d = d.AddDate(0, 0, 1) {
		if len(days) > 0 && d.Add(delay).After(now) {
			break
		}
		days = append(days, d)
	}
	if len(days) < 2 {
		return 0, nil
	}
	n := 0
	current := newDigest(days[0].UnixMicro(), days[1].UnixMicro())
	// finish closes days until the one that an instant is in.
	finish := func(until int64) error {
		for n < len(days)-1 && until >= days[n+1].UnixMicro() {
			detail := current.end()
			detail.Zone = zone.String()
			if err := l.closeDay(ctx, days[n].Format(dayForm), detail, now); err != nil {
				return err
			}
			if n++; n < len(days)-1 {
				current = newDigest(days[n].UnixMicro(), days[n+1].UnixMicro())
			}
		}
		return nil
	}
	end := days[len(days)-1]
	err = ledger.Posted(ctx, days[0], end, func(p *Posted) error {
		if err := finish(p.At.UnixMicro()); err != nil {
			return err
		}
		current.add(p)
		return nil
	})
	if err == nil {
		err = finish(end.UnixMicro())
	}
	if err != nil {
		return n, fmt.Errorf("closing the ledger's days: %w", err)
	}
	return n, nil
}

// nextDay returns the beginning of the first day that is not digested yet.
func (l *Log) nextDay(ctx context.Context, ledger Ledger, zone *time.Location) (time.Time, bool, error) {
	var last string
	err := l.db.Direct(ctx, func(db database.Session) error {
		_, err := database.One(ctx, db, `SELECT coalesce(max(day), '') FROM audit_day`, nil, &last)
		return err
	})
	if err != nil {
		return time.Time{}, false, fmt.Errorf("finding the last closed day: %w", err)
	}
	if last != "" {
		day, err := time.ParseInLocation(dayForm, last, zone)
		if err != nil {
			return time.Time{}, false, fmt.Errorf("%w: a closed day is named %q; see `freeflow audit verify`", ErrBroken, last)
		}
		return day.AddDate(0, 0, 1), true, nil
	}
	at, found, err := ledger.FirstPosted(ctx)
	if err != nil || !found {
		return time.Time{}, false, err
	}
	at = at.In(zone)
	return time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, zone), true, nil
}

// closeDay puts a day into the trail; one that is there already stays.
func (l *Log) closeDay(ctx context.Context, day string, detail dayDetail, now time.Time) error {
	err := l.db.Write(ctx, func(db database.Session) error {
		id, err := add(ctx, db, Event{
			At: now, Actor: Actor{"job:ledger-day", "system"}, Action: dayClosed,
			Subject: Subject{daySubject, day}, Detail: detail,
		})
		if err != nil {
			return err
		}
		_, err = db.Exec(ctx, `INSERT INTO audit_day (day, event_id) VALUES ($1, $2)`, day, id)
		return err
	})
	if database.IsDuplicate(err) {
		return nil // another process was faster; all of this was undone
	}
	return err
}

// dayOf reads the detail of a closed day.
func dayOf(r *row) (dayDetail, error) {
	var d dayDetail
	err := json.Unmarshal([]byte(r.detail), &d)
	return d, err
}
