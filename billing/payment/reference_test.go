package payment_test

import (
	"testing"

	"freeflow/billing/payment"
)

// TestVehicleOfDigits: a tag may have nothing but digits, and one of ten such
// looks like a card's number. Refused, it stopped the ladder for everybody.
func TestVehicleOfDigits(t *testing.T) {
	r := payment.Reference{Number: "NOTICE-0001", Vehicle: "tag:4111111111111111", Receivables: []string{"pass:1"}}
	if !payment.LooksLikeCard(r.Vehicle) {
		t.Fatal("the example does not look like a card's number")
	}
	if err := payment.CheckReference(&r); err != nil {
		t.Error(err)
	}
	if r.Vehicle = ""; payment.CheckReference(&r) == nil {
		t.Error("a reference without a vehicle is taken")
	}
}
