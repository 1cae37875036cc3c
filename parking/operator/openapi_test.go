package operator

import (
	"testing"

	"github.com/labstack/echo/v4"

	"freeflow/internal/web/webtest"
)

// The documents and the routes describe each other.
func TestOpenAPI(t *testing.T) {
	open := func(next echo.HandlerFunc) echo.HandlerFunc { return next }
	api := &API{}
	for _, one := range []struct {
		doc    []byte
		routes func(*echo.Echo)
	}{
		{OpenAPI(), func(e *echo.Echo) { api.Routes(e, open) }},
		{OpenAPIPublic(), api.Public},
	} {
		e := echo.New()
		one.routes(e)
		wrong, err := webtest.Differences(one.doc, e.Routes())
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range wrong {
			t.Error(w)
		}
	}
}
