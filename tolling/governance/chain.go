package governance

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"freeflow/tolling/tariff"
)

// Entry is a statement that verified, with its files.
type Entry struct {
	Signed
	// Hash is the statement's.
	Hash string
	// Files are the network's, nil in a withdrawal.
	Files tariff.Files
	// Loaded is the network, nil in a withdrawal.
	Loaded *tariff.Network
}

// Row is a statement as it stands in a store, unbelieved: with the canonical
// bytes of its files.
type Row struct {
	Signed
	// Canonical is nil in a withdrawal, and where the files are not there.
	Canonical []byte
}

// Chain is a network's statements that verified, from the seed on, with what
// they come to. It never changes: Extend gives another one.
type Chain struct {
	entries []Entry
	// spans are the publications that stand, in order of their numbers.
	spans []*Entry
}

// Unsigned returns a chain of one network that nobody signed: for a process that
// starts before the network's seed is planted, and for work on files alone.
// Nothing extends it.
func Unsigned(files tariff.Files, label string) (*Chain, error) {
	network, err := files.Load(label)
	if err != nil {
		return nil, err
	}
	c := &Chain{entries: []Entry{{
		Signed: Signed{Statement: Statement{Network: network.Name(), Kind: Seed, Content: files.Digest(), By: "this process"}},
		Files:  files, Loaded: network,
	}}}
	c.settle()
	return c, nil
}

// IsSigned reports whether the chain's statements are signed ones.
func (c *Chain) IsSigned() bool { return len(c.entries) > 0 && c.entries[0].Signature != nil }

// Rows returns the statements in the form in which they can be kept elsewhere
// and be judged again.
func (c *Chain) Rows() []Row {
	rows := make([]Row, len(c.entries))
	for i, e := range c.entries {
		rows[i] = Row{Signed: e.Signed}
		if e.Files != nil {
			rows[i].Canonical = e.Files.Canonical()
		}
	}
	return rows
}

// Entries returns the statements; the slice is the caller's own.
func (c *Chain) Entries() []Entry { return slices.Clone(c.entries) }

// Len returns how many statements there are.
func (c *Chain) Len() int { return len(c.entries) }

// Head returns the last statement, nil if there is none.
func (c *Chain) Head() *Entry {
	if len(c.entries) == 0 {
		return nil
	}
	return &c.entries[len(c.entries)-1]
}

// Standing returns the last publication, or seed, that was not withdrawn; nil
// if there is none.
func (c *Chain) Standing() *Entry {
	if len(c.spans) == 0 {
		return nil
	}
	return c.spans[len(c.spans)-1]
}

// At returns the publication that rates passes of an instant: of those not
// withdrawn and effective by then the one published last. nil if there is none.
func (c *Chain) At(at time.Time) *Entry {
	for i := len(c.spans) - 1; i >= 0; i-- {
		if e := c.spans[i]; e.Kind == Seed || !e.Effective.After(at) {
			return e
		}
	}
	return nil
}

// Withdrawn reports whether the publication of that number was withdrawn.
func (c *Chain) Withdrawn(sequence int64) bool {
	return slices.ContainsFunc(c.entries, func(e Entry) bool { return e.Kind == Withdrawal && e.Withdraws == sequence })
}

// Networks returns the networks of all publications that were not withdrawn,
// in order. What was withdrawn never rated a pass and binds nobody.
func (c *Chain) Networks() []*tariff.Network {
	all := make([]*tariff.Network, len(c.spans))
	for i, e := range c.spans {
		all[i] = e.Loaded
	}
	return all
}

// Extend returns a chain of this one's statements and those of the rows that
// follow it. The rows begin at number 0, or after the chain's last statement
// (whole false). It ends with the first row that does not verify, which the
// error tells; the chain is good all the same. Rows that should repeat the
// chain and do not, or are missing, are told too, and the chain's own hold.
func (c *Chain) Extend(rows []Row, keys Keys, whole bool) (*Chain, error) {
	next := &Chain{entries: slices.Clone(c.entries)}
	next.settle()
	var wrong []error
	if whole {
		for i := range c.entries {
			if i >= len(rows) {
				wrong = append(wrong, fmt.Errorf("statement %d of %s is missing in the database, and was there before", i, c.entries[i].Network))
				break
			}
			if err := c.entries[i].same(&rows[i]); err != nil {
				wrong = append(wrong, err)
			}
		}
		rows = rows[min(len(rows), len(c.entries)):]
	}
	for i := range rows {
		e, err := next.judge(&rows[i], keys)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("statement %d of %.64q is refused: %w", rows[i].Sequence, rows[i].Network, err))
			break
		}
		next.entries = append(next.entries, e)
		next.settle()
	}
	return next, errors.Join(wrong...)
}

// same compares a row with the statement that was believed.
func (e *Entry) same(r *Row) error {
	if r.Hash() != e.Hash || r.Key != e.Key || !bytes.Equal(r.Signature, e.Signature) {
		return fmt.Errorf("statement %d of %s was changed in the database", e.Sequence, e.Network)
	}
	if e.Files == nil {
		return nil
	}
	if !bytes.Equal(r.Canonical, e.Files.Canonical()) {
		return fmt.Errorf("the files of statement %d of %s were changed in the database", e.Sequence, e.Network)
	}
	return nil
}

// judge believes a row or says why not.
func (c *Chain) judge(r *Row, keys Keys) (Entry, error) {
	if err := keys.verify(&r.Signed); err != nil {
		return Entry{}, err
	}
	if err := c.follows(&r.Statement); err != nil {
		return Entry{}, err
	}
	e := Entry{Signed: r.Signed, Hash: r.Hash()}
	if r.Kind == Withdrawal {
		return e, nil
	}
	files, err := tariff.ParseFiles(r.Canonical)
	if err != nil {
		return Entry{}, err
	}
	if files.Digest() != r.Content {
		return Entry{}, fmt.Errorf("%w: the files are not those of the digest that was signed", ErrSignature)
	}
	network, err := files.Load(fmt.Sprintf("%s, statement %d", r.Network, r.Sequence))
	if err != nil {
		return Entry{}, err
	}
	if network.Name() != r.Network {
		return Entry{}, fmt.Errorf("its files are of the network %.64q", network.Name())
	}
	if before := c.Standing(); before != nil {
		if bad := tariff.Succession(before.Loaded, network, files); len(bad) > 0 {
			return Entry{}, fmt.Errorf("it cannot take the place of what was published: %s", bad[0])
		}
	}
	e.Files, e.Loaded = files, network
	return e, nil
}

// follows checks what must hold between a statement and those before it,
// signed or not.
func (c *Chain) follows(s *Statement) error {
	head := c.Head()
	switch {
	case s.Sequence != int64(len(c.entries)):
		return fmt.Errorf("statement %d should come here", len(c.entries))
	case (s.Kind == Seed) != (head == nil):
		return errors.New("the first statement is the seed, and no other")
	case head != nil && s.Network != head.Network:
		return errors.New("it is of another network")
	case head != nil && s.Previous != head.Hash:
		return errors.New("it does not follow the statement before it; it may be of another system")
	}
	switch s.Kind {
	case Seed:
		return nil
	case Publication:
		switch {
		case len(s.Makers) == 0 || s.Checker == "" || slices.Contains(s.Makers, s.Checker):
			return errors.New("it was not approved by a second person")
		case s.Effective.IsZero():
			return errors.New("it says no instant")
		}
		return nil
	case Withdrawal:
		standing := c.Standing()
		if standing == nil || standing.Kind != Publication || standing.Sequence != s.Withdraws {
			return errors.New("it withdraws what is not the last publication")
		}
		return nil
	}
	return fmt.Errorf("its kind, %.64q, is unknown", s.Kind)
}

// settle finds the publications that stand.
func (c *Chain) settle() {
	c.spans = nil
	for i := range c.entries {
		e := &c.entries[i]
		if e.Kind == Withdrawal {
			c.spans = slices.DeleteFunc(c.spans, func(s *Entry) bool { return s.Sequence == e.Withdraws })
			continue
		}
		c.spans = append(c.spans, e)
	}
}
