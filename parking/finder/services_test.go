//go:build services

package finder

import (
	"testing"

	"freeflow/internal/database/databasetest"
)

func TestPostgresProcessesRace(t *testing.T) { testProcessesRace(t, databasetest.URL(t)) }
