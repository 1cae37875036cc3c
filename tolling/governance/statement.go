package governance

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Kinds of statements.
const (
	// Seed is the first one: the network that the system was started with.
	Seed = "seed"
	// Publication brings a network in force at an instant.
	Publication = "publication"
	// Withdrawal takes a publication back before its instant.
	Withdrawal = "withdrawal"
)

// Statement is what is signed: a network's tolls change so. Statements of one
// network are numbered from 0, the seed, and each names the hash of the one
// before it.
type Statement struct {
	Network  string
	Sequence int64
	Kind     string
	// Previous is the hash of the statement before; of the seed a random text,
	// by which statements of another system are refused here.
	Previous string
	// Content is the digest of the files; empty in a withdrawal.
	Content string
	// Effective is the instant from which the network rates; the zero time of
	// a seed is from the beginning. To the microsecond.
	Effective time.Time
	Backdated bool
	// Draft, Revision and Proposal (its digest) are what was approved.
	Draft    string
	Revision int64
	Proposal string
	// Makers are all who wrote revisions of the draft, Checker is who approved
	// it and when.
	Makers  []string
	Checker string
	Checked time.Time
	// Withdraws is the number of the publication that is taken back.
	Withdraws int64
	// By and Reason say who took it back and why, and what made a seed.
	By     string
	Reason string
}

// statementHead begins the canonical bytes, so that nothing else that the key
// signs can be taken for a statement.
const statementHead = "freeflow tariff statement 1"

// Bytes returns the canonical bytes: the head, then one line a member, in one
// order, texts quoted in ASCII, instants in microseconds since 1970 UTC ("0"
// for the zero time).
func (s *Statement) Bytes() []byte {
	var b strings.Builder
	b.WriteString(statementHead + "\n")
	line := func(name, value string) { b.WriteString(name + " " + value + "\n") }
	text := func(name, value string) { line(name, strconv.QuoteToASCII(value)) }
	whole := func(name string, value int64) { line(name, strconv.FormatInt(value, 10)) }
	text("network", s.Network)
	whole("sequence", s.Sequence)
	text("kind", s.Kind)
	text("previous", s.Previous)
	text("content", s.Content)
	whole("effective", Micros(s.Effective))
	line("backdated", strconv.FormatBool(s.Backdated))
	text("draft", s.Draft)
	whole("revision", s.Revision)
	text("proposal", s.Proposal)
	whole("makers", int64(len(s.Makers)))
	for _, m := range s.Makers {
		text("maker", m)
	}
	text("checker", s.Checker)
	whole("checked", Micros(s.Checked))
	whole("withdraws", s.Withdraws)
	text("by", s.By)
	text("reason", s.Reason)
	return []byte(b.String())
}

// Hash returns the SHA-256 of the canonical bytes, in lower-case hex.
func (s *Statement) Hash() string {
	sum := sha256.Sum256(s.Bytes())
	return hex.EncodeToString(sum[:])
}

// Micros is an instant as it stands in statements and stores; 0 for the zero
// time.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Instant undoes Micros, in UTC.
func Instant(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// Signed is a statement with its signature, and when it was stored.
type Signed struct {
	Statement
	// Key is the fingerprint of the key that signed it.
	Key string
	// Signature is Ed25519 over Bytes.
	Signature []byte
	// At is when it was stored; not signed, since it decides nothing.
	At time.Time
}

// Proposal returns the digest of what is approved: the SHA-256, in hex, of a
// head and the draft, revision, network, files, base, instant and whether it is
// back-dated.
func (r *Revision) Proposal() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "freeflow tariff proposal 1\ndraft %q\nrevision %d\nnetwork %q\ncontent %q\nbase %q\neffective %d\nbackdated %t\n",
		r.Draft, r.Number, r.Network, r.Content, r.Base, Micros(r.Effective), r.Backdated))
	return hex.EncodeToString(sum[:])
}

// Keys are the public keys whose statements are believed, by fingerprint.
type Keys map[string]ed25519.PublicKey

// Add adds a key.
func (k Keys) Add(key ed25519.PublicKey) { k[Fingerprint(key)] = key }

// Fingerprint names a key: the first 16 bytes of its SHA-256, in hex.
func Fingerprint(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:16])
}

// Signer signs statements.
type Signer struct{ key ed25519.PrivateKey }

// NewSigner returns a signer of the key.
func NewSigner(key ed25519.PrivateKey) *Signer { return &Signer{key} }

// Public returns the public key.
func (s *Signer) Public() ed25519.PublicKey {
	public, _ := s.key.Public().(ed25519.PublicKey)
	return public
}

// Sign signs the statement.
func (s *Signer) Sign(st Statement, at time.Time) Signed {
	return Signed{Statement: st, Key: Fingerprint(s.Public()), Signature: ed25519.Sign(s.key, st.Bytes()), At: at}
}

// verify tells why a statement's signature is not to be believed, nil if it is.
func (k Keys) verify(s *Signed) error {
	key, ok := k[s.Key]
	switch {
	case !ok:
		return fmt.Errorf("%w: it is signed by the key %.64q, which is not trusted here", ErrSignature, s.Key)
	case !ed25519.Verify(key, s.Bytes(), s.Signature):
		return fmt.Errorf("%w: the signature is not that of these bytes", ErrSignature)
	}
	return nil
}

// SignBytes signs canonical bytes that were exported, after a look that they
// are a statement's.
func (s *Signer) SignBytes(statement []byte) ([]byte, error) {
	if !strings.HasPrefix(string(statement), statementHead+"\n") {
		return nil, errors.New("signing: these are not the bytes of a statement; ask the API for them (GET /v1/tariff/drafts/{id}/statement)")
	}
	return ed25519.Sign(s.key, statement), nil
}

// Types of PEM blocks.
const (
	pemPrivate = "PRIVATE KEY"
	pemPublic  = "PUBLIC KEY"
)

// EncodePrivate writes a private key as PEM (PKCS #8).
func EncodePrivate(key ed25519.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a signing key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPrivate, Bytes: der}), nil
}

// ParsePrivate undoes EncodePrivate.
func ParsePrivate(text []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemPrivate {
		return nil, fmt.Errorf("reading a signing key: there is no %s in PEM", pemPrivate)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, errors.New("reading a signing key: it is not an Ed25519 key in PKCS #8")
	}
	return key, nil
}

// EncodePublic writes a public key as PEM (PKIX).
func EncodePublic(key ed25519.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPublic, Bytes: der}), nil
}

// ParsePublic reads all public keys of a PEM text; at least one.
func ParsePublic(text []byte) (Keys, error) {
	keys := Keys{}
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		key, ok := parsed.(ed25519.PublicKey)
		if block.Type != pemPublic || err != nil || !ok {
			return nil, errors.New("reading public keys: one is not an Ed25519 key in PEM")
		}
		keys.Add(key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("reading public keys: there is no %s in PEM", pemPublic)
	}
	return keys, nil
}
