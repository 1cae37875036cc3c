package motorist

import (
	"encoding/json"
	"fmt"

	"freeflow/billing"
)

// ReceiptLine is one line of an itemised receipt; Priced is false where it has no
// amount.
type ReceiptLine struct {
	Text   string
	Cents  int64
	Priced bool
}

// Receipt reads the lines of a charge's detail (billing.Charge): all of them or
// none. An amount is a decimal, as a JSON string or number.
func Receipt(detail []byte) ([]ReceiptLine, error) {
	if len(detail) == 0 {
		return nil, nil
	}
	var read struct {
		Lines []struct {
			Text   string          `json:"text"`
			Amount json.RawMessage `json:"amount"`
		} `json:"lines"`
	}
	if err := json.Unmarshal(detail, &read); err != nil {
		return nil, fmt.Errorf("reading a receipt: %w", err)
	}
	var lines []ReceiptLine
	for _, l := range read.Lines {
		line := ReceiptLine{Text: l.Text}
		text := string(l.Amount)
		if len(l.Amount) > 0 && l.Amount[0] == '"' {
			if err := json.Unmarshal(l.Amount, &text); err != nil {
				return nil, fmt.Errorf("reading a receipt: %w", err)
			}
		}
		if text != "" && text != "null" {
			cents, err := billing.ParseCents(text)
			if err != nil {
				return nil, fmt.Errorf("reading a receipt: %w", err)
			}
			line.Cents, line.Priced = cents, true
		}
		lines = append(lines, line)
	}
	return lines, nil
}
