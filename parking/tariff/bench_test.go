package tariff

import (
	"testing"
	"time"
)

// benchBook makes a book of a sample with the holidays of 2026.
func benchBook(tb testing.TB, name string) *Book {
	tb.Helper()
	x, err := Sample(name)
	if err != nil {
		tb.Fatal(err)
	}
	b, err := New([]*Tariff{x}, hongKong2026(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// hongKong2026 is a calendar with the general holidays of 2026 that the tests
// need (1823.gov.hk list: 1 January, 17 to 19 February, 3, 4 and 6 April,
// 1 May); 2027 is not known.
func hongKong2026(tb testing.TB) *Holidays {
	tb.Helper()
	h, err := NewHolidays("2026-01-01", "2026-02-17", "2026-02-18", "2026-02-19", "2026-04-03", "2026-04-04", "2026-04-06", "2026-05-01")
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

func benchRate(b *testing.B, sample string, length time.Duration) {
	book := benchBook(b, sample)
	s := Stay{Class: "private_car", Entry: time.Date(2026, 3, 4, 1, 10, 0, 0, time.UTC)}
	s.Exit = s.Entry.Add(length)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := book.Rate(s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRateTwoHours(b *testing.B)   { benchRate(b, "rumsey-street", 2*time.Hour) }
func BenchmarkRateThresholds(b *testing.B) { benchRate(b, "sha-tin-town-hall", 5*time.Hour) }
func BenchmarkRateTwoDays(b *testing.B)    { benchRate(b, "sha-tin-town-hall", 48*time.Hour) }
func BenchmarkRateBestPrice(b *testing.B)  { benchRate(b, "multi-storey-ev", 5*time.Hour) }
func BenchmarkRateBestPriceTwoDays(b *testing.B) {
	benchRate(b, "multi-storey-ev", 48*time.Hour)
}
func BenchmarkRateBestPriceMonth(b *testing.B) {
	benchRate(b, "multi-storey-ev", 30*24*time.Hour)
}
