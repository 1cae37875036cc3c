package rsu

import "fmt"

// maxDepth bounds how deep JSON values may nest, as the common parsers do, so
// that a bomb of brackets costs no stack.
const maxDepth = 10_000

// syntaxError says where a text leaves JSON's grammar.
type syntaxError struct {
	at      int
	message string
}

func (e syntaxError) Error() string { return fmt.Sprintf("at byte %d: %s", e.at, e.message) }

// scanner walks over a JSON text by the grammar of RFC 8259. It leaves open
// whether names are unique and whether bytes are UTF-8, so that an element of
// an array that is wrong in these ways can be stepped over.
type scanner struct {
	text string
	at   int
}

func (s *scanner) fault(message string) error { return syntaxError{s.at, message} }

// space steps over white space.
func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// eat steps over c if it stands here.
func (s *scanner) eat(c byte) bool {
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

// kind names the kind of value that begins here.
func (s *scanner) kind() string {
	if s.at >= len(s.text) {
		return "nothing"
	}
	switch s.text[s.at] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "text"
	case 'n':
		return "null"
	case 't', 'f':
		return "true or false"
	}
	return "a number"
}

// skip steps over one value that stands depth levels deep.
func (s *scanner) skip(depth int) error {
	if depth > maxDepth {
		return s.fault("nested too deep")
	}
	if s.at >= len(s.text) {
		return s.fault("expected a value")
	}
	switch c := s.text[s.at]; c {
	case '{':
		return s.skipItems('}', depth)
	case '[':
		return s.skipItems(']', depth)
	case '"':
		return s.skipString()
	case 'n':
		return s.literal("null")
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	default:
		if c == '-' || c >= '0' && c <= '9' {
			_, err := s.number()
			return err
		}
		return s.fault("expected a value")
	}
}

// skipItems steps over an array or, if it ends in '}', an object.
func (s *scanner) skipItems(end byte, depth int) error {
	s.at++
	s.space()
	if s.eat(end) {
		return nil
	}
	for {
		s.space()
		if end == '}' {
			if err := s.skipString(); err != nil {
				return err
			}
			s.space()
			if !s.eat(':') {
				return s.fault("expected ':' after a name")
			}
			s.space()
		}
		if err := s.skip(depth + 1); err != nil {
			return err
		}
		s.space()
		switch {
		case s.eat(end):
			return nil
		case s.eat(','):
		default:
			return s.fault(fmt.Sprintf("expected ',' or '%c'", end))
		}
	}
}

// skipString steps over a string.
func (s *scanner) skipString() error {
	start := s.at
	if !s.eat('"') {
		return s.fault("expected '\"'")
	}
	for s.at < len(s.text) {
		c := s.text[s.at]
		s.at++
		switch {
		case c == '"':
			return nil
		case c < ' ':
			return syntaxError{s.at - 1, "a control character in a string"}
		case c == '\\':
			if err := s.escape(); err != nil {
				return err
			}
		}
	}
	return syntaxError{start, "a string without end"}
}

// escape steps over what follows a backslash.
func (s *scanner) escape() error {
	if s.at < len(s.text) {
		switch s.text[s.at] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			s.at++
			return nil
		case 'u':
			if s.at+5 <= len(s.text) && isHex(s.text[s.at+1:s.at+5]) {
				s.at += 5
				return nil
			}
		}
	}
	return s.fault("an escape that JSON does not have")
}

func isHex(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return true
}

// literal steps over a name of JSON's.
func (s *scanner) literal(name string) error {
	if end := s.at + len(name); end <= len(s.text) && s.text[s.at:end] == name {
		s.at = end
		return nil
	}
	return s.fault("expected " + name)
}

// number steps over a number and returns it as written.
func (s *scanner) number() (string, error) {
	start := s.at
	s.eat('-')
	if !s.eat('0') && s.digits() == 0 {
		return "", s.fault("expected a digit")
	}
	if s.eat('.') && s.digits() == 0 {
		return "", s.fault("expected a digit after the point")
	}
	if s.eat('e') || s.eat('E') {
		if !s.eat('+') {
			s.eat('-')
		}
		if s.digits() == 0 {
			return "", s.fault("expected a digit in the exponent")
		}
	}
	return s.text[start:s.at], nil
}

// digits steps over digits and returns how many there were.
func (s *scanner) digits() int {
	start := s.at
	for s.at < len(s.text) && s.text[s.at] >= '0' && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at - start
}
