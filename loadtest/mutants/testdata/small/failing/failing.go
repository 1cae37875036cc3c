// Package failing has a test that fails on purpose.
package failing

// One gives one.
func One() int { return 2 - 1 }
