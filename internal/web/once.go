package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// HeaderIdempotencyKey is the header by which a client marks the repetitions
// of a request (draft-ietf-httpapi-idempotency-key-header).
const HeaderIdempotencyKey = "Idempotency-Key"

// maxIdempotencyKey bounds a key, in characters.
const maxIdempotencyKey = 255

// Repeatable is a request that its client may send more than once.
type Repeatable struct {
	// Scope is the caller, the method and the path: the same key elsewhere is
	// another request. A caller without a key is told apart by the network of
	// the address, of which only a digest stands here.
	Scope string
	Key   string
	// Fingerprint is the SHA-256 of method, path, query and body.
	Fingerprint [sha256.Size]byte
}

// RepeatableRequest reads the Idempotency-Key of a request and takes the
// fingerprint of its body, which can still be read afterwards. A missing or
// malformed key is the draft's 400; a body that is too long 413. The caller's
// name is part of the scope, so that nobody can ask for another's answers.
func RepeatableRequest(c echo.Context) (Repeatable, error) {
	req := c.Request()
	key, err := idempotencyKey(req.Header.Values(HeaderIdempotencyKey))
	if err != nil {
		return Repeatable{}, err
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return Repeatable{}, ReadingBody(err)
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	sum := sha256.New()
	for _, part := range [][]byte{[]byte(req.Method), []byte(req.URL.Path), []byte(req.URL.RawQuery), body} {
		sum.Write(part)
		sum.Write([]byte{0})
	}
	r := Repeatable{Scope: repeater(c) + " " + req.Method + " " + req.URL.Path, Key: key}
	sum.Sum(r.Fingerprint[:0])
	return r, nil
}

// repeater names who may repeat a request: without a key of the API two
// strangers that both number their requests from 1 must not meet.
func repeater(c echo.Context) string {
	if caller := Caller(c); caller != "" {
		return caller
	}
	sum := sha256.Sum256([]byte(Network(c.RealIP())))
	return "anonymous-" + hex.EncodeToString(sum[:8])
}

// idempotencyKey reads the header, a structured-field string. The same
// characters without the quotes are taken too, since many clients send them so.
func idempotencyKey(values []string) (string, error) {
	if len(values) == 0 || len(values) == 1 && strings.TrimSpace(values[0]) == "" {
		return "", NewProblem(http.StatusBadRequest, "idempotency-key-missing", "Idempotency-Key is missing",
			`send 'Idempotency-Key: "KEY"' with a key of your own, for instance a UUID, and the same key when you repeat the request`)
	}
	malformed := NewProblem(http.StatusBadRequest, "idempotency-key-malformed", "Idempotency-Key is not valid",
		`write it once, as a string of 1 to 255 printable ASCII characters in double quotes: "8e03978e-40d5-43dd-bc93-6894a57f9324"`)
	if len(values) > 1 {
		return "", malformed
	}
	text := strings.TrimSpace(values[0])
	if quoted, ok := strings.CutPrefix(text, `"`); ok {
		text, ok = strings.CutSuffix(quoted, `"`)
		if !ok {
			return "", malformed
		}
		var b strings.Builder
		for i := 0; i < len(text); i++ {
			if text[i] == '"' {
				return "", malformed
			}
			if text[i] == '\\' {
				i++
				if i == len(text) || text[i] != '"' && text[i] != '\\' {
					return "", malformed
				}
			}
			b.WriteByte(text[i])
		}
		text = b.String()
	} else if strings.ContainsAny(text, ` ",;\`) {
		return "", malformed
	}
	if text == "" || len(text) > maxIdempotencyKey || strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
		return "", malformed
	}
	return text, nil
}

// KeyReused is the draft's 422: the key stands for another request.
func KeyReused() *Problem {
	return NewProblem(http.StatusUnprocessableEntity, "idempotency-key-reused", "Idempotency-Key is already used",
		"the key was used for another request; send this one with a key of its own")
}

// KeyBusy is the draft's 409: the first request with the key is not answered
// yet.
func KeyBusy() *Problem {
	p := NewProblem(http.StatusConflict, "idempotency-key-busy", "A request with this Idempotency-Key is under way",
		"wait for its answer, or send the same request again a little later")
	p.Header = http.Header{"Retry-After": {"1"}}
	return p
}
