package web

import (
	"crypto/sha256"
	"crypto/subtle"
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
	type digest struct {
		name string
		sum  [sha256.Size]byte
	}
	digests := make([]digest, len(keys))
	for i, k := range keys {
		if len(k.Secret) < 16 {
			return nil, errors.New("bearer keys: the key of " + k.Name + " has fewer than 16 bytes; make a longer one")
		}
		digests[i] = digest{k.Name, sha256.Sum256([]byte(k.Secret))}
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			shown, ok := bearerToken(c.Request().Header.Values(echo.HeaderAuthorization))
			if !ok {
				return unauthorized(`Bearer realm="freeflow"`, "send 'Authorization: Bearer KEY'")
			}
			// Digests of one length are compared, all of them, so that
			// neither length nor position can be measured.
			sum := sha256.Sum256([]byte(shown))
			found := -1
			for i := range digests {
				if subtle.ConstantTimeCompare(sum[:], digests[i].sum[:]) == 1 {
					found = i
				}
			}
			if found < 0 {
				return unauthorized(`Bearer realm="freeflow", error="invalid_token"`, "the key is not known here")
			}
			c.Set(keyCaller, digests[found].name)
			return next(c)
		}
	}, nil
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
