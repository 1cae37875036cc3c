//go:build decoder

package fps

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"freeflow/billing"
)

// decoded is what testdata/decode.js says of one picture and text.
type decoded struct {
	Picture   string `json:"picture"`
	Mobile    string `json:"mobile"`
	Email     string `json:"email"`
	FPSID     string `json:"fps_id"`
	Bank      string `json:"bank"`
	Amount    string `json:"amount"`
	Currency  string `json:"currency"`
	Bill      string `json:"bill"`
	Reference string `json:"reference"`
	Once      bool   `json:"once"`
	// Country is as emvqr, a decoder of any EMV code, reads it.
	Country string `json:"country"`
	Error   string `json:"error"`
}

// TestPublicDecoders reads our codes with decoders that others wrote: the
// pictures with jsqr, the texts with hkqr-fps and emvqr.
func TestPublicDecoders(t *testing.T) {
	dir := os.Getenv("FREEFLOW_DECODERS")
	if dir == "" {
		t.Fatal("FREEFLOW_DECODERS is not set; run 'make test-decoder', which installs the decoders")
	}
	type question struct {
		Text string `json:"text"`
		PNG  []byte `json:"png"`
	}
	var requested []Request
	var questions []question
	rapid.Check(t, func(t *rapid.T) {
		r := requests(t)
		// hkqr-fps knows identifiers of 7 to 9 digits, the banks of its list,
		// amounts above 0, and neither slash nor space in labels.
		r.Payee.Bank = rapid.SampledFrom([]string{"", "003", "004", "012", "016"}).Draw(t, "known bank")
		if r.Payee.Proxy == ProxyFPSID {
			r.Payee.Value = rapid.StringMatching(`[0-9]{7,9}`).Draw(t, "known id")
		}
		if r.Payee.Proxy == ProxyEmail {
			r.Payee.Value = rapid.StringMatching(`[a-z]{1,20}@[a-z]{1,10}\.hk`).Draw(t, "known mail")
		}
		r.AmountCents = max(r.AmountCents, 1)
		r.Bill = rapid.StringMatching(`[A-Za-z0-9]{1,25}`).Draw(t, "known bill")
		r.Reference = rapid.StringMatching(`[A-Za-z0-9]{1,25}`).Draw(t, "known reference")
		// emvqr stumbles over categories that are not in its list.
		r.Category = rapid.SampledFrom([]string{"4784", "7523", "4111"}).Draw(t, "known category")
		r.Name, r.City = rapid.StringMatching(`[A-Z]{1,25}`).Draw(t, "known name"), "HK"
		text, err := r.Payload()
		if err != nil {
			t.Fatal(err)
		}
		if text[len(text)-4] == '0' {
			return // hkqr-fps 1.1.1 leaves out a checksum's leading zeros, and refuses those that have them
		}
		picture, err := PNG(text)
		if err != nil {
			t.Fatal(err)
		}
		requested, questions = append(requested, r), append(questions, question{text, picture})
	})
	input, err := json.Marshal(questions)
	if err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("testdata/decode.js")
	if err != nil {
		t.Fatal(err)
	}
	node := exec.CommandContext(t.Context(), "node", script, dir)
	node.Stdin, node.Stderr = bytes.NewReader(input), os.Stderr
	output, err := node.Output()
	if err != nil {
		t.Fatal(err)
	}
	var answers []decoded
	if err := json.Unmarshal(output, &answers); err != nil || len(answers) != len(requested) {
		t.Fatalf("%d answers to %d questions, %v: %.300s", len(answers), len(requested), err, output)
	}
	for i, r := range requested {
		want := decoded{
			Picture: questions[i].Text, Bank: r.Payee.Bank, Amount: billing.FormatCents(r.AmountCents), Currency: r.Currency,
			Bill: r.Bill, Reference: r.Reference, Once: r.Once, Country: "HK (Hong Kong)",
		}
		switch r.Payee.Proxy {
		case ProxyFPSID:
			want.FPSID = r.Payee.Value
		case ProxyMobile:
			want.Mobile = r.Payee.Value
		default:
			want.Email = r.Payee.Value
		}
		if answers[i] != want {
			t.Errorf("%s\nis   %+v\nwant %+v", questions[i].Text, answers[i], want)
		}
	}
	t.Logf("%d codes read by jsqr, hkqr-fps and emvqr", len(requested))
}
