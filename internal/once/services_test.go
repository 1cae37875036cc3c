//go:build services

package once

import (
	"testing"

	"freeflow/internal/database/databasetest"
)

func TestKeeperPostgreSQL(t *testing.T) { testKeeper(t, databasetest.URL(t)) }
func TestRacePostgreSQL(t *testing.T)   { testRace(t, databasetest.URL(t)) }
