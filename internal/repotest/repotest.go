// Package repotest holds the rules of this repository as tests, so that a
// change which breaks one fails like any other mistake: who may import whom,
// what stands at the top level, that every package says what it owns.
//
// Invariant: the rules are read from the sources alone, generated files
// excepted where a rule is about style; no other program is run.
//
// Not promised: that the rules are complete. The linters of .golangci.yml look
// at what needs types, such as calls of the clock.
package repotest

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Module is the name of the module, as imports begin with it.
const Module = "freeflow"

// File is a Go source of the repository.
type File struct {
	// Path is relative to the repository, with slashes.
	Path string
	// Dir is the folder, "." for the repository itself.
	Dir       string
	Test      bool
	Generated bool
	Lines     int
	// Imports are the paths as written.
	Imports []string
	// Package is the package's name, Doc its comment in this file.
	Package, Doc string
}

// ReadFiles parses all Go sources under root. It fails on one that does not
// parse.
func ReadFiles(root string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || entry.Name() == "node_modules") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		file, err := readFile(name, filepath.ToSlash(relative))
		if err != nil {
			return fmt.Errorf("reading %s: %w", relative, err)
		}
		files = append(files, file)
		return nil
	})
	return files, err
}

func readFile(name, relative string) (File, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return File{}, err
	}
	file := File{
		Path:      relative,
		Dir:       path.Dir(relative),
		Test:      strings.HasSuffix(relative, "_test.go"),
		Generated: ast.IsGenerated(parsed),
		Package:   parsed.Name.Name,
	}
	if parsed.Doc != nil {
		file.Doc = parsed.Doc.Text()
	}
	for _, spec := range parsed.Imports {
		file.Imports = append(file.Imports, strings.Trim(spec.Path.Value, `"`))
	}
	file.Lines, err = countLines(name)
	return file, err
}

func countLines(name string) (int, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := 0
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		lines++
	}
	return lines, scanner.Err()
}

// Rule says what the packages at or under a folder may not import.
type Rule struct {
	// Under is a folder, and all in it unless Only is set.
	Under string
	Only  bool
	// Except are folders within Under that the rule leaves alone.
	Except []string
	// Deny are import paths; one ending in "/..." means what lies under it,
	// and without that itself and what lies under it.
	Deny []string
	// Tests says that the rule holds in tests too.
	Tests bool
	// Why tells whoever breaks the rule what it is for.
	Why string
}

// Check returns what is wrong with files by the rule, one line each.
func (r Rule) Check(files []File) []string {
	var wrong []string
	for _, file := range files {
		if !r.covers(file) {
			continue
		}
		for _, imported := range file.Imports {
			if r.denies(imported) {
				wrong = append(wrong, fmt.Sprintf("%s imports %s: %s", file.Path, imported, r.Why))
			}
		}
	}
	return wrong
}

func (r Rule) covers(file File) bool {
	if file.Test && !r.Tests {
		return false
	}
	if r.Only && file.Dir != r.Under || !within(file.Dir, r.Under) {
		return false
	}
	for _, except := range r.Except {
		if within(file.Dir, except) {
			return false
		}
	}
	return true
}

func (r Rule) denies(imported string) bool {
	for _, deny := range r.Deny {
		if under, ok := strings.CutSuffix(deny, "/..."); ok {
			if imported != under && within(imported, under) {
				return true
			}
		} else if within(imported, deny) {
			return true
		}
	}
	return false
}

// within tells whether dir is parent or lies under it; everything lies under ".".
func within(dir, parent string) bool {
	return parent == "." || dir == parent || strings.HasPrefix(dir, parent+"/")
}
