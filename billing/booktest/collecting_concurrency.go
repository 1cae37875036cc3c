package booktest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"freeflow/billing"
)

// collectingConcurrencyTests are what must hold whoever does what when. Where
// the money suffices for all that is owed, no order may make a difference: in
// the end all is paid, and each wallet holds what came in less what its debtor
// owed. Where it does not, which receivables are paid depends on the order; the
// invariants of Verify hold all the same.
var collectingConcurrencyTests = []moneyTest{
	{"with money enough, any order of postings, following and receipts ends alike", func(t *testing.T, b *purse) {
		run := 0
		rapid.Check(t, func(rt *rapid.T) {
			run++
			account := fmt.Sprintf("order%d", run)
			var passes []billing.Pass
			owed := int64(0)
			for n := range rapid.IntRange(1, 5).Draw(rt, "passes") {
				p := toll(2_000_000+run*10+n, account, rapid.SampledFrom([]int64{500, 800, 3000}).Draw(rt, "cents"))
				passes = append(passes, p)
				owed += p.AmountCents
			}
			spare := rapid.SampledFrom([]int64{0, 0, 1, 10000}).Draw(rt, "spare")
			var steps []func()
			for _, p := range passes {
				steps = append(steps, func() { b.log.mustPost(rt, p) })
			}
			for i, cents := range split(rt, owed+spare) {
				steps = append(steps, func() {
					b.do(rt, func(tx billing.Money) error {
						if _, err := tx.Move(context.Background(), receipt(fmt.Sprint(account, "-", i), account, cents), postedAt); err != nil {
							return err
						}
						_, err := tx.CollectOpen(context.Background(), account, "HKD", 100, postedAt)
						return err
					})
				})
			}
			for range 3 {
				steps = append(steps, func() {
					if _, err := b.FollowPostings(context.Background(), 2, postedAt); err != nil {
						rt.Fatal(err)
					}
				})
			}
			for _, i := range rapid.Permutation(indexes(len(steps))).Draw(rt, "order") {
				steps[i]()
			}
			b.follow(rt)
			// A receipt that came before its tolls were followed pays them then;
			// one that came when others were short may have left some open.
			b.collect(rt, account)
			b.holds(rt, map[string]int64{account: spare})
			for _, p := range passes {
				b.paid(rt, map[string][2]int64{billing.ReceivablePass + p.ID: {p.AmountCents, p.AmountCents}})
			}
		})
	}},
	{"two followers, receipts, collections and undoings at once", func(t *testing.T, b *purse) {
		const accounts, rounds = 5, 12
		ctx, done := context.WithCancel(context.Background())
		defer done()
		account := func(n int) string { return fmt.Sprint("acc-", n%accounts) }
		var posting, rest sync.WaitGroup
		for follower := range 2 {
			rest.Go(func() {
				for ctx.Err() == nil {
					if _, err := b.FollowPostings(context.Background(), 1+follower, postedAt); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for poster := range 2 {
			posting.Go(func() {
				l := log{b: b.Moneys, partition: poster}
				for n := range rounds {
					var batch []billing.Pass
					for i := range accounts {
						batch = append(batch, toll(10_000*(poster+1)+n*accounts+i, account(i), 500+int64(100*i)))
					}
					if err := l.try(batch...); err != nil {
						t.Error(err)
						return
					}
					for i := range batch {
						batch[i] = with(batch[i], func(p *billing.Pass) { p.AmountCents -= 100; p.Account = account(i + n%2) })
					}
					if err := l.try(batch...); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for payer := range 2 {
			posting.Go(func() {
				random := rand.New(rand.NewPCG(7, uint64(payer)))
				for n := range 3 * rounds {
					holder := account(random.IntN(accounts))
					id := fmt.Sprintf("m%d-%d", payer, n)
					err := b.Do(ctx, func(tx billing.Money) error {
						if _, err := tx.Move(ctx, receipt(id, holder, 1500), postedAt); err != nil {
							return err
						}
						_, err := tx.CollectOpen(ctx, holder, "HKD", 10, postedAt)
						return err
					})
					if err == nil && random.IntN(3) == 0 {
						err = b.Do(ctx, func(tx billing.Money) error { return tx.ReverseMovement(ctx, id, "bounced", postedAt) })
					}
					if err == nil && random.IntN(3) == 0 {
						err = b.Do(ctx, func(tx billing.Money) error {
							_, err := tx.Uncollect(ctx, passOf(10_000*(payer+1)+random.IntN(rounds*accounts)), "by a test", postedAt)
							return err
						})
						if errors.Is(err, billing.ErrNotFound) {
							err = nil
						}
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		posting.Wait()
		done()
		rest.Wait()
		b.follow(t)
		sound(t, b)
		// With money enough all can be paid, whatever went before.
		for n := range accounts {
			b.move(t, receipt(fmt.Sprint("last", n), account(n), 1_000_000))
			b.collect(t, account(n))
			owe(t, b, map[string]int64{"account:" + account(n): 0})
		}
	}},
	{"a follower broken off at any moment has done all of a call or nothing", func(t *testing.T, b *purse) {
		b.move(t, receipt("m", "acc-1", 20_000))
		broken := 0
		const passes = 60
		for n := range passes {
			b.log.post(t, toll(n+1, "acc-1", 300))
			if n%3 == 2 {
				b.log.post(t, with(toll(n, "acc-1", 300), func(p *billing.Pass) { p.AmountCents = 200 }))
			}
			cut, cancel := context.WithTimeout(context.Background(), time.Duration(n)*100*time.Microsecond)
			if _, err := b.FollowPostings(cut, 2, postedAt); err != nil {
				broken++
			}
			cancel()
		}
		if broken == 0 {
			t.Error("nothing was broken off")
		}
		b.follow(t)
		b.holds(t, map[string]int64{"acc-1": 20_000 - passes*300 + passes/3*100})
		owe(t, b, map[string]int64{"account:acc-1": 0})
	}},
	{"the same receipt from several at once counts once", func(t *testing.T, b *purse) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		fresh := 0
		for range 6 {
			wg.Go(func() {
				for n := range 5 {
					err := b.Do(context.Background(), func(tx billing.Money) error {
						known, err := tx.Move(context.Background(), receipt(fmt.Sprint("m", n), "acc-1", 100), postedAt)
						if err == nil && !known {
							mu.Lock()
							fresh++
							mu.Unlock()
						}
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		b.holds(t, map[string]int64{"acc-1": 500})
		if fresh < 5 {
			t.Errorf("only %d were new", fresh)
		}
	}},
	{"a wallet made while its first toll is followed pays it", func(t *testing.T, b *purse) {
		for n := range 20 {
			account := fmt.Sprint("new-", n)
			b.log.post(t, toll(n+1, account, 500))
			var wg sync.WaitGroup
			wg.Go(func() {
				if _, err := b.FollowPostings(context.Background(), 10, postedAt); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				err := b.Do(context.Background(), func(tx billing.Money) error {
					if _, err := tx.Move(context.Background(), receipt(account, account, 500), postedAt); err != nil {
						return err
					}
					_, err := tx.CollectOpen(context.Background(), account, "HKD", 10, postedAt)
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
			wg.Wait()
			b.paid(t, map[string][2]int64{passOf(n + 1): {500, 500}})
		}
	}},
}

// mustPost posts the passes as the next batch.
func (l *log) mustPost(t reporter, passes ...billing.Pass) {
	t.Helper()
	if err := l.try(passes...); err != nil {
		t.Fatalf("posting: %v", err)
	}
}

// split cuts an amount into a few parts.
func split(t *rapid.T, cents int64) []int64 {
	var parts []int64
	for n := rapid.IntRange(0, 2).Draw(t, "cuts"); n > 0 && cents > 1; n-- {
		part := rapid.Int64Range(1, cents-1).Draw(t, "part")
		parts, cents = append(parts, part), cents-part
	}
	return append(parts, cents)
}

func indexes(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}
