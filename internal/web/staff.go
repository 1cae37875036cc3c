package web

import (
	"crypto/sha256"
	"crypto/subtle"

	"github.com/labstack/echo/v4"
)

// Holder is who holds a bearer key, known by the key's digest.
type Holder struct {
	// Name is written down with what the holder does.
	Name string
	// Sum is the SHA-256 of what stands behind "Bearer ".
	Sum [sha256.Size]byte
	// Person says that the key is one person's own; false for a key that
	// several may share, or a machine's.
	Person bool
	// Roles are what the holder may do, in the words of the assembly.
	Roles []string
}

// HolderOf returns the holder of a shared key.
func HolderOf(k Key) Holder { return Holder{Name: k.Name, Sum: sha256.Sum256([]byte(k.Secret))} }

// BearerOf lets requests pass that show the key of one of the present holders,
// who may change while it runs; all others get 401. The time it takes tells
// nothing about the keys. Caller gives the holder's name, Person whether it is
// a person's, Roles the roles.
func BearerOf(holders func() []Holder) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			shown, ok := bearerToken(c.Request().Header.Values(echo.HeaderAuthorization))
			if !ok {
				return unauthorized(`Bearer realm="freeflow"`, "send 'Authorization: Bearer KEY'")
			}
			// Digests of one length are compared, all of them, so that
			// neither length nor position can be measured.
			sum := sha256.Sum256([]byte(shown))
			present, found := holders(), -1
			for i := range present {
				if subtle.ConstantTimeCompare(sum[:], present[i].Sum[:]) == 1 {
					found = i
				}
			}
			if found < 0 {
				return unauthorized(`Bearer realm="freeflow", error="invalid_token"`, "the key is not known here")
			}
			c.Set(keyCaller, present[found].Name)
			c.Set(keyHolder, present[found])
			return next(c)
		}
	}
}

// keyHolder is where the holder of the shown key is kept for a request.
const keyHolder = "freeflow.holder"

// Person returns the name of the person whose own key was shown; false where
// the key is shared or a machine's, so that nobody in particular stands for what
// is done with it.
func Person(c echo.Context) (name string, ok bool) {
	h, _ := c.Get(keyHolder).(Holder)
	return h.Name, h.Person
}

// Roles returns the roles of whoever's key was shown.
func Roles(c echo.Context) []string {
	h, _ := c.Get(keyHolder).(Holder)
	return h.Roles
}
