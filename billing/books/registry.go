package books

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"freeflow/billing"
	"freeflow/internal/database"
)

// rowDigest stands for an assignment while two registries are compared: a
// million of them fit where a million assignments would crowd memory.
type rowDigest [16]byte

func digestOf(a *billing.Assignment) rowDigest {
	b := make([]byte, 0, 128)
	for _, text := range []string{a.Account, a.Plate, a.Class, a.Tag} {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	b = binary.AppendVarint(b, a.FromMicros)
	b = binary.AppendVarint(b, a.ToMicros)
	if a.Exempt {
		b = append(b, 1)
	}
	sum := sha256.Sum256(b)
	return rowDigest(sum[:16])
}

// latestVersion gives the registry's present version.
const latestVersion = `SELECT coalesce(max(version), 0) FROM registry`

// PutRegistry replaces the rows of the file. Only what differs is written: rows
// that no longer hold are closed at the new version, never deleted. Rows given
// twice count once. See billing.Registering.
func (s *Store) PutRegistry(ctx context.Context, list []billing.Assignment, at time.Time) (int64, error) {
	wanted := make(map[rowDigest]struct{}, len(list))
	for i := range list {
		a := &list[i]
		for _, text := range []string{a.Account, a.Plate, a.Class, a.Tag} {
			if !utf8.ValidString(text) {
				return 0, fmt.Errorf("putting the registry: %w", invalid("row %d holds text that is not UTF-8", i+1))
			}
		}
		if a.Source != "" {
			return 0, fmt.Errorf("putting the registry: %w", invalid("row %d has the source %q; a file's rows have none", i+1, a.Source))
		}
		wanted[digestOf(a)] = struct{}{}
	}
	var version int64
	err := s.db.Write(ctx, func(db database.Session) error {
		var err error
		version, err = putRegistry(ctx, db, list, wanted, at)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("putting the registry: %w", err)
	}
	return version, nil
}

func putRegistry(ctx context.Context, db database.Session, list []billing.Assignment, wanted map[rowDigest]struct{}, at time.Time) (int64, error) {
	var version, lastID int64
	if err := lockRegistry(ctx, db); err != nil {
		return 0, err
	}
	if _, err := database.One(ctx, db, latestVersion, nil, &version); err != nil {
		return 0, err
	}
	if _, err := database.One(ctx, db, `SELECT coalesce(max(id), 0) FROM assignment`, nil, &lastID); err != nil {
		return 0, err
	}
	version++
	present := make(map[rowDigest]struct{})
	var gone []int64
	var others []billing.Assignment
	err := eachAssignment(ctx, db, func(id int64, a *billing.Assignment) {
		if a.Source != "" {
			others = append(others, *a)
			return
		}
		d := digestOf(a)
		if _, stays := wanted[d]; stays {
			present[d] = struct{}{}
		} else {
			gone = append(gone, id)
		}
	})
	if err == nil {
		err = contradicts(list, others)
	}
	if err != nil {
		return 0, err
	}
	if err := closeAssignments(ctx, db, gone, version); err != nil {
		return 0, err
	}
	i, before := 0, lastID
	err = db.Bulk(ctx, "assignment", []string{"id", "since_version", "until_version", "from_micros", "to_micros", "exempt", "account", "plate", "class", "tag"},
		func() ([]any, bool) {
			for i < len(list) {
				a := &list[i]
				i++
				d := digestOf(a)
				if _, stands := present[d]; stands {
					continue
				}
				present[d] = struct{}{}
				lastID++
				return []any{lastID, version, int64(0), a.FromMicros, a.ToMicros, a.Exempt, a.Account, a.Plate, a.Class, a.Tag}, true
			}
			return nil, false
		})
	if err != nil {
		return 0, err
	}
	_, err = db.Exec(ctx, `INSERT INTO registry (version, put_at, rows_in) VALUES ($1, $2, $3)`,
		version, at.UnixMicro(), int64(len(wanted)+len(others)))
	if err != nil {
		return 0, err
	}
	return version, tellRegistry(ctx, db, "registry.put", version, len(gone), lastID-before, at)
}

// closeAssignments ends rows at a version, a few hundred a statement.
func closeAssignments(ctx context.Context, db database.Session, ids []int64, version int64) error {
	const chunk = 400
	for len(ids) > 0 {
		n := min(len(ids), chunk)
		args := make([]any, 0, chunk+1)
		args = append(args, version)
		for i := range chunk {
			args = append(args, ids[min(i, n-1)])
		}
		ids = ids[n:]
		if _, err := db.Exec(ctx, `UPDATE assignment SET until_version = $1 WHERE id IN (`+database.Placeholders(2, chunk)+`)`, args...); err != nil {
			return err
		}
	}
	return nil
}

// eachAssignment calls fn with every row in force, in the order of their ids.
func eachAssignment(ctx context.Context, db database.Session, fn func(id int64, a *billing.Assignment)) error {
	return database.Each(ctx, db, `SELECT `+assignmentColumns+` FROM assignment
		WHERE until_version = 0 ORDER BY id`, nil, func(r database.Rows) error {
		id, a, err := scanAssignment(r)
		if err == nil {
			fn(id, &a)
		}
		return err
	})
}

// assignmentColumns are what scanAssignment reads.
const assignmentColumns = `id, from_micros, to_micros, exempt, account, plate, class, tag, source`

func scanAssignment(r database.Rows) (id int64, a billing.Assignment, err error) {
	err = r.Scan(&id, &a.FromMicros, &a.ToMicros, &a.Exempt, &a.Account, &a.Plate, &a.Class, &a.Tag, &a.Source)
	return id, a, err
}

// RegistryVersion returns the present version. See billing.Registering.
func (s *Store) RegistryVersion(ctx context.Context) (int64, error) {
	var version int64
	err := s.db.Direct(ctx, func(db database.Session) error {
		_, err := database.One(ctx, db, latestVersion, nil, &version)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("reading the registry's version: %w", err)
	}
	return version, nil
}

// Registry returns the present rows, in the order in which they were first
// put, and the version. See billing.Registering.
func (s *Store) Registry(ctx context.Context) ([]billing.Assignment, int64, error) {
	var (
		list    []billing.Assignment
		version int64
	)
	err := s.db.Read(ctx, func(db database.Session) error {
		var n int64
		if _, err := database.One(ctx, db, `SELECT version, rows_in FROM registry ORDER BY version DESC LIMIT 1`, nil, &version, &n); err != nil {
			return err
		}
		if n < 0 || n > math.MaxInt32 {
			return errors.New("the registry's row count is damaged")
		}
		list = make([]billing.Assignment, 0, n)
		return eachAssignment(ctx, db, func(_ int64, a *billing.Assignment) { list = append(list, *a) })
	})
	if err != nil {
		return nil, 0, fmt.Errorf("reading the registry: %w", err)
	}
	return list, version, nil
}

// PutLogin stores a login. See billing.Credentials.
func (s *Store) PutLogin(ctx context.Context, l billing.Login) error {
	err := s.db.Write(ctx, func(db database.Session) error {
		_, err := db.Exec(ctx, `INSERT INTO login (email, account, password_hash) VALUES ($1, $2, $3)
			ON CONFLICT (email) DO UPDATE SET account = excluded.account, password_hash = excluded.password_hash`, l.Email, l.Account, l.PasswordHash)
		return err
	})
	if err != nil {
		return fmt.Errorf("storing a login: %w", err)
	}
	return nil
}

// Login finds a login. See billing.Credentials.
func (s *Store) Login(ctx context.Context, email string) (billing.Login, error) {
	l := billing.Login{Email: email}
	found := false
	err := s.db.Direct(ctx, func(db database.Session) error {
		var err error
		found, err = database.One(ctx, db, `SELECT account, password_hash FROM login WHERE email = $1`, []any{email}, &l.Account, &l.PasswordHash)
		return err
	})
	if err == nil && !found {
		err = billing.ErrNotFound
	}
	if err != nil {
		return billing.Login{}, fmt.Errorf("finding a login: %w", err)
	}
	return l, nil
}
