package opendata

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"
)

// Media types of the answers.
const (
	typeJSON    = "application/json; charset=utf-8"
	typeGeoJSON = "application/geo+json; charset=utf-8"
)

// answer sends a document, or 304 to a client that has it already. The tag is
// strong: it is a digest of the bytes.
func (f *Feed) answer(c echo.Context, s *snapshot, now time.Time, mediaType string, document any) error {
	body, err := json.Marshal(document, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("writing open data: %w", err)
	}
	digest := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(digest[:16]) + `"`
	h := c.Response().Header()
	h.Set("ETag", tag)
	h.Set(echo.HeaderCacheControl, fmt.Sprintf("public, max-age=%d", f.maxAge(s, now)/time.Second))
	if matches(c.Request().Header.Values("If-None-Match"), tag) {
		return c.NoContent(http.StatusNotModified)
	}
	return c.Blob(http.StatusOK, mediaType, body)
}

// matches reports whether If-None-Match names the tag; the comparison is the
// weak one of RFC 9110 section 13.1.2.
func matches(headers []string, tag string) bool {
	for _, header := range headers {
		for _, one := range strings.Split(header, ",") {
			one = strings.TrimSpace(one)
			if one == "*" || strings.TrimPrefix(one, "W/") == tag {
				return true
			}
		}
	}
	return false
}
