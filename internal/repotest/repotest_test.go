package repotest

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// drivers are what talks to the world: databases, brokers, the web.
var drivers = []string{
	"database/sql", "net/http", "github.com/segmentio/kafka-go", "github.com/redis/go-redis",
	"github.com/jackc/pgx", "modernc.org/sqlite", "github.com/labstack/echo", "github.com/twmb/franz-go",
	"github.com/alicebob/miniredis", "github.com/pressly/goose",
}

// pure are the packages of rules and contracts.
var pure = []string{"rsu", "tolling", "tolling/tariff", "tolling/registry", "tolling/governance", "tolling/passage", "billing", "billing/payment", "billing/fps",
	"parking", "parking/sites", "parking/mechanism", "parking/allocator", "parking/tariff", "parking/stay", "parking/reserve", "parking/city", "parking/city/assign"}

func rules() []Rule {
	rules := []Rule{
		{Under: "rsu", Deny: []string{"freeflow/tolling", "freeflow/billing", "freeflow/parking"}, Tests: true,
			Why: "a roadside unit knows only reads"},
		{Under: "tolling", Deny: []string{"freeflow/parking"}, Tests: true,
			Why: "tolling and parking do not know each other"},
		{Under: "tolling", Deny: []string{"freeflow/rsu/...", "freeflow/billing/..."},
			Why: "tolling knows the read and the books' contract, not what lies behind them"},
		{Under: "tolling", Except: []string{"tolling/matcher", "tolling/operator", "tolling/rejudge", "tolling/rerate"}, Deny: []string{"freeflow/billing"},
			Why: "tolling meets billing in the matcher, which posts, in those who judge and rate anew, and in the operators' API, which shows what was posted"},
		{Under: "billing", Deny: []string{"freeflow/tolling", "freeflow/parking", "freeflow/rsu"},
			Why: "billing serves the domains and does not know them"},
		{Under: "parking", Deny: []string{"freeflow/tolling", "freeflow/rsu", "freeflow/billing/..."},
			Why: "parking knows the books' contract and no other domain"},
		{Under: "loadtest/oracle", Deny: []string{"freeflow/tolling", "freeflow/billing", "freeflow/rsu", "freeflow/parking"}, Tests: true,
			Why: "the oracle is written apart from what it judges"},
		{Under: ".", Except: []string{"cmd", "internal/app"}, Deny: []string{"freeflow/internal/app"}, Tests: true,
			Why: "only the mains know the assembly"},
		{Under: "internal", Except: []string{"internal/app"}, Deny: []string{"freeflow/rsu", "freeflow/tolling", "freeflow/billing", "freeflow/parking"},
			Why: "internal packages belong to no domain"},
		{Under: ".", Deny: []string{"freeflow/loadtest"}, Except: []string{"loadtest", "cmd", "internal/app"},
			Why: "the product does not depend on what tests it, but for the assembly's demo traffic"},
	}
	for _, dir := range pure {
		rules = append(rules, Rule{Under: dir, Only: true, Deny: drivers, Why: "a package of rules knows no driver and no transport"})
	}
	return rules
}

func readRepository(t *testing.T) []File {
	t.Helper()
	files, err := ReadFiles(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Fatalf("only %d Go files were found: the rules would hold of nothing", len(files))
	}
	return files
}

func TestWhoMayImportWhom(t *testing.T) {
	files := readRepository(t)
	for _, rule := range rules() {
		for _, wrong := range rule.Check(files) {
			t.Error(wrong)
		}
	}
}

// TestTheRulesBite makes a file that breaks each rule, since a rule whose
// folder was misspelt would hold for ever.
func TestTheRulesBite(t *testing.T) {
	for _, rule := range rules() {
		for _, deny := range rule.Deny {
			dir := rule.Under
			if dir == "." {
				dir = "billing/books"
			}
			imported := strings.Replace(deny, "/...", "/part", 1)
			file := File{Path: dir + "/x.go", Dir: dir, Imports: []string{imported}}
			if len(rule.Check([]File{file})) != 1 {
				t.Errorf("%s may import %s", dir, imported)
			}
			file.Imports = []string{"freeflow/internal/clock", "errors", imported + "er"}
			if wrong := rule.Check([]File{file}); len(wrong) != 0 && !strings.HasSuffix(deny, "/...") {
				t.Errorf("%v", wrong)
			}
		}
		if rule.Under != "." && !rule.Only {
			continue
		}
		if _, err := os.Stat(filepath.Join(root, rule.Under)); err != nil {
			t.Errorf("there is a rule for %s: %v", rule.Under, err)
		}
	}
}

// TestEveryPackageSaysWhatItOwns wants one package comment a package, of more
// than a line: what it owns, its invariants, what it does not promise.
func TestEveryPackageSaysWhatItOwns(t *testing.T) {
	docs := map[string][]string{}
	for _, file := range readRepository(t) {
		if file.Test {
			continue
		}
		if _, seen := docs[file.Dir]; !seen {
			docs[file.Dir] = nil
		}
		if file.Doc == "" || file.Generated {
			continue
		}
		docs[file.Dir] = append(docs[file.Dir], file.Path)
		want := "Package " + file.Package + " "
		if file.Package == "main" {
			want = "Command "
		}
		if !strings.HasPrefix(file.Doc, want) {
			t.Errorf("%s: the package comment begins otherwise than with %q", file.Path, want)
		}
		if len(strings.Fields(file.Doc)) < 12 {
			t.Errorf("%s: the package comment is too short to say what the package owns", file.Path)
		}
	}
	for dir, where := range docs {
		if len(where) != 1 && !onlyGenerated(dir) {
			t.Errorf("%s has %d package comments, want one: %v", dir, len(where), where)
		}
	}
}

func onlyGenerated(dir string) bool {
	files, err := ReadFiles(filepath.Join(root, dir))
	if err != nil {
		return false
	}
	for _, file := range files {
		if file.Dir == "." && !file.Generated && !file.Test {
			return false
		}
	}
	return true
}

func TestFilesAreOfReadableLength(t *testing.T) {
	const most = 600
	for _, file := range readRepository(t) {
		if file.Lines > most && !file.Generated {
			t.Errorf("%s has %d lines, more than %d: split it by what it does", file.Path, file.Lines, most)
		}
	}
}

func TestNoPackageOfLeftovers(t *testing.T) {
	leftovers := []string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "base", "lib"}
	for _, file := range readRepository(t) {
		if slices.Contains(leftovers, file.Package) {
			t.Errorf("%s: a package called %s owns nothing in particular; name it for what it does", file.Path, file.Package)
		}
	}
}

// TestTopLevel: the repository's first page stays readable.
func TestTopLevel(t *testing.T) {
	known := []string{
		"cmd", "tolling", "parking", "billing", "rsu", "loadtest", "deploy", "internal", "docs",
		"go.mod", "go.sum", "Makefile", "README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "NOTICE",
		// Made by building and running, and ignored by git.
		"bin", "data", "coverage.out",
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if name := entry.Name(); !strings.HasPrefix(name, ".") && !slices.Contains(known, name) {
			t.Errorf("%s stands at the top level; see the layout in ARCHITECTURE.md", name)
		}
	}
}

// TestNothingIsLeftForLater looks for the words of unfinished work, and for
// places of one particular machine.
func TestNothingIsLeftForLater(t *testing.T) {
	// Written apart, so that this file does not hold them itself.
	forbidden := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME)\b|/wo` + `rk/(ma` + `in|sha` + `red)|/ro` + `ot/`)
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			switch entry.Name() {
			case ".git", ".cache", "bin", "data", "testdata", "node_modules":
				return fs.SkipDir
			}
			return nil
		}
		switch filepath.Ext(name) {
		case ".go", ".md", ".sql", ".lua", ".sh", ".yml", ".yaml", ".html", ".js", ".css", "":
		default:
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for i, line := range bytes.Split(text, []byte("\n")) {
			if found := forbidden.Find(line); found != nil {
				t.Errorf("%s:%d says %s", strings.TrimPrefix(name, root+"/"), i+1, found)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestEveryTestRuns: a test that passes by itself where its server is missing
// would be believed.
func TestEveryTestRuns(t *testing.T) {
	for _, file := range readRepository(t) {
		if !file.Test {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, file.Path))
		if err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(`\bt\.Skip(Now|f)?\(`).Match(text) && file.Dir != "internal/repotest" {
			t.Errorf("%s skips a test; let it fail and say what is missing", file.Path)
		}
	}
}

// TestMoneyIsNoFloat: where amounts are worked out there is no float at all,
// but in files that have it for something else.
func TestMoneyIsNoFloat(t *testing.T) {
	other := map[string]string{
		"billing/collect/figures.go":   "Prometheus takes counts and seconds as floats",
		"billing/dispute/reads.go":     "how sure a plate is, and how loud a tag: measured, as the read has it",
		"billing/statement/pdf/pdf.go": "millimetres of a page",
		"tolling/tariff/load.go":       "degrees of latitude",
		"tolling/tariff/network.go":    "degrees of latitude",
	}
	float := regexp.MustCompile(`\bfloat(32|64)\b`)
	for _, file := range readRepository(t) {
		if file.Test || file.Generated || !within(file.Dir, "billing") && !within(file.Dir, "tolling/tariff") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, file.Path))
		if err != nil {
			t.Fatal(err)
		}
		found := float.Match(text)
		if why, ok := other[file.Path]; ok != found {
			if ok {
				t.Errorf("%s has no float any more (it was for %s): take it off the list", file.Path, why)
			} else {
				t.Errorf("%s has a float; amounts are int64 cents, or shopspring/decimal at the edges", file.Path)
			}
		}
	}
}
