package load

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"freeflow/loadtest/oracle"
)

// api is the operators' API, contract section 7.
type api struct {
	client    *http.Client
	base, key string
}

// How long the API may take over a registry, and over the whole list.
const (
	putTimeout  = 5 * time.Minute
	listTimeout = 30 * time.Minute
)

func newAPI(c Config) *api {
	client := newClient(8)
	client.Timeout = 0 // each call has its own bound
	return &api{client: client, base: c.Operator, key: c.OperatorKey}
}

func (a *api) do(ctx context.Context, method, path, accept string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	if a.key != "" {
		req.Header.Set("Authorization", "Bearer "+a.key)
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	if body != nil {
		req.Header.Set("Content-Type", "text/csv")
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the operators' API: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 2000)) // the status says enough without it
		resp.Body.Close()
		return nil, fmt.Errorf("%s %s: the operators' API answered %s: %s", method, path, resp.Status, text)
	}
	return resp, nil
}

// putRegistry puts the registry in force.
func (a *api) putRegistry(ctx context.Context, write func(io.Writer) error) error {
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	r, w := io.Pipe()
	go func() { w.CloseWithError(write(w)) }()
	resp, err := a.do(ctx, http.MethodPut, "/v1/registry", "", r)
	r.CloseWithError(errors.Join(err, io.EOF)) // the writer above ends also after a refusal
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, mostAnswer))
	return err
}

// span is [from, to) in microseconds since the Unix epoch.
type span struct{ from, to int64 }

func (s span) query() url.Values {
	v := url.Values{"from": {oracle.PassTime(s.from)}}
	if s.to != 0 {
		v.Set("to", oracle.PassTime(s.to))
	}
	return v
}

// has asks whether the vehicle, any if it is empty, has a charge in the span.
func (a *api) has(ctx context.Context, vehicle string, s span) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	q := s.query()
	if vehicle != "" {
		q.Set("vehicle", vehicle)
	}
	q.Set("limit", "1")
	resp, err := a.do(ctx, http.MethodGet, "/v1/charges?"+q.Encode(), "application/json", nil)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	var page struct {
		Items []json.RawMessage
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, mostAnswer)).Decode(&page); err != nil {
		return false, fmt.Errorf("reading charges: %w", err)
	}
	return len(page.Items) > 0, nil
}

// chargeColumns are the columns that a charge is compared by.
var chargeColumns = []string{"pass_time", "toll_point", "vehicle", "account", "class", "amount", "currency", "status"}

// charges calls each with the cells of every charge of the span under
// chargeColumns, in the API's order. The cells are valid until each returns.
func (a *api) charges(ctx context.Context, s span, each func(cells []string) error) error {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	resp, err := a.do(ctx, http.MethodGet, "/v1/charges?"+s.query().Encode(), "text/csv", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	rows := csv.NewReader(resp.Body)
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err != nil {
		return fmt.Errorf("reading charges: %w", err)
	}
	at := map[string]int{}
	for i, name := range header {
		at[name] = i
	}
	places := make([]int, len(chargeColumns))
	for i, name := range chargeColumns {
		place, ok := at[name]
		if !ok {
			return fmt.Errorf("reading charges: the API gives no column %s", name)
		}
		places[i] = place
	}
	cells := make([]string, len(chargeColumns))
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading charges: %w", err)
		}
		for i, place := range places {
			cells[i] = row[place]
		}
		if err := each(cells); err != nil {
			return err
		}
	}
}
