package tariff

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"unicode/utf8"
)

// Bounds on a network's files: an operator's slip (a wrong folder, a file
// written over and over) must end in a message, not in the machine's memory.
const (
	maxFileBytes = 8 << 20
	maxFileRows  = 100_000
	maxProblems  = 200
)

// problems collects mistakes, so that an operator sees all of them at once.
type problems struct {
	list []Problem
	more int
}

func (p *problems) add(file string, line int, format string, args ...any) {
	p.put(Problem{File: file, Line: line, Text: fmt.Sprintf(format, args...)})
}

func (p *problems) put(problem Problem) {
	if len(p.list) == maxProblems {
		p.more++
		return
	}
	p.list = append(p.list, problem)
}

func (p *problems) count() int { return len(p.list) + p.more }

// sheet is one CSV file: a header that names the columns, then rows.
type sheet struct {
	file string
	rows []sheetRow
}

type sheetRow struct {
	line  int
	cells []string // in the order of the columns asked for
}

// readSheet reads a file's columns by name. It returns nil if the file as a
// whole cannot be used; a row that cannot is left out. Both are in the
// problems then. A byte order mark and CRLF are tolerated, and a column
// "note", which is for people, is passed over.
func readSheet(files fs.FS, file string, columns []string, bad *problems) *sheet {
	data, ok := readFile(files, file, bad)
	if !ok {
		return nil
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord = -1
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		bad.add(file, 0, "is empty; its first line must be %s", strings.Join(columns, ","))
		return nil
	}
	if err != nil {
		bad.put(csvProblem(file, err))
		return nil
	}
	places, ok := placeColumns(file, header, columns, bad)
	if !ok {
		return nil
	}
	s := &sheet{file: file}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return s
		}
		if err != nil {
			// What follows a broken quote cannot be told apart from what it
			// quotes, so the file ends here.
			bad.put(csvProblem(file, err))
			return nil
		}
		line, _ := r.FieldPos(0)
		if len(s.rows) == maxFileRows {
			bad.add(file, line, "more than %d rows; split the network", maxFileRows)
			return nil
		}
		if len(record) != len(header) {
			bad.add(file, line, "has %d cells where the header has %d; put cells that hold a comma in double quotes", len(record), len(header))
			continue
		}
		cells := make([]string, len(columns))
		for i, place := range places {
			cells[i] = record[place]
			if trimmed := strings.TrimSpace(cells[i]); trimmed != cells[i] {
				at, column := r.FieldPos(place)
				bad.put(Problem{File: file, Line: at, Column: column, Text: fmt.Sprintf("white space around %q in column %s; remove it", trimmed, columns[i])})
				cells[i] = trimmed
			}
		}
		s.rows = append(s.rows, sheetRow{line: line, cells: cells})
	}
}

// placeColumns finds the columns in a header.
func placeColumns(file string, header, columns []string, bad *problems) (places []int, ok bool) {
	before := bad.count()
	seen := map[string]int{}
	for i, name := range header {
		if _, twice := seen[name]; twice {
			bad.add(file, 1, "column %q is there twice; remove one", name)
		}
		seen[name] = i
	}
	for _, name := range columns {
		place, found := seen[name]
		if !found {
			bad.add(file, 1, "column %q is missing; the header must be %s", name, strings.Join(columns, ","))
		}
		places = append(places, place)
		delete(seen, name)
	}
	delete(seen, "note")
	for _, name := range header {
		if _, left := seen[name]; left {
			bad.add(file, 1, "column %q is not known; the header must be %s (and may have note)", name, strings.Join(columns, ","))
			delete(seen, name)
		}
	}
	return places, bad.count() == before
}

// readFile reads a bounded regular file of valid UTF-8, without its byte
// order mark.
func readFile(files fs.FS, file string, bad *problems) (data []byte, ok bool) {
	f, err := files.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		bad.add(file, 0, "is missing; every network has one")
		return nil, false
	}
	if err != nil {
		bad.add(file, 0, "cannot be opened: %v", err)
		return nil, false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		bad.add(file, 0, "is not a regular file")
		return nil, false
	}
	data, err = io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		bad.add(file, 0, "cannot be read: %v", err)
		return nil, false
	}
	if len(data) > maxFileBytes {
		bad.add(file, 0, "is larger than %d MiB, which no network's is; is it the right file?", maxFileBytes>>20)
		return nil, false
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(data) {
		valid := 0
		for valid < len(data) {
			r, size := utf8.DecodeRune(data[valid:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			valid += size
		}
		bad.add(file, 1+bytes.Count(data[:valid], []byte("\n")), "is not UTF-8 (byte 0x%02x); save it as UTF-8", data[valid])
		return nil, false
	}
	return data, true
}

func csvProblem(file string, err error) Problem {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return Problem{File: file, Line: parse.Line, Column: parse.Column, Text: fmt.Sprintf("is not CSV: %v; double every quote inside a quoted cell, and close it", parse.Err)}
	}
	return Problem{File: file, Text: "cannot be read: " + err.Error()}
}
