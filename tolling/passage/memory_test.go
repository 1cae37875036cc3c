package passage_test

import (
	"testing"

	"freeflow/tolling/passage"
	"freeflow/tolling/passage/passagetest"
)

func TestMemory(t *testing.T) {
	passagetest.Run(t, func(*testing.T) (passage.Store, func()) {
		s := &forgetful{passage.NewMemory()}
		return s, func() { s.Memory = passage.NewMemory() }
	})
}

type forgetful struct{ *passage.Memory }

var _ passage.Store = (*forgetful)(nil)
