//go:build services

package rerate

import (
	"testing"

	"freeflow/internal/database/databasetest"
)

func TestPostgresIncidentOf18December(t *testing.T) { incident(t, databasetest.URL(t)) }
