package sum

import "testing"

func TestSum(t *testing.T) {
	if n, s := Sum(1, 2, "x"); n != 3 || s != "xx" {
		t.Error(n, s)
	}
}
