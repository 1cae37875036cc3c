//go:build services

package dispute_test

import (
	"testing"

	"freeflow/internal/database/databasetest"
)

func TestUpheldComesBackPostgreSQL(t *testing.T) { testUpheld(t, databasetest.URL(t)) }

func TestOneSecondApartPostgreSQL(t *testing.T) { testOneSecondApart(t, databasetest.URL(t)) }

func TestTwoProcessesPostgreSQL(t *testing.T) { testTwoProcesses(t, databasetest.URL(t)) }

func TestQueriesPostgreSQL(t *testing.T) { testQueries(t, databasetest.URL(t)) }

func TestRandomPostgreSQL(t *testing.T) { random(t, databasetest.URL(t), 12345, 100) }

func TestFlagsGoOnPostgreSQL(t *testing.T) { testFlagsGoOn(t, databasetest.URL(t)) }

func TestOneOfAPairIsGivenBackPostgreSQL(t *testing.T) { testPair(t, databasetest.URL(t), 30) }
