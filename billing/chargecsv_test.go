package billing

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestChargeRow(t *testing.T) {
	hk := time.FixedZone("HKT", 8*3600)
	at := time.Date(2026, 11, 23, 0, 0, 0, 123456000, time.UTC).UnixMicro()
	for _, tc := range []struct {
		pass Pass
		want string
	}{
		{Pass{FirstMicros: at, TollPoint: "CHT-N", Vehicle: "AB1234", Account: "A1", Class: "private_car",
			AmountCents: 800, Currency: "HKD", Status: StatusCharged},
			"2026-11-23T08:00:00.123456+08:00,CHT-N,AB1234,A1,private_car,8.00,HKD,charged"},
		{Pass{FirstMicros: at - 123456, TollPoint: "CHT-S", Vehicle: "plate:X", Class: "taxi",
			AmountCents: 5, Currency: "HKD", Status: StatusUnpaid},
			"2026-11-23T08:00:00.000000+08:00,CHT-S,plate:X,,taxi,0.05,HKD,unpaid"},
		{Pass{FirstMicros: at, TollPoint: "CHT-S", Vehicle: "tag:AA", Account: "A1", Currency: "HKD", Status: StatusReview},
			"2026-11-23T08:00:00.123456+08:00,CHT-S,tag:AA,A1,,,HKD,review"},
		{Pass{FirstMicros: at, TollPoint: "CHT-S", Vehicle: "AM1", Account: "A1", Class: "lgv", Currency: "HKD", Status: StatusExempt},
			"2026-11-23T08:00:00.123456+08:00,CHT-S,AM1,A1,lgv,0.00,HKD,exempt"},
	} {
		row := ChargeRow(tc.pass, hk)
		if got := strings.Join(row, ","); got != tc.want {
			t.Errorf("got  %s\nwant %s", got, tc.want)
		}
		if len(row) != len(ChargeColumns()) {
			t.Errorf("%d cells under %d columns", len(row), len(ChargeColumns()))
		}
	}
}

func TestFormatCents(t *testing.T) {
	for cents, want := range map[int64]string{
		0: "0.00", 1: "0.01", -1: "-0.01", -800: "-8.00", 123456: "1234.56",
		math.MaxInt64: "92233720368547758.07", math.MinInt64: "-92233720368547758.08",
	} {
		if got := FormatCents(cents); got != want {
			t.Errorf("%d: %s, want %s", cents, got, want)
		}
	}
}
