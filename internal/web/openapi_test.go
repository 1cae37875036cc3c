package web

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"freeflow/internal/clock"
)

func TestMergeOpenAPI(t *testing.T) {
	a := []byte(`{"openapi":"3.1.0","info":{"title":"A"},"paths":{"/a":{"get":{}}},"tags":[{"name":"a"}],
		"components":{"schemas":{"Problem":{"type":"object"}}}}`)
	b := []byte(`{"openapi":"3.1.0","info":{"title":"B"},"paths":{"/b":{"get":{}}},"tags":[{"name":"b"}],
		"components":{"schemas":{"Problem":{"type":"object"},"Bay":{}},"parameters":{"x":{}}}}`)
	merged, err := MergeOpenAPI(a, b)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Info       struct{ Title string }
		Paths      map[string]any
		Tags       []any
		Components map[string]map[string]any
	}
	if err := json.Unmarshal(merged, &d); err != nil {
		t.Fatal(err)
	}
	if d.Info.Title != "A" || len(d.Paths) != 2 || len(d.Tags) != 2 ||
		len(d.Components["schemas"]) != 2 || len(d.Components["parameters"]) != 1 {
		t.Errorf("%s", merged)
	}
	other := []byte(strings.Replace(string(b), `"type":"object"`, `"type":"string"`, 1))
	if _, err := MergeOpenAPI(a, other); err == nil || !strings.Contains(err.Error(), "Problem") {
		t.Errorf("a clash gave %v", err)
	}
	e := NewEcho(slog.New(slog.DiscardHandler), clock.At(noon))
	ServeOpenAPI(e, merged)
	if w := do(e, "GET", "/openapi.json", ""); w.Body.String() != string(merged) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
