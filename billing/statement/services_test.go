//go:build services

package statement_test

import (
	"testing"

	"freeflow/internal/database/databasetest"
)

func TestTwoIssuersPostgreSQL(t *testing.T) { testTwoIssuers(t, databasetest.URL(t)) }

func TestStatementsAreWhatWasPostedPostgreSQL(t *testing.T) { property(t, databasetest.URL, false) }
