package billing

import (
	"encoding/base64"
	"encoding/json"
	"errors"
)

// maxCursor bounds a cursor's text; the longest names fit many times over.
const maxCursor = 2048

// errCursor says no more than it needs: a cursor is opaque to its holder.
var errCursor = errors.New("not a cursor that this service gave out")

// CursorOf returns the place of a pass in the order of lists.
func CursorOf(p Pass) Cursor {
	return Cursor{FirstMicros: p.FirstMicros, TollPoint: p.TollPoint, Vehicle: p.Vehicle, ID: p.ID}
}

// String returns the cursor as text for outsiders, safe in URLs; the zero
// cursor is empty.
func (c Cursor) String() string {
	if c == (Cursor{}) {
		return ""
	}
	b, err := json.Marshal([]any{1, c.FirstMicros, c.TollPoint, c.Vehicle, c.ID})
	if err != nil {
		return "" // cannot happen: numbers and strings only
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseCursor reads what String wrote. Empty text is the zero cursor.
func ParseCursor(text string) (Cursor, error) {
	if text == "" {
		return Cursor{}, nil
	}
	if len(text) > maxCursor {
		return Cursor{}, errCursor
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return Cursor{}, errCursor
	}
	var c Cursor
	version := 0
	parts := []any{&version, &c.FirstMicros, &c.TollPoint, &c.Vehicle, &c.ID}
	if err := json.Unmarshal(b, &parts); err != nil || len(parts) != 5 || version != 1 || c == (Cursor{}) {
		return Cursor{}, errCursor
	}
	return c, nil
}
