package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"freeflow/billing"
	"freeflow/billing/portal"
)

// credentialsFile lies in the data folder, readable by its owner alone.
const credentialsFile = "credentials.json"

// motoristAccount is the account of the first motorist, whose sign-in is made
// with the credentials.
const motoristAccount = "M00001"

// credentials are made at random at the first start; there are no built-in
// ones.
type credentials struct {
	UnitKey     string `json:"unit_key"`
	OperatorKey string `json:"operator_key"`
	Motorist    struct {
		Email    string `json:"email"`
		Password string `json:"password"`
		Account  string `json:"account"`
	} `json:"motorist"`
}

// loadCredentials reads the folder's credentials, or makes them. The books get
// the motorist's sign-in either way, so that new books beside an old file work.
func loadCredentials(ctx context.Context, dir string, logins billing.Credentials) (credentials, error) {
	path := filepath.Join(dir, credentialsFile)
	var c credentials
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.UnitKey, c.OperatorKey = rand.Text(), rand.Text()
		c.Motorist.Email, c.Motorist.Password = "motorist@freeflow.example", rand.Text()
		c.Motorist.Account = motoristAccount
		if err := writeCredentials(path, c); err != nil {
			return c, err
		}
	case err != nil:
		return c, fmt.Errorf("reading the credentials: %w", err)
	default:
		if err := json.Unmarshal(text, &c); err != nil {
			return c, fmt.Errorf("reading the credentials %s: %w; mend the file, or remove it to have new ones made", path, err)
		}
	}
	for name, value := range map[string]string{
		"unit_key": c.UnitKey, "operator_key": c.OperatorKey,
		"motorist.email": c.Motorist.Email, "motorist.password": c.Motorist.Password, "motorist.account": c.Motorist.Account,
	} {
		if value == "" {
			return c, fmt.Errorf("reading the credentials %s: %s is missing; add it, or remove the file to have new ones made", path, name)
		}
	}
	return c, c.putLogin(ctx, logins)
}

func (c credentials) putLogin(ctx context.Context, logins billing.Credentials) error {
	_, err := logins.Login(ctx, c.Motorist.Email)
	if err == nil || !errors.Is(err, billing.ErrNotFound) {
		return err
	}
	hash, err := portal.HashPassword(c.Motorist.Password)
	if err != nil {
		return fmt.Errorf("making the motorist's sign-in: %w", err)
	}
	return logins.PutLogin(ctx, billing.Login{Email: c.Motorist.Email, Account: c.Motorist.Account, PasswordHash: hash})
}

// writeCredentials writes the file whole or not at all: a torn one would lock
// everybody out.
func writeCredentials(path string, c credentials) error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	part := path + ".part"
	if err := os.WriteFile(part, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the credentials: %w", err)
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("writing the credentials: %w", err)
	}
	return nil
}
