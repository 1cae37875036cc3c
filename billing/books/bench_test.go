package books

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"freeflow/billing"
)

// traffic makes batches as a busy network does: a thousand passes a second of
// 100,003 vehicles in scattered order, each with an account. None comes by
// again within the gap.
type traffic struct {
	random   *rand.Rand
	next     int64
	at       int64
	minted   int64
	evidence []byte
}

func newTraffic(seed uint64) *traffic {
	return &traffic{random: rand.New(rand.NewPCG(seed, 1)), at: 1_795_392_000_000_000, evidence: make([]byte, 180)}
}

func (g *traffic) pass(facility int) billing.Pass {
	g.minted++
	g.at += 1000
	vehicle := g.minted * 7919 % 100_003
	name := fmt.Sprintf("F%d", facility)
	return billing.Pass{
		ID:       fmt.Sprintf("%016x%016x", g.at, g.random.Uint64()),
		Facility: name, TollPoint: name + []string{"-N", "-S"}[vehicle%2], Vehicle: fmt.Sprintf("AB%05d", vehicle), Registered: true,
		FirstMicros: g.at, LastMicros: g.at + 400_000,
		Revision: 1, Status: billing.StatusCharged, Class: "private_car", Account: fmt.Sprintf("account-%05d", vehicle),
		AmountCents: 3000, Currency: "HKD", Rule: "F weekday private_car 07:48-09:59 30.00", TariffVersion: "2026-01-01", Evidence: g.evidence,
	}
}

// batch makes a batch of new passes and, for each, longer times an amendment
// that only lengthens it.
func (g *traffic) batch(partition, size int, open []billing.Pass) billing.Batch {
	b := billing.Batch{Partition: partition, From: g.next, To: g.next + int64(size), PostedAt: time.UnixMicro(g.at), Gap: 60_000_000}
	g.next = b.To
	for range size {
		b.Passes = append(b.Passes, g.pass(partition%8))
	}
	for _, p := range open {
		p.Revision++
		p.LastMicros += 300_000
		b.Passes = append(b.Passes, p)
	}
	b.Reads = &billing.ReadArchive{Count: size * 5, MinMicros: g.at, MaxMicros: g.at, Blob: make([]byte, size*40)}
	return b
}

// benchPost measures posting; an operation is one new pass.
func benchPost(b *testing.B, s *Store) {
	partition := 0
	for _, size := range []int{50, 200, 500} {
		for _, kind := range []string{"new", "new+longer"} {
			b.Run(fmt.Sprintf("%s/batch=%d", kind, size), func(b *testing.B) {
				partition++
				g := newTraffic(uint64(partition))
				var open []billing.Pass
				n := 0
				for b.Loop() {
					batch := g.batch(partition, size, open)
					if kind != "new" {
						open = batch.Passes[:size]
					}
					if err := s.Post(context.Background(), batch); err != nil {
						b.Fatal(err)
					}
					n += size
				}
				b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "passes/s")
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "us/pass")
			})
		}
	}
}

// benchPasses measures the look-up of a batch's windows.
func benchPasses(b *testing.B, s *Store) {
	g := newTraffic(99)
	for range 40 {
		if err := s.Post(context.Background(), g.batch(7, 500, nil)); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("windows=200", func(b *testing.B) {
		found := 0
		for b.Loop() {
			windows := make([]billing.Window, 200)
			for i := range windows {
				from := 1_795_392_000_000_000 + g.random.Int64N(g.minted)*1000
				windows[i] = billing.Window{Facility: "F7", Vehicle: fmt.Sprintf("AB%05d", g.random.IntN(100_000)), Registered: true, FromMicros: from, ToMicros: from + 60_000_000}
			}
			passes, err := s.Passes(context.Background(), windows)
			if err != nil {
				b.Fatal(err)
			}
			found += len(passes)
		}
		if found == 0 {
			b.Error("no window found anything")
		}
	})
}

// benchRegistry measures the putting of a large registry, then a small change.
func benchRegistry(b *testing.B, s *Store) {
	const n = 100_000
	rows := make([]billing.Assignment, n)
	for b.Loop() {
		for i := range rows {
			rows[i] = billing.Assignment{Account: fmt.Sprintf("a%d-%d", b.N, i), Plate: fmt.Sprintf("P%d", i), Tag: fmt.Sprintf("%06X", i), Class: "taxi", FromMicros: 1}
		}
		if _, err := s.PutRegistry(context.Background(), rows, time.UnixMicro(1)); err != nil {
			b.Fatal(err)
		}
		rows[0].Class = "lgv"
		if _, err := s.PutRegistry(context.Background(), rows, time.UnixMicro(1)); err != nil {
			b.Fatal(err)
		}
		if _, _, err := s.Registry(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// benchCharges measures charges by one poster and by several at once; each is
// a transaction of its own.
func benchCharges(b *testing.B, s *Store) {
	var minted atomic.Int64
	post := func(b *testing.B) {
		n := minted.Add(1)
		c := chargeAt(fmt.Sprintf("%032x", n))
		c.Account, c.Creditor = fmt.Sprint("account-", n%1000), fmt.Sprint("park-", n%8)
		if _, err := s.PostCharge(context.Background(), c, time.UnixMicro(n)); err != nil {
			b.Error(err)
		}
	}
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			post(b)
		}
	})
	b.Run("many", func(b *testing.B) {
		b.SetParallelism(4)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				post(b)
			}
		})
	})
}

func BenchmarkSQLite(b *testing.B) {
	b.Run("Post", func(b *testing.B) { benchPost(b, openTest(b, sqliteURL(b), testOptions())) })
	b.Run("Passes", func(b *testing.B) { benchPasses(b, openTest(b, sqliteURL(b), testOptions())) })
	b.Run("Registry", func(b *testing.B) { benchRegistry(b, openTest(b, sqliteURL(b), testOptions())) })
	b.Run("Charges", func(b *testing.B) { benchCharges(b, openTest(b, sqliteURL(b), testOptions())) })
}
