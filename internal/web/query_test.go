package web

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"
)

// What is no text would be the store's fault, or worse, its answer.
func TestParametersAreText(t *testing.T) {
	for query, good := range map[string]bool{"a=caf%C3%A9": true, "a=%FF": false, "a=x%00y": false, "a=%ED%A0%80": false, "a=": true} {
		c := echo.New().NewContext(httptest.NewRequest(http.MethodGet, "/?"+query, nil), httptest.NewRecorder())
		if err := QueryOf(c, "a").Err(); (err == nil) != good {
			t.Errorf("%s: %v", query, err)
		}
	}
}
