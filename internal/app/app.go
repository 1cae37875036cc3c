// Package app assembles freeflow from its parts by plain constructors and
// holds the command line: one file a command. It is the only place that knows
// every part; no other package imports it but the mains.
//
// Exit status: 0 good, 1 failed, 2 bad usage. Data goes to Stdout, messages
// and progress to Stderr.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"freeflow/internal/clock"
)

// Env is what a command may touch of the world.
type Env struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Clock  clock.Clock
	// Terminal reports whether Stderr is a terminal; progress bars are drawn
	// only there.
	Terminal bool
}

// Exit statuses.
const (
	exitGood   = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError marks a mistake in the command line, as opposed to a failure.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// usagef makes a usage error.
func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// errQuiet makes a command fail without a further message: what was wrong has
// been said already, in the data.
var errQuiet = errors.New("")

// Main runs the command line and returns the exit status.
func Main(ctx context.Context, env Env, args []string) int {
	root := newRoot(env)
	root.SetArgs(args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitGood
	}
	var usage usageError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(env.Stderr, "freeflow: %v\nRun '%s --help' for usage.\n", err, cmd.CommandPath())
		return exitUsage
	case errors.Is(err, errQuiet):
		return exitFailed
	default:
		fmt.Fprintf(env.Stderr, "freeflow: %v\n", err)
		return exitFailed
	}
}

func newRoot(env Env) *cobra.Command {
	root := &cobra.Command{
		Use:           "freeflow",
		Short:         "Back end for free-flow tolling and automated parking",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("there is no command %q", args[0])
			}
			return cmd.Help()
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newRunCommand(env), newVersionCommand(env))
	root.AddCommand(newTariffCommand(env), newStaffCommand(env), newImportCommand(env), newReplayCommand(env), newVerifyCommand(env), newMigrateCommand(env), newRedriveCommand(env), newParkingCommand(env), newBankCommand(env), newAuditCommand(env), newStatementCommand(env))
	return root
}

// noArgs refuses arguments where a command takes none.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unexpected argument %q", args[0])
	}
	return nil
}
