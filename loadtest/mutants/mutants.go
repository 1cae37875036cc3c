// Package mutants changes one operator of a package at a time and looks
// whether the package's own tests notice: it says how much the tests would
// miss. The tree itself is never written to; the go command is given each
// changed file by its overlay.
//
// A changed program that does not compile counts for nothing: it would be no
// proof of the tests. An operator that no test reaches is a miss, not left
// out. A test that runs far longer than it did on the unchanged program has
// noticed.
//
// It does not know which changed programs mean the same as the unchanged one
// (a bound that cannot be met exactly, say); those stand among the missed. It
// does not change SQL, texts or constants.
package mutants

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
)

// Mutant is one change of one operator.
type Mutant struct {
	File   string // as it was given
	Line   int    // from 1
	Column int    // from 1, in bytes
	Offset int    // of the operator in the file, in bytes
	Was    string // the operator
	Now    string // what takes its place
}

// turned is what takes an operator's place: the opposite of a comparison, the
// neighbour of a bound, the inverse of an operation, the other of two words of
// logic.
var turned = map[token.Token][]token.Token{
	token.EQL:        {token.NEQ},
	token.NEQ:        {token.EQL},
	token.LSS:        {token.GEQ, token.LEQ},
	token.LEQ:        {token.GTR, token.LSS},
	token.GTR:        {token.LEQ, token.GEQ},
	token.GEQ:        {token.LSS, token.GTR},
	token.ADD:        {token.SUB},
	token.SUB:        {token.ADD},
	token.MUL:        {token.QUO},
	token.QUO:        {token.MUL},
	token.REM:        {token.MUL},
	token.LAND:       {token.LOR},
	token.LOR:        {token.LAND},
	token.INC:        {token.DEC},
	token.DEC:        {token.INC},
	token.ADD_ASSIGN: {token.SUB_ASSIGN},
	token.SUB_ASSIGN: {token.ADD_ASSIGN},
}

// Find lists the mutants of a Go source file, in the order of the text. Only
// what runs is changed: no constants, no types. An addition with a text in it
// is left alone, since texts have no inverse.
func Find(name string, source []byte) ([]Mutant, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var found []Mutant
	add := func(at token.Pos, op token.Token) {
		p := set.Position(at)
		for _, now := range turned[op] {
			found = append(found, Mutant{name, p.Line, p.Column, p.Offset, op.String(), now.String()})
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GenDecl:
			return n.Tok != token.CONST && n.Tok != token.TYPE && n.Tok != token.IMPORT
		case *ast.BinaryExpr:
			if n.Op != token.ADD || !hasText(n) {
				add(n.OpPos, n.Op)
			}
		case *ast.IncDecStmt:
			add(n.TokPos, n.Tok)
		case *ast.AssignStmt:
			if len(n.Rhs) != 1 || !hasText(n.Rhs[0]) {
				add(n.TokPos, n.Tok)
			}
		case *ast.UnaryExpr:
			if n.Op == token.SUB {
				p := set.Position(n.OpPos)
				found = append(found, Mutant{name, p.Line, p.Column, p.Offset, "-", "+"})
			}
		}
		return true
	})
	slices.SortFunc(found, func(a, b Mutant) int {
		if a.Offset != b.Offset {
			return a.Offset - b.Offset
		}
		return strings.Compare(a.Now, b.Now)
	})
	return found, nil
}

// hasText tells whether a quoted text is one of the terms of a sum.
func hasText(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return e.Kind == token.STRING
	case *ast.BinaryExpr:
		return hasText(e.X) || hasText(e.Y)
	case *ast.ParenExpr:
		return hasText(e.X)
	}
	return false
}

// Apply gives the source with the mutant in it.
func (m Mutant) Apply(source []byte) []byte {
	return slices.Concat(source[:m.Offset], []byte(m.Now), source[m.Offset+len(m.Was):])
}

// block is a stretch of a file that tests reached, or did not; lines and
// columns from 1, the end not in it.
type block struct {
	fromLine, fromColumn, toLine, toColumn int
	reached                                bool
}

func (b block) holds(m Mutant) bool {
	from := m.Line > b.fromLine || m.Line == b.fromLine && m.Column >= b.fromColumn
	to := m.Line < b.toLine || m.Line == b.toLine && m.Column < b.toColumn
	return from && to
}

// covered tells whether a test reaches the mutant. What stands in no block (a
// variable of the package) counts as reached.
func covered(blocks map[string][]block, m Mutant) bool {
	known := false
	for _, b := range blocks[filepath.Base(m.File)] {
		if b.holds(m) {
			if b.reached {
				return true
			}
			known = true
		}
	}
	return !known
}
