package governance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"time"

	"freeflow/internal/clock"
)

// Shown says that a sign showed a toll from an instant on, until the next of
// the same sign, toll point and class.
type Shown struct {
	// Sign names the sign at the toll point.
	Sign             string
	TollPoint, Class string
	From             time.Time
	// Dark says that it showed nothing; Cents is 0 then.
	Dark  bool
	Cents int64
}

// Times of the comparison.
const (
	// DisplayTolerance is how far a sign and the minute of the tariff may be
	// apart: a pass agrees with a sign that showed its toll at any time from so
	// long before it until so long after it.
	DisplayTolerance = 10 * time.Second
	// displaySettle is how long passes and signs have to arrive before they are
	// compared; displayLate is when they are compared a second time, for those
	// that came late.
	displaySettle = 20 * time.Second
	displayLate   = 2 * time.Hour
	// displayStep bounds the passes of one turn.
	displayStep = 5 * time.Minute
)

// signs are what the signs of one toll point and class showed, in the order of
// time, each with its name.
type signs struct {
	names []string
	shown map[string][]Shown
}

// Board is what signs showed in a stretch of time. Not changed after NewBoard.
type Board struct {
	by map[[2]string]*signs
	// tolerance as of DisplayTolerance.
	tolerance time.Duration
}

// NewBoard returns a board of what was shown, in any order.
func NewBoard(shown []Shown, tolerance time.Duration) *Board {
	b := &Board{by: map[[2]string]*signs{}, tolerance: tolerance}
	for _, s := range shown {
		key := [2]string{s.TollPoint, s.Class}
		at := b.by[key]
		if at == nil {
			at = &signs{shown: map[string][]Shown{}}
			b.by[key] = at
		}
		if at.shown[s.Sign] == nil {
			at.names = append(at.names, s.Sign)
		}
		at.shown[s.Sign] = append(at.shown[s.Sign], s)
	}
	for _, at := range b.by {
		slices.Sort(at.names)
		for _, list := range at.shown {
			slices.SortFunc(list, func(a, b Shown) int { return a.From.Compare(b.From) })
		}
	}
	return b
}

// Verdict is how a pass compares with the signs.
type Verdict int

// The verdicts.
const (
	// NoSign: no sign showed a toll for the class then.
	NoSign Verdict = iota
	Agrees
	Differs
)

// Compare returns how a pass compares with every sign at its toll point, and
// where it differs what the first such sign, by name, showed at the pass time.
func (b *Board) Compare(p *Pass) (Verdict, Shown) {
	at := b.by[[2]string{p.TollPoint, p.Class}]
	if at == nil {
		return NoSign, Shown{}
	}
	verdict := NoSign
	for _, name := range at.names {
		v, shown := compareSign(at.shown[name], time.UnixMicro(p.FirstMicros), p.AmountCents, b.tolerance)
		if v == Differs {
			return Differs, shown
		}
		verdict = max(verdict, v)
	}
	return verdict, Shown{}
}

// compareSign compares with one sign, whose displays are in order.
func compareSign(list []Shown, at time.Time, cents int64, tolerance time.Duration) (Verdict, Shown) {
	// next is the first display begun after the instant.
	next := func(at time.Time) int {
		return sort.Search(len(list), func(i int) bool { return list[i].From.After(at) })
	}
	first, now, end := max(next(at.Add(-tolerance))-1, 0), next(at)-1, next(at.Add(tolerance))
	for _, s := range list[first:end] {
		// Dark for a moment says nothing about the toll around it.
		if !s.Dark && s.Cents == cents {
			return Agrees, Shown{}
		}
	}
	if now < 0 || list[now].Dark {
		return NoSign, Shown{}
	}
	return Differs, list[now]
}

// Gap is a pass that was rated otherwise than a sign showed, or a display that
// the tariff does not give.
type Gap struct {
	// Pass is the pass's id, or "sign:" and the display's sign and microsecond.
	Pass             string
	TollPoint, Class string
	At               time.Time
	RatedCents       int64
	ShownCents       int64
	Sign             string
	// Found is when the comparison found it.
	Found time.Time
}

// Finding is the alarm on a toll point and class, raised by the first gap and
// open until a person closes it. Gaps are those since it was raised.
type Finding struct {
	ID               string
	TollPoint, Class string
	// First is the gap that raised it.
	First  Gap
	Raised time.Time
	// Last is the pass time of the latest gap, Count how many there are.
	Last  time.Time
	Count int64
	// Closed is the zero time while it is open.
	Closed   time.Time
	ClosedBy string
	Reason   string
}

// DisplayStore keeps what signs showed and what the comparison found.
type DisplayStore interface {
	// AddShown keeps displays; one that is there already, of the same sign,
	// toll point, class and instant, is no error where it is the same and
	// ErrConflict where it is not: what a sign showed is never edited. The gaps
	// are kept as those of Found.
	AddShown(ctx context.Context, network, by string, at time.Time, shown []Shown, gaps []Gap) (raised []Finding, err error)
	// Shown returns what the signs showed in [from, to], with what each showed
	// when it began.
	Shown(ctx context.Context, network string, from, to time.Time) ([]Shown, error)
	// HasSigns reports whether any sign ever showed anything.
	HasSigns(ctx context.Context, network string) (bool, error)
	// Progress returns until when a sweep has compared; the zero time if it
	// never did.
	Progress(ctx context.Context, network, sweep string) (time.Time, error)
	// Found moves a sweep's progress from one instant to another, keeps the
	// gaps that are new and raises findings of those, in one transaction.
	// ErrStale if the sweep does not stand at from.
	Found(ctx context.Context, network, sweep string, from, to time.Time, gaps []Gap) (raised []Finding, err error)
	// Findings returns findings, the newest first; closed ones too if told.
	Findings(ctx context.Context, network string, closed bool, limit int) ([]Finding, error)
	// CloseFinding closes a finding; again by anybody is no error. ErrNotFound.
	CloseFinding(ctx context.Context, network, id, by, reason string, at time.Time) (Finding, error)
}

// Displays compares rated with displayed tolls. Safe for concurrent use; two
// that work on one store share the work.
type Displays struct {
	Store  DisplayStore
	Live   *Live
	Passes Passes
	Clock  clock.Clock
	// Raised hears of every finding raised here; may be nil.
	Raised func(Finding)
}

// Told is what the API answers for one display.
type Told struct {
	Shown
	// TariffCents is what the network in force at From gives, if it gives
	// anything; Agrees whether the sign showed that.
	TariffCents int64
	Rated       bool
	Agrees      bool
}

// Show keeps what signs showed and says at once which of it the tariff does not
// give: a sign that disagrees can be seen before anybody passes. Errors:
// ErrInvalid, naming the item; ErrConflict.
func (d *Displays) Show(ctx context.Context, by string, shown []Shown) ([]Told, error) {
	told := make([]Told, len(shown))
	now := d.Clock.Now()
	var gaps []Gap
	for i := range shown {
		s := &shown[i]
		if err := d.checkShown(s, now); err != nil {
			return nil, fmt.Errorf("displayed toll %d: %w: %w", i+1, ErrInvalid, err)
		}
		s.From = Instant(s.From.UnixMicro())
		told[i] = Told{Shown: *s, Agrees: s.Dark}
		if s.Dark {
			continue
		}
		toll, err := d.Live.Rate(s.TollPoint, s.Class, s.From)
		if err != nil && !known(err) {
			return nil, fmt.Errorf("rating displayed toll %d: %w", i+1, err)
		}
		told[i].TariffCents, told[i].Rated = toll.Cents, err == nil
		told[i].Agrees = err == nil && (toll.Cents == s.Cents || d.nearly(s))
		if err == nil && !told[i].Agrees {
			gaps = append(gaps, Gap{Pass: fmt.Sprintf("sign:%s@%d", s.Sign, s.From.UnixMicro()), TollPoint: s.TollPoint, Class: s.Class, At: s.From,
				RatedCents: toll.Cents, ShownCents: s.Cents, Sign: s.Sign, Found: Instant(now.UnixMicro())})
		}
	}
	raised, err := d.Store.AddShown(ctx, d.Live.Name(), by, Instant(now.UnixMicro()), shown, gaps)
	if err != nil {
		return nil, fmt.Errorf("keeping displayed tolls: %w", err)
	}
	d.tell(raised)
	return told, nil
}

// nearly reports whether the tariff gives what the sign shows within the
// tolerance before or after.
func (d *Displays) nearly(s *Shown) bool {
	for _, off := range []time.Duration{-DisplayTolerance, DisplayTolerance} {
		if toll, err := d.Live.Rate(s.TollPoint, s.Class, s.From.Add(off)); err == nil && toll.Cents == s.Cents {
			return true
		}
	}
	return false
}

func (d *Displays) checkShown(s *Shown, now time.Time) error {
	point, ok := d.Live.Point(s.TollPoint)
	switch {
	case !ok:
		return fmt.Errorf("there is no toll point %.64q", s.TollPoint)
	case !d.Live.ahead().KnowsClass(s.Class):
		return fmt.Errorf("there is no class %.64q; there are %v", s.Class, d.Live.Classes())
	case s.Cents < 0 || s.Cents > 999_999_999 || s.Dark && s.Cents != 0:
		return errors.New("the amount is none that a sign can show")
	case s.From.Unix() < 0 || s.From.After(now.Add(time.Minute)):
		return fmt.Errorf("at %s it cannot have been shown yet; is the sign's clock right?", s.From.UTC().Format(time.RFC3339))
	}
	if err := checkText("the sign's name", s.Sign, MaxPerson); err != nil {
		return fmt.Errorf("at %s: %w", point.Name, err)
	}
	return nil
}

// Sweeps: passes are compared as they come and once more when those that came
// late have arrived.
const (
	sweepNow  = "now"
	sweepLate = "late"
)

// Turn compares what has come since the last turn, and says what it raised. It
// may be run by several processes.
func (d *Displays) Turn(ctx context.Context) ([]Finding, error) {
	// Where no sign tells anything, which is most places, nothing is written.
	if any, err := d.Store.HasSigns(ctx, d.Live.Name()); err != nil || !any {
		return nil, err
	}
	var raised []Finding
	for _, sweep := range []struct {
		name  string
		delay time.Duration
	}{{sweepNow, displaySettle}, {sweepLate, displayLate}} {
		for {
			more, found, err := d.step(ctx, sweep.name, d.Clock.Now().Add(-sweep.delay))
			raised = append(raised, found...)
			if errors.Is(err, ErrStale) {
				break // another process does it
			}
			if err != nil {
				return raised, fmt.Errorf("comparing rated with displayed tolls: %w", err)
			}
			if !more {
				break
			}
		}
	}
	return raised, nil
}

// step compares the passes of one stretch.
func (d *Displays) step(ctx context.Context, sweep string, until time.Time) (more bool, raised []Finding, err error) {
	network := d.Live.Name()
	from, err := d.Store.Progress(ctx, network, sweep)
	if err != nil {
		return false, nil, err
	}
	to := until.Truncate(time.Second)
	if !from.IsZero() && !from.Before(to) {
		return false, nil, nil
	}
	var gaps []Gap
	if !from.IsZero() {
		if to.Sub(from) > displayStep {
			to, more = from.Add(displayStep), true
		}
		if _, err := d.report(ctx, from, to, func(g Gap) { gaps = append(gaps, g) }); err != nil {
			return false, nil, err
		}
	}
	raised, err = d.Store.Found(ctx, network, sweep, from, to, gaps)
	if err == nil {
		d.tell(raised)
	}
	return more, raised, err
}

func (d *Displays) tell(raised []Finding) {
	if d.Raised == nil {
		return
	}
	for _, f := range raised {
		d.Raised(f)
	}
}

// Comparison is how the passes of one toll point and class compare with the
// signs.
type Comparison struct {
	TollPoint, Class string
	// Compared is how many passes were compared, NoSign how many could not be,
	// Differ how many differ.
	Compared, NoSign, Differ int64
	// RatedCents and ShownCents sum up those that differ.
	RatedCents, ShownCents int64
	// First and Last are the times of the first and last that differ.
	First, Last time.Time
}

// Report compares the passes of a period as the books have them now. It holds
// the toll points and classes at which something was shown or passed, in order.
func (d *Displays) Report(ctx context.Context, from, to time.Time) ([]Comparison, error) {
	if !from.Before(to) || to.Sub(from) > mostDays*24*time.Hour {
		return nil, fmt.Errorf("comparing displayed tolls: %w: give a period of at most %d days", ErrInvalid, mostDays)
	}
	var all []Comparison
	for begin := from; begin.Before(to); {
		end := begin.Add(24 * time.Hour)
		if end.After(to) {
			end = to
		}
		day, err := d.report(ctx, begin, end, func(Gap) {})
		if err != nil {
			return nil, fmt.Errorf("comparing displayed tolls: %w", err)
		}
		if all, err = addUp(all, day); err != nil {
			return nil, err
		}
		begin = end
	}
	slices.SortFunc(all, func(a, b Comparison) int {
		return cmp.Or(cmp.Compare(a.TollPoint, b.TollPoint), cmp.Compare(a.Class, b.Class))
	})
	return all, nil
}

func addUp(all, more []Comparison) ([]Comparison, error) {
	for _, c := range more {
		i := slices.IndexFunc(all, func(a Comparison) bool { return a.TollPoint == c.TollPoint && a.Class == c.Class })
		if i < 0 {
			all = append(all, c)
			continue
		}
		a := &all[i]
		if a.RatedCents > math.MaxInt64-c.RatedCents || a.ShownCents > math.MaxInt64-c.ShownCents {
			return nil, errTooMuch
		}
		a.Compared, a.NoSign, a.Differ = a.Compared+c.Compared, a.NoSign+c.NoSign, a.Differ+c.Differ
		a.RatedCents, a.ShownCents = a.RatedCents+c.RatedCents, a.ShownCents+c.ShownCents
		if a.First.IsZero() {
			a.First = c.First
		}
		if !c.Last.IsZero() {
			a.Last = c.Last
		}
	}
	return all, nil
}

// report compares the passes of a stretch, and tells each gap; nil where no
// sign shows anything, without a look at the passes.
func (d *Displays) report(ctx context.Context, from, to time.Time, tell func(Gap)) ([]Comparison, error) {
	shown, err := d.Store.Shown(ctx, d.Live.Name(), from.Add(-DisplayTolerance), to.Add(DisplayTolerance))
	if err != nil || len(shown) == 0 {
		return nil, err
	}
	board := NewBoard(shown, DisplayTolerance)
	found := d.Clock.Now()
	by := map[[2]string]*Comparison{}
	err = d.Passes.Each(ctx, from, to, func(p *Pass) error {
		if !p.Owing {
			return nil
		}
		key := [2]string{p.TollPoint, p.Class}
		c := by[key]
		if c == nil {
			c = &Comparison{TollPoint: p.TollPoint, Class: p.Class}
			by[key] = c
		}
		verdict, s := board.Compare(p)
		if verdict == NoSign {
			c.NoSign++
			return nil
		}
		c.Compared++
		if verdict == Agrees {
			return nil
		}
		if c.RatedCents > math.MaxInt64-p.AmountCents || c.ShownCents > math.MaxInt64-s.Cents {
			return errTooMuch
		}
		at := Instant(p.FirstMicros)
		c.Differ++
		c.RatedCents, c.ShownCents = c.RatedCents+p.AmountCents, c.ShownCents+s.Cents
		if c.First.IsZero() {
			c.First = at
		}
		c.Last = at
		tell(Gap{Pass: p.ID, TollPoint: p.TollPoint, Class: p.Class, At: at, RatedCents: p.AmountCents, ShownCents: s.Cents, Sign: s.Sign, Found: Instant(found.UnixMicro())})
		return nil
	})
	if err != nil {
		return nil, err
	}
	list := make([]Comparison, 0, len(by))
	for _, c := range by {
		list = append(list, *c)
	}
	return list, nil
}
