package store

import (
	"context"
	"fmt"
	"strings"

	"freeflow/internal/database"
	"freeflow/parking"
)

// maxPage bounds one page of a list.
const maxPage = 10_000

// filter is a WHERE clause in the making. The zero value lets everything pass.
type filter struct {
	conditions []string
	args       []any
}

// add adds a condition, in which $? stands for the next argument.
func (f *filter) add(condition string, args ...any) {
	for _, arg := range args {
		f.args = append(f.args, arg)
		condition = strings.Replace(condition, "$?", fmt.Sprintf("$%d", len(f.args)), 1)
	}
	f.conditions = append(f.conditions, condition)
}

// equal adds a condition unless value is empty.
func (f *filter) equal(column, value string) {
	if value != "" {
		f.add(column+" = $?", value)
	}
}

// rest is what follows FROM, up to the order.
func (f *filter) rest(order string) string {
	where := ""
	if len(f.conditions) > 0 {
		where = "WHERE " + strings.Join(f.conditions, " AND ")
	}
	return where + " ORDER BY " + order
}

// page is what follows FROM for one page in order of time and id. ErrNotFound
// where the page follows what is not there.
func (f *filter) page(ctx context.Context, db database.Session, t *table, time string, p parking.Page) (string, []any, error) {
	if p.Limit < 1 || p.Limit > maxPage {
		return "", nil, fmt.Errorf("listing %ss: %w: a limit of %d; from 1 to %d are listed at a time", t.what, parking.ErrInvalid, p.Limit, maxPage)
	}
	if p.After != "" {
		var last int64
		found, err := database.One(ctx, db, "SELECT "+time+" FROM "+t.name+" WHERE id = $1", []any{p.After}, &last)
		if err != nil {
			return "", nil, err
		}
		if !found {
			return "", nil, fmt.Errorf("listing %ss after %s: %w", t.what, p.After, parking.ErrNotFound)
		}
		f.add("("+time+", id) > ($?, $?)", last, p.After)
	}
	if !p.From.IsZero() {
		f.add(time+" >= $?", micros(p.From))
	}
	rest := f.rest(time+", id") + fmt.Sprintf(" LIMIT %d", p.Limit)
	return rest, f.args, nil
}
