// Package bank owns the way to a payment provider that speaks this project's
// plain protocol over HTTP: orders with our reference as Idempotency-Key,
// queries by reference, signed notices. The local provider of billing/bankemu
// speaks it; one for a real provider would stand beside this package.
//
// Invariants: an answer is an outcome only if it says so itself, in a body of
// the protocol with the reference that was asked about; anything else, a page
// of a proxy with status 404 too, is an error, which says nothing of whether
// money moved. Bodies are bounded; redirects are not followed, since they would
// carry the key along.
//
// Not promised: that the provider keeps payment.Provider's contract.
package bank

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"freeflow/billing"
	"freeflow/billing/payment"
)

// maxAnswer bounds an answer and a notice, in bytes.
const maxAnswer = 64 << 10

// Order is the body of POST /v1/charges, /v1/refunds and /v1/payouts. Amounts
// are decimals with two places, instants RFC 3339.
type Order struct {
	Reference  string `json:"reference"`
	Token      string `json:"token,omitempty"`
	Original   string `json:"original,omitempty"`
	Amount     string `json:"amount"`
	Currency   string `json:"currency"`
	ValidUntil string `json:"valid_until"`
	Text       string `json:"text,omitempty"`
}

// Transfer is what the provider says of a reference.
type Transfer struct {
	ID        string `json:"id"`
	Reference string `json:"reference"`
	// Status is one of payment.Result....
	Status   string `json:"status"`
	Amount   string `json:"amount,omitempty"`
	Currency string `json:"currency,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Final    bool   `json:"final,omitempty"`
	At       string `json:"at,omitempty"`
	// Bill, Means and Payer are of money that a payer sent.
	Bill  string `json:"bill,omitempty"`
	Means string `json:"means,omitempty"`
	Payer string `json:"payer,omitempty"`
}

// Notice is the body of a notice.
type Notice struct {
	ID       string   `json:"id"`
	Transfer Transfer `json:"transfer"`
}

// Absent is the body of a 404 that means what it says.
type Absent struct {
	Absent string `json:"absent"`
}

// Config is what a client is made of.
type Config struct {
	// Name is the provider's, as attempts keep it.
	Name string
	// URL is the provider's address, without a path.
	URL string
	// Key is shown as a bearer key.
	Key string
	// Notices are the keys by which its notices are signed.
	Notices payment.Keys
	// Transport is nil for http.DefaultTransport.
	Transport http.RoundTripper
}

// Client is a provider. Safe for concurrent use.
type Client struct {
	Config
	http *http.Client
}

var _ payment.Provider = (*Client)(nil)

// New returns a client.
func New(c Config) (*Client, error) {
	address, err := url.Parse(c.URL)
	if err != nil || address.Host == "" || address.Scheme != "http" && address.Scheme != "https" {
		return nil, errors.New("payment provider: its address must be http://HOST or https://HOST")
	}
	if c.Name == "" || c.Key == "" {
		return nil, errors.New("payment provider: name and key are needed")
	}
	if err := c.Notices.Check(); err != nil {
		return nil, fmt.Errorf("payment provider: %w", err)
	}
	c.URL = strings.TrimSuffix(c.URL, "/")
	return &Client{c, &http.Client{
		Transport:     c.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Name is the provider's.
func (c *Client) Name() string { return c.Config.Name }

// Charge takes money by a token. See payment.Provider.
func (c *Client) Charge(ctx context.Context, o payment.Order) (payment.Outcome, error) {
	return c.order(ctx, "/v1/charges", o)
}

// Refund gives money back. See payment.Provider.
func (c *Client) Refund(ctx context.Context, o payment.Order) (payment.Outcome, error) {
	return c.order(ctx, "/v1/refunds", o)
}

// Payout sends money to a token. See payment.Provider.
func (c *Client) Payout(ctx context.Context, o payment.Order) (payment.Outcome, error) {
	return c.order(ctx, "/v1/payouts", o)
}

func (c *Client) order(ctx context.Context, path string, o payment.Order) (payment.Outcome, error) {
	body, err := json.Marshal(Order{
		Reference: o.Reference, Token: o.Token, Original: o.Original, Amount: billing.FormatCents(o.AmountCents), Currency: o.Currency,
		ValidUntil: o.ValidUntil.UTC().Format(time.RFC3339), Text: o.Text,
	})
	if err != nil {
		return payment.Outcome{}, fmt.Errorf("writing an order: %w", err)
	}
	status, answer, err := c.do(ctx, http.MethodPost, path, o.Reference, body)
	if err != nil {
		return payment.Outcome{}, err
	}
	if status != http.StatusOK {
		return payment.Outcome{}, fmt.Errorf("the payment provider answered an order with status %d", status)
	}
	return read(answer, o.Reference)
}

// Query says what became of a reference. See payment.Provider.
func (c *Client) Query(ctx context.Context, reference string) (payment.Outcome, error) {
	status, answer, err := c.do(ctx, http.MethodGet, "/v1/transfers/"+url.PathEscape(reference), "", nil)
	if err != nil {
		return payment.Outcome{}, err
	}
	switch status {
	case http.StatusOK:
		return read(answer, reference)
	case http.StatusNotFound:
		var a Absent
		if json.Unmarshal(answer, &a) == nil && a.Absent == reference {
			return payment.Outcome{}, payment.ErrAbsent
		}
	}
	return payment.Outcome{}, fmt.Errorf("the payment provider answered a query with status %d", status)
}

func (c *Client) do(ctx context.Context, method, path, key string, body []byte) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("asking the payment provider: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+c.Key)
	if key != "" {
		// Without this the transport repeats orders by itself when a connection
		// breaks, because they have an Idempotency-Key: what we do not know of
		// would be done in our name.
		request.GetBody = nil
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Idempotency-Key", `"`+key+`"`)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return 0, nil, fmt.Errorf("asking the payment provider: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil || len(answer) > maxAnswer {
		return 0, nil, fmt.Errorf("reading the payment provider's answer: it broke off or is too long: %w", errors.Join(err, io.ErrUnexpectedEOF))
	}
	return response.StatusCode, answer, nil
}

// read takes a transfer as an outcome, if it is the one asked about.
func read(answer []byte, reference string) (payment.Outcome, error) {
	var t Transfer
	if err := json.Unmarshal(answer, &t); err != nil {
		return payment.Outcome{}, fmt.Errorf("reading the payment provider's answer: %w", err)
	}
	if t.Reference != reference && (t.Reference != "" || t.Bill != reference) {
		return payment.Outcome{}, errors.New("reading the payment provider's answer: it is about another reference than was asked about")
	}
	return t.outcome()
}

func (t *Transfer) outcome() (o payment.Outcome, err error) {
	o = payment.Outcome{Result: t.Status, ProviderRef: t.ID, Currency: t.Currency, Reason: t.Reason, Final: t.Final, Means: t.Means, Payer: t.Payer}
	switch t.Status {
	case payment.ResultSucceeded, payment.ResultReversed:
		if t.ID == "" || t.Currency == "" {
			return o, errors.New("reading a transfer: it says that money moved and lacks its id or currency")
		}
		if o.AmountCents, err = billing.ParseCents(t.Amount); err != nil || o.AmountCents <= 0 {
			return o, fmt.Errorf("reading a transfer: amount %q", t.Amount)
		}
	case payment.ResultDeclined, payment.ResultPending:
	default:
		return o, fmt.Errorf("reading a transfer: status %q is not known", t.Status)
	}
	if t.At != "" {
		if o.At, err = time.Parse(time.RFC3339Nano, t.At); err != nil {
			return o, fmt.Errorf("reading a transfer: %w", err)
		}
	}
	return o, nil
}

// Verify checks and reads a notice. See payment.Provider.
func (c *Client) Verify(signature string, body []byte, now time.Time) (payment.Notice, error) {
	if len(body) > maxAnswer {
		return payment.Notice{}, fmt.Errorf("%w: the body has %d bytes", payment.ErrForged, len(body))
	}
	if err := c.Notices.Verify(signature, body, now); err != nil {
		return payment.Notice{}, err
	}
	var n Notice
	if err := json.Unmarshal(body, &n); err != nil {
		return payment.Notice{}, fmt.Errorf("%w: the notice is not of the protocol: %w", billing.ErrInvalid, err)
	}
	o, err := n.Transfer.outcome()
	if err != nil {
		return payment.Notice{}, fmt.Errorf("%w: %w", billing.ErrInvalid, err)
	}
	return payment.Notice{ID: n.ID, Reference: n.Transfer.Reference, Bill: n.Transfer.Bill, Outcome: o}, nil
}
