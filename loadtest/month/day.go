package month

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"freeflow/billing"
)

// playDay plays one day of the script.
func (w *world) playDay(ctx context.Context, d int) error {
	inMonth := d >= 0 && d < w.days
	early := d < -w.before+6
	steps := quietHours
	if inMonth {
		steps = hours
	}
	w.misbehave(d)
	before := w.day(d).Add(7 * time.Hour)
	for _, at := range steps {
		now := w.day(d).Add(at)
		if w.clock.Now().After(now) {
			return fmt.Errorf("the script has no time left at %s", now)
		}
		w.clock.Set(now)
		acts := w.acts[now.Unix()]
		delete(w.acts, now.Unix())
		for _, act := range acts {
			if err := w.timed("people at the counter", func() error { return act(ctx) }); err != nil {
				return err
			}
		}
		if err := w.judge(ctx); err != nil {
			return err
		}
		if (inMonth || early) && at >= noon {
			if err := w.timed("driving", func() error { return w.drive(before, now, early) }); err != nil {
				return err
			}
			before = now
			if err := w.job(ctx, "matching", w.match); err != nil {
				return err
			}
		}
		if inMonth && at == evening {
			if err := w.timed("parking", func() error { return w.park(ctx) }); err != nil {
				return err
			}
		}
		if err := w.follow(ctx); err != nil {
			return err
		}
		if inMonth || d >= w.days {
			if err := w.judgeDisputes(ctx); err != nil {
				return err
			}
			if at == noon {
				if err := w.timed("people at the counter", func() error { return w.approve(ctx) }); err != nil {
					return err
				}
			}
		}
		if err := w.people(ctx, at); err != nil {
			return err
		}
		if err := w.pays(ctx, 12); err != nil {
			return err
		}
		if at == morning && now.In(w.zone).Weekday() == time.Monday {
			fmt.Fprintf(w.progress, "\r%s  %d trips ", now.Format(time.DateOnly), w.counts["trips"])
		}
	}
	if d == w.days+w.settles-1 {
		fmt.Fprintln(w.progress)
	}
	return nil
}

// judge judges kept reads anew where the registry has changed.
func (w *world) judge(ctx context.Context) error {
	return w.job(ctx, "judging anew", func(ctx context.Context, s *services) error {
		err := s.follow.Load(ctx)
		if err == nil {
			err = s.rejudger.Once(ctx)
		}
		if len(w.sets) > 1 && (errors.Is(err, billing.ErrConflict) || errors.Is(err, billing.ErrFenced)) {
			return nil // the other process is at it
		}
		return err
	})
}

// climb runs the ladder of unpaid tolls.
func (w *world) climb(ctx context.Context) error {
	w.ladder.Runs = append(w.ladder.Runs, w.clock.Now())
	return w.job(ctx, "climbing the ladder", func(ctx context.Context, s *services) error {
		_, err := s.ladder.Run(ctx)
		return err
	})
}

// pays lets payments go on, and the bank send its notices, until nothing is
// done any more or the rounds are over.
func (w *world) pays(ctx context.Context, rounds int) error {
	for range rounds {
		var did counter
		err := w.job(ctx, "paying", func(ctx context.Context, s *services) error {
			n, err := s.pay.Work(ctx)
			did.add(int64(n))
			if len(w.sets) > 1 && (errors.Is(err, billing.ErrConflict) || errors.Is(err, billing.ErrStale)) {
				return nil // the other process had it
			}
			return err
		})
		if err != nil {
			return err
		}
		err = w.timed("bank's notices", func() error {
			_, _ = w.bank.emulator.Deliver(ctx) // what is refused is sent again, and forged ones must be
			return nil
		})
		if err != nil {
			return err
		}
		if did.n.Load() == 0 {
			return nil
		}
		w.clock.Advance(7 * time.Second)
	}
	return nil
}

// misbehave tells the bank what to do wrong on a day. It declines nothing two
// days after another, so that whoever has money pays at the latest when it is
// tried again; and where it takes money twice it loses no notice of that.
func (w *world) misbehave(d int) {
	if d >= w.days+w.settles-4 {
		w.bank.emulator.Behave()
		return
	}
	phase, hangs := (d+weeksBefore)%3, 0
	if d >= 0 && d%9 == 4 {
		hangs = 1
	}
	w.bank.tell(rand.New(rand.NewPCG(w.Seed, uint64(1000+d))), phase == 0, phase == 1, hangs)
}
