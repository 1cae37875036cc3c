package month

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"freeflow/billing/bankemu"
	"freeflow/billing/payment"
	"freeflow/billing/payment/bank"
	"freeflow/internal/clock"
	"freeflow/internal/web"
)

// callTime is the machine's time that one call of the bank may take: those that
// it was told to leave without an answer take all of it.
const callTime = 2 * time.Second

// means is what stands behind everybody's tokens at first, in cents.
const means = 10_000_000_00

const (
	bankKey, bankAdmin = "month-bank-key-0123456789", "month-bank-admin-0123456789"
	noticeSecret       = "month-notice-secret-0123456789"
	currency           = "HKD"
)

// theBank is the bank of everybody, over HTTP on loopback.
type theBank struct {
	emulator *bankemu.Emulator
	client   *bank.Client
	// receiver takes the bank's notices.
	receiver atomic.Pointer[payment.Service]
	// refused counts notices that were refused as forged.
	refused atomic.Int64
	stops   []func() error
}

// serve serves on a free port of loopback until it is stopped.
func serve(ctx context.Context, h http.Handler) (address string, stop func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("opening an address: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(ctx, l, h, quiet()) }()
	return "http://" + l.Addr().String(), func() error {
		cancel()
		return <-ended
	}, nil
}

func openBank(ctx context.Context, clk clock.Clock) (_ *theBank, err error) {
	b := &theBank{}
	notices, stop, err := serve(ctx, http.HandlerFunc(b.receive))
	if err != nil {
		return nil, err
	}
	b.stops = append(b.stops, stop)
	b.emulator, err = bankemu.New(bankemu.Config{
		Clock: clk, Log: quiet(), Key: bankKey, AdminKey: bankAdmin, NoticeURL: notices, Epoch: "e1", Secret: noticeSecret,
	})
	if err != nil {
		return nil, err
	}
	server := web.NewEcho(quiet(), clk)
	if err := b.emulator.Routes(server); err != nil {
		return nil, err
	}
	address, stop, err := serve(ctx, server)
	if err != nil {
		return nil, err
	}
	b.stops = append(b.stops, stop)
	b.client, err = bank.New(bank.Config{
		Name: "bank", URL: address, Key: bankKey, Notices: payment.Keys{ByEpoch: map[string]string{"e1": noticeSecret}},
		Transport: &http.Transport{MaxIdleConnsPerHost: 16},
	})
	return b, err
}

// receive takes a notice as the product's public address does.
func (b *theBank) receive(answer http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	service := b.receiver.Load()
	if err == nil && service != nil {
		err = service.Receive(r.Context(), "bank", r.Header.Get(payment.HeaderSignature), body)
	}
	switch {
	case errors.Is(err, payment.ErrForged):
		b.refused.Add(1)
		answer.WriteHeader(http.StatusUnauthorized)
	case err != nil || service == nil:
		answer.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (b *theBank) close() error {
	var errs []error
	for _, stop := range b.stops {
		errs = append(errs, stop())
	}
	return errors.Join(errs...)
}

// What the bank does wrong every day; on some it declines, takes money twice and
// forgets for a while what it was asked, on others it loses notices. What is lost
// is asked for a day later; both together would be money that nobody could know of but by the bank's own account of
// it (settlement.TakeReport), which is not in this script.
var (
	badCalls   = []string{bankemu.ErrorBefore, bankemu.ErrorAfter, bankemu.CutBefore, bankemu.CutAfter, bankemu.Pending, bankemu.Outage}
	badNotices = []string{bankemu.Late, bankemu.Early, bankemu.Duplicate, bankemu.Forged, bankemu.Replay}
)

// tell tells the bank how to misbehave until it is told again.
func (b *theBank) tell(rng *rand.Rand, declines, loses bool, hangs int) {
	b.emulator.Behave()
	badCalls, badNotices := slices.Clone(badCalls), slices.Clone(badNotices)
	if declines {
		badCalls = append(badCalls, bankemu.Decline, bankemu.Twice)
	}
	if loses {
		badNotices = append(badNotices, bankemu.Lost)
	}
	for _, what := range badCalls {
		r := bankemu.Rule{On: bankemu.OnCharge, Do: what, Every: 7 + rng.IntN(40), Times: 1 + rng.IntN(6), Seconds: 600 + rng.Int64N(7200)}
		b.emulator.Tell(r)
	}
	for _, what := range badNotices {
		b.emulator.Tell(bankemu.Rule{On: bankemu.OnNotice, Do: what, Every: 3 + rng.IntN(20), Times: 1 + rng.IntN(8), Seconds: 60 + rng.Int64N(7200)})
	}
	if declines {
		b.emulator.Tell(bankemu.Rule{On: bankemu.OnQuery, Do: bankemu.AbsentFor, Every: 5, Times: 2})
	}
	b.emulator.Tell(bankemu.Rule{On: bankemu.OnRefund, Do: bankemu.CutAfter, Every: 2, Times: 1})
	if hangs > 0 {
		b.emulator.Tell(bankemu.Rule{On: bankemu.OnCharge, Do: bankemu.HangAfter, Every: 11, Times: hangs})
	}
}

// opens gives everybody an account at the bank.
func (b *theBank) opens(p *person) {
	kind := payment.Card
	if p.way == perTrip && strings.HasSuffix(p.id, "5") {
		kind = payment.Bank
	}
	b.emulator.AddToken(p.token, kind, means, currency)
	b.emulator.AddToken(p.other, payment.Card, means, currency)
	if p.broke {
		b.emulator.DeclineToken(p.token, "insufficient-funds")
	}
}

// took is what the bank moved from somebody to us, in cents, by its own books.
func (b *theBank) took(p *person) int64 {
	if p.token == "" {
		return means - b.emulator.Balance(p.other)
	}
	return 2*means - b.emulator.Balance(p.token) - b.emulator.Balance(p.other)
}
