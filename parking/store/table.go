package store

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"freeflow/internal/database"
	"freeflow/parking"
)

// table says how records of one kind stand in the database.
type table struct {
	// what is the record's name in errors.
	what string
	name string
	// columns in the order of their parameters; the first keys of them name
	// the record.
	columns []string
	keys    int
	// insert adds a record unless one with its key, or something unique of it,
	// is there; update changes the record whose revision is one lower.
	insert, update string
	// list is the columns, for SELECT.
	list string
}

// newTable writes the statements of a table. When an allocation was assigned,
// since when it holds its bay, and the mark that it counts under are not changed
// by updates.
func newTable(what, name string, keys int, columns ...string) table {
	t := table{what: what, name: name, columns: columns, keys: keys, list: strings.Join(columns, ", ")}
	t.insert = "INSERT INTO " + name + " (" + t.list + ") VALUES (" + database.Placeholders(1, len(columns)) + ") ON CONFLICT DO NOTHING"
	var set, where []string
	n := 0
	for i, c := range columns {
		if fixed(c) {
			continue
		}
		n++
		switch {
		case i < keys:
			where = append(where, fmt.Sprintf("%s = $%d", c, n))
			continue
		case c == "revision":
			where = append(where, fmt.Sprintf("revision + 1 = $%d", n))
		}
		set = append(set, fmt.Sprintf("%s = $%d", c, n))
	}
	t.update = "UPDATE " + name + " SET " + strings.Join(set, ", ") + " WHERE " + strings.Join(where, " AND ")
	return t
}

func fixed(column string) bool {
	return column == "assigned_micros" || column == "since_micros" || column == "mark"
}

// updateArgs picks the parameters of update from those of insert.
func (t *table) updateArgs(args []any) []any {
	var picked []any
	for i, c := range t.columns {
		if !fixed(c) {
			picked = append(picked, args[i])
		}
	}
	return picked
}

// put adds a record of revision 1 or changes the one before; ErrStale.
func (t *table) put(ctx context.Context, db database.Session, id string, revision int64, args []any) error {
	if revision < 1 {
		return fmt.Errorf("%s %s: %w: revision %d; the first is 1", t.what, id, parking.ErrInvalid, revision)
	}
	if err := t.check(id, args); err != nil {
		return err
	}
	query := t.insert
	if revision > 1 {
		query, args = t.update, t.updateArgs(args)
	}
	n, err := db.Exec(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("writing %s %s: %w", t.what, id, err)
	}
	if n == 0 {
		return t.stale(id, revision)
	}
	return nil
}

func (t *table) stale(id string, revision int64) error {
	if revision == 1 {
		return fmt.Errorf("%s %s: %w: it exists already", t.what, id, parking.ErrStale)
	}
	return fmt.Errorf("%s %s: %w: it does not stand at revision %d", t.what, id, parking.ErrStale, revision-1)
}

// one reads a single record; ErrNotFound.
func one[T any](ctx context.Context, db database.Session, t *table, scan func(database.Rows) (T, error), id, rest string, args ...any) (T, error) {
	found, err := all(ctx, db, t, scan, rest, args...)
	if err != nil || len(found) == 0 {
		var none T
		if err == nil {
			err = &parking.NotFoundError{Kind: t.what, ID: id}
		}
		return none, err
	}
	return found[0], nil
}

// all reads records; rest is what follows FROM.
func all[T any](ctx context.Context, db database.Session, t *table, scan func(database.Rows) (T, error), rest string, args ...any) ([]T, error) {
	var found []T
	err := database.Each(ctx, db, "SELECT "+t.list+" FROM "+t.name+" "+rest, args, func(r database.Rows) error {
		record, err := scan(r)
		found = append(found, record)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading %ss: %w", t.what, err)
	}
	return found, nil
}

// Bounds of texts, in bytes: of those that people write or read, and of names,
// which stand in indexes.
const (
	maxText = 4000
	maxName = 500
)

// check refuses texts that a database cannot hold, so that one bad record does
// not take its batch with it.
func (t *table) check(id string, args []any) error {
	for i, arg := range args {
		text, ok := arg.(string)
		if !ok {
			continue
		}
		limit := maxName
		switch t.columns[i] {
		case "why", "next_bay", "decided_by", "reason", "said_by", "detail", "cleared_by", "note", "flags", "location":
			limit = maxText
		}
		if err := checkText(t.columns[i], text, limit); err != nil {
			return fmt.Errorf("%s %.64q: %w", t.what, id, err)
		}
		if i < t.keys && text == "" {
			return fmt.Errorf("%s: %w: %s is empty", t.what, parking.ErrInvalid, t.columns[i])
		}
	}
	return nil
}

func checkText(what, text string, limit int) error {
	if len(text) > limit {
		return fmt.Errorf("%w: %s has %d bytes, at most %d are kept", parking.ErrInvalid, what, len(text), limit)
	}
	if !utf8.ValidString(text) {
		return fmt.Errorf("%w: %s is not UTF-8", parking.ErrInvalid, what)
	}
	return nil
}
