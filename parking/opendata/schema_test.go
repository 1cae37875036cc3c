package opendata

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTheDocumentDescribesTheAnswers holds every answer against the schema
// that openapi.json gives for it; members that are not described count as
// faults too.
func TestTheDocumentDescribesTheAnswers(t *testing.T) {
	var doc map[string]any
	if err := json.Unmarshal(OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	for name, src := range map[string]*sources{"made up": standard(), "samples": samples(t)} {
		s := newServer(t, src)
		for path, media := range map[string]string{
			"/v1/carpark-info-vacancy": "application/json", "/v1/carpark-info-vacancy?data=vacancy": "application/json",
			"/v1/carpark-info-vacancy?lang=fr": "application/json", "/v1/carpark-info-vacancy?data=fr": "application/problem+json",
			"/v1/open/basic_info_all.json": "application/json", "/v1/open/vacancy_all.json": "application/json",
			"/v1/carparks.geojson": "application/geo+json", "/v1/open/parking-sites.json": "application/json",
		} {
			w := s.get(path)
			route, _, _ := strings.Cut(path, "?")
			response := at(doc, doc, "paths", route, "get", "responses", fmt.Sprint(w.Code))
			schema := at(doc, response, "content", media, "schema")
			if schema == nil || !strings.HasPrefix(w.Header().Get("Content-Type"), media) {
				t.Errorf("%s: %s is not described", path, w.Header().Get("Content-Type"))
				continue
			}
			var body any
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatal(err)
			}
			if w.Code == 400 {
				delete(body.(map[string]any), "errors") // an extension that all problems may have
			}
			for _, fault := range against(doc, schema, body, "") {
				t.Errorf("%s, %s: %s", name, path, fault)
			}
		}
	}
}

// at walks down members, following references.
func at(doc map[string]any, from any, path ...string) map[string]any {
	node, _ := from.(map[string]any)
	for i := 0; ; i++ {
		if ref, ok := node["$ref"].(string); ok {
			node = at(doc, doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
		if i == len(path) || node == nil {
			return node
		}
		node, _ = node[path[i]].(map[string]any)
	}
}

// against returns where a value does not keep to a schema: of JSON Schema what
// openapi.json uses.
func against(doc map[string]any, schema map[string]any, value any, where string) []string {
	schema = at(doc, schema)
	if any, ok := schema["anyOf"].([]any); ok {
		var first []string
		for _, one := range any {
			faults := against(doc, one.(map[string]interface{}), value, where)
			if len(faults) == 0 {
				return nil
			}
			if first == nil || len(faults) < len(first) {
				first = faults
			}
		}
		return first
	}
	wrong := func(format string, args ...any) []string {
		return []string{where + ": " + fmt.Sprintf(format, args...)}
	}
	if want, ok := schema["const"]; ok && value != want {
		return wrong("%v, want %v", value, want)
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, value) {
		return wrong("%v is none of %v", value, enum)
	}
	if types := fmt.Sprint(schema["type"]); schema["type"] != nil && !strings.Contains(types, kindOf(value)) &&
		(kindOf(value) != "integer" || !strings.Contains(types, "number")) {
		return wrong("is %s, want %s", kindOf(value), types)
	}
	var out []string
	switch value := value.(type) {
	case string:
		if pattern, ok := schema["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(value) {
			return wrong("%q is not %s", value, pattern)
		}
	case float64:
		if least, ok := schema["minimum"].(float64); ok && value < least {
			return wrong("%v is below %v", value, least)
		}
	case []any:
		items, _ := schema["items"].(map[string]any)
		for i, one := range value {
			out = append(out, against(doc, items, one, fmt.Sprintf("%s/%d", where, i))...)
		}
	case map[string]any:
		properties, _ := schema["properties"].(map[string]any)
		for name, one := range value {
			described, ok := properties[name].(map[string]any)
			if !ok {
				out = append(out, where+"/"+name+" is not described")
				continue
			}
			out = append(out, against(doc, described, one, where+"/"+name)...)
		}
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, ok := value[name.(string)]; !ok {
				out = append(out, fmt.Sprintf("%s/%v is required", where, name))
			}
		}
	}
	return out
}

func kindOf(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	default:
		return "object"
	}
}
