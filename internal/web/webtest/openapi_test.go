package webtest

import (
	"slices"
	"testing"

	"github.com/labstack/echo/v4"
)

func TestDifferences(t *testing.T) {
	e := echo.New()
	none := func(echo.Context) error { return nil }
	e.GET("/a/:id", none)
	e.POST("/b", none)
	e.GET("/page", none)
	got, err := Differences([]byte(`{"openapi":"3.1.0","paths":{
		"/a/{id}":{"get":{"operationId":"a","responses":{"200":{}}}},
		"/c":{"put":{"operationId":"a","responses":{"404":{"$ref":"#/components/responses/no"}}}}}}`), e.Routes(), "/page")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"get /a/{id}: no 4xx answer is described",
		"get /a/{id}: path parameter {id} is not described",
		"post /b is served but not described",
		"put /c is described but not served",
		"reference #/components/responses/no leads nowhere",
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("missing: %s", w)
		}
	}
	if len(got) != len(want)+1 { // and one of the two operationIds
		t.Errorf("got %q", got)
	}
}
