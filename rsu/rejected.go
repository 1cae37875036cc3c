package rsu

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// MaxRejectedRead is how much of a refused read is kept, in bytes.
const MaxRejectedRead = 4 << 10

// Source says who refused a read.
type Source string

// Who refuses reads.
const (
	SourceGateway Source = "gateway"
	SourceReplay  Source = "replay"
	SourceMatcher Source = "matcher"
)

// Form says how a refused read is written down.
type Form string

// The forms of a refused read.
const (
	// FormJSON is the text as it came; bytes that are no UTF-8 have become
	// U+FFFD.
	FormJSON Form = "json"
	// FormProtobuf is freeflow.rsu.v1.Read in base64.
	FormProtobuf Form = "protobuf"
)

// Rejected is what the topic reads.rejected.v1 holds of a read that was not
// taken, so that it can be driven again once the cause is mended.
type Rejected struct {
	// At is when it was refused.
	At time.Time
	// Source is who refused it.
	Source Source
	// Sender names the holder of the key with which it was sent; empty if
	// there was none.
	Sender string
	// Code and Reason say why, for programs and for people.
	Code   Code
	Reason string
	// Form is how Read is written, Read the refused read itself, cut at
	// MaxRejectedRead bytes; Truncated says that it was longer, so that it
	// cannot be driven again from here.
	Form      Form
	Read      string
	Truncated bool
}

// rejectedJSON is the envelope on the topic.
type rejectedJSON struct {
	At        string `json:"at"`
	Source    Source `json:"source"`
	Sender    string `json:"sender,omitempty"`
	Code      Code   `json:"code,omitempty"`
	Reason    string `json:"reason"`
	Form      Form   `json:"form"`
	Read      string `json:"read"`
	Truncated bool   `json:"truncated,omitempty"`
}

// NewRejected wraps what was refused, in its raw form, and cuts it to size.
// The reason is err's message, the code that of a RefusedError.
func NewRejected(at time.Time, source Source, sender string, form Form, raw string, err error) Rejected {
	e := Rejected{At: at.UTC(), Source: source, Sender: sender, Code: CodeOf(err), Reason: err.Error(), Form: form}
	e.Truncated = len(raw) > MaxRejectedRead
	if form == FormProtobuf {
		e.Read = base64.StdEncoding.EncodeToString([]byte(raw[:min(len(raw), MaxRejectedRead)]))
		return e
	}
	e.Read = CutRead(raw)
	return e
}

// CutRead returns the text of a refused read for showing: at most
// MaxRejectedRead bytes of it, not cut within a character, with bytes that are
// no UTF-8 as U+FFFD, one for each byte.
func CutRead(raw string) string {
	if len(raw) > MaxRejectedRead {
		end := MaxRejectedRead
		for back := 1; back < utf8.UTFMax; back++ {
			if utf8.RuneStart(raw[end-back]) {
				if !utf8.FullRuneInString(raw[end-back : end]) {
					end -= back
				}
				break
			}
		}
		raw = raw[:end]
	}
	if utf8.ValidString(raw) {
		return strings.Clone(raw) // or it would keep the whole body alive
	}
	return string([]rune(raw))
}

// MarshalBinary returns the envelope as a record's value: JSON.
func (e Rejected) MarshalBinary() ([]byte, error) {
	b, err := json.Marshal(rejectedJSON{
		At: string(appendTime(nil, e.At.UnixMicro())), Source: e.Source, Sender: e.Sender,
		Code: e.Code, Reason: e.Reason, Form: e.Form, Read: e.Read, Truncated: e.Truncated,
	})
	if err != nil {
		return nil, fmt.Errorf("encoding a rejected read: %w", err)
	}
	return b, nil
}

// UnmarshalBinary reads an envelope.
func (e *Rejected) UnmarshalBinary(data []byte) error {
	var in rejectedJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("reading a rejected read: %w", err)
	}
	micros, err := parseTime(in.At)
	if err != nil {
		return fmt.Errorf("reading a rejected read: field at: %w", err)
	}
	*e = Rejected{
		At: time.UnixMicro(micros).UTC(), Source: in.Source, Sender: in.Sender,
		Code: in.Code, Reason: in.Reason, Form: in.Form, Read: in.Read, Truncated: in.Truncated,
	}
	return nil
}

// Raw returns the refused read as it was sent, for driving it again, or an
// error if the envelope does not hold all of it.
func (e Rejected) Raw() (string, error) {
	switch {
	case e.Truncated:
		return "", errors.New("only a part of the read was kept; send it again from its unit")
	case e.Form == FormJSON:
		return e.Read, nil
	case e.Form == FormProtobuf:
		raw, err := base64.StdEncoding.DecodeString(e.Read)
		if err != nil {
			return "", fmt.Errorf("reading the kept protobuf: %w", err)
		}
		return string(raw), nil
	}
	return "", fmt.Errorf("the form %q is not known to this version", e.Form)
}

// Decode decodes the refused read anew, as leniently as the gateway does
// without strict.
func (e Rejected) Decode() (Read, error) {
	raw, err := e.Raw()
	if err != nil {
		return Read{}, err
	}
	if e.Form == FormProtobuf {
		return DecodeProto([]byte(raw), false)
	}
	return DecodeJSONText(raw, false)
}
