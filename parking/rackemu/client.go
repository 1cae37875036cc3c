package rackemu

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
)

// Client is the API of one machine over HTTP. Safe for concurrent use.
type Client struct {
	base, key string
	http      *http.Client
	calls     atomic.Int64
	run       string
}

// mostAnswer bounds what is read of an answer.
const mostAnswer = 1 << 20

// NewClient returns the way to the machine's routes under base (scheme, host and
// port), with an operator's key. h may be nil: then calls end after 10 seconds.
// run tells the Idempotency-Keys of this client from those of others.
func NewClient(base, key, carPark, machine, run string, h *http.Client) *Client {
	if h == nil {
		h = &http.Client{Timeout: 10 * time.Second}
	}
	return &Client{base: strings.TrimSuffix(base, "/") + "/v1/carparks/" + url.PathEscape(carPark) + "/machines/" + url.PathEscape(machine),
		key: key, http: h, run: run}
}

// Inventory sends what the sensors see.
func (c *Client) Inventory(ctx context.Context, boot string, seen []Seen) error {
	return c.post(ctx, "/inventory", struct {
		Boot string `json:"boot"`
		Bays []Seen `json:"bays"`
	}{boot, seen}, nil)
}

// Next asks what to do.
func (c *Client) Next(ctx context.Context, boot string) (Turn, error) {
	var answer struct {
		Command   *Order `json:"command"`
		Inventory bool   `json:"inventory"`
		RetryMS   int64  `json:"retry_after_ms"`
	}
	err := c.post(ctx, "/next", struct {
		Boot string `json:"boot"`
	}{boot}, &answer)
	return Turn{Order: answer.Command, InventoryWanted: answer.Inventory, RetryAfter: time.Duration(answer.RetryMS) * time.Millisecond}, err
}

// Report says what became of an order.
func (c *Client) Report(ctx context.Context, r Report) error { return c.post(ctx, "/reports", r, nil) }

func (c *Client) post(ctx context.Context, path string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encoding a call to %s: %w", path, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("making a call to %s: %w", path, err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.key)
	// A structured-field string, as the draft wants it. Repeated reports are
	// known by their content, so that each call has a key of its own.
	req.Header.Set("Idempotency-Key", strconv.Quote(c.run+"-"+strconv.FormatInt(c.calls.Add(1), 10)))
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("calling %s: %w", path, err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", path, err)
	}
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
	case resp.StatusCode >= 400 && resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusRequestTimeout:
		return fmt.Errorf("%s: %s: %s: %w", path, resp.Status, short(said), ErrRefused)
	default:
		return fmt.Errorf("%s: %s: %s", path, resp.Status, short(said))
	}
	if answer == nil {
		return nil
	}
	// Members that are not known are of a newer centre.
	if err := json.Unmarshal(said, answer); err != nil {
		return fmt.Errorf("reading the answer of %s: %w", path, err)
	}
	return nil
}

func short(text []byte) string {
	const most = 300
	if len(text) > most {
		text = text[:most]
	}
	return strings.ToValidUTF8(string(text), "?")
}
