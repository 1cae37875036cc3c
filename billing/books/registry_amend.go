package books

import (
	"context"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"freeflow/billing"
	"freeflow/internal/database"
)

var _ billing.Amending = (*Store)(nil)

// lockRegistry makes those who change the registry at once wait for each other:
// it locks one row until the end of the transaction.
func lockRegistry(ctx context.Context, db database.Session) error {
	_, err := db.Exec(ctx, `INSERT INTO meta AS m (name, value) VALUES ('registry_lock', '') ON CONFLICT (name) DO UPDATE SET value = m.value`)
	return err
}

// AmendRegistry changes a few rows. See billing.Amending.
func (s *Store) AmendRegistry(ctx context.Context, remove, add []billing.Assignment, at time.Time) (int64, error) {
	var version int64
	err := s.db.Write(ctx, func(db database.Session) error {
		var err error
		version, err = amendRegistry(ctx, db, remove, add, at)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("amending the registry: %w", err)
	}
	return version, nil
}

// AmendRegistry is Store.AmendRegistry in this transaction.
func (t *Tx) AmendRegistry(ctx context.Context, remove, add []billing.Assignment, at time.Time) error {
	if _, err := amendRegistry(ctx, t.db, remove, add, at); err != nil {
		return fmt.Errorf("amending the registry: %w", err)
	}
	return nil
}

// standingRow is a row in force.
type standingRow struct {
	id int64
	billing.Assignment
}

// amendment is one change of a few rows on its way.
type amendment struct {
	db database.Session
	// rows are the rows in force of every mark touched, by their ids.
	rows map[int64]billing.Assignment
}

func amendRegistry(ctx context.Context, db database.Session, remove, add []billing.Assignment, at time.Time) (int64, error) {
	remove, add = withSource(remove), withSource(add)
	if err := checkAssignments(add); err != nil {
		return 0, err
	}
	if err := lockRegistry(ctx, db); err != nil {
		return 0, err
	}
	var version, lastID, count int64
	if _, err := database.One(ctx, db, `SELECT version, rows_in FROM registry ORDER BY version DESC LIMIT 1`, nil, &version, &count); err != nil {
		return 0, err
	}
	a := &amendment{db, map[int64]billing.Assignment{}}
	for _, row := range slices.Concat(remove, add) {
		if err := a.load(ctx, row); err != nil {
			return 0, err
		}
	}
	var gone []int64
	for id, row := range a.rows {
		if slices.Contains(remove, row) && !slices.Contains(add, row) {
			gone = append(gone, id)
			delete(a.rows, id)
		}
	}
	slices.Sort(gone)
	var fresh []billing.Assignment
	for _, row := range add {
		if !slices.Contains(fresh, row) && !a.has(row) {
			fresh = append(fresh, row)
		}
	}
	if len(gone)+len(fresh) == 0 {
		return version, nil
	}
	if err := a.contradicted(fresh); err != nil {
		return 0, err
	}
	if _, err := database.One(ctx, db, `SELECT coalesce(max(id), 0) FROM assignment`, nil, &lastID); err != nil {
		return 0, err
	}
	version++
	if err := closeAssignments(ctx, db, gone, version); err != nil {
		return 0, err
	}
	for i := range fresh {
		r := &fresh[i]
		if _, err := db.Exec(ctx, `INSERT INTO assignment (`+assignmentColumns+`, since_version, until_version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0)`,
			lastID+int64(i)+1, r.FromMicros, r.ToMicros, r.Exempt, r.Account, r.Plate, r.Class, r.Tag, r.Source, version); err != nil {
			return 0, err
		}
	}
	_, err := db.Exec(ctx, `INSERT INTO registry (version, put_at, rows_in) VALUES ($1, $2, $3)`,
		version, at.UnixMicro(), count+int64(len(fresh)-len(gone)))
	return version, err
}

// withSource gives rows that say nothing the accounts' source.
func withSource(rows []billing.Assignment) []billing.Assignment {
	rows = slices.Clone(rows)
	for i := range rows {
		if rows[i].Source == "" {
			rows[i].Source = billing.RegistryAccounts
		}
	}
	return rows
}

func checkAssignments(rows []billing.Assignment) error {
	for i := range rows {
		r := &rows[i]
		switch {
		case r.Plate == "" && r.Tag == "":
			return invalid("row %d of the registry assigns neither plate nor tag", i+1)
		case r.ToMicros != 0 && r.ToMicros <= r.FromMicros:
			return invalid("row %d of the registry ends before it begins", i+1)
		}
		for _, text := range []string{r.Account, r.Plate, r.Class, r.Tag, r.Source} {
			if !utf8.ValidString(text) {
				return invalid("row %d of the registry holds text that is not UTF-8", i+1)
			}
		}
	}
	return nil
}

// load takes the rows in force of the row's marks into the amendment. It asks
// for each mark alone, in the words of the partial indexes.
func (a *amendment) load(ctx context.Context, row billing.Assignment) error {
	for _, mark := range []struct{ column, text string }{{"tag", row.Tag}, {"plate", row.Plate}} {
		if mark.text == "" {
			continue
		}
		err := database.Each(ctx, a.db, `SELECT `+assignmentColumns+` FROM assignment
			WHERE until_version = 0 AND `+mark.column+` <> '' AND `+mark.column+` = $1`, []any{mark.text}, func(r database.Rows) error {
			id, found, err := scanAssignment(r)
			a.rows[id] = found
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *amendment) has(row billing.Assignment) bool {
	for _, standing := range a.rows {
		if standing == row {
			return true
		}
	}
	return false
}

// contradicted refuses rows that say otherwise than others of the same mark.
func (a *amendment) contradicted(fresh []billing.Assignment) error {
	var standing []standingRow
	for id, row := range a.rows {
		standing = append(standing, standingRow{id, row})
	}
	slices.SortFunc(standing, func(a, b standingRow) int { return int(a.id - b.id) })
	for i := range fresh {
		for k := range standing {
			if err := contradiction(&standing[k].Assignment, &fresh[i]); err != nil {
				return err
			}
		}
		for k := range i {
			if err := contradiction(&fresh[k], &fresh[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// contradiction is the contract's rule for two rows of the registry (section
// 5): a tag is assigned once at an instant, and rows of one plate agree in
// account, class and exemption.
func contradiction(a, b *billing.Assignment) error {
	if (a.ToMicros != 0 && a.ToMicros <= b.FromMicros) || (b.ToMicros != 0 && b.ToMicros <= a.FromMicros) {
		return nil
	}
	if a.Tag != "" && a.Tag == b.Tag {
		return fmt.Errorf("%w: tag %s would be assigned twice at the same time (%s); end one of them before the other begins",
			billing.ErrConflict, a.Tag, sources(a, b))
	}
	if a.Plate == "" || a.Plate != b.Plate {
		return nil
	}
	var what string
	switch {
	case a.Account != b.Account:
		what = "account"
	case a.Class != b.Class:
		what = "class"
	case a.Exempt != b.Exempt:
		what = "exemption"
	default:
		return nil
	}
	return fmt.Errorf("%w: plate %s would have different %s at the same time (%s); make them agree or end one before the other begins",
		billing.ErrConflict, a.Plate, what, sources(a, b))
}

func sources(a, b *billing.Assignment) string {
	word := func(source string) string {
		if source == "" {
			return "the file"
		}
		return "the " + source
	}
	if a.Source == b.Source {
		return "both by " + word(a.Source)
	}
	return "by " + word(a.Source) + " and by " + word(b.Source)
}

// contradicts refuses a file that says otherwise than rows of other sources.
func contradicts(file, others []billing.Assignment) error {
	if len(others) == 0 {
		return nil
	}
	byMark := make(map[string][]*billing.Assignment, 2*len(others))
	for i := range others {
		o := &others[i]
		for _, mark := range marksOfRow(o) {
			byMark[mark] = append(byMark[mark], o)
		}
	}
	for i := range file {
		for _, mark := range marksOfRow(&file[i]) {
			for _, o := range byMark[mark] {
				if err := contradiction(o, &file[i]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func marksOfRow(a *billing.Assignment) []string {
	var marks []string
	if a.Tag != "" {
		marks = append(marks, "t"+a.Tag)
	}
	if a.Plate != "" {
		marks = append(marks, "p"+a.Plate)
	}
	return marks
}

// RegistryChanges returns what changed after a version. See billing.Amending.
func (s *Store) RegistryChanges(ctx context.Context, since int64, limit int) (changes []billing.AssignmentChange, version int64, more bool, err error) {
	err = s.db.Read(ctx, func(db database.Session) error {
		changes, more = nil, false
		if _, err := database.One(ctx, db, latestVersion, nil, &version); err != nil {
			return err
		}
		if version == since {
			return nil
		}
		// Two searches, so that each uses its index.
		for _, condition := range []string{`since_version > $1`, `until_version <> 0 AND until_version > $1 AND since_version <= $1`} {
			err := database.Each(ctx, db, `SELECT `+assignmentColumns+`, since_version, until_version FROM assignment
				WHERE `+condition+` ORDER BY id LIMIT $2`, []any{since, int64(limit) + 1}, func(r database.Rows) error {
				var (
					id int64
					c  billing.AssignmentChange
				)
				err := r.Scan(&id, &c.FromMicros, &c.ToMicros, &c.Exempt, &c.Account, &c.Plate, &c.Class, &c.Tag, &c.Source, &c.Since, &c.Until)
				changes = append(changes, c)
				return err
			})
			if err != nil {
				return err
			}
			if len(changes) > limit {
				changes, more = nil, true
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return nil, 0, false, fmt.Errorf("reading what changed in the registry after version %d: %w", since, err)
	}
	return changes, version, more, nil
}

// RegistryAt returns the rows that were in force at a version. See
// billing.Rejudging.
func (s *Store) RegistryAt(ctx context.Context, version int64) ([]billing.Assignment, error) {
	var list []billing.Assignment
	err := s.db.Read(ctx, func(db database.Session) error {
		list = nil
		return database.Each(ctx, db, `SELECT `+assignmentColumns+` FROM assignment
			WHERE since_version <= $1 AND (until_version = 0 OR until_version > $1) ORDER BY id`, []any{version}, func(r database.Rows) error {
			_, a, err := scanAssignment(r)
			list = append(list, a)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading the registry at version %d: %w", version, err)
	}
	return list, nil
}
