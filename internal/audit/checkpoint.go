package audit

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Checkpoint is a statement of what the chain was: whoever keeps one elsewhere
// can tell whether the entries up to it were changed since.
type Checkpoint struct {
	// Origin names whose chain it is: the name of the signing key.
	Origin string
	Head
	// At is when it was made, to the second, UTC.
	At time.Time
}

// text is what is signed: the checkpoint of C2SP tlog-checkpoint (origin, size,
// root), and two lines more.
func (c Checkpoint) text() string {
	return fmt.Sprintf("%s\n%d\n%s\nchain %s\nat %s\n", c.Origin, c.Size,
		base64.StdEncoding.EncodeToString(c.Root[:]), hex.EncodeToString(c.Chain[:]), c.At.UTC().Format(time.RFC3339))
}

// Sign returns the checkpoint as a signed note. Its origin is set to the
// signer's name.
func (c Checkpoint) Sign(s note.Signer) ([]byte, error) {
	c.Origin = s.Name()
	signed, err := note.Sign(&note.Note{Text: c.text()}, s)
	if err != nil {
		return nil, fmt.Errorf("signing a checkpoint: %w", err)
	}
	return signed, nil
}

// maxCheckpoint bounds a checkpoint, in bytes, as read.
const maxCheckpoint = 16 << 10

// ParseCheckpoint checks the signature of a signed note by the verifier and
// reads the checkpoint in it. Lines that it does not know are ignored at the
// end only.
func ParseCheckpoint(signed []byte, v note.Verifier) (Checkpoint, error) {
	// One checkpoint has one text: bits of the last character that say nothing
	// must be nothing, or a changed file would pass for the one that was signed.
	for line := range strings.Lines(string(signed)) {
		text, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "\u2014 ")
		if _, signature, found := strings.Cut(text, " "); ok && found {
			if _, err := base64.StdEncoding.Strict().DecodeString(signature); err != nil {
				return Checkpoint{}, fmt.Errorf("reading a checkpoint: its signature: %w", err)
			}
		}
	}
	if len(signed) > maxCheckpoint {
		return Checkpoint{}, fmt.Errorf("reading a checkpoint: it has over %d bytes", maxCheckpoint)
	}
	n, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("reading a checkpoint: %w", err)
	}
	c, err := parseText(n.Text)
	if err == nil && c.Origin != v.Name() {
		err = fmt.Errorf("it is of the chain %q, the key is of %q", c.Origin, v.Name())
	}
	if err != nil {
		return Checkpoint{}, fmt.Errorf("reading a checkpoint: %w", err)
	}
	return c, nil
}

func parseText(text string) (Checkpoint, error) {
	var c Checkpoint
	lines := strings.Split(text, "\n")
	if len(lines) < 6 {
		return c, errors.New("it has too few lines")
	}
	c.Origin = lines[0]
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return c, errors.New("its second line is no size")
	}
	c.Size = size
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != len(c.Root) {
		return c, errors.New("its third line is no root")
	}
	copy(c.Root[:], root)
	chain, ok := strings.CutPrefix(lines[3], "chain ")
	hash, err := hex.DecodeString(chain)
	if !ok || err != nil || len(hash) != len(c.Chain) {
		return c, errors.New("its fourth line is no hash of the chain")
	}
	copy(c.Chain[:], hash)
	at, ok := strings.CutPrefix(lines[4], "at ")
	if c.At, err = time.Parse(time.RFC3339, at); !ok || err != nil {
		return c, errors.New("its fifth line is no time")
	}
	return c, nil
}

// checkpointFile is the name of the checkpoint of a size: sorted by size.
func checkpointFile(size int64) string { return fmt.Sprintf("checkpoint-%012d.txt", size) }

// WriteCheckpoint writes a signed checkpoint into a folder, which is made where
// it is missing, under a name of its size; one of that size that is there
// already stays as it is. It returns the path.
func WriteCheckpoint(dir string, size int64, signed []byte) (string, error) {
	path := filepath.Join(dir, checkpointFile(size))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making the folder of checkpoints: %w", err)
	}
	if err := writeWhole(path, signed, 0o644); err != nil {
		return "", fmt.Errorf("writing a checkpoint: %w", err)
	}
	return path, nil
}

// CheckpointFiles returns the paths of the checkpoints in a folder, the
// smallest first; none where there is no folder.
func CheckpointFiles(dir string) ([]string, error) {
	return filepath.Glob(filepath.Join(dir, "checkpoint-*.txt"))
}
