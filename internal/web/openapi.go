package web

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"
)

// MergeOpenAPI makes one OpenAPI document of several that share an address:
// the first one's head, everybody's paths, tags and components. A path or
// component that two documents define differently is an error.
func MergeOpenAPI(docs ...[]byte) ([]byte, error) {
	type document = map[string]any
	var merged document
	for i, doc := range docs {
		var d document
		if err := json.Unmarshal(doc, &d); err != nil {
			return nil, fmt.Errorf("merging OpenAPI documents: number %d: %w", i+1, err)
		}
		if merged == nil {
			merged = d
			continue
		}
		if err := mergeMembers(merged, d, "paths"); err != nil {
			return nil, err
		}
		if tags, ok := d["tags"].([]any); ok {
			have, _ := merged["tags"].([]any)
			merged["tags"] = append(have, tags...)
		}
		components, _ := d["components"].(document)
		into, ok := merged["components"].(document)
		if !ok {
			into = document{}
			merged["components"] = into
		}
		for kind := range components {
			if err := mergeMembers(into, components, kind); err != nil {
				return nil, err
			}
		}
	}
	return json.Marshal(merged)
}

// mergeMembers copies the members of from[kind] into to[kind].
func mergeMembers(to, from map[string]any, kind string) error {
	source, _ := from[kind].(map[string]any)
	target, ok := to[kind].(map[string]any)
	if !ok {
		target = map[string]any{}
		to[kind] = target
	}
	for name, value := range source {
		if have, ok := target[name]; ok {
			a, errA := json.Marshal(have)
			b, errB := json.Marshal(value)
			if errA != nil || errB != nil || string(a) != string(b) {
				return fmt.Errorf("merging OpenAPI documents: %s %q is defined twice, differently", kind, name)
			}
		}
		target[name] = value
	}
	return nil
}

// ServeOpenAPI answers GET /openapi.json with the document, without a key: it
// tells nothing that the source does not.
func ServeOpenAPI(e *echo.Echo, doc []byte) {
	e.GET("/openapi.json", func(c echo.Context) error {
		c.Response().Header().Set("Cache-Control", "no-cache")
		return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, doc)
	})
}
