package registry

import (
	"encoding/csv"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// Current holds the registry in force; safe for concurrent use. A reader sees
// one whole registry or the next, never a mixture.
type Current struct{ now atomic.Pointer[Registry] }

// NewCurrent returns a holder of an empty registry.
func NewCurrent() *Current {
	c := &Current{}
	c.Set(New(nil))
	return c
}

// Get returns the registry in force.
func (c *Current) Get() *Registry { return c.now.Load() }

// Set puts another registry in force.
func (c *Current) Set(r *Registry) { c.now.Store(r) }

// Write writes rows as registry.csv with times in the zone given. What Parse
// makes of it is the same rows.
func Write(out io.Writer, rows []Assignment, zone *time.Location) error {
	w := csv.NewWriter(out)
	if err := w.Write(Columns); err != nil {
		return fmt.Errorf("writing the registry: %w", err)
	}
	at := func(micros int64) string {
		return time.UnixMicro(micros).In(zone).Format("2006-01-02T15:04:05.999999Z07:00")
	}
	for i := range rows {
		a := &rows[i]
		to, exempt := "", ""
		if a.ToMicros != 0 {
			to = at(a.ToMicros)
		}
		if a.Exempt {
			exempt = "true"
		}
		if err := w.Write([]string{a.Account, a.Plate, a.Class, a.Tag, at(a.FromMicros), to, exempt}); err != nil {
			return fmt.Errorf("writing the registry: %w", err)
		}
	}
	w.Flush()
	return w.Error()
}
