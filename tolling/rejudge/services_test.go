//go:build services

package rejudge

import (
	"fmt"
	"testing"

	"freeflow/internal/database/databasetest"
)

func TestPostgresCorrectionsAgreeWithTheOracle(t *testing.T) {
	first, last := seeds(t, 12)
	var worked work
	for seed := first; seed <= last; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { worked.add(correctOneByOne(t, databasetest.URL(t), seed)) })
	}
	worked.check(t, first, last)
}

func TestPostgresCorrectionsWhileReadsArePosted(t *testing.T) {
	first, last := seeds(t, 8)
	var worked work
	for seed := first; seed <= last; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { worked.add(correctMeanwhile(t, databasetest.URL(t), seed)) })
	}
	worked.check(t, first, last)
}
