package audit

import (
	"context"
	"testing"
)

// BenchmarkAppend appends in batches of a hundred, as a busy store would.
func BenchmarkAppend(b *testing.B) {
	db := openDB(b, sqliteURL(b))
	for b.Loop() {
		write(b, db, refunds(0, 100)...)
	}
	b.ReportMetric(float64(b.N*100)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkChain chains and verifies a trail of 5,000 events.
func BenchmarkChain(b *testing.B) {
	const events = 5000
	for b.Loop() {
		b.StopTimer()
		l := openLog(b, sqliteURL(b))
		for from := 0; from < events; from += 500 {
			write(b, l.db, refunds(from, 500)...)
		}
		b.StartTimer()
		extendAll(b, l)
		if r, err := l.Verify(context.Background(), nil, nil); err != nil || !r.Holds() {
			b.Fatal(r, err)
		}
	}
	b.ReportMetric(float64(b.N*events)/b.Elapsed().Seconds(), "events/s")
}
