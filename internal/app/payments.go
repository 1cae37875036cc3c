package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/spf13/pflag"

	"freeflow/billing"
	"freeflow/billing/bankemu"
	"freeflow/billing/books"
	"freeflow/billing/fps"
	billingoperator "freeflow/billing/operator"
	"freeflow/billing/payment"
	"freeflow/billing/payment/bank"
	"freeflow/billing/public"
	"freeflow/internal/clock"
	"freeflow/internal/web"
	"freeflow/rsu"
)

// paymentFlags say which payment provider to use: a real one, or the local one
// in this process.
type paymentFlags struct {
	provider, keys, bankAddr string
	fpsID, merchant          string
	approveAbove             string
	// approveAboveCents is what approveAbove says; check sets it.
	approveAboveCents int64
}

func (f *paymentFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.provider, "payment-provider", "", "address of the payment provider, http://HOST[:PORT]; empty runs a local one in this process")
	flags.StringVar(&f.keys, "payment-keys", "", "file with the provider's keys (see docs/payments.md); empty is payment-keys.json in the data folder, made for the local one")
	flags.StringVar(&f.bankAddr, "bank-addr", "127.0.0.1:0", "address of the local payment provider")
	flags.StringVar(&f.fpsID, "fps-id", "0000000", "FPS identifier that QR codes ask to be paid to, 7 to 10 digits")
	flags.StringVar(&f.approveAbove, "payment-approve-above", "500.00", "a payment resolved by hand, a refund, a pay-out or cash of more than this, or what one person did of it alone in 24 hours, needs a second person; 0.00 for each")
	flags.StringVar(&f.merchant, "fps-merchant", "FREEFLOW", "name on FPS QR codes, at most 25 characters")
}

func (f *paymentFlags) check() error {
	if f.provider != "" && f.keys == "" {
		return usagef("--payment-provider needs --payment-keys")
	}
	cents, err := billing.ParseCents(f.approveAbove)
	if err != nil || cents < 0 {
		return usagef("--payment-approve-above is %q; write an amount such as 500.00", f.approveAbove)
	}
	f.approveAboveCents = cents
	if _, err := (fps.Request{Payee: f.payee(), Currency: "HKD", Name: f.merchant}).Payload(); err != nil {
		return usagef("--fps-id or --fps-merchant: %w", err)
	}
	return nil
}

func (f *paymentFlags) payee() fps.Payee { return fps.Payee{Proxy: fps.ProxyFPSID, Value: f.fpsID} }

// paymentKeys are a provider's keys.
type paymentKeys struct {
	// Name is the provider's, as payments keep it and as its notices' address
	// ends.
	Name string `json:"name"`
	// Key is shown to the provider, AdminKey tells the local one to misbehave.
	Key      string `json:"key"`
	AdminKey string `json:"admin_key,omitempty"`
	// Notices are the secrets by which notices are signed, by epoch; Epoch is the
	// one by which the local provider signs.
	Notices map[string]string `json:"notices"`
	Epoch   string            `json:"epoch,omitempty"`
}

// paymentKeysFile lies in the data folder, readable by its owner alone.
const paymentKeysFile = "payment-keys.json"

// loadPaymentKeys reads keys; where the file is not there, and may be made, it is
// made with keys at random.
func loadPaymentKeys(path string, make bool) (paymentKeys, error) {
	var k paymentKeys
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && make:
		k = paymentKeys{Name: "local", Key: rand.Text(), AdminKey: rand.Text(), Epoch: "1", Notices: map[string]string{"1": rand.Text()}}
		return k, writeJSON(path, k)
	case err != nil:
		return k, fmt.Errorf("reading the payment provider's keys: %w", err)
	}
	if err := json.Unmarshal(text, &k); err != nil {
		return k, fmt.Errorf("reading the payment provider's keys %s: %w; mend the file", path, err)
	}
	if k.Name == "" || k.Key == "" || len(k.Notices) == 0 {
		return k, fmt.Errorf("reading the payment provider's keys %s: name, key or notices are missing; add them", path)
	}
	return k, nil
}

// writeJSON writes a file whole or not at all.
func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	part := path + ".part"
	if err := os.WriteFile(part, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// payments are what a process has of payments.
type payments struct {
	service *payment.Service
	public  *public.API
	// bank is the address of the local provider; empty for another.
	bank string
}

// Tokens of the local provider that are there at every start.
var demoTokens = []struct{ token, kind string }{
	{"tok_demo_card", payment.Card}, {"tok_demo_bank", payment.Bank}, {"tok_demo_wallet", payment.StoredValue},
}

// demoCents is what stands behind each of them: a hundred thousand.
const demoCents = 10_000_000

// paymentStore is the books as payments see them.
func paymentStore(b *books.Store) payment.Store {
	return books.Keep[payment.Tx]{Store: b, As: func(tx *books.Tx) payment.Tx { return tx }}
}

// startPayments puts payments together, and starts the local provider if there
// is no other, until ctx ends. A process that could not share a local provider
// with those that it works with has no payments: nil.
func (s *system) startPayments(ctx context.Context) error {
	f := &s.flags.payments
	if f.provider == "" && !(s.flags.runs("matcher") && s.flags.runs("operator") && s.flags.runs("portal")) {
		s.log.WarnContext(ctx, "no payments in this process: the local payment provider serves one process that runs matcher, operator and portal; give --payment-provider")
		return nil
	}
	path := f.keys
	if path == "" {
		path = filepath.Join(s.flags.parts.data, paymentKeysFile)
	}
	keys, err := loadPaymentKeys(path, f.provider == "")
	if err != nil {
		return err
	}
	p := &payments{}
	address := f.provider
	if address == "" {
		listener, err := net.Listen("tcp", f.bankAddr)
		if err != nil {
			return fmt.Errorf("opening the local payment provider's address: %w; free it, or choose another with --bank-addr", err)
		}
		notices := "http://" + reachable(s.listeners["portal"].Addr()) + "/v1/payment-providers/" + keys.Name + "/notices"
		server, emulator, err := newBank(s.env.Clock, s.log, keys, notices)
		if err != nil {
			return errors.Join(err, listener.Close())
		}
		s.group.Go(func() error { return web.Serve(ctx, listener, server, s.log) })
		s.group.Go(func() error { return emulator.Run(ctx) })
		p.bank = listener.Addr().String()
		address = "http://" + reachable(listener.Addr())
	}
	client, err := bank.New(bank.Config{Name: keys.Name, URL: address, Key: keys.Key, Notices: payment.Keys{ByEpoch: keys.Notices}})
	if err != nil {
		return err
	}
	p.service, err = payment.New(payment.Config{
		Store: paymentStore(s.parts.books), Providers: []payment.Provider{client}, Clock: s.env.Clock, Zone: s.parts.network.Zone(), Log: s.log,
		ApproveAboveCents: f.approveAboveCents,
	})
	if err != nil {
		return err
	}
	p.public, err = public.New(public.Parts{
		Payments: p.service, Once: s.parts.books, Plate: rsu.NormalizePlate, Payee: f.payee(), Name: f.merchant, City: "HONG KONG", Category: tollCategory,
		Clock: s.env.Clock, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.payments = p
	if s.flags.demo && p.bank != "" {
		if err := s.demoMeans(ctx, keys.Name); err != nil {
			return err
		}
	}
	if s.flags.runs("matcher") {
		s.group.Go(func() error { return p.service.Run(ctx, paymentsEvery) })
	}
	return nil
}

// tollCategory is the merchant category of tolls and bridge fees (ISO 18245).
const tollCategory = "4784"

// paymentsEvery is how often payments are worked on.
const paymentsEvery = time.Second

// newBank puts a local payment provider together.
func newBank(clk clock.Clock, log *slog.Logger, keys paymentKeys, notices string) (*echo.Echo, *bankemu.Emulator, error) {
	c := bankemu.Config{Clock: clk, Log: log, Key: keys.Key, AdminKey: keys.AdminKey}
	if notices != "" {
		c.NoticeURL, c.Epoch, c.Secret = notices, keys.Epoch, keys.Notices[keys.Epoch]
	}
	emulator, err := bankemu.New(c)
	if err != nil {
		return nil, nil, err
	}
	for _, one := range demoTokens {
		emulator.AddToken(one.token, one.kind, demoCents, "HKD")
	}
	emulator.AddToken("tok_demo_declined", payment.Card, demoCents, "HKD")
	emulator.DeclineToken("tok_demo_declined", "insufficient-funds")
	server := web.NewEcho(log, clk)
	return server, emulator, emulator.Routes(server)
}

// reachable is an address as it is dialled from here.
func reachable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// demoMeans makes the demo's motorist pay by one debit a day, Hong Kong's
// default, unless it is set already.
func (s *system) demoMeans(ctx context.Context, provider string) error {
	account := s.secrets.Motorist.Account
	return s.payments.service.Store.Do(ctx, func(tx payment.Tx) error {
		_, err := tx.MeansAt(ctx, account, s.env.Clock.Now())
		if !errors.Is(err, billing.ErrNotFound) {
			return err
		}
		_, err = s.payments.service.SetMeans(ctx, tx, payment.Means{
			Account: account, Mode: payment.Daily, Kind: payment.Card, Provider: provider, Token: demoTokens[0].token,
			Currency: s.parts.network.Currency(), By: "demo",
		})
		return err
	})
}

// topic is what staff may do about payments.
func (p *payments) topic(s *system) billingoperator.Topic {
	return &billingoperator.Payments{
		Books: s.parts.books, Payments: p.service, Clock: s.env.Clock, Currency: s.parts.network.Currency(), Tag: rsu.NormalizeTag, Named: true,
	}
}
