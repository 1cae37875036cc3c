package portal

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Bounds of a password, in bytes.
const (
	minPassword = 8
	maxPassword = 256
)

// What new hashes cost: OWASP's second choice for argon2id, 19 MiB and two
// rounds, about 30 ms on one core.
const (
	hashMemory = 19 * 1024 // KiB
	hashTime   = 2
	hashLanes  = 1
	saltLength = 16
	keyLength  = 32
)

// What a stored hash may ask for, so that a damaged row costs an error and not
// the machine's memory.
const (
	maxHashMemory = 256 * 1024 // KiB
	maxHashTime   = 16
	maxHashLanes  = 16
)

// HashPassword returns the argon2id hash of a password as a PHC string, to be
// kept as billing.Login.PasswordHash. Passwords shorter than 8 bytes or longer
// than 256 are refused.
func HashPassword(password string) (string, error) {
	if len(password) < minPassword || len(password) > maxPassword {
		return "", fmt.Errorf("a password must have %d to %d bytes", minPassword, maxPassword)
	}
	salt := make([]byte, saltLength)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	sum := argon2.IDKey([]byte(password), salt, hashTime, hashMemory, hashLanes, keyLength)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemory, hashTime, hashLanes,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum)), nil
}

// hash is a PHC string taken apart.
type hash struct {
	memory, time uint32
	lanes        uint8
	salt, sum    []byte
}

var errHash = errors.New("the stored password hash is not an argon2id PHC string within bounds")

func parseHash(phc string) (hash, error) {
	parts := strings.Split(phc, "$")
	if len(phc) > 512 || len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" ||
		parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return hash{}, errHash
	}
	var h hash
	var lanes uint32
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &lanes); n != 3 || err != nil ||
		parts[3] != fmt.Sprintf("m=%d,t=%d,p=%d", h.memory, h.time, lanes) {
		return hash{}, errHash
	}
	if h.memory < 8*lanes || h.memory > maxHashMemory || h.time < 1 || h.time > maxHashTime || lanes < 1 || lanes > maxHashLanes {
		return hash{}, errHash
	}
	h.lanes = uint8(lanes)
	var err error
	if h.salt, err = base64.RawStdEncoding.Strict().DecodeString(parts[4]); err != nil || len(h.salt) < 8 {
		return hash{}, errHash
	}
	if h.sum, err = base64.RawStdEncoding.Strict().DecodeString(parts[5]); err != nil || len(h.sum) < 16 {
		return hash{}, errHash
	}
	return h, nil
}

// passwords checks passwords, two at a time: each takes megabytes.
type passwords struct {
	slots chan struct{}
	// nobody is what an unknown e-mail is checked against, so that it takes
	// as long as a known one.
	nobody string
}

func newPasswords() (*passwords, error) {
	random := make([]byte, keyLength)
	_, _ = rand.Read(random)
	nobody, err := HashPassword(base64.RawStdEncoding.EncodeToString(random))
	if err != nil {
		return nil, err
	}
	return &passwords{slots: make(chan struct{}, 2), nobody: nobody}, nil
}

// check reports whether the password belongs to the hash; an empty hash
// belongs to no password and takes the same time. It fails if ctx ends while
// it waits for its turn, or the hash is damaged.
func (p *passwords) check(ctx context.Context, phc, password string) (bool, error) {
	known := phc != ""
	if !known {
		phc = p.nobody
	}
	h, err := parseHash(phc)
	if err != nil {
		return false, err
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if len(password) > maxPassword {
		password = password[:maxPassword+1] // cannot match, takes as long
	}
	sum := argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.lanes, uint32(len(h.sum)))
	return subtle.ConstantTimeCompare(sum, h.sum) == 1 && known, nil
}
