package notice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"freeflow/billing"
	"freeflow/internal/clock"
)

// Message is a notice on its way by one channel, in words.
type Message struct {
	// Reference is the same for each repetition.
	Reference string
	Channel   string
	// To is the address; empty for a letter, which goes to the registered owner
	// of Vehicle or to the address of Account.
	To               string
	Account, Vehicle string
	Language         string
	Text
}

// Sender hands messages to a channel.
type Sender interface {
	// Send takes a message; an error means that it may be handed over again.
	Send(ctx context.Context, m Message) error
}

// Keeping is the store as this package needs it.
type Keeping interface {
	Do(ctx context.Context, fn func(Tx) error) error
	View(ctx context.Context, fn func(Tx) error) error
}

// Courier hands waiting notices to their channels. Safe for concurrent use and
// by several processes.
type Courier struct {
	Keeping Keeping
	Sender  Sender
	Clock   clock.Clock
	Log     *slog.Logger
}

// Bounds of the courier's work.
const (
	maxAttempts = 12
	firstPause  = time.Minute
	longestWait = 6 * time.Hour
	// claimed is how long a delivery is left to the courier that took it.
	claimed = 2 * time.Minute
)

// Deliver hands over at most limit waiting deliveries and returns how many it
// took. What fails is tried again later, a bounded number of times.
func (c *Courier) Deliver(ctx context.Context, limit int) (int, error) {
	now := c.Clock.Now()
	var waiting []Delivery
	err := c.Keeping.Do(ctx, func(tx Tx) error {
		var err error
		if waiting, err = tx.Undelivered(ctx, now, limit); err != nil {
			return err
		}
		for i := range waiting {
			// Others leave it alone meanwhile; if we die, it is tried again.
			waiting[i].Attempts++
			waiting[i].NextAt = now.Add(claimed)
			if err := tx.PutDelivery(ctx, waiting[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("taking notices to deliver: %w", err)
	}
	var failed error
	for _, d := range waiting {
		if err := c.deliver(ctx, d); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	return len(waiting), failed
}

func (c *Courier) deliver(ctx context.Context, d Delivery) error {
	var (
		n Notice
		r Recipient
	)
	err := c.Keeping.View(ctx, func(tx Tx) error {
		var err error
		if n, err = tx.Notice(ctx, d.Notice); err != nil {
			return err
		}
		if n.Account != "" {
			if r, err = tx.Recipient(ctx, n.Account); errors.Is(err, billing.ErrNotFound) {
				err = nil
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("delivering notice %s: %w", d.Notice, err)
	}
	sent := c.Sender.Send(ctx, Message{
		Reference: d.Notice + "/" + d.Channel, Channel: d.Channel, To: d.To, Account: n.Account, Vehicle: n.Vehicle,
		Language: r.Language, Text: Write(n, r.Language),
	})
	now := c.Clock.Now()
	err = c.Keeping.Do(ctx, func(tx Tx) error {
		switch {
		case sent == nil:
			d.State, d.At, d.NextAt = Sent, now, time.Time{}
			return tx.PutDelivery(ctx, d)
		case d.Attempts >= maxAttempts:
			return GiveUp(ctx, tx, d.Notice, d.Channel, now, "the channel did not take it in many attempts", "courier")
		}
		d.NextAt = now.Add(min(firstPause<<min(d.Attempts-1, 20), longestWait))
		return tx.PutDelivery(ctx, d)
	})
	if sent != nil {
		c.Log.WarnContext(ctx, "a notice was not handed over", "notice", d.Notice, "channel", d.Channel, "attempt", d.Attempts, "err", sent)
	}
	if err != nil {
		return fmt.Errorf("delivering notice %s: %w", d.Notice, err)
	}
	return nil
}

// every is how often Run looks for waiting notices.
const every = time.Second

// Run delivers until ctx ends.
func (c *Courier) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if _, err := c.Deliver(ctx, 100); err != nil && ctx.Err() == nil {
			c.Log.ErrorContext(ctx, "notices not delivered", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
