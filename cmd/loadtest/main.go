// Command loadtest sends a city's reads to a running freeflow, in an open
// loop, and checks what it charges for them; see 'loadtest --help'. 'loadtest
// month' plays one month of accounts and money and checks it to the cent;
// 'loadtest mutants' looks what the tests of a package would miss.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"freeflow/internal/clock"
	"freeflow/loadtest/load"
	"freeflow/loadtest/month"
	"freeflow/loadtest/mutants"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	run, args := load.Main, os.Args[1:]
	if len(args) > 0 {
		switch args[0] {
		case "month":
			run, args = month.Main, args[1:]
		case "mutants":
			run, args = mutants.Main, args[1:]
		}
	}
	status := run(ctx, clock.System{}, args, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}
