package dispute

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"freeflow/billing"
)

// Bounds of the flags' work.
const (
	// settle is how young a posting may be to be left for later: reads that belong
	// to it may be on their way, and postings with lower numbers.
	settle = 2 * time.Minute
	// near is how far around a pass others of its vehicle are looked at, at most
	// so many; meet how far back two marks are compared.
	near     = 24 * time.Hour
	mostNear = 400
	meet     = 7 * 24 * time.Hour
	mostMeet = 60
)

// byFlags is the job's own deed.
func byFlags(now time.Time) Deed { return Deed{By: "job:flags", Role: "system", Now: now} }

// Flags finds what cannot be right among postings, off the path of those who
// post. Safe for concurrent use and by several processes.
type Flags struct {
	*Service
	Limits Limits
}

// Scan looks at at most limit postings that nobody looked at, and returns how
// many there were and how many flags were raised. It can be run again, and by
// several at once: a flag is raised once.
func (f *Flags) Scan(ctx context.Context, limit int) (postings, raised int, err error) {
	now := f.Clock.Now()
	var (
		from   int64
		posted []Posted
		found  []Flag
	)
	err = f.Keeping.View(ctx, func(tx Tx) error {
		found = nil
		var err error
		if from, err = tx.FlagsFrom(ctx); err != nil {
			return err
		}
		if posted, err = tx.PostedAfter(ctx, from, now.Add(-settle), limit); err != nil {
			return err
		}
		seen := map[string]bool{}
		for _, one := range posted {
			for _, p := range one.Passes {
				if seen[p.ID] {
					continue
				}
				seen[p.ID] = true
				flags, err := f.judge(ctx, tx, p)
				if err != nil {
					return err
				}
				found = append(found, flags...)
			}
		}
		return nil
	})
	if err != nil || len(posted) == 0 {
		return 0, 0, wrap("looking for what cannot be right", err)
	}
	for _, one := range found {
		fresh, err := f.raise(ctx, one)
		if err != nil {
			return 0, raised, fmt.Errorf("raising flag %s: %w", one.Key, err)
		}
		if fresh {
			raised++
		}
	}
	err = f.Keeping.Do(ctx, func(tx Tx) error {
		// Where another process moved it, that one has raised the same.
		_, err := tx.PutFlagsFrom(ctx, from, posted[len(posted)-1].ID)
		return err
	})
	return len(posted), raised, wrap("keeping how far the flags are", err)
}

func wrap(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// judge finds the flags of one pass, as it stands.
func (f *Flags) judge(ctx context.Context, tx Tx, p Seen) ([]Flag, error) {
	day := near.Microseconds()
	list, err := tx.PassesNear(ctx, p.Vehicle, p.FirstMicros-day, p.FirstMicros+day, mostNear)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(list, func(q Seen) bool { return q.ID == p.ID })
	if at < 0 {
		return nil, nil // it became part of another meanwhile
	}
	p = list[at]
	flags := f.Limits.ofVehicle(p, list)
	window := f.Limits.Again.Microseconds()
	others, err := tx.CarriersNear(ctx, p.Vehicle, p.Facility, p.FirstMicros-window, p.FirstMicros+window, mostNear)
	if err != nil {
		return nil, err
	}
	for _, mark := range p.Marks {
		own, err := tx.PassesNear(ctx, mark, p.FirstMicros-window, p.FirstMicros+window, mostNear)
		if err != nil {
			return nil, err
		}
		others = append(others, own...)
	}
	for _, q := range others {
		flags = append(flags, f.Limits.twoMarks(p, q)...)
	}
	more, err := f.meetings(ctx, tx, p)
	return append(flags, more...), err
}

// meetings looks for a mark that always passes together with this one: only
// where this is a tag that names no plate, or nobody's.
func (f *Flags) meetings(ctx context.Context, tx Tx, p Seen) ([]Flag, error) {
	if !strings.HasPrefix(p.Vehicle, billing.HolderTag) && p.Account != "" || !p.owes() {
		return nil, nil
	}
	beside := f.Limits.Beside.Microseconds()
	list, err := tx.PassesAt(ctx, p.Point, p.FirstMicros-beside, p.FirstMicros+beside, mostMeet)
	if err != nil || len(list) < 2 {
		return nil, err
	}
	mine, err := tx.PassesNear(ctx, p.Vehicle, p.FirstMicros-meet.Microseconds(), p.FirstMicros, mostMeet)
	if err != nil || len(mine) < f.Limits.Meetings {
		return nil, err
	}
	var flags []Flag
	for _, q := range list {
		if q.Vehicle == p.Vehicle {
			continue
		}
		theirs, err := tx.PassesNear(ctx, q.Vehicle, mine[0].FirstMicros-beside, p.FirstMicros+beside, mostNear)
		if err != nil {
			return nil, err
		}
		flags = append(flags, f.Limits.together(p, mine, theirs)...)
	}
	return flags, nil
}

// raise keeps a flag and opens its cases, once; an exact duplicate is decided at
// once, within the limits.
func (f *Flags) raise(ctx context.Context, flag Flag) (fresh bool, err error) {
	now := f.Clock.Now()
	err = f.Keeping.Do(ctx, func(tx Tx) error {
		flag.At, flag.Reference = now, ""
		known, err := tx.PutFlag(ctx, flag)
		fresh = err == nil && !known
		if err != nil || known {
			return err
		}
		for _, suspect := range flag.Suspects {
			reference, err := f.openCase(ctx, tx, &flag, suspect, now)
			if err != nil {
				return err
			}
			if reference != "" && flag.Reference == "" {
				flag.Reference = reference
			}
		}
		if flag.Reference != "" {
			return tx.PutFlagCase(ctx, flag.Key, flag.Reference)
		}
		return nil
	})
	return fresh, err
}

// openCase opens the case of one doubted pass, unless a dispute of it was ever
// open.
func (f *Flags) openCase(ctx context.Context, tx Tx, flag *Flag, pass string, now time.Time) (string, error) {
	reason := WasNotThere
	if exact(flag.Rule) || flag.Rule == Together {
		reason = Duplicate
	}
	receivable := billing.ReceivablePass + pass
	earlier, err := tx.DisputesOf(ctx, receivable)
	if err != nil || len(earlier) > 0 {
		return "", err
	}
	if exact(flag.Rule) {
		owed, err := f.bothOwed(ctx, tx, flag)
		if err != nil || !owed {
			return "", err
		}
	}
	d, err := f.open(ctx, tx, Opening{Receivable: receivable, Reason: reason, Text: flag.words(), Origin: System, Flag: flag.Key}, byFlags(now))
	if errors.Is(err, billing.ErrConflict) || errors.Is(err, billing.ErrNotFound) {
		return "", nil // nothing is owed for it any more
	}
	if err != nil || !exact(flag.Rule) {
		return d.Reference, err
	}
	p, err := tx.PassStands(ctx, pass)
	if err != nil {
		return "", err
	}
	before, err := tx.GivenBackSince(ctx, now.Add(-24*time.Hour), d.Currency)
	if err != nil {
		return "", err
	}
	if p.Decision != nil || d.AmountCents > f.Rules.AutoCents || before+d.AmountCents > f.Rules.AutoDayCents {
		return d.Reference, nil
	}
	_, err = f.Decide(ctx, tx, d.Reference, d.Revision, Ruling{
		Outcome: Upheld, Code: "counted-twice", Act: Exempt, PassRevision: p.Revision, Note: flag.words(),
		Words: "One trip was counted twice; one of the two tolls is taken back. 同一行程重複收費，已取消其中一次。",
	}, byFlags(now))
	return d.Reference, err
}

// bothOwed reports whether all passes of a flag still owe: of two of which one
// was taken back, the other is right.
func (f *Flags) bothOwed(ctx context.Context, tx Tx, flag *Flag) (bool, error) {
	for _, id := range slices.Sorted(slices.Values(flag.Passes)) {
		sub, err := f.subject(ctx, tx, billing.ReceivablePass+id)
		if err != nil || sub.cents == 0 {
			return false, err
		}
	}
	return true, nil
}

// words say what a flag found, without naming anybody.
func (f *Flag) words() string {
	switch f.Rule {
	case Parked:
		return fmt.Sprintf("%d passes in a row at one toll point within %s", f.Count, f.Took)
	case Together:
		return fmt.Sprintf("two marks passed together %d times", f.Count)
	case Impossible:
		return fmt.Sprintf("%s for a way of at least %d m that takes %s or more", f.Took, f.Metres, f.Least)
	case ReturnTrip:
		return fmt.Sprintf("there and back in %s; nobody can in less than %s", f.Took, f.Least)
	}
	return fmt.Sprintf("two passes %s apart by the same vehicle in the same direction", f.Took)
}
