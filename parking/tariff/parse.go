package tariff

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxTariffBytes bounds a file: an operator's slip must end in a message.
const maxTariffBytes = 1 << 20

// Problem is one mistake in a tariff.
type Problem struct {
	// Pointer is a JSON pointer (RFC 6901) to the place, "" for the whole.
	Pointer string `json:"pointer"`
	// Text says what is wrong and how to mend it.
	Text string `json:"problem"`
}

func (p Problem) String() string {
	if p.Pointer == "" {
		return p.Text
	}
	return p.Pointer + ": " + p.Text
}

// BadTariffError holds the mistakes of a tariff.
type BadTariffError struct {
	// Tariff is its id and version, as far as they are known.
	Tariff   string
	Problems []Problem
}

func (e *BadTariffError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "tariff %s has %d problems", strings.TrimSpace(e.Tariff), len(e.Problems))
	for _, p := range e.Problems {
		b.WriteString("\n" + p.String())
	}
	return b.String()
}

// Parse reads one version of a tariff, a JSON object of at most 1 MiB. It is
// strict: unknown names, names given twice, invalid UTF-8 and anything after
// the object are refused. The error is a *BadTariffError; mistakes of grammar
// end the reading, all others are listed together.
func Parse(r io.Reader) (*Tariff, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxTariffBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading a tariff: %w", err)
	}
	if len(data) > maxTariffBytes {
		return nil, &BadTariffError{Problems: []Problem{{Text: "is larger than 1 MiB, which no tariff is; is it the right file?"}}}
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	t := new(Tariff)
	if err := json.Unmarshal(data, t, json.RejectUnknownMembers(true)); err != nil {
		return nil, &BadTariffError{Tariff: t.ID + " " + t.Version, Problems: []Problem{explain(err)}}
	}
	var bad problems
	var raw any
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, &BadTariffError{Tariff: t.ID + " " + t.Version, Problems: []Problem{explain(err)}}
	}
	wantMembers(&bad, "", raw, reflect.TypeFor[Tariff]())
	missing := len(bad.list)
	for _, p := range validate(t) {
		if !slices.ContainsFunc(bad.list[:missing], func(m Problem) bool { return m.Pointer == p.Pointer }) {
			bad.add(p.Pointer, "%s", p.Text)
		}
	}
	if len(bad.list) > 0 {
		return nil, &BadTariffError{Tariff: t.ID + " " + t.Version, Problems: bad.list}
	}
	return t, nil
}

// wantMembers looks for what a tariff always states and this one does not: a
// price that is missing or null must not become parking for nothing. value is
// JSON as the library gives it for any, t the type that it was read into.
func wantMembers(p *problems, pointer string, value any, t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch v := value.(type) {
	case nil:
		p.add(pointer, "is null; give a value or leave the name out")
	case []any:
		for i := range v {
			wantMembers(p, pointer+"/"+strconv.Itoa(i), v[i], t.Elem())
		}
	case map[string]any:
		if t.Kind() == reflect.Map {
			for _, name := range slices.Sorted(maps.Keys(v)) {
				wantMembers(p, pointer+"/"+name, v[name], t.Elem())
			}
			return
		}
		wantFields(p, pointer, v, t)
	}
}

// wantFields is wantMembers for the fields of a struct, embedded ones with it.
func wantFields(p *problems, pointer string, object map[string]any, t reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			wantFields(p, pointer, object, f.Type)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		member, given := object[name]
		switch {
		case given:
			wantMembers(p, pointer+"/"+name, member, f.Type)
		case options == "":
			p.add(pointer+"/"+name, "is missing; state it")
		}
	}
}

// explain turns the JSON library's error into a problem with a hint.
func explain(err error) Problem {
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.As(err, &semantic):
		pointer := string(semantic.JSONPointer)
		if errors.Is(semantic.Err, json.ErrUnknownName) {
			return Problem{pointer, unknownHint(pointer)}
		}
		if semantic.Err != nil && semantic.JSONKind != 'n' {
			return Problem{pointer, semantic.Err.Error()}
		}
		return Problem{pointer, fmt.Sprintf("a JSON %s does not fit here; give %s", semantic.JSONKind, wanted(semantic.GoType))}
	case errors.As(err, &syntactic):
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return Problem{string(syntactic.JSONPointer), "the name is there twice in this object; remove one"}
		}
		return Problem{string(syntactic.JSONPointer), fmt.Sprintf("is not JSON at byte %d: %v", syntactic.ByteOffset, syntactic.Err)}
	}
	return Problem{Text: "cannot be read: " + err.Error()}
}

func wanted(t reflect.Type) string {
	if t == nil {
		return "what the description of tariffs says"
	}
	switch t {
	case reflect.TypeFor[Cents]():
		return `an amount such as "20.00"`
	case reflect.TypeFor[TimeOfDay]():
		return `a time of day such as "07:30"`
	}
	switch t.Kind() {
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Pointer:
		return wanted(t.Elem())
	}
	return "another kind of value"
}

// unknownHint names the known name that is most like the unknown one at a
// pointer, or all that there are.
func unknownHint(pointer string) string {
	tokens := strings.Split(pointer, "/")[1:]
	if len(tokens) == 0 {
		return "the name is not known here"
	}
	at := reflect.TypeFor[Tariff]()
	for _, token := range tokens[:len(tokens)-1] {
		at = step(at, token)
	}
	given := tokens[len(tokens)-1]
	names := memberNames(at)
	if near := nearest(given, names); near != "" {
		return "the name is not known here; did you mean " + strconv.Quote(near) + "?"
	}
	return "the name is not known here; there are " + strings.Join(names, ", ")
}

// step goes from a type to that of its member.
func step(t reflect.Type, token string) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil {
		return nil
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Map:
		return t.Elem()
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name == token {
				return f.Type
			}
		}
	}
	return nil
}

// memberNames are the JSON names of a struct, those of embedded ones with it.
func memberNames(t reflect.Type) []string {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			names = append(names, memberNames(f.Type)...)
		} else if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// nearest gives the name at the smallest edit distance, if it is like enough.
func nearest(given string, names []string) string {
	if len(given) > 64 {
		return ""
	}
	best, least := "", 1+len(given)/2
	for _, name := range names {
		if d := editDistance(strings.ToLower(given), name); d < least {
			best, least = name, d
		}
	}
	return best
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// plain is Tariff without its methods.
type plain Tariff

// MarshalJSON gives the tariff as Parse reads it, on one line; equal tariffs
// give equal bytes.
func (t *Tariff) MarshalJSON() ([]byte, error) {
	return json.Marshal((*plain)(t), json.Deterministic(true))
}

// Write writes the tariff as Parse reads it, indented, with a newline.
func (t *Tariff) Write(w io.Writer) error {
	data, err := json.Marshal((*plain)(t), json.Deterministic(true), jsontext.WithIndent("  "))
	if err == nil {
		_, err = w.Write(append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("writing tariff %s: %w", t.ID, err)
	}
	return nil
}

// Hash gives the SHA-256 of MarshalJSON in hexadecimal. It tells versions
// apart whatever they are called.
func (t *Tariff) Hash() (string, error) {
	data, err := t.MarshalJSON()
	if err != nil {
		return "", fmt.Errorf("hashing tariff %s: %w", t.ID, err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// problems collects mistakes up to a bound.
type problems struct{ list []Problem }

func (p *problems) add(pointer, format string, args ...any) {
	const most = 100
	if len(p.list) < most && !slices.ContainsFunc(p.list, func(q Problem) bool { return q.Pointer == pointer && q.Text == fmt.Sprintf(format, args...) }) {
		p.list = append(p.list, Problem{pointer, fmt.Sprintf(format, args...)})
	}
}
