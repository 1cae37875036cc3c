package failing

// One gives one.
func One() int { return 2 - 1 }
