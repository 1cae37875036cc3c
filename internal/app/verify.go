package app

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"freeflow/billing"
	"freeflow/billing/books"
)

func newVerifyCommand(env Env) *cobra.Command {
	var f partsFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove the books' invariants by recomputing everything from the rows",
		Long: `Prove the books' invariants by recomputing everything from the rows: that every
transaction and the whole ledger sum to zero, that balances are the sums of
their entries, that each pass owes what its live transaction says, that passes
do not overlap, and more. It only reads, in one snapshot, and may run beside a
working system. Exit status 1 if anything is violated.`,
		Example: "  freeflow verify --data ./data\n  freeflow verify --books postgres://freeflow@db/freeflow --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, err := books.Open(cmd.Context(), f.booksURL(), books.Options{Clock: env.Clock})
			if err != nil {
				return fmt.Errorf("opening the books: %w", err)
			}
			defer store.Close()
			checks, err := store.Verify(cmd.Context())
			if err != nil {
				return fmt.Errorf("verifying the books: %w", err)
			}
			return reportChecks(env, checks, asJSON)
		},
	}
	f.addBooks(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

func reportChecks(env Env, checks []billing.Check, asJSON bool) error {
	type violation struct {
		Detail string `json:"detail"`
	}
	type check struct {
		Invariant  string      `json:"invariant"`
		Rows       int64       `json:"rows"`
		Holds      bool        `json:"holds"`
		Violations []violation `json:"violations,omitempty"`
	}
	all := make([]check, 0, len(checks))
	good := true
	for _, c := range checks {
		one := check{Invariant: c.Invariant, Rows: c.Rows, Holds: len(c.Violations) == 0}
		for _, v := range c.Violations {
			one.Violations = append(one.Violations, violation{v.Detail})
		}
		good = good && one.Holds
		all = append(all, one)
	}
	if asJSON {
		out := json.NewEncoder(env.Stdout)
		out.SetIndent("", "  ")
		if err := out.Encode(map[string]any{"holds": good, "checks": all}); err != nil {
			return err
		}
	} else {
		for _, c := range all {
			word := "holds   "
			if !c.Holds {
				word = "VIOLATED"
			}
			fmt.Fprintf(env.Stdout, "%s  %-32s %d rows\n", word, c.Invariant, c.Rows)
			for _, v := range c.Violations {
				fmt.Fprintf(env.Stdout, "          %s\n", v.Detail)
			}
		}
	}
	if !good {
		return errQuiet
	}
	return nil
}

func newMigrateCommand(env Env) *cobra.Command {
	var f partsFlags
	cmd := &cobra.Command{
		Use:     "migrate",
		Short:   "Create the books' schema, or bring it up to date",
		Example: "  freeflow migrate --books postgres://freeflow@db/freeflow",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.books == "" {
				if err := os.MkdirAll(f.data, 0o700); err != nil {
					return fmt.Errorf("making the data folder: %w", err)
				}
			}
			if err := books.Migrate(cmd.Context(), f.booksURL()); err != nil {
				return fmt.Errorf("migrating the books: %w", err)
			}
			fmt.Fprintln(env.Stderr, "The books are up to date.")
			return nil
		},
	}
	f.addBooks(cmd.Flags())
	return cmd
}
