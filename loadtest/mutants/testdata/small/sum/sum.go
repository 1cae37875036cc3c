// Package sum is what the tests of mutants change: its own tests notice some of it.
package sum

// Sum adds two numbers and doubles a text; a large sum is cut.
func Sum(a, b int, s string) (int, string) {
	n := a + b
	if n > 10 {
		return n - 1, s
	}
	return n, s + s
}
