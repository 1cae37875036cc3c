package app

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// maxLine is the longest line of a file of reads that is taken, without its end.
const maxLine = 1 << 20

// openReads opens a file of reads, "-" being in, and unpacks gzip and zstd, told
// by their first bytes. count is called with the bytes taken from the file.
func openReads(path string, in io.Reader, count func(n int)) (_ io.ReadCloser, err error) {
	var source io.Reader = in
	closers := closers{}
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("opening the reads: %w", err)
		}
		closers = append(closers, f.Close)
		source = f
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, closers.Close())
		}
	}()
	buffered := bufio.NewReaderSize(counting{source, count}, 256<<10)
	head, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, fmt.Errorf("unpacking %s: %w", path, err)
		}
		return reader{z, append(closers, z.Close)}, nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, fmt.Errorf("unpacking %s: %w", path, err)
		}
		return reader{z, append(closers, func() error { z.Close(); return nil })}, nil
	case strings.HasSuffix(path, ".gz"), strings.HasSuffix(path, ".zst"):
		return nil, fmt.Errorf("unpacking %s: it does not begin as its name says; it was cut short, or is another kind of file", path)
	}
	return reader{buffered, closers}, nil
}

type reader struct {
	io.Reader
	closers
}

type closers []func() error

func (c closers) Close() error {
	var all error
	for i := len(c) - 1; i >= 0; i-- {
		all = errors.Join(all, c[i]())
	}
	return all
}

type counting struct {
	io.Reader
	count func(int)
}

func (c counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.count(n)
	return n, err
}

// line is one line of a file, without its end.
type line struct {
	number int
	text   string
	// long: the line has more than maxLine bytes; text is its beginning.
	long bool
}

// eachLine calls each with every line that is not blank, from number 1.
func eachLine(in io.Reader, each func(line) error) error {
	r := bufio.NewReaderSize(in, 64<<10)
	var buf []byte
	for number := 1; ; number++ {
		buf = buf[:0]
		long, ended := false, false
		for !ended {
			part, err := r.ReadSlice('\n')
			if len(part) > 0 && part[len(part)-1] == '\n' {
				part = part[:len(part)-1]
			}
			// One byte more than a line may have, for a carriage return.
			if room := maxLine + 1 - len(buf); len(part) > room {
				part, long = part[:room], true
			}
			buf = append(buf, part...)
			switch {
			case err == nil:
				ended = true
			case errors.Is(err, bufio.ErrBufferFull):
			case errors.Is(err, io.EOF):
				if len(buf) == 0 && !long {
					return nil
				}
				if err := give(line{number, string(buf), long}, each); err != nil {
					return err
				}
				return nil
			default:
				return err
			}
		}
		if err := give(line{number, string(buf), long}, each); err != nil {
			return err
		}
	}
}

func give(l line, each func(line) error) error {
	if n := len(l.text) - 1; n >= 0 && l.text[n] == '\r' {
		l.text = l.text[:n]
	}
	l.long = l.long || len(l.text) > maxLine
	for i := range len(l.text) {
		switch l.text[i] {
		case ' ', '\t', '\r':
		default:
			return each(l)
		}
	}
	if l.long {
		return each(l)
	}
	return nil
}
