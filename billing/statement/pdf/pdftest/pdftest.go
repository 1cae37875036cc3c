// Package pdftest owns how tests read the text of the PDFs that this program
// makes: from the bytes, with nothing of the library that wrote them.
//
// Invariant: what it returns was really drawn, in the order of drawing. Not
// promised: other programs' PDFs, or where on a page a text stands.
package pdftest

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
)

// maxStream bounds one unpacked stream, in bytes.
const maxStream = 64 << 20

// Pages returns the texts of each page, one string a drawn string.
func Pages(pdf []byte) ([][]string, error) {
	if !bytes.HasPrefix(pdf, []byte("%PDF-")) || !bytes.HasSuffix(bytes.TrimSpace(pdf), []byte("%%EOF")) {
		return nil, fmt.Errorf("it does not begin and end as a PDF")
	}
	var pages [][]string
	for rest := pdf; ; {
		_, after, found := bytes.Cut(rest, []byte("\nstream\n"))
		if !found {
			return pages, nil
		}
		body, next, found := bytes.Cut(after, []byte("\nendstream"))
		if !found {
			return nil, fmt.Errorf("a stream has no end")
		}
		rest = next
		z, err := zlib.NewReader(bytes.NewReader(body))
		if err != nil {
			continue // not packed: no page
		}
		text, err := io.ReadAll(io.LimitReader(z, maxStream))
		if err != nil {
			return nil, fmt.Errorf("unpacking a stream: %w", err)
		}
		if bytes.Contains(text, []byte("Tj")) {
			pages = append(pages, drawn(text))
		}
	}
}

// drawn returns the strings that a page's program draws: "(" escaped UTF-16,
// high byte first, ")" and Tj.
func drawn(program []byte) []string {
	var list []string
	for i := 0; i < len(program); i++ {
		if program[i] != '(' {
			continue
		}
		var raw []byte
		for i++; i < len(program) && program[i] != ')'; i++ {
			if program[i] != '\\' {
				raw = append(raw, program[i])
				continue
			}
			i++
			switch program[i] {
			case 'r':
				raw = append(raw, '\r')
			case 'n':
				raw = append(raw, '\n')
			default:
				raw = append(raw, program[i])
			}
		}
		if !bytes.HasPrefix(program[min(i+1, len(program)):], []byte(" Tj")) && !bytes.HasPrefix(program[min(i+1, len(program)):], []byte("Tj")) {
			continue
		}
		units := make([]uint16, len(raw)/2)
		for n := range units {
			units[n] = uint16(raw[2*n])<<8 | uint16(raw[2*n+1])
		}
		list = append(list, string(utf16.Decode(units)))
	}
	return list
}

// Text is everything on all pages, a line a drawn string.
func Text(pdf []byte) (string, error) {
	pages, err := Pages(pdf)
	var b strings.Builder
	for _, page := range pages {
		b.WriteString(strings.Join(page, "\n"))
		b.WriteByte('\n')
	}
	return b.String(), err
}
