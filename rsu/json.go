package rsu

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// DecodeJSON reads one JSON object and returns the read in its normal form, or
// a RefusedError. Field names are exact in case, a name given twice is refused,
// and so is invalid UTF-8; null counts as absent for every field that is not
// required, and an empty text too. Unknown fields are ignored unless strict.
// Whether the network knows the unit and the class, and whether the time is
// acceptable, is for Checker.
//
// The texts of the read share one allocation as long as data.
func DecodeJSON(data []byte, strict bool) (Read, error) {
	return DecodeJSONText(string(data), strict)
}

// DecodeJSONText is DecodeJSON without a copy: the texts of the read share
// text's memory.
func DecodeJSONText(text string, strict bool) (Read, error) {
	if strings.HasPrefix(text, "\ufeff") {
		return Read{}, refuse(CodeNotJSON, "", "not JSON: begins with a byte order mark; send plain UTF-8")
	}
	d := jsonDecoder{scanner: scanner{text: text}, strict: strict}
	d.space()
	var r Read
	if err := d.read(&r); err != nil {
		return Read{}, err
	}
	if d.space(); d.at < len(text) {
		return Read{}, notJSON(syntaxError{d.at, "something follows the object"})
	}
	return r, nil
}

// DecodeJSONArray calls each, in order, with every element of a JSON array: the
// element's own text, and the read or the RefusedError. An element may be
// anything that JSON's grammar allows; what is wrong inside one (a name twice,
// invalid UTF-8, another type) costs its neighbours nothing.
//
// An array that does not parse gives an error that says where. Since each has
// been called by then with what stands before, the caller must not act on the
// reads until DecodeJSONArray has returned nil. An error of each is returned at
// once. The texts share text's memory.
func DecodeJSONArray(text string, strict bool, each func(raw string, r Read, err error) error) error {
	d := jsonDecoder{scanner: scanner{text: text}, strict: strict}
	d.space()
	if !d.eat('[') {
		return d.fault("expected '['")
	}
	d.space()
	if d.eat(']') {
		return d.end()
	}
	for {
		d.space()
		start := d.at
		var r Read
		refused := d.read(&r)
		if refused != nil {
			// The element is bad as a read; it may still be good JSON.
			d.at = start
			if err := d.skip(0); err != nil {
				return err
			}
		}
		if err := each(text[start:d.at], r, refused); err != nil {
			return err
		}
		d.space()
		switch {
		case d.eat(','):
		case d.eat(']'):
			return d.end()
		default:
			return d.fault("expected ',' or ']' after an element")
		}
	}
}

// OneJSONValue reports whether text is one JSON value from its first byte to
// its last, but for white space around it.
func OneJSONValue(text string) bool {
	s := scanner{text: text}
	s.space()
	return s.skip(0) == nil && s.end() == nil
}

// end wants nothing but white space.
func (s *scanner) end() error {
	if s.space(); s.at < len(s.text) {
		return s.fault("something follows the end")
	}
	return nil
}

// jsonDecoder reads a read at the scanner's place. What units send (short
// texts without escapes, few numbers, known names) it takes in one pass without
// an allocation; whatever is rarer is left to package jsontext.
type jsonDecoder struct {
	scanner
	strict bool
}

// read reads one object into r, which is zero. After an error the place is anywhere in it.
func (d *jsonDecoder) read(r *Read) error {
	start := d.at
	if d.at >= len(d.text) {
		return refuse(CodeNotJSON, "", "not JSON: nothing came; expected one object")
	}
	if d.text[d.at] != '{' {
		kind := d.kind()
		if err := d.skip(0); err != nil {
			return notJSON(err)
		}
		return refuse(CodeNotObject, "", "not an object but "+kind+"; expected a read as {\"unit\":...}")
	}
	d.at++
	var given fieldSet
	unknown := false
	d.space()
	for first := true; !d.eat('}'); first = false {
		if !first {
			if !d.eat(',') {
				return notJSON(d.fault("expected ',' or '}' after a field"))
			}
			d.space()
		}
		name, err := d.string()
		if err != nil {
			return notJSON(err)
		}
		d.space()
		if !d.eat(':') {
			return notJSON(d.fault("expected ':' after a field's name"))
		}
		d.space()
		if field := fieldByName(name); field < fieldCount {
			if !given.add(field) {
				return refuse(CodeDuplicateName, name, "given twice")
			}
			if err := d.value(r, field); err != nil {
				return err
			}
		} else {
			if d.strict {
				return refuse(CodeUnknownField, "", fmt.Sprintf("unknown field %q; leave it out or send without strict", cut(name)))
			}
			unknown = true
			if err := d.skip(1); err != nil {
				return notJSON(err)
			}
		}
		d.space()
	}
	if unknown {
		if err := wellFormed(d.text[start:d.at]); err != nil {
			return err
		}
	}
	return r.complete(given)
}

// wellFormed checks what skip leaves open, at every depth: names given twice
// and invalid UTF-8.
func wellFormed(object string) error {
	_, err := jsontext.NewDecoder(strings.NewReader(object)).ReadValue()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jsontext.ErrDuplicateName):
		return refuse(CodeDuplicateName, "", "a name is given twice in one object")
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		return refuse(CodeNotJSON, "", fmt.Sprintf("not JSON: at byte %d: %v", syntactic.ByteOffset, syntactic.Err))
	}
	return refuse(CodeNotJSON, "", "not JSON")
}

// value reads the value of a known field.
func (d *jsonDecoder) value(r *Read, field int) error {
	if d.at >= len(d.text) {
		return notJSON(d.fault("expected a value"))
	}
	c := d.text[d.at]
	required := field == fieldUnit || field == fieldSeq || field == fieldTime
	if c == 'n' && !required {
		return asNotJSON(d.literal("null"))
	}
	switch field {
	case fieldSeq, fieldAntenna, fieldConfidence, fieldRSSI:
		if c != '-' && (c < '0' || c > '9') {
			return d.illTyped(field)
		}
		number, err := d.number()
		if err != nil {
			return notJSON(err)
		}
		return r.setNumber(field, number)
	}
	if c != '"' {
		return d.illTyped(field)
	}
	text, err := d.string()
	if err != nil {
		return notJSON(err)
	}
	if field == fieldTime {
		r.TimeMicros, err = parseTime(text)
		return err
	}
	return r.setText(field, text)
}

// setNumber puts a number, as JSON writes it, into the read.
func (r *Read) setNumber(field int, number string) error {
	switch field {
	case fieldSeq:
		v, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return refuse(CodeIllTyped, "seq", fmt.Sprintf("%s came; expected a whole number from 0 to 18446744073709551615 without sign, point or exponent", cut(number)))
		}
		r.Seq = v
	case fieldAntenna:
		v, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return refuse(CodeIllTyped, "antenna", fmt.Sprintf("%s came; expected a whole number of at most 64 bits without point or exponent", cut(number)))
		}
		r.Antenna = Some(v)
	default:
		v, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return refuse(CodeIllTyped, fieldNames[field], fmt.Sprintf("%s came, which no 64-bit number holds", cut(number)))
		}
		return r.setFloat(field, v)
	}
	return nil
}

// illTyped says what came instead of what the field wants.
func (d *jsonDecoder) illTyped(field int) error {
	kind := d.kind()
	if err := d.skip(1); err != nil {
		return notJSON(err)
	}
	want := "text"
	switch field {
	case fieldUnit:
		want = "text, the roadside unit's name"
	case fieldTime:
		want = "text, an RFC 3339 time"
	case fieldSeq, fieldAntenna:
		want = "a whole number"
	case fieldConfidence, fieldRSSI:
		want = "a number"
	}
	return refuse(CodeIllTyped, fieldNames[field], kind+" came; expected "+want)
}

// string reads a JSON string and returns what it stands for.
func (s *scanner) string() (string, error) {
	start := s.at
	if !s.eat('"') {
		return "", s.fault("expected '\"'")
	}
	ascii := true
	for i := s.at; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '"':
			text := s.text[s.at:i]
			if !ascii && !utf8.ValidString(text) {
				return "", syntaxError{start, "invalid UTF-8 in a string"}
			}
			s.at = i + 1
			return text, nil
		case c == '\\':
			s.at = start
			return s.escaped()
		case c < ' ':
			return "", syntaxError{i, "a control character in a string"}
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return "", syntaxError{start, "a string without end"}
}

// escaped reads a string that has escapes.
func (s *scanner) escaped() (string, error) {
	start := s.at
	if err := s.skipString(); err != nil {
		return "", err
	}
	text, err := jsontext.AppendUnquote(nil, s.text[start:s.at])
	if err != nil {
		return "", syntaxError{start, "a string with an escape or a byte that is no character"}
	}
	return string(text), nil
}

func notJSON(err error) error {
	return refuse(CodeNotJSON, "", "not JSON: "+err.Error())
}

func asNotJSON(err error) error {
	if err == nil {
		return nil
	}
	return notJSON(err)
}
