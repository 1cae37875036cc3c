//go:build failpoint

package app

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// faultEnv names a point of the matcher and a count, "posted:3": at the third
// time that the process comes by the point it kills itself with SIGKILL. It is
// how the crash tests hit the windows between Redis, the books and the offsets;
// only binaries built with the tag failpoint know it.
const faultEnv = "FREEFLOW_KILL_AT"

// faultHook returns the matcher's hook, nil without faultEnv.
func faultHook() func(point string) {
	at, count, ok := strings.Cut(os.Getenv(faultEnv), ":")
	if !ok {
		return nil
	}
	left, err := strconv.Atoi(count)
	if err != nil {
		return nil
	}
	hits := make(chan int, 1)
	hits <- left
	return func(point string) {
		if point != at {
			return
		}
		n := <-hits - 1
		hits <- n
		if n == 0 {
			fmt.Fprintln(os.Stderr, "killed at", point)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // SIGKILL is on its way
		}
	}
}
