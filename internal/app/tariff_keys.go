package app

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"freeflow/tolling/governance"
)

// Files of tariff governance in the data folder.
const (
	// tariffKeyFile is the signing key, readable by its owner alone.
	tariffKeyFile = "tariff-key.pem"
	// tariffTrustFile holds the public keys whose statements are believed.
	tariffTrustFile = "tariff-trust.pem"
	// tariffCacheFile holds the statements that verified last, so that a
	// restart beside a changed database still has the last good network.
	tariffCacheFile = "tariff-good.json"
)

// loadSigner reads the folder's signing key, or makes one if told to; nil if
// there is none.
func loadSigner(dir string, make bool) (*governance.Signer, error) {
	path := filepath.Join(dir, tariffKeyFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if !make {
			return nil, nil
		}
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("making the signing key of tolls: %w", err)
		}
		if text, err = governance.EncodePrivate(key); err != nil {
			return nil, err
		}
		if err := writeNew(path, text); err != nil {
			return nil, fmt.Errorf("writing the signing key of tolls: %w", err)
		}
		return governance.NewSigner(key), nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the signing key of tolls: %w", err)
	}
	key, err := governance.ParsePrivate(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; put back the key that was there", path, err)
	}
	return governance.NewSigner(key), nil
}

// writeNew writes a file that only its owner may read, whole or not at all.
func writeNew(path string, text []byte) error {
	part := path + ".part"
	if err := os.WriteFile(part, text, 0o600); err != nil {
		return err
	}
	return os.Rename(part, path)
}

// loadTrust reads the public keys that are trusted here: those of the file
// given, or of the data folder; nil if nothing was ever trusted.
func loadTrust(dir, file string) (governance.Keys, error) {
	path := file
	if path == "" {
		path = filepath.Join(dir, tariffTrustFile)
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && file == "" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the trusted keys of tolls: %w", err)
	}
	keys, err := governance.ParsePublic(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

// saveTrust pins the keys in the data folder.
func saveTrust(dir string, keys governance.Keys) error {
	var text []byte
	for _, key := range keys {
		one, err := governance.EncodePublic(key)
		if err != nil {
			return err
		}
		text = append(text, one...)
	}
	if err := writeNew(filepath.Join(dir, tariffTrustFile), text); err != nil {
		return fmt.Errorf("writing the trusted keys of tolls: %w", err)
	}
	return nil
}
