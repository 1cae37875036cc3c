//go:build services

package audit

import (
	"testing"

	"freeflow/internal/database/databasetest"
)

func TestPostgres(t *testing.T) {
	for name, run := range map[string]func(*testing.T, string){
		"views": testViews, "refusals": testRefusals, "chain": testChain, "two chainers": testTwoChainers,
		"cut off": testCutOff, "two close": testTwoClose, "flips": testFlips,
	} {
		t.Run(name, func(t *testing.T) { run(t, databasetest.URL(t)) })
	}
}
