package app

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"freeflow/tolling/governance"
	"freeflow/tolling/tariff"
)

// oneDraft refuses anything but one argument, a draft's id.
func oneDraft(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("give one draft's id")
	}
	return nil
}

func draftPath(id, what string) string { return "/v1/tariff/drafts/" + url.PathEscape(id) + what }

func newTariffDraftCommand(env Env) *cobra.Command {
	var f apiFlags
	var from, reason, draft string
	var backdated bool
	var revision int64
	cmd := &cobra.Command{
		Use:   "draft --effective-from TIME --reason WHY [--draft ID --revision N] {FOLDER | FILE...}",
		Short: "Draft a change of tolls, or change a draft",
		Long: `Draft a change of tolls: a whole network's folder, or those of its files that
change; the others stay as they are published. With --draft it is a further
revision of a draft, after the revision that you saw; approvals are void then.

Every mistake of the files is told, with its place; the draft is kept all the
same, but goes no further. Exit status 1 if there are mistakes.`,
		Example: `  freeflow tariff draft --effective-from 2027-01-01T00:00:00+08:00 --reason "Gazetted on 1 December 2026" ./tolls.csv ./versions.csv`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("give a network's folder, or files of it")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if from == "" || reason == "" {
				return usagef("--effective-from and --reason are needed")
			}
			if (draft != "") != (revision > 0) {
				return usagef("--draft and --revision go together")
			}
			files, err := readDraftFiles(args)
			if err != nil {
				return err
			}
			c, err := f.client()
			if err != nil {
				return err
			}
			body := map[string]any{"files": files, "effective_from": from, "backdated": backdated, "reason": reason}
			path := "/v1/tariff/drafts"
			if draft != "" {
				body["revision"], path = revision, draftPath(draft, "/revisions")
			}
			answer, err := c.ask(cmd.Context(), http.MethodPost, path, body)
			if err != nil {
				return err
			}
			var d draftAnswer
			if err := json.Unmarshal(answer, &d); err != nil {
				return fmt.Errorf("reading the operators' API's answer: %w", err)
			}
			if err := show(env, f.json, answer, &draftAnswer{}); err != nil {
				return err
			}
			if d.Mistakes > 0 {
				return errQuiet
			}
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&from, "effective-from", "", "from which instant on the network shall rate passes, RFC 3339 with offset")
	cmd.Flags().StringVar(&reason, "reason", "", "why")
	cmd.Flags().BoolVar(&backdated, "backdated", false, "the instant is past on purpose; passes made since must be rated again")
	cmd.Flags().StringVar(&draft, "draft", "", "draft that is changed")
	cmd.Flags().Int64Var(&revision, "revision", 0, "revision of it that you saw")
	return cmd
}

// readDraftFiles reads the files of a folder, or those named.
func readDraftFiles(args []string) (map[string]string, error) {
	files := map[string]string{}
	for _, path := range args {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("reading the draft's files: %w", err)
		}
		if info.IsDir() {
			found, err := tariff.ReadFiles(path + string(filepath.Separator))
			if err != nil {
				return nil, err
			}
			if len(found) == 0 {
				return nil, fmt.Errorf("reading the draft's files: %s holds none of a network's files", path)
			}
			for name, data := range found {
				files[name] = string(data)
			}
			continue
		}
		name := filepath.Base(path)
		if !slices.Contains(tariff.FileNames(), name) {
			return nil, usagef("%s is not a file of a network; they are called %s", path, strings.Join(tariff.FileNames(), ", "))
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading the draft's files: %w", err)
		}
		files[name] = string(data)
	}
	return files, nil
}

func newTariffShowCommand(env Env) *cobra.Command {
	var f apiFlags
	cmd := &cobra.Command{
		Use:   "show [DRAFT]",
		Short: "Show what is published, or a draft with what became of it",
		Args:  atMostArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				answer, err := c.ask(cmd.Context(), http.MethodGet, draftPath(args[0], ""), nil)
				if err != nil {
					return err
				}
				return show(env, f.json, answer, &draftAnswer{})
			}
			answer, err := c.ask(cmd.Context(), http.MethodGet, "/v1/tariff", nil)
			if err != nil {
				return err
			}
			return show(env, f.json, answer, &publishedAnswer{})
		},
	}
	f.add(cmd)
	return cmd
}

// publishedAnswer is what show reads of what is published.
type publishedAnswer struct {
	Network string `json:"network"`
	Items   []struct {
		Sequence      int64    `json:"sequence"`
		Kind          string   `json:"kind"`
		State         string   `json:"state"`
		EffectiveFrom *string  `json:"effective_from"`
		Makers        []string `json:"makers"`
		Checker       string   `json:"checker"`
		By            string   `json:"by"`
		Hash          string   `json:"hash"`
		Rerate        *struct {
			From string `json:"from"`
			To   string `json:"to"`
		} `json:"rerate"`
	} `json:"items"`
}

func (p *publishedAnswer) writeText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", p.Network)
	for _, s := range p.Items {
		from := "from the beginning"
		if s.EffectiveFrom != nil {
			from = "from " + *s.EffectiveFrom
		}
		who := "by " + s.By
		if s.Checker != "" {
			who = fmt.Sprintf("by %s, approved by %s", strings.Join(s.Makers, ", "), s.Checker)
		}
		if s.Kind == governance.Withdrawal {
			from = ""
		}
		fmt.Fprintf(&b, "%4d %-11s %-10s %s %s\n     %s\n", s.Sequence, s.Kind, s.State, from, who, s.Hash)
		if s.Rerate != nil {
			fmt.Fprintf(&b, "     passes from %s to %s were rated before it and need a bulk re-rate\n", s.Rerate.From, s.Rerate.To)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func newTariffDryRunCommand(env Env) *cobra.Command {
	var f apiFlags
	var from, to string
	var weeks int
	cmd := &cobra.Command{
		Use:   "dry-run DRAFT [--from TIME --to TIME] [--weeks N]",
		Short: "Try a draft on passes that were made, and say what it would have changed",
		Long: `Try a draft on passes that were made, and say what it would have changed: money
by facility, class and day type, passes and vehicles, the largest single changes.

Without --from and --to it is the last seven whole days, or for a back-dated
draft the time since its instant. Without --weeks the passes are moved forward by
as many weeks as it takes for the new tolls to be in force.`,
		Args: oneDraft,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, d, err := f.draft(cmd, args[0])
			if err != nil {
				return err
			}
			body := map[string]any{"digest": d.Digest}
			if from != "" || to != "" {
				body["from"], body["to"] = from, to
			}
			if cmd.Flags().Changed("weeks") {
				body["weeks"] = weeks
			}
			answer, err := c.ask(cmd.Context(), http.MethodPost, draftPath(args[0], "/dry-runs"), body)
			if err != nil {
				return err
			}
			return show(env, f.json, answer, &dryRunAnswer{})
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&from, "from", "", "passes from, RFC 3339 with offset")
	cmd.Flags().StringVar(&to, "to", "", "passes before, RFC 3339 with offset")
	cmd.Flags().IntVar(&weeks, "weeks", 0, "by how many weeks the passes are moved forward")
	return cmd
}

// draft returns a client and a draft as it stands.
func (f *apiFlags) draft(cmd *cobra.Command, id string) (*apiClient, *draftAnswer, error) {
	c, err := f.client()
	if err != nil {
		return nil, nil, err
	}
	answer, err := c.ask(cmd.Context(), http.MethodGet, draftPath(id, ""), nil)
	if err != nil {
		return nil, nil, err
	}
	var d draftAnswer
	if err := json.Unmarshal(answer, &d); err != nil {
		return nil, nil, fmt.Errorf("reading the operators' API's answer: %w", err)
	}
	return c, &d, nil
}

func newTariffApproveCommand(env Env) *cobra.Command {
	var f apiFlags
	var digest, dryRun, note string
	cmd := &cobra.Command{
		Use:   "approve DRAFT --digest DIGEST [--dry-run ID]",
		Short: "Approve a draft, as a person who wrote none of it",
		Long: `Approve a draft, as a person who wrote none of it. The digest, which show and
dry-run print, says what exactly you looked at: if the draft has been changed
since, nothing is approved. Without --dry-run it is the last one of the digest.`,
		Args: oneDraft,
		RunE: func(cmd *cobra.Command, args []string) error {
			if digest == "" {
				return usagef("--digest is needed: the digest of what you looked at")
			}
			c, d, err := f.draft(cmd, args[0])
			if err != nil {
				return err
			}
			for _, r := range d.DryRuns {
				if r.Digest == digest && !cmd.Flags().Changed("dry-run") {
					dryRun = r.ID
				}
			}
			answer, err := c.ask(cmd.Context(), http.MethodPost, draftPath(args[0], "/approval"), map[string]any{"digest": digest, "dry_run": dryRun, "note": note})
			if err != nil {
				return err
			}
			return show(env, f.json, answer, &draftAnswer{})
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&digest, "digest", "", "digest of the proposal that you looked at")
	cmd.Flags().StringVar(&dryRun, "dry-run", "", "dry run that you looked at")
	cmd.Flags().StringVar(&note, "note", "", "remarks")
	return cmd
}

func newTariffPublishCommand(env Env) *cobra.Command {
	var f apiFlags
	var digest, signature string
	cmd := &cobra.Command{
		Use:   "publish DRAFT --digest DIGEST [--signature FILE]",
		Short: "Publish an approved draft: it rates passes from its instant on, in every process",
		Args:  oneDraft,
		RunE: func(cmd *cobra.Command, args []string) error {
			if digest == "" {
				return usagef("--digest is needed: the digest of what was approved")
			}
			body := map[string]any{"digest": digest}
			if signature != "" {
				text, err := readAll(env, signature)
				if err != nil {
					return fmt.Errorf("reading the signature: %w", err)
				}
				body["signature"] = strings.TrimSpace(string(text))
			}
			return f.post(cmd, env, draftPath(args[0], "/publication"), body, &draftAnswer{})
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&digest, "digest", "", "digest of the proposal that was approved")
	cmd.Flags().StringVar(&signature, "signature", "", "file of a signature made by 'freeflow tariff sign' ('-' is stdin); empty: signed where the API is")
	return cmd
}

// post posts a body and shows the answer.
func (f *apiFlags) post(cmd *cobra.Command, env Env, path string, body any, as interface{ writeText(io.Writer) error }) error {
	c, err := f.client()
	if err != nil {
		return err
	}
	answer, err := c.ask(cmd.Context(), http.MethodPost, path, body)
	if err != nil {
		return err
	}
	return show(env, f.json, answer, as)
}

func newTariffDiscardCommand(env Env) *cobra.Command {
	var f apiFlags
	var reason string
	cmd := &cobra.Command{
		Use:   "discard DRAFT --reason WHY",
		Short: "Close a draft that shall not be published",
		Args:  oneDraft,
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.post(cmd, env, draftPath(args[0], "/discard"), map[string]any{"reason": reason}, &draftAnswer{})
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why")
	return cmd
}

func newTariffWithdrawCommand(env Env) *cobra.Command {
	var f apiFlags
	var reason string
	cmd := &cobra.Command{
		Use:   "withdraw NUMBER --reason WHY",
		Short: "Take the last publication back, before its instant",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("give the number of one statement; 'freeflow tariff show' lists them")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.post(cmd, env, "/v1/tariff/statements/"+url.PathEscape(args[0])+"/withdrawal", map[string]any{"reason": reason}, &publishedAnswer{})
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why")
	return cmd
}

func newTariffStatementCommand(env Env) *cobra.Command {
	var f apiFlags
	cmd := &cobra.Command{
		Use:   "statement DRAFT",
		Short: "Print the bytes that have to be signed to publish an approved draft",
		Args:  oneDraft,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			answer, err := c.ask(cmd.Context(), http.MethodGet, draftPath(args[0], "/statement"), nil)
			if err != nil {
				return err
			}
			_, err = env.Stdout.Write(answer)
			return err
		},
	}
	f.add(cmd)
	return cmd
}

func newTariffSignCommand(env Env) *cobra.Command {
	var data, keyFile string
	cmd := &cobra.Command{
		Use:   "sign [STATEMENT]",
		Short: "Sign a statement with a key that is kept elsewhere than the API",
		Long: `Sign a statement, as 'freeflow tariff statement' prints it (a file, or stdin), and
print the signature for 'freeflow tariff publish --signature'. The network need not
be reachable: the key can be kept on a machine of its own.`,
		Args: atMostArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if keyFile == "" {
				keyFile = filepath.Join(data, tariffKeyFile)
			}
			text, err := os.ReadFile(keyFile)
			if err != nil {
				return fmt.Errorf("reading the signing key: %w", err)
			}
			key, err := governance.ParsePrivate(text)
			if err != nil {
				return err
			}
			path := "-"
			if len(args) == 1 {
				path = args[0]
			}
			statement, err := readAll(env, path)
			if err != nil {
				return fmt.Errorf("reading the statement: %w", err)
			}
			signature, err := governance.NewSigner(key).SignBytes(statement)
			if err != nil {
				return err
			}
			fmt.Fprintln(env.Stdout, base64.StdEncoding.EncodeToString(signature))
			return nil
		},
	}
	cmd.Flags().StringVar(&data, "data", "./data", "data folder, whose "+tariffKeyFile+" signs")
	cmd.Flags().StringVar(&keyFile, "signing-key", "", "file of the signing key, instead")
	return cmd
}

// readAll reads a bounded file, or stdin.
func readAll(env Env, path string) ([]byte, error) {
	in, done, err := openInput(env, path)
	if err != nil {
		return nil, err
	}
	defer done()
	return io.ReadAll(io.LimitReader(in, 1<<20))
}

func newTariffKeyCommand(env Env) *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Print the public key of the data folder's signing key, for those who verify elsewhere",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			signer, err := loadSigner(data, false)
			if err != nil {
				return err
			}
			if signer == nil {
				return fmt.Errorf("there is no %s in %s; 'freeflow run' with the target operator makes one at its first start", tariffKeyFile, data)
			}
			text, err := governance.EncodePublic(signer.Public())
			if err != nil {
				return err
			}
			fmt.Fprintf(env.Stderr, "fingerprint %s\n", governance.Fingerprint(signer.Public()))
			_, err = env.Stdout.Write(text)
			return err
		},
	}
	cmd.Flags().StringVar(&data, "data", "./data", "data folder")
	return cmd
}
