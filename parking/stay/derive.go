package stay

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"freeflow/parking"
)

// Derive returns the stays that follow from the input, in order of their first
// known time and anchor. It is pure: the order of the input, and how often
// something is in it, make no difference; of two with one id the first counts.
func Derive(in Input) []Stay {
	w := walk{rules: &in.Rules}
	var list []Stay
	for _, b := range w.run(passages(&in)) {
		list = append(list, b.finish(&in))
	}
	slices.SortFunc(list, func(a, b Stay) int {
		return cmp.Or(a.Began().Compare(b.Began()), strings.Compare(a.Anchor, b.Anchor))
	})
	return list
}

// Began is the entry, or the exit where the entry is not known.
func (s *Stay) Began() time.Time {
	if s.Entry.IsZero() {
		return s.Exit
	}
	return s.Entry
}

// Has reports whether the stay has the flag.
func (s *Stay) Has(flag string) bool { _, found := slices.BinarySearch(s.Flags, flag); return found }

// Belongs reports whether the anchor is one that the stay could have had.
func (s *Stay) Belongs(anchor string) bool {
	if id, bay := strings.CutPrefix(anchor, BayAnchor("")); bay {
		_, found := slices.BinarySearch(s.Allocations, id)
		return found
	}
	_, found := slices.BinarySearch(s.Events, anchor)
	return found
}

func (b *building) finish(in *Input) Stay {
	s := Stay{Visits: b.visits, Open: b.inside, Flags: b.flags, Names: b.marks.all()}
	for _, e := range b.events {
		s.Events = insert(s.Events, e)
	}
	for _, a := range b.berths {
		s.Allocations = insert(s.Allocations, a.ID)
	}
	slices.SortFunc(b.witnesses, compareWitness)
	b.name(&s)
	s.Anchor = anchor(&s)
	s.measure(&in.Rules)
	s.Basis = basis(&s)
	s.decide(in.Decisions)
	if s.Decision != nil {
		s.measure(&in.Rules)
	}
	return s
}

func anchor(s *Stay) string {
	for i := range s.Visits {
		if e := s.Visits[i].EntryEvent; e != "" {
			return e
		}
	}
	for i := range s.Visits {
		if e := s.Visits[i].ExitEvent; e != "" {
			return e
		}
	}
	if len(s.Allocations) > 0 {
		return BayAnchor(s.Allocations[0])
	}
	return s.Events[0]
}

// name says whose stay it is.
func (b *building) name(s *Stay) {
	sure := len(b.marks.strong) > 0
	// Who answers: a class tag's account before a plate's, the earliest that
	// names an account before one that does not. What was not read surely does
	// not count beside what was.
	rank := func(w *witness) int {
		switch {
		case sure && !w.strong:
			return 3
		case w.identity.ClassTag && w.identity.Account != "":
			return 0
		case w.identity.Account != "" || w.identity.Exempt:
			return 1
		default:
			return 2
		}
	}
	best := 4
	for i := range b.witnesses {
		w := &b.witnesses[i]
		if r := rank(w); r < best {
			best, s.Holder = r, w.identity
		}
		if s.Tag == "" {
			s.Tag = w.tag
		}
		if s.Ticket == "" {
			s.Ticket = w.ticket
		}
		if w.identity.Conflict {
			b.flag(TagAndPlateDiffer)
		}
	}
	if best == 3 {
		s.Holder = Identity{}
	}
	b.plate(s)
	if !sure {
		b.flag(WeakPlate)
	}
	s.Flags = b.flags
	s.Vehicle = s.Holder.Vehicle
	switch {
	case s.Vehicle != "":
	case s.Plate != "" && (sure && s.Tag == "" && s.Ticket == "" || !sure):
		s.Vehicle = s.Plate
	case s.Tag != "":
		s.Vehicle = TagName(s.Tag)
	case s.Ticket != "":
		s.Vehicle = TicketName(s.Ticket)
	default:
		s.Vehicle = s.Plate
	}
	s.Class = s.Holder.Class
	for i := range b.witnesses {
		if s.Class == "" {
			s.Class = b.witnesses[i].class
		}
	}
	s.Review = s.Has(TagAndPlateDiffer) || s.Has(MissingExit) || s.Has(WeakPlate) && s.Holder.Account != ""
}

// plate picks the plate that the stay shows: one read surely, else that which
// the registry has for its tag, else a doubtful one.
func (b *building) plate(s *Stay) {
	doubtful := ""
	for i := range b.witnesses {
		w := &b.witnesses[i]
		if w.plate == "" {
			continue
		}
		if _, found := slices.BinarySearch(b.marks.strong, w.plate); found {
			s.Plate = w.plate
			return
		}
		if doubtful == "" {
			doubtful = w.plate
		}
	}
	if v := s.Holder.Vehicle; s.Holder.Registered && v != "" && !strings.HasPrefix(v, TagName("")) {
		s.Plate = v
		return
	}
	s.Plate = doubtful
}

// measure makes the times of the visits and of the site's rule (rule 11).
func (s *Stay) measure(r *Rules) {
	s.Entry, s.Exit, s.Berth = s.Visits[0].Entry, time.Time{}, nil
	last := &s.Visits[len(s.Visits)-1]
	if !s.Open {
		s.Exit = last.Exit
	}
	var first *parking.Allocation
	for i := range s.Visits {
		if v := &s.Visits[i]; v.Berth != nil {
			s.Berth = v.Berth
			if first == nil && i == 0 {
				first = v.Berth
			}
		}
	}
	s.ClockFrom = s.Entry
	if r.ClockStart == parking.AtAcceptance && first != nil && first.Machine != "" {
		switch {
		case first.StoredAt.After(s.Entry):
			s.ClockFrom = first.StoredAt
		case !first.StoredAt.IsZero():
		case s.Open && first.RequestedAt.IsZero():
			s.ClockFrom = time.Time{}
		default:
			s.Flags = insert(s.Flags, AcceptanceUnknown)
		}
	}
	s.ClockTo = s.Exit
	if wanted := Wanted(last.Berth); r.ClockStop == parking.AtRequest && !wanted.IsZero() &&
		(s.ClockTo.IsZero() || wanted.Before(s.ClockTo)) && !s.Has(MissingExit) {
		s.ClockTo = wanted
	}
	if !s.ClockTo.IsZero() && s.ClockTo.Before(s.ClockFrom) {
		s.ClockTo = s.ClockFrom
	}
	if len(s.Visits) == 1 && !s.Exit.IsZero() && s.ClockFrom.After(s.Exit) && !s.Entry.IsZero() {
		// By skew: it has no length.
		s.ClockTo = s.ClockFrom
	}
}

// Wanted is when the car was asked for: the request, or the time for which it
// was asked in advance. Zero if it was not, or has no machine.
func Wanted(a *parking.Allocation) time.Time {
	if a == nil || a.Machine == "" || a.RequestedAt.IsZero() {
		return time.Time{}
	}
	if a.NotBefore.After(a.RequestedAt) {
		return a.NotBefore
	}
	return a.RequestedAt
}

// The two forms of a basis: of a stay that is inside, and of one that ended.
const (
	basisOpen   = "open:"
	basisClosed = "closed:"
)

// basis is a digest of what a person sees who decides.
func basis(s *Stay) string {
	open := openBasis(s)
	if s.Open {
		return open
	}
	return basisClosed + digest(open, s.Exit.UTC().Format(time.RFC3339Nano), s.ClockTo.UTC().Format(time.RFC3339Nano), strings.Join(s.Flags, ","))
}

// openBasis is the part of it that the exit does not change.
func openBasis(s *Stay) string {
	h := &s.Holder
	return basisOpen + digest(s.Vehicle, h.Account, s.Class, fmt.Sprint(h.Exempt, h.ClassTag, s.Has(TagAndPlateDiffer), s.Has(WeakPlate)),
		s.Entry.UTC().Format(time.RFC3339Nano))
}

func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// decide applies the last decision on the stay (rule 12).
func (s *Stay) decide(all []Decision) {
	for i := range all {
		d := &all[i]
		if s.Belongs(d.Anchor) && (s.Decision == nil || compareDecisions(d, s.Decision) > 0) {
			s.Decision = d
		}
	}
	d := s.Decision
	if d == nil {
		return
	}
	// What was decided while it was inside stands when it leaves, unless it was
	// when it left.
	stands := d.Basis == s.Basis || d.Exit.IsZero() && d.Basis == openBasis(s)
	if !stands {
		s.Flags = insert(s.Flags, Reopened)
		s.Review = true
		return
	}
	s.Flags = insert(s.Flags, Decided)
	s.Visits = slices.Clone(s.Visits)
	if !d.Entry.IsZero() {
		s.Visits[0].Entry = d.Entry
	}
	if v := &s.Visits[len(s.Visits)-1]; !d.Exit.IsZero() {
		v.Exit, s.Open = d.Exit, false
	}
	// What is put right only in its times may still need a payer.
	s.Review = d.Kind == Correct && (s.Has(TagAndPlateDiffer) || s.Has(WeakPlate) && s.Holder.Account != "" ||
		s.Has(MissingExit) && d.Exit.IsZero())
}

func compareDecisions(a, b *Decision) int {
	return cmp.Or(a.At.Compare(b.At), strings.Compare(a.By, b.By), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Reason, b.Reason),
		cmp.Compare(a.AmountCents, b.AmountCents))
}
