package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"freeflow/internal/audit"
	"freeflow/internal/database"
)

// migrations holds the schema's steps. NAME.sql is for both engines,
// NAME.postgres.sql and NAME.sqlite.sql for one. They only go forward.
//
//go:embed migrations/*.sql
var migrations embed.FS

// wantVersion is the schema that this program works with: the last step of
// migrations.
const wantVersion = 7

// schema describes the car parks to the database.
func schema() database.Schema {
	steps, err := fs.Sub(migrations, "migrations")
	if err != nil {
		steps = migrations // cannot happen: the folder's name is well formed
	}
	return database.Schema{Name: "car parks", Migrations: steps, Table: "parking_schema", Want: wantVersion}
}

// Migrate creates the car parks' tables at url or brings them up to date. It is
// safe to run again, by several processes at once and beside the books; car
// parks of a newer program are refused.
func Migrate(ctx context.Context, url string) error {
	if err := database.Migrate(ctx, url, schema()); err != nil {
		return fmt.Errorf("migrating car parks: %w", err)
	}
	// What is done and looked at here is told to the trail beside it.
	return audit.Migrate(ctx, url)
}

// plannerSettings are those of PostgreSQL's connections that write. Their
// statements find a few rows each by an index. While tables are young the
// planner knows nothing of them and may settle on reading all of every one, and
// keep to it as they grow. One plan a statement, whatever its arrays hold: to
// plan a small batch anew took a third of all that the server did for it.
func plannerSettings() map[string]string {
	return map[string]string{
		"plan_cache_mode": "force_generic_plan",
		"enable_seqscan":  "off", "enable_bitmapscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off",
		"enable_material": "off", "enable_memoize": "off",
	}
}
