package fps

import (
	"bytes"
	"errors"
	"image/png"
	"strings"
	"testing"

	qr "github.com/piglig/go-qr"
	"pgregory.net/rapid"
)

// emvExample is the worked example of the EMV QR Code Specification,
// Merchant-Presented Mode, as the decoders emvqr and steplix-emvqr on npm
// carry it: two account templates, a language template in Chinese.
const emvExample = "00020101021229300012D156000000000510A93FO3230Q31280012D15600000001030812345678520441115802CN5914BEST TRANSPORT" +
	"6007BEIJING64200002ZH0104最佳运输0202北京540523.7253031565502016233030412340603***0708A60086670902ME91320016A0112233449988770708123456786304A13A"

// odooExamples are what Odoo's tests of its Hong Kong QR codes expect
// (odoo/odoo, addons/l10n_hk/tests/test_l10n_hk_emv_qr.py).
var odooExamples = map[string]Request{
	"00020101021226330012hk.com.hkicl0313+852-6789123452040000530334454031005802HK5914company_1_data6002HK62170513INV/TEST/00016304A154": {
		Payee: Payee{Proxy: ProxyMobile, Value: "+852-67891234"}, AmountCents: 10000, Currency: "HKD", Category: "0000",
		Name: "company_1_data", City: "HK", Reference: "INV/TEST/0001", Once: true,
	},
	"00020101021226330012hk.com.hkicl0313+852-678912345204000053033445405100.55802HK5914company_1_data6002HK62170513INV/TEST/000263049E64": {
		Payee: Payee{Proxy: ProxyMobile, Value: "+852-67891234"}, AmountCents: 10050, Currency: "HKD", Category: "0000",
		Name: "company_1_data", City: "HK", Reference: "INV/TEST/0002", Once: true,
	},
}

func TestChecksum(t *testing.T) {
	// The check value of CRC-16/CCITT-FALSE in Greg Cook's catalogue (there
	// CRC-16/IBM-3740).
	if got := Checksum("123456789"); got != 0x29B1 {
		t.Errorf("%04X", got)
	}
}

func TestReadsPublicExamples(t *testing.T) {
	objects, err := Objects(emvExample)
	if err != nil {
		t.Fatal(err)
	}
	language, _ := find(objects, "64")
	name, _ := find(language.Objects, "01")
	amount, _ := find(objects, "54")
	if name.Value != "最佳运输" || amount.Value != "23.72" || len(objects) != 15 {
		t.Errorf("%d objects, name %q, amount %q", len(objects), name.Value, amount.Value)
	}
	if _, err := Parse(emvExample); !errors.Is(err, ErrInvalid) {
		t.Errorf("a code without FPS was taken: %v", err)
	}
	for text, want := range odooExamples {
		got, err := Parse(text)
		if err != nil || got != want {
			t.Errorf("%s\nis   %+v, %v\nwant %+v", text, got, err, want)
		}
		// Odoo writes amounts without the zeros at the end.
		ours, err := want.Payload()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Parse(ours); err != nil || again != want {
			t.Errorf("%s is %+v, %v", ours, again, err)
		}
	}
}

// TestGolden: what stands on notices already must be written the same for ever.
func TestGolden(t *testing.T) {
	got, err := Request{
		Payee: Payee{Proxy: ProxyFPSID, Value: "1234567", Bank: "004"}, AmountCents: 19500, Currency: "HKD", Category: "4784",
		Name: "FREEFLOW TOLLS", City: "HONG KONG", Bill: "FFABCDEFGH234567", Reference: "N2026-11", Once: true,
	}.Payload()
	const want = "00020101021226340012hk.com.hkicl010300402071234567520447845303344" +
		"5406195.005802HK5914FREEFLOW TOLLS6009HONG KONG62320116FFABCDEFGH2345670508N2026-1163044ADE"
	if err != nil || got != want {
		t.Errorf("%v\n%s\n%s", err, got, want)
	}
}

func TestRefuses(t *testing.T) {
	good := Request{Payee: Payee{Proxy: ProxyFPSID, Value: "1234567"}, AmountCents: 100, Currency: "HKD"}
	for what, change := range map[string]func(*Request){
		"currency":       func(r *Request) { r.Currency = "USD" },
		"negative":       func(r *Request) { r.AmountCents = -1 },
		"too much":       func(r *Request) { r.AmountCents = 1_000_000_000_000 },
		"proxy":          func(r *Request) { r.Payee.Proxy = "05" },
		"short id":       func(r *Request) { r.Payee.Value = "123456" },
		"mobile":         func(r *Request) { r.Payee = Payee{Proxy: ProxyMobile, Value: "67891234"} },
		"mail":           func(r *Request) { r.Payee = Payee{Proxy: ProxyEmail, Value: "a@b"} },
		"long mail":      func(r *Request) { r.Payee = Payee{Proxy: ProxyEmail, Value: strings.Repeat("a", 70) + "@b.hk"} },
		"bank":           func(r *Request) { r.Payee.Bank = "04" },
		"category":       func(r *Request) { r.Category = "47" },
		"long name":      func(r *Request) { r.Name = strings.Repeat("n", 26) },
		"Chinese name":   func(r *Request) { r.Name = "易通行" },
		"long city":      func(r *Request) { r.City = strings.Repeat("c", 16) },
		"long bill":      func(r *Request) { r.Bill = strings.Repeat("1", 26) },
		"line in a bill": func(r *Request) { r.Bill = "a\nb" },
		"reference":      func(r *Request) { r.Reference = "a;b" },
	} {
		r := good
		change(&r)
		if text, err := r.Payload(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %q, %v", what, text, err)
		}
	}
	text, err := good.Payload()
	if err != nil {
		t.Fatal(err)
	}
	covered := text[:len(text)-8]
	for what, bad := range map[string]string{
		"empty":            "",
		"cut":              text[:len(text)-1],
		"wrong checksum":   text[:len(text)-4] + "0000",
		"behind the end":   text + "0102",
		"not first":        seal(strings.Replace(covered, "000201", "", 1)),
		"twice":            seal(covered + object("53", "344")),
		"no country":       seal(strings.Replace(covered, "5802HK", "", 1)),
		"other country":    seal(strings.Replace(covered, "5802HK", "5802CN", 1)),
		"other currency":   seal(strings.Replace(covered, "5303344", "5303840", 1)),
		"no currency":      seal(strings.Replace(covered, "5303344", "", 1)),
		"amount in words":  seal(strings.Replace(covered, "54041.00", "5403one", 1)),
		"amount of none":   seal(strings.Replace(covered, "54041.00", "54040.00", 1)),
		"empty object":     seal(covered + "6100"),
		"length no number": seal(covered + "61xx"),
		"account broken":   seal(strings.Replace(covered, "0012hk.com.hkicl", "0013hk.com.hkicl", 1)),
		"no account":       seal(strings.Replace(covered, "hk.com.hkicl", "hk.com.other", 1)),
		"two payees":       seal(strings.Replace(strings.Replace(covered, "2627", "2644", 1), "02071234567", "020712345670313+852-12345678", 1)),
		"initiation":       seal(strings.Replace(covered, "010211", "010213", 1)),
		"not UTF-8":        seal(covered + "6102\xff\xff"),
	} {
		if r, err := Parse(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s was taken as %+v: %v", what, r, err)
		}
	}
}

// requests draws what can be asked for.
func requests(t *rapid.T) Request {
	text := func(name, pattern string) string { return rapid.StringMatching(pattern).Draw(t, name) }
	r := Request{
		AmountCents: rapid.Int64Range(0, 999_999_999_999).Draw(t, "amount"),
		Currency:    rapid.SampledFrom([]string{"HKD", "CNY"}).Draw(t, "currency"),
		Category:    text("category", `[0-9]{4}`), Name: text("name", `[ -~]{1,25}`), City: text("city", `[ -~]{1,15}`),
		Bill: text("bill", `|[A-Za-z0-9.@_+/ -]{1,25}`), Reference: text("reference", `|[A-Za-z0-9.@_+/ -]{1,25}`),
		Once: rapid.Bool().Draw(t, "once"),
	}
	switch rapid.IntRange(0, 2).Draw(t, "proxy") {
	case 0:
		r.Payee = Payee{Proxy: ProxyFPSID, Value: text("id", `[0-9]{7,10}`)}
	case 1:
		r.Payee = Payee{Proxy: ProxyMobile, Value: text("mobile", `\+852-[0-9]{8}`)}
	default:
		r.Payee = Payee{Proxy: ProxyEmail, Value: text("mail", `[a-z.+-]{1,30}@[a-z-]{1,15}\.(com|hk)`)}
	}
	r.Payee.Bank = text("bank", `|[0-9]{3}`)
	return r
}

// TestRoundTrip: what is written is read as it was, and a code with one
// character changed is never read as another request.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := requests(t)
		text, err := r.Payload()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(text)
		if err != nil || got != r {
			t.Fatalf("%s\nread as %+v, %v\nwant    %+v", text, got, err, r)
		}
		at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		changed := []byte(text)
		changed[at] = byte(rapid.IntRange(0x20, 0x7e).Draw(t, "character"))
		if bytes.EqualFold(changed, []byte(text)) {
			return
		}
		// A CRC of 16 bits finds every change within 16 bits; but letters of the
		// checksum itself may change their case.
		if other, err := Parse(string(changed)); err == nil && other != r {
			t.Fatalf("%s is read as %+v", changed, other)
		}
	})
}

func TestPictures(t *testing.T) {
	r := Request{Payee: Payee{Proxy: ProxyFPSID, Value: "1234567"}, AmountCents: 19500, Currency: "HKD", Bill: "FFABCDEFGH234567", Once: true}
	text, err := r.Payload()
	if err != nil {
		t.Fatal(err)
	}
	picture, err := PNG(text)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := qr.Decode(decoded); err != nil || got != text {
		t.Errorf("the picture says %q, %v", got, err)
	}
	drawing, err := SVG(text)
	if err != nil || !bytes.Contains(drawing, []byte("<svg")) || bytes.Contains(drawing, []byte("<script")) {
		t.Errorf("%.80s, %v", drawing, err)
	}
	for _, bad := range []string{"", strings.Repeat("x", maxPayload+1)} {
		if _, err := SVG(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(emvExample)
	for text := range odooExamples {
		f.Add(text)
	}
	f.Add("000201" + strings.Repeat("9", 100))
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("the error is of another kind: %v", err)
			}
			return
		}
		// What was read can be written again, unless it has characters that we
		// do not write, and is then read the same.
		again, err := r.Payload()
		if err != nil {
			return
		}
		if got, err := Parse(again); err != nil || got != r {
			t.Errorf("%q became %+v, %v", text, got, err)
		}
	})
}
