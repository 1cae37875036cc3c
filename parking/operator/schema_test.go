package operator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"freeflow/internal/web"
)

// document is an OpenAPI document that answers are held against.
type document map[string]any

func readDocument(t testing.TB, text []byte) document {
	t.Helper()
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

var pathParameter = regexp.MustCompile(`:([a-z]+)`)

// internals are words that no answer may have.
var internals = regexp.MustCompile(`(?i)sqlite|pgx|\bSELECT\b|goroutine|\.go:\d|parking_[a-z]+|Go struct|0x[0-9a-f]{6}|echo\.|/tmp/|context (deadline|canceled)`)

// check returns what is wrong with an answer to a method on a route as echo
// writes it.
func (d document) check(method, route string, w *httptest.ResponseRecorder) []string {
	body := w.Body.String()
	if found := internals.FindString(body); found != "" {
		return []string{"the answer tells " + found}
	}
	if w.Code == 304 || w.Code == 204 {
		if body != "" {
			return []string{"has a body"}
		}
	}
	media := "application/json"
	if w.Code >= 400 {
		media = web.ContentTypeProblem
	}
	if body != "" && w.Header().Get("Content-Type") != media {
		return []string{"Content-Type is " + w.Header().Get("Content-Type")}
	}
	if method == http.MethodHead {
		if method = http.MethodGet; body == "" { // it is described there
			return nil
		}
	}
	operation := d.at(d, "paths", pathParameter.ReplaceAllString(route, "{$1}"), strings.ToLower(method))
	if operation == nil && (w.Code == 404 || w.Code == 405) {
		return nil // nor served
	}
	if operation == nil {
		return []string{"is not described"}
	}
	answer := d.at(operation, "responses", fmt.Sprint(w.Code))
	if answer == nil {
		return []string{fmt.Sprintf("the status %d is not described: %s", w.Code, body)}
	}
	schema := d.at(answer, "content", media, "schema")
	if schema == nil {
		if body != "" {
			return []string{"a body is not described"}
		}
		return nil
	}
	var value any
	if err := json.Unmarshal([]byte(body), &value); err != nil {
		return []string{err.Error()}
	}
	faults := d.against(schema, value, "")
	if w.Code >= 400 {
		p := value.(map[string]any)
		if p["status"] != float64(w.Code) || !strings.HasPrefix(fmt.Sprint(p["type"]), "/problems/") || fmt.Sprint(p["title"]) == "" || p["detail"] == nil {
			faults = append(faults, "is no whole problem document")
		}
		if w.Header().Get("Cache-Control") != "no-store" {
			faults = append(faults, "an error may be cached")
		}
	}
	return faults
}

// at walks down members, following references.
func (d document) at(from any, path ...string) map[string]any {
	node := members(from)
	for i := 0; ; i++ {
		if ref, ok := node["$ref"].(string); ok {
			node = d.at(d, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
		if i == len(path) || node == nil {
			return node
		}
		node = members(node[path[i]])
	}
}

func members(v any) map[string]any {
	switch v := v.(type) {
	case map[string]any:
		return v
	case document:
		return v
	}
	return nil
}

// against returns where a value does not keep to a schema: of JSON Schema what
// the documents use. A schema that lists properties knows no others, unless it
// says so.
func (d document) against(schema map[string]any, value any, where string) []string {
	schema = d.at(schema)
	wrong := func(format string, args ...any) []string { return []string{where + " " + fmt.Sprintf(format, args...)} }
	if choices, ok := schema["oneOf"].([]any); ok {
		var all []string
		for _, one := range choices {
			faults := d.against(members(one), value, where)
			if len(faults) == 0 {
				return nil
			}
			all = append(all, faults...)
		}
		return all
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, value) {
		return wrong("is %v, none of %v", value, enum)
	}
	if want := schema["type"]; want != nil && !slices.ContainsFunc(kinds(value), func(k string) bool { return strings.Contains(fmt.Sprint(want), k) }) {
		return wrong("is %v, want %v", value, want)
	}
	var out []string
	switch value := value.(type) {
	case string:
		if pattern, ok := schema["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(value) {
			return wrong("is %q, not %s", value, pattern)
		}
		if schema["format"] == "date-time" && !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$`).MatchString(value) {
			return wrong("is %q, no time", value)
		}
	case float64:
		if least, ok := schema["minimum"].(float64); ok && value < least {
			return wrong("is %v, below %v", value, least)
		}
	case []any:
		for i, one := range value {
			if items := members(schema["items"]); items != nil {
				out = append(out, d.against(items, one, fmt.Sprintf("%s/%d", where, i))...)
			}
		}
	case map[string]any:
		properties, more := members(schema["properties"]), members(schema["additionalProperties"])
		for name, one := range value {
			described := members(properties[name])
			if described == nil {
				described = more
			}
			switch {
			case described != nil:
				out = append(out, d.against(described, one, where+"/"+name)...)
			case properties != nil && schema["additionalProperties"] != true:
				out = append(out, where+"/"+name+" is not described")
			}
		}
		needed, _ := schema["required"].([]any)
		for _, name := range needed {
			if _, ok := value[name.(string)]; !ok {
				out = append(out, fmt.Sprintf("%s/%v is required", where, name))
			}
		}
	}
	return out
}

func kinds(value any) []string {
	switch v := value.(type) {
	case nil:
		return []string{"null"}
	case bool:
		return []string{"boolean"}
	case string:
		return []string{"string"}
	case float64:
		if v == float64(int64(v)) {
			return []string{"integer", "number"}
		}
		return []string{"number"}
	case []any:
		return []string{"array"}
	default:
		return []string{"object"}
	}
}
