package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/internal/database"
	parkstore "freeflow/parking/store"
	govstore "freeflow/tolling/governance/store"
)

func newVerifyCommand(env Env) *cobra.Command {
	var f partsFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove the books' invariants by recomputing everything from the rows",
		Long: `Prove the books' invariants by recomputing everything from the rows: that every
transaction and the whole ledger sum to zero, that balances are the sums of
their entries, that each pass owes what its live transaction says, that wallets
are never overdrawn and what they paid is what was owed, that passes do not
overlap, that no bay ever held two cars, and more. It only reads, in one snapshot, and may run beside a
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
			parked, err := verifyCarParks(cmd.Context(), env, f.booksURL())
			if err != nil {
				return fmt.Errorf("verifying the car parks: %w", err)
			}
			tolls, err := verifyTariffs(cmd.Context(), f, "")
			if err != nil {
				return fmt.Errorf("verifying the tolls: %w", err)
			}
			return reportChecks(env, slices.Concat(checks, parked, tolls), asJSON)
		},
	}
	f.addBooks(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

// verifyCarParks proves the invariants of the car parks in the same database;
// there need not be any.
func verifyCarParks(ctx context.Context, env Env, url string) ([]billing.Check, error) {
	store, err := parkstore.Open(ctx, url, parkstore.Options{Clock: env.Clock})
	if errors.Is(err, database.ErrAbsent) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer store.Close()
	found, err := store.Verify(ctx)
	if err != nil {
		return nil, err
	}
	checks := make([]billing.Check, len(found))
	for i, c := range found {
		checks[i] = billing.Check{Invariant: "parking-" + c.Invariant, Rows: c.Rows}
		for _, detail := range c.Violations {
			checks[i].Violations = append(checks[i].Violations, billing.Violation{Invariant: checks[i].Invariant, Detail: detail})
		}
	}
	return checks, nil
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
		Short:   "Create the schemas of books and car parks, or bring them up to date",
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
			if err := parkstore.Migrate(cmd.Context(), f.booksURL()); err != nil {
				return fmt.Errorf("migrating the car parks: %w", err)
			}
			if err := govstore.Migrate(cmd.Context(), f.booksURL()); err != nil {
				return fmt.Errorf("migrating the tariffs: %w", err)
			}
			fmt.Fprintln(env.Stderr, "The books, the car parks and the tariffs are up to date.")
			return nil
		},
	}
	f.addBooks(cmd.Flags())
	return cmd
}
