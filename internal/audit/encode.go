package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Prefixes keep hashes of different things apart, as RFC 6962 does.
const (
	prefixEntry   byte = 0 // an entry of the chain, and a leaf of the tree
	prefixPrivate byte = 2 // a commitment to what may be forgotten
)

// row is an event as it is stored.
type row struct {
	micros                                int64
	id, actor, role, action               string
	subjectKind, subject, account, detail string
	commitment, digest                    []byte
}

// encoded has the members of an entry's canonical encoding, sorted by name as
// RFC 8785 wants it. Numbers are text, so that no reader rounds them.
type encoded struct {
	Account     string         `json:"account"`
	Action      string         `json:"action"`
	Actor       string         `json:"actor"`
	At          string         `json:"at"`
	Commitment  string         `json:"commitment"`
	Detail      jsontext.Value `json:"detail"`
	ID          string         `json:"id"`
	Role        string         `json:"role"`
	Seq         string         `json:"seq"`
	Subject     string         `json:"subject"`
	SubjectKind string         `json:"subject_kind"`
}

// encode returns the canonical encoding of an event as the entry of a number
// in the chain; 0 is none yet. Equal bytes mean equal rows and numbers.
func (r *row) encode(seq int64) ([]byte, error) {
	e := encoded{
		Account: r.account, Action: r.action, Actor: r.actor, At: strconv.FormatInt(r.micros, 10),
		Commitment: hex.EncodeToString(r.commitment), Detail: jsontext.Value(r.detail), ID: r.id, Role: r.role,
		Seq: strconv.FormatInt(seq, 10), Subject: r.subject, SubjectKind: r.subjectKind,
	}
	return marshalCanonical(e)
}

// decode is the inverse of encode, for what was exported.
func decode(text []byte) (row, int64, error) {
	var e encoded
	if err := json.Unmarshal(text, &e, json.RejectUnknownMembers(true)); err != nil {
		return row{}, 0, err
	}
	r := row{
		id: e.ID, actor: e.Actor, role: e.Role, action: e.Action, subjectKind: e.SubjectKind, subject: e.Subject,
		account: e.Account, detail: string(e.Detail),
	}
	var err error
	if r.micros, err = strconv.ParseInt(e.At, 10, 64); err != nil {
		return r, 0, fmt.Errorf("the time: %w", err)
	}
	if r.commitment, err = hex.DecodeString(e.Commitment); err != nil {
		return r, 0, fmt.Errorf("the commitment: %w", err)
	}
	seq, err := strconv.ParseInt(e.Seq, 10, 64)
	if err != nil {
		return r, 0, fmt.Errorf("the number: %w", err)
	}
	again, err := r.encode(seq)
	if err != nil {
		return r, 0, err
	}
	if !bytes.Equal(again, text) {
		return r, 0, errors.New("it is not in canonical form")
	}
	return r, seq, nil
}

// encodePrivate returns what a commitment is over, beside the salt.
func encodePrivate(personal, reason string) (string, error) {
	text, err := marshalCanonical(struct {
		Personal jsontext.Value `json:"personal"`
		Reason   string         `json:"reason"`
	}{jsontext.Value(personal), reason})
	return string(text), err
}

// marshalCanonical writes JSON in the form of RFC 8785.
func marshalCanonical(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	value := jsontext.Value(text)
	// The numbers have been checked to be whole and exact already.
	err = value.Canonicalize()
	return value, err
}

// canonicalJSON writes a detail in the form of RFC 8785, and refuses what that
// form would change: numbers that are not whole or not exact as doubles.
func canonicalJSON(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	if len(text) > maxDetail {
		return "", fmt.Errorf("has %d bytes, over %d", len(text), maxDetail)
	}
	if err := checkNumbers(text); err != nil {
		return "", err
	}
	value := jsontext.Value(text)
	if err := value.Canonicalize(); err != nil {
		return "", err
	}
	return string(value), nil
}

// maxWhole is the largest number that every reader of JSON keeps exactly.
const maxWhole = 1<<53 - 1

func checkNumbers(text []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(text))
	for {
		token, err := d.ReadToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if token.Kind() != '0' {
			continue
		}
		n, err := strconv.ParseInt(token.String(), 10, 64)
		if err != nil || n > maxWhole || n < -maxWhole || token.String() == "-0" {
			return fmt.Errorf("has the number %s: only whole ones below 2^53 are exact everywhere; write it as text", token.String())
		}
	}
}

// commitment is the salted hash that stands for what may be forgotten.
func commitment(salt []byte, body string) []byte { return sum(prefixPrivate, salt, []byte(body)) }

// sum is SHA-256 over a prefix and the parts, one after the other.
func sum(prefix byte, parts ...[]byte) []byte {
	h := sha256.New()
	h.Write([]byte{prefix})
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// link is the hash of an entry: over the hash before and its encoding.
func link(before, encoding []byte) []byte { return sum(prefixEntry, before, encoding) }
