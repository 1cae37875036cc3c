package app

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"freeflow/internal/clock"
	"freeflow/internal/web"
)

// staffFile lies in the data folder, readable by its owner alone.
const staffFile = "staff.json"

// mostStaff bounds the people: every request is compared with all of them.
const mostStaff = 1000

// member is one person of the staff. Of a key that was made here only the
// digest is kept.
type member struct {
	Name  string   `json:"name"`
	Key   string   `json:"key,omitempty"`
	Sum   string   `json:"key_sha256,omitempty"`
	Roles []string `json:"roles,omitempty"`
	Added string   `json:"added,omitempty"`
}

type staffList struct {
	Staff []member `json:"staff"`
}

// memberName is the form of names, lower case so that none looks like two.
var memberName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// reservedNames are those of keys that are not a person's, and of the system.
var reservedNames = []string{"operator", "unit", "system", "motorist"}

// readStaff reads a staff file; one that is not there is empty.
func readStaff(path string) (staffList, error) {
	var list staffList
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return list, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &list, json.RejectUnknownMembers(true))
	}
	if err != nil {
		return list, fmt.Errorf("reading the staff %s: %w", path, err)
	}
	_, err = list.holders()
	if err != nil {
		return list, fmt.Errorf("reading the staff %s: %w", path, err)
	}
	return list, nil
}

// holders returns the staff as holders of keys.
func (l staffList) holders() ([]web.Holder, error) {
	if len(l.Staff) > mostStaff {
		return nil, fmt.Errorf("there are %d people, at most %d may be", len(l.Staff), mostStaff)
	}
	seen := map[string]bool{}
	holders := make([]web.Holder, len(l.Staff))
	for i, m := range l.Staff {
		h := web.Holder{Name: m.Name, Person: true, Roles: m.Roles}
		sum, err := hex.DecodeString(m.Sum)
		switch {
		case !memberName.MatchString(m.Name) || slices.Contains(reservedNames, m.Name):
			return nil, fmt.Errorf("%q is not a person's name; use a-z, 0-9, . _ - (at most 64), and none of %s", m.Name, strings.Join(reservedNames, ", "))
		case seen[m.Name]:
			return nil, fmt.Errorf("%s is there twice; remove one", m.Name)
		case m.Key != "" && m.Sum != "":
			return nil, fmt.Errorf("%s has a key and a key_sha256; keep one", m.Name)
		case m.Key != "" && len(m.Key) < 16:
			return nil, fmt.Errorf("the key of %s has fewer than 16 bytes; make a longer one", m.Name)
		case m.Key != "":
			h.Sum = sha256.Sum256([]byte(m.Key))
		case err != nil || len(sum) != sha256.Size:
			return nil, fmt.Errorf("%s has neither a key nor a key_sha256 of 64 hex digits", m.Name)
		default:
			copy(h.Sum[:], sum)
		}
		for _, other := range holders[:i] {
			if other.Sum == h.Sum {
				return nil, fmt.Errorf("%s and %s have the same key; each person needs an own one", other.Name, m.Name)
			}
		}
		seen[m.Name] = true
		holders[i] = h
	}
	return holders, nil
}

// writeStaff writes the file whole or not at all.
func writeStaff(path string, list staffList) error {
	text, err := json.Marshal(list, jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	part := path + ".part"
	if err := os.WriteFile(part, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the staff: %w", err)
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("writing the staff: %w", err)
	}
	return nil
}

// staff is who may use the operators' API, followed while the system runs.
type staff struct {
	path   string
	shared web.Holder
	now    atomic.Pointer[[]web.Holder]
	// tell hears who is known at the start, and who comes and goes; may be nil.
	tell func(ctx context.Context, action, name string) error
}

// told tells what differs between two lists of holders.
func (s *staff) told(ctx context.Context, before, after []web.Holder) error {
	if s.tell == nil {
		return nil
	}
	var all error
	for _, h := range after {
		if !slices.ContainsFunc(before, func(b web.Holder) bool { return b.Name == h.Name && b.Sum == h.Sum }) {
			all = errors.Join(all, s.tell(ctx, "staff.added", h.Name))
		}
	}
	for _, h := range before {
		if !slices.ContainsFunc(after, func(a web.Holder) bool { return a.Name == h.Name && a.Sum == h.Sum }) {
			all = errors.Join(all, s.tell(ctx, "staff.removed", h.Name))
		}
	}
	return all
}

// openStaff reads the staff file; the shared key belongs to nobody in
// particular.
func openStaff(path string, shared web.Key) (*staff, error) {
	if len(shared.Secret) < 16 {
		return nil, fmt.Errorf("the key of %s has fewer than 16 bytes; make a longer one", shared.Name)
	}
	s := &staff{path: path, shared: web.HolderOf(shared)}
	return s, s.load()
}

func (s *staff) load() error {
	list, err := readStaff(s.path)
	if err != nil {
		return err
	}
	holders, err := list.holders()
	if err != nil {
		return err
	}
	holders = append([]web.Holder{s.shared}, holders...)
	s.now.Store(&holders)
	return nil
}

// holders are those of this moment.
func (s *staff) holders() []web.Holder { return *s.now.Load() }

// watch follows the file until ctx ends: who is added can work, and who is
// removed cannot, within a second. A file that cannot be read leaves the staff
// as it was.
func (s *staff) watch(ctx context.Context, log *slog.Logger) error {
	if err := s.told(ctx, []web.Holder{s.shared}, s.holders()); err != nil && ctx.Err() == nil {
		log.ErrorContext(ctx, "the audit trail was not told of the staff", "err", err)
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var seen fs.FileInfo
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			info, err := os.Stat(s.path)
			if err == nil && seen != nil && info.ModTime().Equal(seen.ModTime()) && info.Size() == seen.Size() {
				continue
			}
			if errors.Is(err, fs.ErrNotExist) && seen == nil {
				continue
			}
			if seen = info; err != nil {
				seen = nil
			}
			before := s.holders()
			err = s.load()
			if err == nil {
				err = s.told(ctx, before, s.holders())
			}
			if err != nil && ctx.Err() == nil {
				log.ErrorContext(ctx, "staff not refreshed; who was known before still is", "err", err)
			}
		}
	}
}

func newStaffCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "staff",
		Short: "Say who may use the operators' API under an own name",
		Long: `Say who may use the operators' API under an own name. Every person has a key of
their own, which stands in for the person in all that is decided with it: a
change of tolls needs two of them. The file is ` + staffFile + ` in the data folder; a
running system follows it within a second. Processes that run elsewhere need the
same file (run --staff).`,
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("there is no command %q under staff; there are add, remove and list", args[0])
			}
			return usagef("name what to do: add, remove or list")
		},
	}
	cmd.AddCommand(newStaffAddCommand(env), newStaffRemoveCommand(env), newStaffListCommand(env))
	return cmd
}

// staffFlags say where the staff file is.
type staffFlags struct{ data, file string }

func (f *staffFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.data, "data", "./data", "data folder")
	cmd.Flags().StringVar(&f.file, "staff", "", "staff file; empty is "+staffFile+" in the data folder")
}

func (f *staffFlags) path() string {
	if f.file != "" {
		return f.file
	}
	return filepath.Join(f.data, staffFile)
}

func newStaffAddCommand(env Env) *cobra.Command {
	var f staffFlags
	var roles []string
	cmd := &cobra.Command{
		Use:     "add NAME [--role ROLE]...",
		Short:   "Add a person and print the person's key, which is kept nowhere else",
		Example: "  freeflow staff add mei.wong --role tariff",
		Args:    oneName,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := os.MkdirAll(filepath.Dir(f.path()), 0o700); err != nil {
				return fmt.Errorf("making the folder of the staff: %w", err)
			}
			list, err := readStaff(f.path())
			if err != nil {
				return err
			}
			key := rand.Text()
			list.Staff = append(list.Staff, newMember(args[0], key, roles, env.Clock))
			if _, err := list.holders(); err != nil {
				return err
			}
			if err := writeStaff(f.path(), list); err != nil {
				return err
			}
			fmt.Fprintln(env.Stdout, key)
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().StringArrayVar(&roles, "role", nil, "what the person may do; may be given more than once")
	return cmd
}

// newMember is a person of whose key the digest is kept.
func newMember(name, key string, roles []string, clk clock.Clock) member {
	sum := sha256.Sum256([]byte(key))
	return member{Name: name, Sum: hex.EncodeToString(sum[:]), Roles: roles, Added: clk.Now().Format(time.RFC3339)}
}

func oneName(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("give one person's name")
	}
	return nil
}

func newStaffRemoveCommand(Env) *cobra.Command {
	var f staffFlags
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a person; the person's key opens nothing any more",
		Args:  oneName,
		RunE: func(_ *cobra.Command, args []string) error {
			list, err := readStaff(f.path())
			if err != nil {
				return err
			}
			before := len(list.Staff)
			list.Staff = slices.DeleteFunc(list.Staff, func(m member) bool { return m.Name == args[0] })
			if len(list.Staff) == before {
				return fmt.Errorf("there is nobody called %q in %s", args[0], f.path())
			}
			return writeStaff(f.path(), list)
		},
	}
	f.add(cmd)
	return cmd
}

func newStaffListCommand(env Env) *cobra.Command {
	var f staffFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the people, without their keys",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			list, err := readStaff(f.path())
			if err != nil {
				return err
			}
			for _, m := range list.Staff {
				fmt.Fprintf(env.Stdout, "%s\t%s\t%s\n", m.Name, strings.Join(m.Roles, ","), m.Added)
			}
			return nil
		},
	}
	f.add(cmd)
	return cmd
}
