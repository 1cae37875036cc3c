package billing

import "time"

// Bounds of PutOffPause.
const (
	firstPutOff   = 10 * time.Second
	longestPutOff = time.Hour
)

// PutOffPause is how long an item of a job that has failed so many times in a
// row, 1 or more, is left before it is tried again: 10 s, then twice as long
// each time, an hour at most.
func PutOffPause(failures int64) time.Duration {
	if failures < 1 {
		failures = 1
	}
	return min(firstPutOff<<min(failures-1, 20), longestPutOff)
}
