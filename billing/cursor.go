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
	return encodeCursor(cursorVersion, c.FirstMicros, c.TollPoint, c.Vehicle, c.ID)
}

// ParseCursor reads what String wrote. Empty text is the zero cursor.
func ParseCursor(text string) (Cursor, error) {
	if text == "" {
		return Cursor{}, nil
	}
	var c Cursor
	if err := decodeCursor(text, cursorVersion, &c.FirstMicros, &c.TollPoint, &c.Vehicle, &c.ID); err != nil || c == (Cursor{}) {
		return Cursor{}, errCursor
	}
	return c, nil
}

// ChargeCursor returns the place of a charge in the order of lists, as text
// safe in URLs: what Charges takes as After.
func ChargeCursor(c Charge) string { return encodeCursor(chargeCursorVersion, c.OccurredMicros, c.ID) }

// ParseChargeCursor reads what ChargeCursor wrote.
func ParseChargeCursor(text string) (occurredMicros int64, id string, err error) {
	if err := decodeCursor(text, chargeCursorVersion, &occurredMicros, &id); err != nil || id == "" {
		return 0, "", errCursor
	}
	return occurredMicros, id, nil
}

// The first element of a cursor tells the lists apart.
const (
	cursorVersion       = 1
	chargeCursorVersion = 2
)

// encodeCursor writes numbers and strings.
func encodeCursor(parts ...any) string {
	b, err := json.Marshal(parts)
	if err != nil {
		return "" // cannot happen: numbers and strings only
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// decodeCursor reads the parts after the version.
func decodeCursor(text string, version int, into ...any) error {
	if len(text) > maxCursor {
		return errCursor
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return err
	}
	found := 0
	parts := append([]any{&found}, into...)
	want := len(parts)
	if err := json.Unmarshal(b, &parts); err != nil {
		return err
	}
	if len(parts) != want || found != version {
		return errCursor
	}
	return nil
}
