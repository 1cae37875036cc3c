package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"freeflow/billing"
	"freeflow/internal/database"
	"freeflow/tolling/governance"
	govstore "freeflow/tolling/governance/store"
	"freeflow/tolling/tariff"
)

func newTariffVerifyCommand(env Env) *cobra.Command {
	var f partsFlags
	var trust string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove that what is published was approved by two persons and signed, and is what is stored",
		Long: `Prove that what is published was approved by two persons and signed, and is what
is stored: every statement from the first on, its signature, its files, and the
revision and approval that it names. The keys that are believed are those of the
data folder or of --tariff-trust. It only reads. Exit status 1 if anything does
not verify.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			checks, err := verifyTariffs(cmd.Context(), f, trust)
			if err != nil {
				return err
			}
			if checks == nil {
				return errors.New("nothing was ever published in this database")
			}
			return reportChecks(env, checks, asJSON)
		},
	}
	f.addBooks(cmd.Flags())
	cmd.Flags().StringVar(&trust, "tariff-trust", "", "file of the public keys that are believed; empty is "+tariffTrustFile+" in the data folder")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

// verifyTariffs proves the published tolls of the database; nil if there are
// none. Where nothing is trusted yet, the first statement's own key is.
func verifyTariffs(ctx context.Context, f partsFlags, trust string) ([]billing.Check, error) {
	store, err := govstore.Open(ctx, f.booksURL(), govstore.Options{})
	if errors.Is(err, database.ErrAbsent) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer store.Close()
	names, err := store.Networks(ctx)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	statements := billing.Check{Invariant: "tariff-statements-verify"}
	approvals := billing.Check{Invariant: "tariff-two-persons"}
	for _, name := range names {
		keys, err := keysFor(ctx, store, f.data, trust, name)
		if err != nil {
			return nil, err
		}
		rows, err := store.Rows(ctx, name, 0)
		if err != nil {
			return nil, err
		}
		chain, wrong := (&governance.Chain{}).Extend(rows, keys, true)
		statements.Rows += int64(len(rows))
		if wrong != nil {
			statements.Violations = append(statements.Violations, billing.Violation{Invariant: statements.Invariant, Detail: wrong.Error()})
		}
		for _, e := range chain.Entries() {
			if e.Kind != governance.Publication {
				continue
			}
			approvals.Rows++
			detail, err := approvedByTwo(ctx, store, &e)
			if err != nil {
				return nil, err
			}
			if detail != "" {
				approvals.Violations = append(approvals.Violations, billing.Violation{Invariant: approvals.Invariant, Detail: fmt.Sprintf("statement %d of %s: %s", e.Sequence, name, detail)})
			}
		}
	}
	return []billing.Check{statements, approvals}, nil
}

// keysFor returns the keys by which a network's statements are verified.
func keysFor(ctx context.Context, store *govstore.Store, dir, trust, network string) (governance.Keys, error) {
	keys, err := loadTrust(dir, trust)
	if err != nil || keys != nil {
		return keys, err
	}
	return store.SeedKeys(ctx, network)
}

// approvedByTwo compares a publication with the draft that it names, and says
// what does not agree.
func approvedByTwo(ctx context.Context, store *govstore.Store, e *governance.Entry) (detail string, err error) {
	err = store.View(ctx, func(tx governance.Tx) error {
		d, err := tx.Draft(ctx, e.Draft)
		if errors.Is(err, governance.ErrNotFound) {
			detail = "its draft " + e.Draft + " is not there"
			return nil
		}
		if err != nil {
			return err
		}
		i := slices.IndexFunc(d.Revisions, func(r governance.Revision) bool { return r.Number == e.Revision })
		switch {
		case i < 0:
			detail = "the revision that it publishes is not there"
		case d.Revisions[i].Proposal() != e.Proposal || d.Revisions[i].Content != e.Content || !d.Revisions[i].Effective.Equal(e.Effective):
			detail = "the revision that it publishes has been changed"
		case !slices.Equal(d.Authors(), e.Makers):
			detail = "the authors of its draft are not its makers"
		case !slices.ContainsFunc(d.Approvals, func(a governance.Approval) bool {
			return a.By == e.Checker && a.Digest == e.Proposal && a.At.Equal(e.Checked)
		}):
			detail = "the approval by " + e.Checker + " is not there"
		}
		return nil
	})
	return detail, err
}

// rating is a network that rates, from files or from what is published.
type rating interface {
	governance.Rater
	Currency() string
}

// publishedNetwork returns the published network of the database; the store
// must be closed. name may be empty if there is one.
func publishedNetwork(ctx context.Context, env Env, f partsFlags, name, trust string) (*governance.Live, error) {
	store, err := govstore.Open(ctx, f.booksURL(), govstore.Options{})
	if err != nil {
		return nil, fmt.Errorf("opening the published tolls: %w", err)
	}
	defer store.Close()
	names, err := store.Networks(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case name == "" && len(names) == 1:
		name = names[0]
	case !slices.Contains(names, name):
		return nil, fmt.Errorf("no tolls of the network %q are published in this database; there are %v", name, names)
	}
	keys, err := keysFor(ctx, store, f.data, trust, name)
	if err != nil {
		return nil, err
	}
	rows, err := store.Rows(ctx, name, 0)
	if err != nil {
		return nil, err
	}
	chain, wrong := (&governance.Chain{}).Extend(rows, keys, true)
	if wrong != nil {
		// A running process holds on to the last good network; somebody who asks
		// what a pass costs must not get an answer from a broken row.
		return nil, fmt.Errorf("the published tolls do not verify: %w", wrong)
	}
	return governance.NewLive(chain, env.Clock)
}

var _ rating = (*tariff.Network)(nil)
