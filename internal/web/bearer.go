package web

import (
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// Key is a bearer key and who holds it.
type Key struct {
	// Name is written down with what the holder decides.
	Name string
	// Secret is what stands behind "Bearer "; at least 16 bytes.
	Secret string
}

// Bearer lets requests pass that show one of the keys; all others get 401. The
// time it takes tells nothing about the keys. Caller gives the key's name.
func Bearer(keys ...Key) (echo.MiddlewareFunc, error) {
	if len(keys) == 0 {
		return nil, errors.New("bearer keys: none given, so that nobody could enter")
	}
	holders := make([]Holder, len(keys))
	for i, k := range keys {
		if len(k.Secret) < 16 {
			return nil, errors.New("bearer keys: the key of " + k.Name + " has fewer than 16 bytes; make a longer one")
		}
		holders[i] = HolderOf(k)
	}
	return BearerOf(func() []Holder { return holders }), nil
}

// Caller returns the name of the key that was shown; empty where no key is
// asked for.
func Caller(c echo.Context) string {
	name, _ := c.Get(keyCaller).(string)
	return name
}

func bearerToken(headers []string) (string, bool) {
	if len(headers) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(headers[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", false
	}
	return token, true
}

func unauthorized(challenge, detail string) *Problem {
	p := NewProblem(http.StatusUnauthorized, "unauthorized", "", detail)
	p.Header = http.Header{"Www-Authenticate": {challenge}}
	return p
}
