// Package fps owns the QR codes by which money is asked for through Hong Kong's
// Faster Payment System: the text in the code, written and read by the EMV QR
// Code Specification for Payment Systems, Merchant-Presented Mode 1.1 (EMVCo)
// and Hong Kong's common QR code on top of it (HKMA, HKICL), and the picture.
//
// Invariants: what Request.Payload writes, Parse reads as the same request;
// what Parse takes has a right checksum, each data object whole, none twice,
// and every object that the specification asks for. Amounts are hundredths,
// written with two decimal places; never floats.
//
// Not promised: that a wallet honours an amount that it lets the payer change;
// other networks' account templates, which Parse hands on unread.
package fps

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"freeflow/billing"
)

// ErrInvalid is what errors.Is finds in every error of this package that is
// about what was given.
var ErrInvalid = errors.New("invalid payment QR code")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

// Proxies of a payee in FPS: the data objects of the account template that
// stand for them (Hong Kong common QR code, template 26).
const (
	ProxyFPSID  = "02"
	ProxyMobile = "03"
	ProxyEmail  = "04"
)

// Payee is whose account the money goes to.
type Payee struct {
	// Proxy is ProxyFPSID, ProxyMobile or ProxyEmail.
	Proxy string
	// Value is 7 to 10 digits, or +852- and 8 digits, or an address of at most
	// 73 bytes.
	Value string
	// Bank is the clearing code of the payee's bank, three digits; empty for the
	// payee's default.
	Bank string
}

// Request asks for money.
type Request struct {
	Payee Payee
	// AmountCents is positive, in hundredths; 0 lets the payer say.
	AmountCents int64
	// Currency is HKD or CNY, the two of FPS.
	Currency string
	// Category is the merchant category code, four digits; empty is 0000.
	Category string
	// Name and City are the merchant's, of at most 25 and 15 characters; empty
	// are NA and HK, as the common code's examples have them.
	Name, City string
	// Bill is the payee's number for what is paid, Reference another text that
	// comes back with the money; each at most 25 characters of A-Z a-z 0-9 and
	// . @ _ + - / and space; may be empty.
	Bill, Reference string
	// Once says that the code is for one payment (dynamic), rather than for many.
	Once bool
}

// Identifiers of data objects (EMV MPM 1.1, tables 3.1 to 3.8).
const (
	idFormat     = "00"
	idInitiation = "01"
	idFPSAccount = "26"
	idCategory   = "52"
	idCurrency   = "53"
	idAmount     = "54"
	idCountry    = "58"
	idName       = "59"
	idCity       = "60"
	idAdditional = "62"
	idCRC        = "63"
	idLanguage   = "64"

	// In template 26.
	idGUID = "00"
	idBank = "01"

	// In template 62.
	idBill      = "01"
	idReference = "05"
)

// guid names FPS in the account template.
const guid = "hk.com.hkicl"

// currencies are those of FPS by ISO 4217.
var currencies = map[string]string{"HKD": "344", "CNY": "156"}

var (
	fpsID     = regexp.MustCompile(`^[0-9]{7,10}$`)
	mobile    = regexp.MustCompile(`^\+852-[0-9]{8}$`)
	email     = regexp.MustCompile(`^[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$`)
	bank      = regexp.MustCompile(`^[0-9]{3}$`)
	category  = regexp.MustCompile(`^[0-9]{4}$`)
	label     = regexp.MustCompile(`^[A-Za-z0-9.@_+/ -]{1,25}$`)
	printable = regexp.MustCompile(`^[ -~]+$`)
)

// Payload returns the text of the QR code. ErrInvalid.
func (r Request) Payload() (string, error) {
	r.fill()
	if err := r.check(); err != nil {
		return "", fmt.Errorf("writing a payment QR code: %w", err)
	}
	initiation := "11"
	if r.Once {
		initiation = "12"
	}
	account := object(idGUID, guid)
	if r.Payee.Bank != "" {
		account += object(idBank, r.Payee.Bank)
	}
	account += object(r.Payee.Proxy, r.Payee.Value)
	text := object(idFormat, "01") + object(idInitiation, initiation) + object(idFPSAccount, account) +
		object(idCategory, r.Category) + object(idCurrency, currencies[r.Currency])
	if r.AmountCents > 0 {
		text += object(idAmount, billing.FormatCents(r.AmountCents))
	}
	text += object(idCountry, "HK") + object(idName, r.Name) + object(idCity, r.City)
	additional := ""
	if r.Bill != "" {
		additional += object(idBill, r.Bill)
	}
	if r.Reference != "" {
		additional += object(idReference, r.Reference)
	}
	if additional != "" {
		text += object(idAdditional, additional)
	}
	return seal(text), nil
}

// fill puts what stands for nothing.
func (r *Request) fill() {
	if r.Category == "" {
		r.Category = "0000"
	}
	if r.Name == "" {
		r.Name = "NA"
	}
	if r.City == "" {
		r.City = "HK"
	}
}

func (r *Request) check() error {
	if err := r.Payee.check(); err != nil {
		return err
	}
	switch {
	case currencies[r.Currency] == "":
		return invalid("currency %q; FPS has HKD and CNY", r.Currency)
	case r.AmountCents < 0:
		return invalid("an amount of %s", billing.FormatCents(r.AmountCents))
	case len(billing.FormatCents(r.AmountCents)) > 13:
		return invalid("an amount of more than 13 characters")
	case !category.MatchString(r.Category):
		return invalid("merchant category %q is not four digits", r.Category)
	case !printable.MatchString(r.Name) || len(r.Name) > 25:
		return invalid("the merchant's name is not 1 to 25 printable ASCII characters")
	case !printable.MatchString(r.City) || len(r.City) > 15:
		return invalid("the merchant's city is not 1 to 15 printable ASCII characters")
	case r.Bill != "" && !label.MatchString(r.Bill):
		return invalid("the bill number is not 1 to 25 letters, digits or . @ _ + - / and spaces")
	case r.Reference != "" && !label.MatchString(r.Reference):
		return invalid("the reference is not 1 to 25 letters, digits or . @ _ + - / and spaces")
	}
	return nil
}

func (p *Payee) check() error {
	if p.Bank != "" && !bank.MatchString(p.Bank) {
		return invalid("clearing code %q is not three digits", p.Bank)
	}
	switch p.Proxy {
	case ProxyFPSID:
		if !fpsID.MatchString(p.Value) {
			return invalid("FPS identifier %q is not 7 to 10 digits", p.Value)
		}
	case ProxyMobile:
		if !mobile.MatchString(p.Value) {
			return invalid("the mobile number is not +852- and 8 digits")
		}
	case ProxyEmail:
		// The template holds 99: 16 of the GUID, 7 of the bank, 4 of the head.
		if !email.MatchString(p.Value) || len(p.Value) > 72 {
			return invalid("the e-mail address is none, or longer than 72 characters")
		}
	default:
		return invalid("proxy %q; there are %s, %s and %s", p.Proxy, ProxyFPSID, ProxyMobile, ProxyEmail)
	}
	return nil
}

// object writes one data object: identifier, length in characters, value.
func object(id, value string) string {
	return fmt.Sprintf("%s%02d%s", id, utf8.RuneCountInString(value), value)
}

// seal adds the checksum, which covers its own identifier and length.
func seal(text string) string {
	text += idCRC + "04"
	return text + fmt.Sprintf("%04X", Checksum(text))
}

// Checksum is CRC-16/CCITT-FALSE (polynomial 0x1021, initial value 0xFFFF, no
// reflection, no final XOR), over the bytes of the UTF-8 text, as EMV MPM 1.1
// section 4.7.3 asks.
func Checksum(text string) uint16 {
	crc := uint16(0xFFFF)
	for i := range len(text) {
		crc ^= uint16(text[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}

// Object is one data object as it stands in a code.
type Object struct {
	// ID is two digits.
	ID string
	// Value is the text of a plain object; a template's is in Objects too.
	Value string
	// Objects are those of a template, in their order.
	Objects []Object
}

// find returns the object of that id; false if there is none.
func find(objects []Object, id string) (Object, bool) {
	for _, o := range objects {
		if o.ID == id {
			return o, true
		}
	}
	return Object{}, false
}

// maxPayload bounds what is read, in bytes: the specification allows 512
// characters.
const maxPayload = 4 * 512

// Objects splits a code into its data objects, and looks at what holds for
// every merchant-presented code: format indicator first, checksum last and
// right, none twice. ErrInvalid.
func Objects(text string) ([]Object, error) {
	objects, err := read(text)
	if err != nil {
		return nil, fmt.Errorf("reading a payment QR code: %w", err)
	}
	return objects, nil
}

func read(text string) ([]Object, error) {
	if len(text) > maxPayload || !utf8.ValidString(text) || utf8.RuneCountInString(text) > 512 {
		return nil, invalid("the text is longer than 512 characters, or not UTF-8")
	}
	objects, err := split(text)
	if err != nil {
		return nil, err
	}
	if len(objects) < 2 || objects[0].ID != idFormat || objects[0].Value != "01" {
		return nil, invalid("the code does not begin with the format indicator 01")
	}
	last := objects[len(objects)-1]
	if last.ID != idCRC || len(last.Value) != 4 {
		return nil, invalid("the code does not end with a checksum of four characters")
	}
	covered := text[:len(text)-4]
	if want := fmt.Sprintf("%04X", Checksum(covered)); !strings.EqualFold(want, last.Value) {
		return nil, invalid("the checksum is %s and should be %s", last.Value, want)
	}
	for i := range objects {
		if !isTemplate(objects[i].ID) {
			continue
		}
		if objects[i].Objects, err = split(objects[i].Value); err != nil {
			return nil, fmt.Errorf("in object %s: %w", objects[i].ID, err)
		}
	}
	return objects, nil
}

// isTemplate tells the objects that hold objects (EMV MPM 1.1, table 3.1):
// account templates from 26 on, additional data, language, unreserved ones.
func isTemplate(id string) bool {
	return id >= "26" && id <= "51" || id == idAdditional || id == idLanguage || id >= "80" && id <= "99"
}

// split reads objects one after the other until the text ends.
func split(text string) ([]Object, error) {
	var objects []Object
	seen := map[string]bool{}
	for rest := text; rest != ""; {
		if len(rest) < 4 || !digits(rest[:4]) {
			return nil, invalid("at character %d there is no identifier and length", utf8.RuneCountInString(text)-utf8.RuneCountInString(rest)+1)
		}
		id := rest[:2]
		n := int(rest[2]-'0')*10 + int(rest[3]-'0')
		rest = rest[4:]
		end := 0
		for range n {
			if end == len(rest) {
				return nil, invalid("object %s says that it has %d characters and has fewer", id, n)
			}
			_, size := utf8.DecodeRuneInString(rest[end:])
			end += size
		}
		if n == 0 {
			return nil, invalid("object %s is empty", id)
		}
		if seen[id] {
			return nil, invalid("object %s is there twice", id)
		}
		seen[id] = true
		objects = append(objects, Object{ID: id, Value: rest[:end]})
		rest = rest[end:]
	}
	return objects, nil
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// Parse reads a code of FPS. ErrInvalid.
func Parse(text string) (Request, error) {
	r, err := parse(text)
	if err != nil {
		return Request{}, fmt.Errorf("reading a payment QR code: %w", err)
	}
	return r, nil
}

func parse(text string) (r Request, err error) {
	objects, err := read(text)
	if err != nil {
		return r, err
	}
	if r.Payee, err = parsePayee(objects); err != nil {
		return r, err
	}
	value := func(id string) string { o, _ := find(objects, id); return o.Value }
	switch value(idInitiation) {
	case "12":
		r.Once = true
	case "", "11":
	default:
		return r, invalid("point of initiation method %q; there are 11 and 12", value(idInitiation))
	}
	for name, code := range currencies {
		if value(idCurrency) == code {
			r.Currency = name
		}
	}
	if r.Currency == "" {
		return r, invalid("currency %q; FPS has 344 and 156", value(idCurrency))
	}
	if amount := value(idAmount); amount != "" {
		// The specification lets an amount end with its point.
		if r.AmountCents, err = billing.ParseCents(strings.TrimSuffix(amount, ".")); err != nil || r.AmountCents <= 0 || len(amount) > 13 {
			return r, invalid("amount %q", amount)
		}
	}
	if value(idCountry) != "HK" {
		return r, invalid("country %q is not HK", value(idCountry))
	}
	r.Category, r.Name, r.City = value(idCategory), value(idName), value(idCity)
	if !category.MatchString(r.Category) || r.Name == "" || utf8.RuneCountInString(r.Name) > 25 || r.City == "" || utf8.RuneCountInString(r.City) > 15 {
		return r, invalid("merchant category, name or city is missing or too long")
	}
	if additional, ok := find(objects, idAdditional); ok {
		bill, _ := find(additional.Objects, idBill)
		reference, _ := find(additional.Objects, idReference)
		r.Bill, r.Reference = bill.Value, reference.Value
		if utf8.RuneCountInString(r.Bill) > 25 || utf8.RuneCountInString(r.Reference) > 25 {
			return r, invalid("bill number or reference has more than 25 characters")
		}
	}
	return r, nil
}

// parsePayee finds FPS among the account templates.
func parsePayee(objects []Object) (p Payee, err error) {
	for _, o := range objects {
		if o.ID < "26" || o.ID > "51" {
			continue
		}
		if name, ok := find(o.Objects, idGUID); !ok || !strings.EqualFold(name.Value, guid) {
			continue
		}
		if b, ok := find(o.Objects, idBank); ok {
			p.Bank = b.Value
		}
		for _, proxy := range []string{ProxyFPSID, ProxyMobile, ProxyEmail} {
			if v, ok := find(o.Objects, proxy); ok {
				if p.Proxy != "" {
					return p, invalid("the code names the payee twice")
				}
				p.Proxy, p.Value = proxy, v.Value
			}
		}
		return p, p.check()
	}
	return p, invalid("the code has no account of %s", guid)
}
