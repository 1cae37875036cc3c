// Package notice owns what we told people: every notice that was issued, the
// channels by which it went out, and the proof that it arrived.
//
// Invariants: a notice is issued once under its id, in the transaction of what
// it tells, and its content never changes; a message is handed to a channel at
// least once, under a reference by which the channel can tell repetitions; a
// notice counts as served only with proof, by whom and when, which is never
// taken back.
//
// A notice says no more than is needed: the amount, until when and the number
// by which it can be paid; where and when somebody drove is seen after signing
// in. Not promised: that a channel delivers.
package notice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"freeflow/billing"
)

// Kinds of notices.
const (
	// Payment asks for unpaid tolls before any surcharge.
	Payment = "payment"
	// FirstSurcharge and SecondSurcharge are the surcharge notices.
	FirstSurcharge  = "surcharge-1"
	SecondSurcharge = "surcharge-2"
	// LicenceHold says that the vehicle licence will not be renewed.
	LicenceHold = "licence-hold"
	// SurchargeStruck says that a surcharge was imposed too early, and is taken
	// back.
	SurchargeStruck = "surcharge-struck"
	// Processing and Debited are the two of a daily debit; Failed its failure.
	Processing = "debit-processing"
	Debited    = "debit-result"
	Failed     = "debit-failed"
	// LowBalance and ToppedUp are of prepaid accounts and class tags.
	LowBalance = "low-balance"
	ToppedUp   = "topped-up"
	// Corrected tells of a charge that was changed, Refunded of money given back.
	Corrected = "corrected"
	Refunded  = "refunded"
	// Dispute tells how a dispute stands, Statement that one is ready.
	Dispute   = "dispute"
	Statement = "statement"
)

// Notice is one notice.
type Notice struct {
	// ID is made by who issues and says what for: the same again changes
	// nothing. 1 to 256 bytes.
	ID   string
	Kind string
	// Account is who is told; empty where only the vehicle is known, whose
	// registered owner is.
	Account string
	Vehicle string
	// Number is printed on it: by it and the plate it can be paid without an
	// account. Empty if there is nothing to pay.
	Number string
	// AmountCents and Currency are what it is about; no currency where it is not
	// money.
	AmountCents int64
	Currency    string
	// DueOn is the last day to pay, at its beginning in the network's zone; the
	// zero value if there is none.
	DueOn time.Time
	// Facts are what else it says: short words and numbers by name, which the
	// texts know.
	Facts    map[string]string
	IssuedAt time.Time
	// ServedAt is when it arrived, with the proof by Channel; the zero value
	// while nothing proves it.
	ServedAt time.Time
}

// Channels.
const (
	Email = "email"
	SMS   = "sms"
	// Post is a letter to the registered owner.
	Post = "post"
)

// States of deliveries.
const (
	Waiting = "waiting"
	Sent    = "sent"
	// Served: with proof.
	Served = "served"
	// Undeliverable: the channel gave it up.
	Undeliverable = "undeliverable"
)

// Delivery is a notice on its way by one channel.
type Delivery struct {
	Notice, Channel string
	// To is the address; empty for letters by plate.
	To    string
	State string
	// At is when the state was reached.
	At time.Time
	// Evidence is the channel's own reference of the proof or failure, By who
	// brought it.
	Evidence, By string
	// Attempts counts how often it was handed over, NextAt when it is again.
	Attempts int
	NextAt   time.Time
}

// Recipient is how somebody is reached, and in which language.
type Recipient struct{ Email, Mobile, Language string }

// Tx is what this package needs of one transaction.
type Tx interface {
	// PutNotice adds a notice and its deliveries; known reports that the id is
	// there with the same content. billing.ErrConflict if with another.
	PutNotice(ctx context.Context, n Notice, deliveries []Delivery) (known bool, err error)
	// Notice returns one; billing.ErrNotFound.
	Notice(ctx context.Context, id string) (Notice, error)
	// NoticesOf returns those of an account or, if it is empty, of a vehicle that
	// is nobody's account's, newest first, at most limit issued before the
	// instant (zero: from the newest).
	NoticesOf(ctx context.Context, account, vehicle string, before time.Time, limit int) ([]Notice, error)
	// Deliveries returns all of a notice.
	Deliveries(ctx context.Context, notice string) ([]Delivery, error)
	// Undelivered returns at most limit that wait with NextAt by the instant.
	Undelivered(ctx context.Context, at time.Time, limit int) ([]Delivery, error)
	// PutDelivery changes a delivery, and when its notice was first served.
	// Served is never left: then nothing changes.
	PutDelivery(ctx context.Context, d Delivery) error
	// Recipient returns how an account is reached; billing.ErrNotFound.
	Recipient(ctx context.Context, account string) (Recipient, error)
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{billing.ErrInvalid}, args...)...)
}

// Issue issues a notice in the transaction of what it tells: to an account by
// e-mail and by text message, as far as both are known; otherwise by letter.
func Issue(ctx context.Context, tx Tx, n Notice) error {
	if err := n.check(); err != nil {
		return fmt.Errorf("issuing notice %s: %w", n.ID, err)
	}
	var r Recipient
	if n.Account != "" {
		var err error
		if r, err = tx.Recipient(ctx, n.Account); err != nil && !errors.Is(err, billing.ErrNotFound) {
			return fmt.Errorf("issuing notice %s: %w", n.ID, err)
		}
	}
	var ways []Delivery
	add := func(channel, to string) {
		ways = append(ways, Delivery{Notice: n.ID, Channel: channel, To: to, State: Waiting, At: n.IssuedAt, NextAt: n.IssuedAt})
	}
	if r.Email != "" {
		add(Email, r.Email)
	}
	if r.Mobile != "" {
		add(SMS, r.Mobile)
	}
	if len(ways) == 0 {
		add(Post, "")
	}
	if _, err := tx.PutNotice(ctx, n, ways); err != nil {
		return fmt.Errorf("issuing notice %s: %w", n.ID, err)
	}
	return nil
}

func (n Notice) check() error {
	switch {
	case n.ID == "" || len(n.ID) > 256:
		return invalid("the id must be 1 to 256 bytes")
	case n.Kind == "" || n.IssuedAt.IsZero():
		return invalid("it has no kind or no instant")
	case n.Account == "" && n.Vehicle == "":
		return invalid("it is to nobody")
	case n.AmountCents < 0 || n.AmountCents > 0 && n.Currency == "":
		return invalid("the amount is negative, or has no currency")
	}
	for name, text := range n.Facts {
		if len(name) > 64 || len(text) > 500 {
			return invalid("the fact %.64s is too long", name)
		}
	}
	return nil
}

// Prove records proof that a notice arrived by a channel: from the channel's
// own report, or from staff who hold it. Doing it again changes nothing.
func Prove(ctx context.Context, tx Tx, id, channel string, at time.Time, evidence, by string) error {
	if strings.TrimSpace(evidence) == "" || by == "" || at.IsZero() {
		return fmt.Errorf("proving notice %s: %w", id, invalid("proof needs its evidence, who brings it, and when it arrived"))
	}
	return outcome(ctx, tx, id, channel, Served, at, evidence, by)
}

// GiveUp records that a channel cannot deliver. If no other way is left, the
// notice goes by letter.
func GiveUp(ctx context.Context, tx Tx, id, channel string, at time.Time, evidence, by string) error {
	if err := outcome(ctx, tx, id, channel, Undeliverable, at, evidence, by); err != nil {
		return err
	}
	ways, err := tx.Deliveries(ctx, id)
	if err != nil {
		return fmt.Errorf("giving up notice %s: %w", id, err)
	}
	for _, d := range ways {
		if d.State != Undeliverable || d.Channel == Post {
			return nil
		}
	}
	return tx.PutDelivery(ctx, Delivery{Notice: id, Channel: Post, State: Waiting, At: at, NextAt: at})
}

func outcome(ctx context.Context, tx Tx, id, channel, state string, at time.Time, evidence, by string) error {
	n, err := tx.Notice(ctx, id)
	if err != nil {
		return fmt.Errorf("recording what became of notice %s: %w", id, err)
	}
	if at.Before(n.IssuedAt.Add(-time.Minute)) {
		return fmt.Errorf("recording what became of notice %s: %w", id, invalid("it was issued at %s, after that", n.IssuedAt.Format(time.RFC3339)))
	}
	ways, err := tx.Deliveries(ctx, id)
	if err != nil {
		return fmt.Errorf("recording what became of notice %s: %w", id, err)
	}
	d := Delivery{Notice: id, Channel: channel}
	for _, one := range ways {
		if one.Channel == channel {
			d = one
		}
	}
	d.State, d.At, d.Evidence, d.By, d.NextAt = state, at, evidence, by, time.Time{}
	if err := tx.PutDelivery(ctx, d); err != nil {
		return fmt.Errorf("recording what became of notice %s: %w", id, err)
	}
	return nil
}

// content is what of a notice may not change.
func (n Notice) content() string {
	n.IssuedAt, n.ServedAt = time.Time{}, time.Time{}
	if !n.DueOn.IsZero() {
		n.DueOn = n.DueOn.UTC()
	}
	b, err := json.Marshal(n)
	if err != nil {
		return "" // cannot happen: texts, numbers and a time
	}
	return string(b)
}

// SameContent reports whether two notices say the same, whenever they were
// issued.
func SameContent(a, b Notice) bool { return a.content() == b.content() }
