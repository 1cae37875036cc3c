package equivalence

import (
	"strings"
	"testing"
)

// TestCompareSees: a comparison that cannot fail would prove nothing.
func TestCompareSees(t *testing.T) {
	rows := []string{"a", "b", "c"}
	for name, c := range map[string]struct {
		got  []string
		says string
	}{
		"equal":    {[]string{"a", "b", "c"}, ""},
		"missing":  {[]string{"a", "c"}, "only the oracle has: 1\n  b\n"},
		"extra":    {[]string{"a", "b", "c", "d"}, "only the product has: 1\n  d\n"},
		"repeated": {[]string{"a", "b", "b", "c"}, "only the product has: 1\n  b\n"},
		"order":    {[]string{"a", "c", "b"}, "another order"},
	} {
		says := compare(rows, c.got)
		if (c.says == "") != (says == "") || !strings.Contains(says, c.says) {
			t.Errorf("%s: says %q", name, says)
		}
	}
}
