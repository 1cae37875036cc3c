package dispute

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
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

// maxPutOff bounds the passes and postings that wait to be looked at again: with
// as many something is wrong with all, and the flags do not go on.
const maxPutOff = 10_000

// judged is one pass or posting that was looked at.
type judged struct {
	item  string
	flags []Flag
	err   error
}

// Scan looks at at most limit postings that nobody looked at, and at what failed
// before and is due, and returns how many postings there were and how many flags
// were raised. What fails is put off and stops nothing else; errors come joined.
// It can be run again, and by several at once: a flag is raised once.
func (f *Flags) Scan(ctx context.Context, limit int) (postings, raised int, err error) {
	now := f.Clock.Now()
	var (
		from   int64
		posted []Posted
		due    []string
		seen   []judged
	)
	err = f.Keeping.View(ctx, func(tx Tx) error {
		var err error
		if from, err = tx.FlagsFrom(ctx); err != nil {
			return err
		}
		if due, err = tx.PutOffDue(ctx, JobFlags, now, limit); err != nil {
			return err
		}
		posted, err = tx.PostedAfter(ctx, from, now.Add(-settle), limit)
		return err
	})
	if err != nil || len(posted)+len(due) == 0 {
		return 0, 0, wrap("looking for what cannot be right", err)
	}
	known := map[string]bool{}
	var fresh []Seen
	for _, one := range posted {
		if one.Damaged != nil {
			seen = append(seen, judged{item: postingItem + strconv.FormatInt(one.ID, 10), err: one.Damaged})
		}
		for _, p := range one.Passes {
			if !known[p.ID] {
				known[p.ID] = true
				fresh = append(fresh, p)
			}
		}
	}
	seen = append(seen, f.judgeAll(ctx, fresh)...)
	for _, item := range due {
		seen = append(seen, f.again(ctx, item))
	}
	if err := ctx.Err(); err != nil {
		return 0, 0, wrap("looking for what cannot be right", err)
	}
	waited := map[string]bool{}
	for _, item := range due {
		waited[item] = true
	}
	for _, one := range seen {
		n, raiseErr := f.raiseAll(ctx, one.flags)
		raised += n
		switch one.err = errors.Join(one.err, raiseErr); {
		case ctx.Err() != nil:
			return 0, raised, errors.Join(err, one.err)
		case one.err != nil:
			err = errors.Join(err, f.putOff(ctx, JobFlags, one.item, one.err))
		case waited[one.item]:
			err = errors.Join(err, f.Keeping.Do(ctx, func(tx Tx) error { return tx.DropPutOff(ctx, JobFlags, one.item) }))
		}
	}
	moved := len(posted) == 0
	keep := func(tx Tx) error {
		n, err := tx.CountPutOff(ctx, JobFlags)
		if err != nil || moved {
			return err
		}
		if n > maxPutOff {
			return fmt.Errorf("%d passes and postings wait to be looked at again; the flags go on when the cause is mended", n)
		}
		// Where another process moved it, that one has raised the same.
		_, err = tx.PutFlagsFrom(ctx, from, posted[len(posted)-1].ID)
		moved = err == nil
		return err
	}
	if keepErr := f.Keeping.Do(ctx, keep); keepErr != nil {
		return 0, raised, errors.Join(err, wrap("keeping how far the flags are", keepErr))
	}
	return len(posted), raised, err
}

// Kinds of items of JobFlags.
const (
	passItem    = "pass:"
	postingItem = "posting:"
)

// judgeAll finds the flags of passes: on one snapshot, and where that fails on
// one each, so that it is known which fails.
func (f *Flags) judgeAll(ctx context.Context, passes []Seen) []judged {
	var list []judged
	err := f.Keeping.View(ctx, func(tx Tx) error {
		list = list[:0]
		for _, p := range passes {
			flags, err := f.judge(ctx, tx, p)
			if err != nil {
				return err
			}
			list = append(list, judged{item: passItem + p.ID, flags: flags})
		}
		return nil
	})
	if err == nil {
		return list
	}
	list = list[:0]
	for _, p := range passes {
		one := judged{item: passItem + p.ID}
		one.err = f.Keeping.View(ctx, func(tx Tx) (err error) {
			one.flags, err = f.judge(ctx, tx, p)
			return err
		})
		list = append(list, one)
	}
	return list
}

// again looks at a pass or posting that failed.
func (f *Flags) again(ctx context.Context, item string) judged {
	one := judged{item: item}
	one.err = f.Keeping.View(ctx, func(tx Tx) error {
		one.flags = nil
		if id, ok := strings.CutPrefix(item, passItem); ok {
			p, err := tx.PassStands(ctx, id)
			if errors.Is(err, billing.ErrNotFound) {
				return nil
			}
			if err == nil {
				one.flags, err = f.judge(ctx, tx, Seen{ID: p.ID, Vehicle: p.Vehicle, FirstMicros: p.FirstMicros})
			}
			return err
		}
		number, err := strconv.ParseInt(strings.TrimPrefix(item, postingItem), 10, 64)
		if err != nil {
			return err
		}
		posted, err := tx.PostedAfter(ctx, number-1, f.Clock.Now(), 1)
		if err != nil || len(posted) == 0 || posted[0].ID != number {
			return err // the outbox has forgotten it
		}
		if posted[0].Damaged != nil {
			return posted[0].Damaged
		}
		for _, p := range posted[0].Passes {
			flags, err := f.judge(ctx, tx, p)
			if err != nil {
				return err
			}
			one.flags = append(one.flags, flags...)
		}
		return nil
	})
	return one
}

// raiseAll raises flags, and returns how many were new.
func (f *Flags) raiseAll(ctx context.Context, flags []Flag) (raised int, failed error) {
	for _, one := range flags {
		fresh, err := f.raise(ctx, one)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("raising flag %s: %w", one.Key, err))
		} else if fresh {
			raised++
		}
	}
	return raised, failed
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
	if exact(flag.Rule) {
		// Whoever decides of one of them at the same time comes before or after.
		if err := tx.LockPasses(ctx, flag.Passes); err != nil {
			return "", err
		}
	}
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
	// Where another flag kept it as the one that is right, a person decides.
	free, err := tx.PutTwins(ctx, pass, flag.Passes, d.Reference, now)
	if err != nil || !free {
		return d.Reference, err
	}
	_, err = f.Decide(ctx, tx, d.Reference, d.Revision, Ruling{
		Outcome: Upheld, Code: CountedTwice, Act: Exempt, PassRevision: p.Revision, Note: flag.words(),
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
