package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"
)

// DecodeJSON reads the request's body, one JSON object, into v. It is exact:
// field names in their case, none twice, none unknown, valid UTF-8, nothing
// behind the object. The errors are problems that name the field: 400 if the
// body does not parse, 413 if it is too long, 415 if it is not JSON, 422 if it
// parses but does not fit.
func DecodeJSON(c echo.Context, v any) error {
	media, _, err := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType))
	if err != nil || media != echo.MIMEApplicationJSON {
		return NewProblem(http.StatusUnsupportedMediaType, "unsupported-media-type", "",
			"send the body with 'Content-Type: application/json'")
	}
	body, err := io.ReadAll(c.Request().Body)
	if err != nil {
		return ReadingBody(err)
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return NewProblem(http.StatusBadRequest, "bad-json", "The body is not valid JSON", "the body is empty")
	}
	err = json.Unmarshal(body, v, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		pointer := string(semantic.JSONPointer)
		detail := fmt.Sprintf("%s: a JSON %s does not fit here", pointerName(pointer), semantic.JSONKind)
		if errors.Is(semantic.Err, json.ErrUnknownName) {
			detail = pointerName(pointer) + ": unknown field"
		}
		p := NewProblem(http.StatusUnprocessableEntity, "bad-field", "A field is not valid", detail)
		p.Errors = []Fault{{Detail: detail, Pointer: pointer}}
		return p
	}
	detail := "the body is not one JSON object"
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		detail = fmt.Sprintf("at byte %d: %v", syntactic.ByteOffset, syntactic.Err)
	}
	return NewProblem(http.StatusBadRequest, "bad-json", "The body is not valid JSON", detail)
}

// BadField is the 422 for a field that parses but cannot be accepted.
func BadField(pointer, detail string) *Problem {
	p := NewProblem(http.StatusUnprocessableEntity, "bad-field", "A field is not valid", pointerName(pointer)+": "+detail)
	p.Errors = []Fault{{Detail: detail, Pointer: pointer}}
	return p
}

// ReadingBody tells a body that is too long, which stays as it is, from one
// that broke off, which is the sender's affair and a 400.
func ReadingBody(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return err
	}
	return NewProblem(http.StatusBadRequest, "broken-body", "The body broke off", "the request ended before its body was complete")
}

func pointerName(pointer string) string {
	if pointer == "" {
		return "the body"
	}
	return pointer[1:]
}
