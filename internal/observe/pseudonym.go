package observe

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// pseudonymFile lies in the data folder, readable by its owner alone: whoever
// has it can find out whose pseudonym one is by trying plates.
const pseudonymFile = "pseudonym-keys.json"

// PseudonymEvery is how long pseudonyms of one epoch are given out: after that
// the log of before and the log of after no longer show that it is the same
// car.
const PseudonymEvery = 90 * 24 * time.Hour

// maxEpochs bounds the keys that are kept; older ones are forgotten, and with
// them whose pseudonyms they made.
const maxEpochs = 40

// Pseudonyms give plates and tags other names, by which logs can tell that it
// is the same vehicle again, and nothing more. Safe for concurrent use.
type Pseudonyms struct{ epochs []epoch }

// epoch is a key and since when it is used.
type epoch struct {
	Number int       `json:"epoch"`
	Key    []byte    `json:"key"`
	Since  time.Time `json:"since"`
}

type epochsFile struct {
	Epochs []epoch `json:"epochs"`
}

// NewPseudonyms returns pseudonyms of a random key that nobody keeps, for
// commands and tests.
func NewPseudonyms() *Pseudonyms {
	return &Pseudonyms{[]epoch{{Number: 1, Key: newKey()}}}
}

// LoadPseudonyms reads the folder's keys, or makes the first one, and begins a
// new epoch where the last is older than PseudonymEvery. The folder is made
// where it is missing.
func LoadPseudonyms(dir string, now time.Time) (*Pseudonyms, error) {
	path := filepath.Join(dir, pseudonymFile)
	var f epochsFile
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("reading the keys of pseudonyms: %w", err)
	default:
		if err := json.Unmarshal(text, &f); err != nil {
			return nil, fmt.Errorf("reading the keys of pseudonyms %s: %w; mend the file, or remove it to have a new key made", path, err)
		}
		for _, e := range f.Epochs {
			if len(e.Key) < sha256.Size {
				return nil, fmt.Errorf("reading the keys of pseudonyms %s: the key of epoch %d is too short; remove the file to have a new one made", path, e.Number)
			}
		}
	}
	last := len(f.Epochs) - 1
	if last >= 0 && now.Sub(f.Epochs[last].Since) < PseudonymEvery {
		return &Pseudonyms{f.Epochs}, nil
	}
	number := 1
	if last >= 0 {
		number = f.Epochs[last].Number + 1
	}
	f.Epochs = append(f.Epochs, epoch{number, newKey(), now.UTC().Truncate(time.Second)})
	f.Epochs = f.Epochs[max(0, len(f.Epochs)-maxEpochs):]
	if err := writeEpochs(path, f); err != nil {
		return nil, fmt.Errorf("writing the keys of pseudonyms: %w", err)
	}
	return &Pseudonyms{f.Epochs}, nil
}

func newKey() []byte {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails: the runtime ends the program first
	return key
}

// writeEpochs writes the file whole or not at all.
func writeEpochs(path string, f epochsFile) error {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	part, err := os.CreateTemp(filepath.Dir(path), ".pseudonyms-*")
	if err != nil {
		return err
	}
	_, err = part.Write(append(text, '\n'))
	err = errors.Join(err, part.Close())
	if err == nil {
		err = os.Rename(part.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part.Name()))
	}
	return nil
}

// Of returns the present pseudonym of a plate, a tag or a vehicle's name, such
// as "px1-mfrggzdfmztwq2lk". Case, hyphens and white space make no difference,
// nor do the prefixes that vehicles' names have: the plate and the vehicle that
// is named by it have one pseudonym. Nothing has none.
func (p *Pseudonyms) Of(mark string) string { return p.epochs[len(p.epochs)-1].of(mark) }

// All returns the pseudonyms of all epochs that are known, the oldest first, for
// whoever looks a vehicle up in old logs.
func (p *Pseudonyms) All(mark string) []string {
	list := make([]string, len(p.epochs))
	for i, e := range p.epochs {
		list[i] = e.of(mark)
	}
	return list
}

var pseudonymText = base32.StdEncoding.WithPadding(base32.NoPadding)

func (e *epoch) of(mark string) string {
	mark = plain(mark)
	if mark == "" {
		return ""
	}
	h := hmac.New(sha256.New, e.Key)
	h.Write([]byte(mark))
	return fmt.Sprintf("px%d-%s", e.Number, strings.ToLower(pseudonymText.EncodeToString(h.Sum(nil)[:10])))
}

// plain brings what names a vehicle into one form.
func plain(mark string) string {
	if _, rest, ok := strings.Cut(mark, ":"); ok {
		mark = rest
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case ' ', '\t', '-', '‐', '‑':
			return -1
		}
		return r
	}, strings.ToUpper(mark))
}
