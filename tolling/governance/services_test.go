//go:build services

package governance_test

import (
	"testing"

	"freeflow/internal/database/databasetest"
)

func TestPostgresTwoProcesses(t *testing.T) { testTwoProcesses(t, databasetest.URL(t)) }

func TestPostgresRestart(t *testing.T) { testRestart(t, databasetest.URL(t)) }

func TestPostgresIncident(t *testing.T) { testIncident(t, databasetest.URL(t)) }

func TestPostgresHistoryIsOnlyAddedTo(t *testing.T) { testHistoryIsOnlyAddedTo(t, databasetest.URL(t)) }
