package bankemu

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"freeflow/billing/payment"
	"freeflow/billing/payment/bank"
	"freeflow/internal/clock"
)

// notice is one to be sent.
type notice struct {
	body []byte
	due  time.Time
	// signature is set for those that are not signed when they are sent: forged
	// and replayed ones. signedAs keeps it for a replay of what was sent.
	signature string
	replay    time.Duration
	tries     int
}

// Sending a notice that is not taken is tried again after noticeWait, at most
// noticeTries times.
const (
	noticeWait  = 30 * time.Second
	noticeTries = 20
)

// enqueue puts a notice into the outbox as the rules have it, and returns what
// is to be sent before the answer. The lock is held.
func (e *Emulator) enqueue(n bank.Notice) (early []notice) {
	if e.NoticeURL == "" || len(e.outbox) >= maxOutbox {
		return nil
	}
	e.serial++
	n.ID = fmt.Sprintf("ntc-%06d", e.serial)
	body, err := json.Marshal(n)
	if err != nil {
		e.Log.Error("a notice could not be written", "err", err)
		return nil
	}
	one := notice{body: body, due: e.Clock.Now()}
	r := e.rule(OnNotice)
	if r == nil {
		e.outbox = append(e.outbox, one)
		return nil
	}
	wait := time.Duration(r.Seconds) * time.Second
	switch r.Do {
	case Lost:
		return nil
	case Late:
		one.due = one.due.Add(wait)
	case Early:
		return []notice{one}
	case Duplicate:
		e.outbox = append(e.outbox, one)
	case Forged:
		lie := n
		lie.ID, lie.Transfer.Status, lie.Transfer.ID = n.ID+"x", succeeded, "trf-forged"
		forged, err := json.Marshal(lie)
		if err != nil {
			e.Log.Error("a notice could not be written", "err", err)
			return nil
		}
		e.outbox = append(e.outbox, notice{body: forged, due: one.due, tries: noticeTries,
			signature: payment.Sign(e.Epoch, "not the provider's secret", one.due, forged)})
	case Replay:
		one.replay = wait
	}
	e.outbox = append(e.outbox, one)
	return nil
}

// Deliver sends the notices that are due, in the order in which they became so,
// and decides what is pending. It returns how many were taken, and the errors of
// those that were not: they are tried again later.
func (e *Emulator) Deliver(ctx context.Context) (int, error) {
	e.mu.Lock()
	now := e.Clock.Now()
	for _, t := range e.transfers {
		e.decide(t)
	}
	var due []notice
	e.outbox = slices.DeleteFunc(e.outbox, func(n notice) bool {
		if n.due.After(now) {
			return false
		}
		due = append(due, n)
		return true
	})
	e.mu.Unlock()
	taken := 0
	var problems []error
	for _, n := range due {
		if err := e.send(ctx, []notice{n}); err != nil {
			problems = append(problems, err)
			continue
		}
		taken++
	}
	return taken, errors.Join(problems...)
}

// Waiting is how many notices are still to be sent.
func (e *Emulator) Waiting() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.outbox)
}

// send sends notices now; what is not taken is put off.
func (e *Emulator) send(ctx context.Context, list []notice) error {
	var problems []error
	for _, n := range list {
		now := e.Clock.Now()
		signature := n.signature
		if signature == "" {
			signature = payment.Sign(e.Epoch, e.Secret, now, n.body)
		}
		err := e.post(ctx, n.body, signature)
		e.mu.Lock()
		switch {
		case err == nil && n.replay > 0:
			e.outbox = append(e.outbox, notice{body: n.body, due: now.Add(n.replay), signature: signature, tries: noticeTries})
		case err != nil && n.tries < noticeTries:
			n.tries++
			n.due = now.Add(noticeWait)
			e.outbox = append(e.outbox, n)
		}
		e.mu.Unlock()
		if err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

func (e *Emulator) post(ctx context.Context, body []byte, signature string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.NoticeURL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("sending a notice: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set(payment.HeaderSignature, signature)
	response, err := e.HTTP.Do(request)
	if err != nil {
		return fmt.Errorf("sending a notice: %w", err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)); err != nil {
		return fmt.Errorf("sending a notice: %w", err)
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("sending a notice: it was answered %d", response.StatusCode)
	}
	return nil
}

// deliverEvery is how often Run looks for notices that are due.
const deliverEvery = 200 * time.Millisecond

// Run delivers notices until ctx ends.
func (e *Emulator) Run(ctx context.Context) error {
	clock.Every(ctx, deliverEvery, func(ctx context.Context) {
		if _, err := e.Deliver(ctx); err != nil && ctx.Err() == nil {
			e.Log.Debug("notices not taken", "err", err)
		}
	})
	return nil
}
