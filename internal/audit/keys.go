package audit

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Key files of the data folder.
const (
	// signerFile holds the key that signs checkpoints, for its owner alone.
	signerFile = "audit-signer.key"
	// VerifierFile holds the key by which they are checked; keep a copy
	// elsewhere.
	VerifierFile = "audit-verifier.pub"
)

// LoadSigner reads the folder's signing key, or makes one, and sees to it that
// its verifying key lies beside it. Several processes may do so at once.
func LoadSigner(dir string) (note.Signer, error) {
	path := filepath.Join(dir, signerFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeSigner(path); err != nil {
			return nil, fmt.Errorf("making the key of the audit trail: %w", err)
		}
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the key of the audit trail: %w", err)
	}
	key := strings.TrimSpace(string(text))
	s, err := note.NewSigner(key)
	if err != nil {
		return nil, fmt.Errorf("reading the key of the audit trail %s: %w; restore the file from a backup: with a new key old checkpoints need the old verifying key", path, err)
	}
	verifier, err := verifierOf(key)
	if err != nil {
		return nil, fmt.Errorf("reading the key of the audit trail %s: %w", path, err)
	}
	public := filepath.Join(dir, VerifierFile)
	if _, err := os.Stat(public); errors.Is(err, fs.ErrNotExist) {
		if err := writeWhole(public, []byte(verifier+"\n"), 0o644); err != nil {
			return nil, fmt.Errorf("writing the verifying key of the audit trail: %w", err)
		}
	}
	return s, nil
}

// makeSigner makes a signing key, whose file gets its name only once it is
// whole, and only if no other process was faster.
func makeSigner(path string) error {
	id := make([]byte, 4)
	if _, err := rand.Read(id); err != nil {
		return err
	}
	signer, _, err := note.GenerateKey(rand.Reader, "freeflow-audit-"+hex.EncodeToString(id))
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".audit-*") // readable by its owner alone
	if err != nil {
		return err
	}
	_, err = f.WriteString(signer + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Link(f.Name(), path)
	}
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return errors.Join(err, os.Remove(f.Name()))
}

// verifierOf derives the verifying key from a signing key, which is
// PRIVATE+KEY+NAME+HASH+KEY, the key being the algorithm and the seed.
func verifierOf(signer string) (string, error) {
	parts := strings.SplitN(signer, "+", 5)
	if len(parts) != 5 {
		return "", errors.New("it has another form than expected")
	}
	data, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(data) != 1+ed25519.SeedSize {
		return "", errors.New("it holds no Ed25519 key")
	}
	public, ok := ed25519.NewKeyFromSeed(data[1:]).Public().(ed25519.PublicKey)
	if !ok {
		return "", errors.New("it holds no Ed25519 key")
	}
	return note.NewEd25519VerifierKey(parts[2], public)
}

// LoadVerifier reads a verifying key: the key itself, or a file of it. What can
// be a key is one: a key may look like a path, since base64 has slashes.
func LoadVerifier(keyOrFile string) (note.Verifier, error) {
	if v, err := note.NewVerifier(strings.TrimSpace(keyOrFile)); err == nil {
		return v, nil
	}
	text, err := os.ReadFile(keyOrFile)
	if err != nil {
		return nil, fmt.Errorf("reading the audit trail's verifying key: %w", err)
	}
	v, err := note.NewVerifier(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("reading the audit trail's verifying key: %w", err)
	}
	return v, nil
}

// writeWhole writes a file whole or not at all, also where others do so at the
// same time.
func writeWhole(path string, text []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".audit-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
