// Package webtest helps to test HTTP surfaces. It owns the comparison of an
// OpenAPI document with the routes that it describes, and promises nothing
// about the schemas in it beyond that every reference has a target.
package webtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/labstack/echo/v4"
)

var parameter = regexp.MustCompile(`:([A-Za-z_]+)`)

// Differences returns what the document and the routes do not agree on, each
// as one line: routes that are not described, operations that do not exist,
// path parameters without description, operations without an operationId or
// without a 4xx answer, references without target. Routes whose path is in
// ignore are left out.
func Differences(doc []byte, routes []*echo.Route, ignore ...string) ([]string, error) {
	var d struct {
		OpenAPI string                                `json:"openapi"`
		Paths   map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(doc, &d); err != nil {
		return nil, fmt.Errorf("reading the OpenAPI document: %w", err)
	}
	var out []string
	if !strings.HasPrefix(d.OpenAPI, "3.1.") {
		out = append(out, "openapi is "+d.OpenAPI+", not 3.1")
	}
	served := map[string]bool{}
	for _, r := range routes {
		if slices.Contains(ignore, r.Path) || r.Method == echo.RouteNotFound {
			continue
		}
		if r.Method == http.MethodHead {
			continue // what GET answers without its body
		}
		served[strings.ToLower(r.Method)+" "+parameter.ReplaceAllString(r.Path, "{$1}")] = true
	}
	ids := map[string]bool{}
	for path, operations := range d.Paths {
		for method, raw := range operations {
			name := method + " " + path
			if !served[name] {
				out = append(out, name+" is described but not served")
			}
			delete(served, name)
			found, err := faults(name, path, raw, ids)
			if err != nil {
				return nil, err
			}
			out = append(out, found...)
		}
	}
	for name := range served {
		out = append(out, name+" is served but not described")
	}
	var whole any
	if err := json.Unmarshal(doc, &whole); err != nil {
		return nil, fmt.Errorf("reading the OpenAPI document: %w", err)
	}
	out = append(out, dangling(whole, whole)...)
	sort.Strings(out)
	return out, nil
}

func faults(name, path string, raw json.RawMessage, ids map[string]bool) ([]string, error) {
	var o struct {
		OperationID string `json:"operationId"`
		Parameters  []struct {
			Name, In string
		} `json:"parameters"`
		Responses map[string]any `json:"responses"`
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		return nil, fmt.Errorf("reading %s of the OpenAPI document: %w", name, err)
	}
	var out []string
	if o.OperationID == "" || ids[o.OperationID] {
		out = append(out, name+": operationId is missing or not unique")
	}
	ids[o.OperationID] = true
	refused := false
	for status := range o.Responses {
		refused = refused || strings.HasPrefix(status, "4")
	}
	if !refused {
		out = append(out, name+": no 4xx answer is described")
	}
	for _, in := range strings.Split(path, "/") {
		if !strings.HasPrefix(in, "{") {
			continue
		}
		described := false
		for _, p := range o.Parameters {
			described = described || p.In == "path" && "{"+p.Name+"}" == in
		}
		if !described {
			out = append(out, name+": path parameter "+in+" is not described")
		}
	}
	return out, nil
}

// dangling returns the references within the document that lead nowhere.
func dangling(whole, part any) []string {
	var out []string
	switch v := part.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok && !leads(whole, ref) {
			out = append(out, "reference "+ref+" leads nowhere")
		}
		for _, value := range v {
			out = append(out, dangling(whole, value)...)
		}
	case []any:
		for _, value := range v {
			out = append(out, dangling(whole, value)...)
		}
	}
	return out
}

func leads(whole any, ref string) bool {
	path, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return false
	}
	at := whole
	for _, name := range strings.Split(path, "/") {
		members, ok := at.(map[string]any)
		if !ok {
			return false
		}
		if at, ok = members[name]; !ok {
			return false
		}
	}
	return true
}
