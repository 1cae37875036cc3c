package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"freeflow/billing/books"
	"freeflow/internal/audit"
)

// maxEntryLine bounds a line of an exported trail, in bytes.
const maxEntryLine = 1 << 20

func newAuditCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "The audit trail: prove that nothing in it was changed, sign it, take parts of it away",
		Long: `The audit trail holds who did what and why, who looked at whose movements, and
a digest of each day's ledger, in a chain of hashes. Checkpoints are signed
statements of what the chain was; copies that are kept elsewhere prove that
nobody has rewritten it since. See docs/audit.md.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("there is no command %q", args[0])
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(newAuditVerify(env), newAuditCheckpoint(env), newAuditExport(env), newAuditInclusion(env), newAuditErase(env), newAuditPseudonym(env))
	return cmd
}

func newAuditVerify(env Env) *cobra.Command {
	var (
		f           partsFlags
		checkpoints []string
		folder, key string
		asJSON      bool
	)
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Recompute the whole trail and name the first entry that was changed",
		Long: `Recompute the whole trail from its rows: every event, its place and hash, the
tree over them, the digest of each closed day's ledger; and compare it with the
checkpoints in the data folder and with those given. Names the first broken,
missing or rewritten entry by its number and by what it says. It only reads, in
one snapshot, and may run beside a working system. Exit status 1 if anything was
changed.`,
		Example: "  freeflow audit verify --data ./data\n  freeflow audit verify --books postgres://freeflow@db/freeflow --key audit-verifier.pub --checkpoint kept-elsewhere.txt",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return auditVerify(cmd.Context(), env, f, checkpointFolder(f.data, folder), key, checkpoints, asJSON)
		},
	}
	f.addBooks(cmd.Flags())
	cmd.Flags().StringArrayVar(&checkpoints, "checkpoint", nil, "file of a signed checkpoint to compare with; may be given more than once")
	cmd.Flags().StringVar(&folder, "audit-checkpoints", "", "folder of checkpoints; empty is audit-checkpoints in the data folder")
	cmd.Flags().StringVar(&key, "key", "", "verifying key, or its file; empty is "+audit.VerifierFile+" in the data folder")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

func auditVerify(ctx context.Context, env Env, f partsFlags, folder, key string, files []string, asJSON bool) error {
	found, err := audit.CheckpointFiles(folder)
	if err != nil {
		return fmt.Errorf("listing the checkpoints: %w", err)
	}
	files = append(found, files...)
	var bad []audit.Finding
	var checkpoints []audit.Checkpoint
	if len(files) > 0 {
		verifier, err := loadVerifier(f.data, key)
		if err != nil {
			return err
		}
		if checkpoints, bad, err = readCheckpoints(files, verifier); err != nil {
			return err
		}
	}
	trail, err := audit.Open(ctx, f.booksURL(), audit.Options{})
	if err != nil {
		return err
	}
	defer trail.Close()
	store, err := books.Open(ctx, f.booksURL(), books.Options{Clock: env.Clock})
	if err != nil {
		return fmt.Errorf("opening the books: %w", err)
	}
	defer store.Close()
	report, err := trail.Verify(ctx, store, checkpoints)
	if err != nil {
		return err
	}
	// What the files say of themselves comes last: an entry is the first thing
	// to know.
	report.Findings = append(report.Findings, bad...)
	return reportAudit(env, report, asJSON)
}

// loadVerifier reads the key that checkpoints are checked with.
func loadVerifier(data, key string) (note.Verifier, error) {
	if key == "" {
		key = filepath.Join(data, audit.VerifierFile)
	}
	v, err := audit.LoadVerifier(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usageError{fmt.Errorf("%w; give the verifying key with --key", err)}
	}
	return v, err
}

// readCheckpoints reads and checks files; one that does not verify is a
// finding.
func readCheckpoints(files []string, v note.Verifier) (list []audit.Checkpoint, bad []audit.Finding, err error) {
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, fmt.Errorf("reading a checkpoint: %w", err)
		}
		c, err := audit.ParseCheckpoint(text, v)
		if err != nil {
			bad = append(bad, audit.Finding{Detail: fmt.Sprintf("%s: %v", path, err)})
			continue
		}
		list = append(list, c)
	}
	return list, bad, nil
}

func reportAudit(env Env, r audit.Report, asJSON bool) error {
	type finding struct {
		Entry  int64  `json:"entry,omitempty"`
		Day    string `json:"day,omitempty"`
		Detail string `json:"detail"`
	}
	out := struct {
		Holds       bool      `json:"holds"`
		Entries     int64     `json:"entries"`
		Waiting     int64     `json:"waiting"`
		Days        int64     `json:"days"`
		Checkpoints int64     `json:"checkpoints"`
		Findings    []finding `json:"findings"`
		More        int       `json:"more,omitzero"`
	}{r.Holds(), r.Entries, r.Pending, r.Days, r.Checkpoints, make([]finding, len(r.Findings)), r.More}
	for i, one := range r.Findings {
		out.Findings[i] = finding(one)
	}
	if asJSON {
		if err := json.MarshalWrite(env.Stdout, out, jsontext.WithIndent("  ")); err != nil {
			return err
		}
		fmt.Fprintln(env.Stdout)
	} else {
		word := "holds  "
		if !out.Holds {
			word = "CHANGED"
		}
		fmt.Fprintf(env.Stdout, "%s  %d entries, %d closed days, %d checkpoints; %d events wait for their place\n", word, r.Entries, r.Days, r.Checkpoints, r.Pending)
		for _, one := range r.Findings {
			fmt.Fprintf(env.Stdout, "         %s\n", one.Detail)
		}
		if r.More > 0 {
			fmt.Fprintf(env.Stdout, "         and %d more\n", r.More)
		}
	}
	if !out.Holds {
		return errQuiet
	}
	return nil
}

func newAuditCheckpoint(env Env) *cobra.Command {
	var (
		f      partsFlags
		folder string
	)
	cmd := &cobra.Command{
		Use:   "checkpoint",
		Short: "Sign what the chain is now, and print it",
		Long: `Give the waiting events their places, sign what the chain is now with the key of
the data folder, write that into the folder of checkpoints and print it. Keep
copies where whoever runs the database cannot reach them.`,
		Example: "  freeflow audit checkpoint --data ./data > /mnt/elsewhere/$(date +%F).txt",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			signer, err := audit.LoadSigner(f.data)
			if err != nil {
				return err
			}
			trail, err := audit.Open(cmd.Context(), f.booksURL(), audit.Options{})
			if err != nil {
				return err
			}
			defer trail.Close()
			if err := extendAll(cmd.Context(), trail); err != nil {
				return err
			}
			head, err := trail.Head(cmd.Context())
			if err != nil {
				return err
			}
			signed, path, err := writeCheckpoint(head, signer, checkpointFolder(f.data, folder), env.Clock.Now())
			if err != nil {
				return err
			}
			fmt.Fprintf(env.Stderr, "The chain has %d entries; the checkpoint is in %s too.\n", head.Size, path)
			_, err = env.Stdout.Write(signed)
			return err
		},
	}
	f.addBooks(cmd.Flags())
	cmd.Flags().StringVar(&folder, "audit-checkpoints", "", "folder of checkpoints; empty is audit-checkpoints in the data folder")
	return cmd
}

func newAuditExport(env Env) *cobra.Command {
	var (
		f                        partsFlags
		o                        audit.ExportOptions
		checkpoint, key, by, why string
	)
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Print entries of the trail, with proofs if asked, one JSON object a line",
		Long: `Print entries of the trail in the order of the chain, one JSON object a line: the
number, the hash, the event in its canonical encoding, and what may be forgotten
of it. With --checkpoint each carries the proof that it stands in the chain of
that checkpoint ('freeflow audit inclusion' checks it without the database).
What is carried away so is itself noted.`,
		Example: "  freeflow audit export --account A1 --by chan --reason 'access request 17'",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.From < 0 || o.To < 0 || o.To > 0 && o.To < o.From {
				return usagef("--from and --to are numbers of entries, from 1, the first not above the last")
			}
			if by == "" {
				return usagef("--by is missing: who takes this away")
			}
			if checkpoint != "" {
				verifier, err := loadVerifier(f.data, key)
				if err != nil {
					return err
				}
				c, err := readCheckpoint(checkpoint, verifier)
				if err != nil {
					return err
				}
				o.Proof = c.Size
				if o.To == 0 {
					o.To = c.Size
				}
			}
			return auditExport(cmd.Context(), env, f, o, by, why)
		},
	}
	f.addBooks(cmd.Flags())
	flags := cmd.Flags()
	flags.Int64Var(&o.From, "from", 0, "first entry")
	flags.Int64Var(&o.To, "to", 0, "last entry")
	flags.StringVar(&o.Account, "account", "", "only what concerns this account")
	flags.StringVar(&checkpoint, "checkpoint", "", "file of a signed checkpoint that the proofs are for")
	flags.StringVar(&key, "key", "", "verifying key, or its file; empty is "+audit.VerifierFile+" in the data folder")
	flags.StringVar(&by, "by", "", "who takes this away")
	flags.StringVar(&why, "reason", "", "why")
	return cmd
}

func auditExport(ctx context.Context, env Env, f partsFlags, o audit.ExportOptions, by, why string) error {
	trail, err := audit.Open(ctx, f.booksURL(), audit.Options{})
	if err != nil {
		return err
	}
	defer trail.Close()
	account := o.Account
	if account == "" {
		account = audit.Everybody
	}
	err = trail.Append(ctx, audit.Event{
		At: env.Clock.Now(), Actor: audit.Actor{Name: by, Role: "administrator"}, Action: string(audit.Exported),
		Subject: audit.Subject{Kind: "audit trail", ID: fmt.Sprintf("%d/%d", o.From, o.To)}, Account: account, Reason: why,
		Detail: map[string]any{"page": "freeflow audit export", "records": 0},
	})
	if err != nil {
		return fmt.Errorf("noting the export: %w", err)
	}
	out := bufio.NewWriter(env.Stdout)
	err = trail.Export(ctx, o, func(e audit.Entry) error {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		_, _ = out.Write(line)
		return out.WriteByte('\n')
	})
	return errors.Join(err, out.Flush())
}

func newAuditInclusion(env Env) *cobra.Command {
	var data, checkpoint, key string
	cmd := &cobra.Command{
		Use:   "inclusion",
		Short: "Check that exported entries stand in the chain of a checkpoint, without a database",
		Long: `Read entries as 'freeflow audit export --checkpoint' prints them from the
standard input, and check by the proofs alone that each stands in the chain of
the checkpoint. Exit status 1 if one does not.`,
		Example: "  freeflow audit inclusion --key audit-verifier.pub --checkpoint kept-elsewhere.txt < entries.ndjson",
		Args:    noArgs,
		RunE: func(_ *cobra.Command, _ []string) error {
			if checkpoint == "" {
				return usagef("--checkpoint is missing: the checkpoint that the proofs are for")
			}
			verifier, err := loadVerifier(data, key)
			if err != nil {
				return err
			}
			c, err := readCheckpoint(checkpoint, verifier)
			if err != nil {
				return err
			}
			n, err := checkInclusions(env.Stdin, c)
			if err != nil {
				return err
			}
			fmt.Fprintf(env.Stdout, "%d entries stand in the chain of %s\n", n, c.At.Format(time.RFC3339))
			return nil
		},
	}
	cmd.Flags().StringVar(&data, "data", "./data", "data folder")
	cmd.Flags().StringVar(&checkpoint, "checkpoint", "", "file of the signed checkpoint")
	cmd.Flags().StringVar(&key, "key", "", "verifying key, or its file; empty is "+audit.VerifierFile+" in the data folder")
	return cmd
}

func readCheckpoint(path string, v note.Verifier) (audit.Checkpoint, error) {
	list, bad, err := readCheckpoints([]string{path}, v)
	if err == nil && len(bad) > 0 {
		err = errors.New(bad[0].Detail)
	}
	if err != nil {
		return audit.Checkpoint{}, err
	}
	return list[0], nil
}

func checkInclusions(in io.Reader, c audit.Checkpoint) (n int, err error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxEntryLine)
	for ; lines.Scan(); n++ {
		var e audit.Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return n, fmt.Errorf("line %d is no exported entry: %w", n+1, err)
		}
		if err := audit.CheckInclusion(e, c.Head); err != nil {
			return n, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	return n, lines.Err()
}

func newAuditErase(env Env) *cobra.Command {
	var (
		f                   partsFlags
		account, before, by string
	)
	cmd := &cobra.Command{
		Use:   "erase",
		Short: "Destroy what may be forgotten of an account's events; the chain stays valid",
		Long: `Destroy the reasons and the personal data kept with the events that concern an
account, with the salts by which the chain commits to them, of all events before
an instant. The events themselves, and the chain, stay. This cannot be undone;
backups have to be dealt with where they are.`,
		Example: "  freeflow audit erase --account A1 --before 2023-11-25T00:00:00+08:00 --by chan",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if account == "" || by == "" {
				return usagef("--account and --by are needed: whose data is erased, and by whom")
			}
			until, err := time.Parse(time.RFC3339, before)
			if err != nil {
				return usagef("--before %q is not a time; write it as 2023-11-25T00:00:00+08:00", before)
			}
			trail, err := audit.Open(cmd.Context(), f.booksURL(), audit.Options{})
			if err != nil {
				return err
			}
			defer trail.Close()
			n, err := trail.Erase(cmd.Context(), account, until, env.Clock.Now(), audit.Actor{Name: by, Role: "administrator"})
			fmt.Fprintf(env.Stderr, "The private parts of %d events are erased.\n", n)
			return err
		},
	}
	f.addBooks(cmd.Flags())
	flags := cmd.Flags()
	flags.StringVar(&account, "account", "", "whose events")
	flags.StringVar(&before, "before", "", "only events before this time")
	flags.StringVar(&by, "by", "", "who erases")
	return cmd
}
