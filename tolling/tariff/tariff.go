// Package tariff owns networks as data: facilities, toll points, units,
// classes, day types, holidays, tariff versions and their tolls, and the
// rating of one pass.
//
// A network is a folder of CSV files that an operator reads, edits and checks
// (docs/networks.md describes every column). Those of Hong Kong and of Taiwan
// are embedded in the binary; any folder can stand in for them (Open).
//
// Rules. A row holds for a facility, which is for all its toll points, or for
// one toll point of it; within one version a facility's class is given in one
// of the two ways. Each toll point and class follows the latest version begun
// at the instant that has rows for the point or for its facility: a version
// needs to name only what it changes. A version begins at an instant; minutes, weekdays and holidays are
// those of the network's zone. The toll is that of the minute in which the
// instant falls. A network with day types has known holidays from a first to
// a last day: past the last one nothing is rated, flat tolls included, since
// nobody has said yet which plan will apply; before the first one only tolls
// that are the same on every day are.
//
// Invariants: money is whole smallest units (cents); a loaded network never
// changes, has no minute without or with two tolls in any plan it holds, and
// is safe for concurrent use; rating is pure and exact, and touches no
// decimal. What is not known has no row and gives an error, never a guess.
//
// It does not know accounts or passes, does not fetch anything, and does not
// tell whether an operator's figures are lawful.
package tariff

import (
	"fmt"
	"strings"
	"time"
)

// Toll is the answer to a rating question: what a vehicle of a class owes at
// a place at an instant, and why. Its strings are made once, when the
// network is loaded.
type Toll struct {
	// Cents is the toll in the currency's hundredths.
	Cents int64
	// Version names the tariff version that gave the amount.
	Version string
	// DayType names the days for which the row holds: "all", or the day type
	// of the local date, for instance "sun_gh".
	DayType string
	// Rule says in one line which row gave the amount.
	Rule string
}

// NoTariffError says that the network has no toll for a question, and why:
// before its first version, past its last known holiday year, no row, or rows
// that differ between the toll points of the facility asked for.
type NoTariffError struct {
	// Place is the facility's code or toll point's name, as asked.
	Place, Class string
	At           time.Time
	Reason       string
}

func (e *NoTariffError) Error() string {
	return "no tariff for " + e.Class + " at " + e.Place + " at " + e.At.Format(time.RFC3339) + ": " + e.Reason
}

// UnknownError says that the network does not have what a question names.
type UnknownError struct {
	// Kind is "facility", also where a toll point would do, or "class".
	Kind string
	// Name is what was asked for.
	Name string
	// Network is the network's name.
	Network string
	// Known are the names that the network has, in its order.
	Known []string
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("unknown %s %.64q: network %s has %s", e.Kind, e.Name, e.Network, someOf(e.Known))
}

// someOf lists names, or if they are many the first and the last.
func someOf(names []string) string {
	const most = 12
	if len(names) > most {
		return fmt.Sprintf("%d others, %s to %s", len(names), names[0], names[len(names)-1])
	}
	return strings.Join(names, ", ")
}

// UnknownNetworkError says that a name is neither an embedded network's nor a
// folder's.
type UnknownNetworkError struct {
	Name string
	// Known are the embedded networks.
	Known []string
}

func (e *UnknownNetworkError) Error() string {
	return fmt.Sprintf("unknown network %q: give one of %s, or the path of a folder of CSV files", e.Name, strings.Join(e.Known, ", "))
}

// Problem is one mistake in a network's files.
type Problem struct {
	// File is the file's name within the folder.
	File string `json:"file"`
	// Line counts from 1; 0 where the file as a whole is meant.
	Line int `json:"line,omitempty"`
	// Column counts bytes of the line from 1; 0 where the line as a whole is
	// meant.
	Column int `json:"column,omitempty"`
	// Text says what is wrong and how to mend it.
	Text string `json:"problem"`
}

func (p Problem) String() string {
	switch {
	case p.Line == 0:
		return p.File + ": " + p.Text
	case p.Column == 0:
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
	default:
		return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Text)
	}
}

// BadNetworkError holds every mistake found in a network's files, in the
// order of the files, at most maxProblems of them.
type BadNetworkError struct {
	// Network is the name or folder that was to be opened.
	Network  string
	Problems []Problem
	// More counts the mistakes that were left off.
	More int
}

func (e *BadNetworkError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "network %s has %d problems", e.Network, len(e.Problems)+e.More)
	for _, p := range e.Problems {
		b.WriteString("\n" + p.String())
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "\nand %d more", e.More)
	}
	return b.String()
}
