// Package spool owns the folder into which notices are written for whoever
// carries them: a mail server, a gateway for text messages, a letter shop. One
// file a message, DIR/CHANNEL/NAME.json, readable by its owner alone, written
// whole or not at all; NAME follows from the message's reference, so that a
// repetition replaces its own file.
//
// Not promised: that somebody takes the files; Send refuses once a channel's
// folder holds too many, so that the disk is not filled.
package spool

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"freeflow/billing/notice"
)

// maxFiles bounds a channel's folder.
const maxFiles = 100_000

// Spool writes messages into a folder. Safe for concurrent use.
type Spool struct{ dir string }

// New returns the spool in a folder, which it makes where needed.
func New(dir string) (*Spool, error) {
	for _, channel := range []string{notice.Email, notice.SMS, notice.Post} {
		if err := os.MkdirAll(filepath.Join(dir, channel), 0o700); err != nil {
			return nil, fmt.Errorf("opening the notices' folder: %w", err)
		}
	}
	return &Spool{dir}, nil
}

// file is a message as it is written.
type file struct {
	Reference string `json:"reference"`
	Channel   string `json:"channel"`
	To        string `json:"to,omitempty"`
	Account   string `json:"account,omitempty"`
	Vehicle   string `json:"vehicle,omitempty"`
	Language  string `json:"language,omitempty"`
	Subject   string `json:"subject"`
	Body      string `json:"body"`
}

// Send writes the message. See notice.Sender.
func (s *Spool) Send(_ context.Context, m notice.Message) error {
	dir := filepath.Join(s.dir, m.Channel)
	list, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("writing a message: %w", err)
	}
	if len(list) >= maxFiles {
		return fmt.Errorf("writing a message: %s holds %d files; is anybody taking them?", dir, len(list))
	}
	text, err := json.MarshalIndent(file{m.Reference, m.Channel, m.To, m.Account, m.Vehicle, m.Language, m.Subject, m.Body}, "", "  ")
	if err != nil {
		return fmt.Errorf("writing a message: %w", err)
	}
	sum := sha256.Sum256([]byte(m.Reference))
	path := filepath.Join(dir, hex.EncodeToString(sum[:12])+".json")
	part := path + ".part"
	if err := os.WriteFile(part, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing a message: %w", err)
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("writing a message: %w", err)
	}
	return nil
}
