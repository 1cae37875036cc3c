package audit

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"freeflow/internal/database"
)

// migrations holds the schema's steps. NAME.sql is for both engines,
// NAME.postgres.sql and NAME.sqlite.sql for one. They only go forward.
//
//go:embed migrations/*.sql
var migrations embed.FS

// wantVersion is the schema that this program works with: the last step of
// migrations.
const wantVersion = 3

// schema describes the trail to the database.
func schema() database.Schema {
	steps, err := fs.Sub(migrations, "migrations")
	if err != nil {
		steps = migrations // cannot happen: the folder's name is well formed
	}
	return database.Schema{Name: "audit trail", Migrations: steps, Table: "audit_schema", Want: wantVersion}
}

// Migrate creates the trail's tables at url or brings them up to date. Every
// store that appends to the trail calls it from its own migration: it is safe
// to run again, by several processes at once and beside other schemas.
func Migrate(ctx context.Context, url string) error {
	if err := database.Migrate(ctx, url, schema()); err != nil {
		return fmt.Errorf("migrating the audit trail: %w", err)
	}
	return nil
}
