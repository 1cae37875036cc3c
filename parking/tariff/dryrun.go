package tariff

import (
	"context"
	"fmt"
	"iter"
)

// Comparison is what past stays would have cost by a new tariff.
type Comparison struct {
	// Classes are by vehicle class.
	Classes map[string]*ClassComparison
	// Failures are the first stays that one of the tariffs could not rate, at
	// most 100, and FailureCount all of them; they are in no total.
	Failures     []Failure
	FailureCount int64
}

// ClassComparison are one class's totals, in cents.
type ClassComparison struct {
	Stays, Dearer, Cheaper, Same int64
	OldCents, NewCents           int64
	// MostDearer and MostCheaper are the stays with the largest differences,
	// the first of equals; nil where there is none.
	MostDearer, MostCheaper *Difference
}

// Difference is one stay by both tariffs, in cents.
type Difference struct {
	StayID             string
	OldCents, NewCents int64
}

// Failure is a stay that could not be compared.
type Failure struct {
	StayID string
	// Side is "old", "new", or "input" where the stay itself could not be read.
	Side string
	Err  error
}

const (
	maxFailures        = 100
	maxCompareClasses  = 200
	otherClasses       = "(others)"
	dryRunCheckEvery   = 1024
	differenceIDLength = 200
)

// DryRun rates every stay by two books and compares their totals. Memory does
// not grow with the number of stays. An error of the sequence counts as a
// failure and does not end it. The error returned is the context's.
func DryRun(ctx context.Context, before, after *Book, stays iter.Seq2[Stay, error]) (*Comparison, error) {
	out := &Comparison{Classes: map[string]*ClassComparison{}}
	n := 0
	for s, err := range stays {
		if n%dryRunCheckEvery == 0 && ctx.Err() != nil {
			return out, fmt.Errorf("comparing tariffs after %d stays: %w", n, ctx.Err())
		}
		n++
		if err != nil {
			out.fail(s.ID, "input", err)
			continue
		}
		// Each side rates by what it holds, whatever was stored with the stay.
		s.Version, s.Quote = "", nil
		x, err := before.Rate(s)
		if err != nil {
			out.fail(s.ID, "old", err)
			continue
		}
		y, err := after.Rate(s)
		if err != nil {
			out.fail(s.ID, "new", err)
			continue
		}
		out.class(s.Class).add(s.ID, x.TotalCents, y.TotalCents)
	}
	return out, nil
}

func (c *Comparison) fail(id, side string, err error) {
	c.FailureCount++
	if len(c.Failures) < maxFailures {
		c.Failures = append(c.Failures, Failure{id, side, err})
	}
}

func (c *Comparison) class(name string) *ClassComparison {
	x := c.Classes[name]
	if x == nil {
		if len(c.Classes) >= maxCompareClasses {
			name = otherClasses
			if x = c.Classes[name]; x != nil {
				return x
			}
		}
		x = &ClassComparison{}
		c.Classes[name] = x
	}
	return x
}

func (c *ClassComparison) add(id string, before, after int64) {
	c.Stays++
	c.OldCents += before
	c.NewCents += after
	id = id[:min(len(id), differenceIDLength)]
	switch d := after - before; {
	case d == 0:
		c.Same++
	case d > 0:
		c.Dearer++
		if c.MostDearer == nil || d > c.MostDearer.NewCents-c.MostDearer.OldCents {
			c.MostDearer = &Difference{id, before, after}
		}
	default:
		c.Cheaper++
		if c.MostCheaper == nil || d < c.MostCheaper.NewCents-c.MostCheaper.OldCents {
			c.MostCheaper = &Difference{id, before, after}
		}
	}
}
