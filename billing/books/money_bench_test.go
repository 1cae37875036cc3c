package books

import (
	"context"
	"fmt"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/internal/clock"
)

// benchFollow measures the following of postings by batches of new passes; an
// operation is one pass. One account in fifty has a wallet, which pays.
func benchFollow(b *testing.B, s *Store) {
	const size = 200
	ctx := context.Background()
	g := newTraffic(5)
	err := s.Do(ctx, func(tx *Tx) error {
		for n := range 2000 {
			account := fmt.Sprintf("account-%05d", 50*n)
			m := billing.Movement{ID: account, Kind: billing.Receipt, Holder: account, Means: "card", AmountCents: 1_000_000, Currency: "HKD", At: time.UnixMicro(1)}
			if _, err := tx.Move(ctx, m, time.UnixMicro(1)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	n, collected := 0, 0
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		for range 20 {
			if err := s.Post(ctx, g.batch(0, size, nil)); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		for {
			done, err := s.FollowPostings(ctx, 200, time.UnixMicro(g.at))
			if err != nil {
				b.Fatal(err)
			}
			collected += done.Collected
			if done.Postings == 0 {
				break
			}
		}
		n += 20 * size
	}
	if collected == 0 {
		b.Error("nothing was collected")
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "passes/s")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "us/pass")
}

// benchPostFollowed measures posting while a follower works beside it, as the
// collector does.
func benchPostFollowed(b *testing.B, s *Store) {
	const size = 200
	for _, followed := range []bool{false, true} {
		b.Run(fmt.Sprint("followed=", followed), func(b *testing.B) {
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			partition := 0
			if followed {
				partition = 1
			}
			g := newTraffic(uint64(6 + partition))
			done := make(chan int, 1)
			go func() {
				n := 0
				for followed && ctx.Err() == nil {
					began := clock.System{}.Now()
					f, err := s.FollowPostings(context.Background(), 200, time.UnixMicro(1))
					if err != nil {
						b.Error(err)
						break
					}
					n += f.Postings
					pause := time.Millisecond
					if s.OneWriter() {
						pause = 3 * clock.System{}.Now().Sub(began)
					}
					time.Sleep(pause)
				}
				done <- n
			}()
			n := 0
			for b.Loop() {
				if err := s.Post(context.Background(), g.batch(partition, size, nil)); err != nil {
					b.Fatal(err)
				}
				n++
			}
			b.ReportMetric(float64(n*size)/b.Elapsed().Seconds(), "passes/s")
			stop()
			b.ReportMetric(float64(<-done)/float64(n), "followed/posted")
		})
	}
}

func BenchmarkSQLitePostFollowed(b *testing.B) {
	benchPostFollowed(b, openTest(b, sqliteURL(b), testOptions()))
}

func BenchmarkSQLiteFollow(b *testing.B) { benchFollow(b, openTest(b, sqliteURL(b), testOptions())) }
