//go:build services

package books

import (
	"testing"

	"freeflow/billing/booktest"
	"freeflow/internal/database/databasetest"
)

func TestPostgresCollecting(t *testing.T) {
	booktest.RunCollecting(t, func(t *testing.T) booktest.Moneys { return moneys{openTest(t, databasetest.URL(t), testOptions())} })
}

func BenchmarkPostgresFollow(b *testing.B) {
	benchFollow(b, openTest(b, databasetest.URL(b), testOptions()))
}

func BenchmarkPostgresPostFollowed(b *testing.B) {
	benchPostFollowed(b, openTest(b, databasetest.URL(b), testOptions()))
}
