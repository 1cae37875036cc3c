package tariff

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"time"
)

// Files are the files of a network by name, byte for byte, unchecked: what
// Load takes, in a form that can be stored, compared and signed.
type Files map[string][]byte

// FileNames returns the names of a network's files, in the order of the
// canonical form.
func FileNames() []string {
	return []string{networkFile, classesFile, facilitiesFile, pointsFile, holidaysFile, versionsFile, tollsFile}
}

// canonicalHead begins every canonical form. Another form of it would be
// another digest of the same files, so it names its own edition.
const canonicalHead = "freeflow network 1\n"

// ReadFiles returns the files of the embedded network of that name, else those
// in the folder of that path, as Open finds them. A file that is missing is
// left out, which Load then tells as a mistake; further files of the folder are
// passed over. Errors: *UnknownNetworkError, else what reading gave.
func ReadFiles(nameOrDir string) (Files, error) {
	source, err := openFiles(nameOrDir)
	if err != nil {
		return nil, err
	}
	files := Files{}
	for _, name := range FileNames() {
		data, err := readBounded(source, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading network %s: %w", nameOrDir, err)
		}
		files[name] = data
	}
	return files, nil
}

// readBounded reads one byte more than a file may have, so that Load can tell
// that it is too large.
func readBounded(source fs.FS, name string) ([]byte, error) {
	f, err := source.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFileBytes+1))
}

// Load checks the files as the function Load does, under the label.
func (f Files) Load(label string) (*Network, error) { return Load(label, memory(f)) }

// With returns the files with those of changed in place of their namesakes.
// The error names files that no network has.
func (f Files) With(changed Files) (Files, error) {
	all := Files{}
	for name, data := range f {
		all[name] = data
	}
	for name, data := range changed {
		if !slices.Contains(FileNames(), name) {
			return nil, fmt.Errorf("a network has no file %.64q; its files are %s", name, someOf(FileNames()))
		}
		all[name] = data
	}
	return all, nil
}

// Canonical returns the one byte sequence that stands for the files: a head,
// then each file by the order of FileNames as its name, its length and its
// bytes. Files with other names are left out.
func (f Files) Canonical() []byte {
	var b bytes.Buffer
	b.WriteString(canonicalHead)
	for _, name := range FileNames() {
		data, ok := f[name]
		if !ok {
			continue
		}
		fmt.Fprintf(&b, "%s %d\n", name, len(data))
		b.Write(data)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// Digest returns the SHA-256 of the canonical form, in lower-case hex.
func (f Files) Digest() string {
	sum := sha256.Sum256(f.Canonical())
	return hex.EncodeToString(sum[:])
}

// ParseFiles undoes Canonical. Anything but the exact output of Canonical is
// refused, so that two byte sequences never stand for the same files.
func ParseFiles(canonical []byte) (Files, error) {
	rest, ok := bytes.CutPrefix(canonical, []byte(canonicalHead))
	if !ok {
		return nil, errors.New("reading a stored network: it does not begin as one")
	}
	files := Files{}
	for len(rest) > 0 {
		head, after, ok := bytes.Cut(rest, []byte("\n"))
		name, size, ok2 := bytes.Cut(head, []byte(" "))
		n, err := strconv.Atoi(string(size))
		if !ok || !ok2 || err != nil || n < 0 || n >= len(after) || after[n] != '\n' {
			return nil, fmt.Errorf("reading a stored network: it is broken after %d of its files", len(files))
		}
		files[string(name)] = after[:n:n]
		rest = after[n+1:]
	}
	if !bytes.Equal(files.Canonical(), canonical) {
		return nil, errors.New("reading a stored network: its files are not in their one order and form")
	}
	return files, nil
}

// memory gives files to Load.
type memory Files

func (m memory) Open(name string) (fs.File, error) {
	data, ok := m[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &memoryFile{Reader: bytes.NewReader(data), name: name, size: int64(len(data))}, nil
}

// memoryFile is an open file, and what Stat says of it.
type memoryFile struct {
	*bytes.Reader
	name string
	size int64
}

func (f *memoryFile) Stat() (fs.FileInfo, error) { return memoryInfo{f.name, f.size}, nil }
func (f *memoryFile) Close() error               { return nil }

type memoryInfo struct {
	name string
	size int64
}

func (i memoryInfo) Name() string       { return i.name }
func (i memoryInfo) Size() int64        { return i.size }
func (i memoryInfo) Mode() fs.FileMode  { return 0o444 }
func (i memoryInfo) ModTime() time.Time { return time.Time{} }
func (i memoryInfo) IsDir() bool        { return false }
func (i memoryInfo) Sys() any           { return nil }
