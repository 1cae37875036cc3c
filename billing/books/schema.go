package books

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"freeflow/internal/audit"
	"freeflow/internal/database"
)

// migrations holds the schema's steps. NAME.sql is for both engines,
// NAME.postgres.sql and NAME.sqlite.sql for one. They only go forward: an
// older program is served by a backup, not by a way back.
//
//go:embed migrations/*.sql
var migrations embed.FS

// versionTable is where the schema's version stands; named after the books, so
// that other stores can live in the same database.
const versionTable = "books_schema"

// schema describes the books to the database.
func schema() database.Schema {
	steps, err := fs.Sub(migrations, "migrations")
	if err != nil {
		steps = migrations // cannot happen: the folder's name is well formed
	}
	return database.Schema{Name: "books", Migrations: steps, Table: versionTable, Want: lastStep(steps)}
}

// lastStep is the number of the last step: the schema that this program works
// with.
func lastStep(steps fs.FS) int64 {
	last := int64(0)
	files, err := fs.Glob(steps, "*.sql")
	if err != nil {
		return 0 // cannot happen: the pattern is well formed
	}
	for _, name := range files {
		number, _, _ := strings.Cut(name, "_")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil {
			last = max(last, n)
		}
	}
	return last
}

// Migrate creates the books at url or brings their schema up to date. It is
// safe to run again and by several processes at once; books of a newer
// program are refused.
func Migrate(ctx context.Context, url string) error {
	err := database.Migrate(ctx, url, schema())
	if err == nil {
		// What is done in the books is told to the trail beside them.
		err = audit.Migrate(ctx, url)
	}
	if err == nil {
		err = identify(ctx, url)
	}
	if err != nil {
		return fmt.Errorf("migrating books: %w", err)
	}
	return nil
}

// identify gives the books an identity if they have none.
func identify(ctx context.Context, url string) error {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return err
	}
	db, err := database.Open(ctx, url, database.Options{Schema: schema(), MaxWriters: 1})
	if err != nil {
		return err
	}
	err = db.Write(ctx, func(db database.Session) error {
		_, err := db.Exec(ctx, `INSERT INTO meta (name, value) VALUES ('books_id', $1) ON CONFLICT DO NOTHING`, hex.EncodeToString(id))
		return err
	})
	return errors.Join(err, db.Close())
}
