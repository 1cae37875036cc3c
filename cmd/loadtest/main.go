// Command loadtest sends a city's reads to a running freeflow, in an open
// loop, and checks what it charges for them; see 'loadtest --help'.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"freeflow/internal/clock"
	"freeflow/loadtest/load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := load.Main(ctx, clock.System{}, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}
