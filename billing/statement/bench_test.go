package statement_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"freeflow/billing"
)

// BenchmarkMonth closes the days of a month and issues its statements: 2,000
// accounts, 10 passes each.
func BenchmarkMonth(b *testing.B) {
	const accounts, each = 2000, 10
	for b.Loop() {
		b.StopTimer()
		w := newWorld(b, sqliteURL(b))
		w.clock.Set(time.Date(2026, 10, 1, 9, 0, 0, 0, hongKong))
		for range each {
			var passes []billing.Pass
			for n := range accounts {
				w.ids++
				at := w.clock.Now().UnixMicro() + int64(n)
				passes = append(passes, billing.Pass{
					ID: fmt.Sprintf("%032x", w.ids), Facility: "CHT", TollPoint: "CHT-N", Vehicle: fmt.Sprintf("plate:XY%d", n), Registered: true, FirstMicros: at, LastMicros: at,
					Revision: 1, Status: billing.StatusCharged, Class: "private_car", Account: fmt.Sprintf("A%d", n), AmountCents: 800, Currency: "HKD", Rule: "r", TariffVersion: "v", Evidence: []byte{0},
				})
			}
			w.offset++
			w.must(w.books.Post(context.Background(), billing.Batch{From: w.offset - 1, To: w.offset, MaxMicros: 1, PostedAt: w.clock.Now(), Passes: passes, Gap: 1}))
			w.clock.Set(w.clock.Now().Add(70 * time.Hour))
		}
		w.clock.Set(time.Date(2026, 11, 1, 2, 0, 0, 0, hongKong))
		b.StartTimer()
		if done := w.run(); done.Statements != accounts {
			b.Fatalf("%+v", done)
		}
	}
	b.ReportMetric(float64(accounts), "statements/op")
	b.ReportMetric(float64(accounts*each), "lines/op")
}
