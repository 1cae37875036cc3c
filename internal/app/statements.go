package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"freeflow/billing/books"
	billingoperator "freeflow/billing/operator"
	"freeflow/billing/settlement"
	"freeflow/billing/statement"
	"freeflow/billing/statement/pdf"
)

// statementsEvery is how often it is looked whether a day or month is over.
const statementsEvery = 10 * time.Minute

// printers is how many PDFs are made at a time.
const printers = 2

// printedNames are the network's names of toll points and classes.
type printedNames struct{ network roads }

// Place is a toll point's name; a creditor's code stays.
func (n printedNames) Place(code, language string) string {
	if l, ok := n.network.PointLabel(code); ok {
		if language == statement.Chinese {
			return l.Zh
		}
		return l.En
	}
	return code
}

// Class is a class's name.
func (n printedNames) Class(code, language string) string {
	if l, ok := n.network.ClassLabel(code); ok {
		if language == statement.Chinese {
			return l.Zh
		}
		return l.En
	}
	return code
}

// statementsTopic is what staff may ask about statements.
func (s *system) statementsTopic() *billingoperator.Statements {
	return &billingoperator.Statements{
		Books: s.parts.books, Clock: s.env.Clock, Zone: s.parts.network.Zone(), Currency: s.parts.network.Currency(), PDF: pdf.New(),
		Words: printedNames{s.parts.network}, Issuer: "freeflow", Printers: make(chan struct{}, printers),
	}
}

// issuer closes days and issues statements.
func (s *system) issuer() *statement.Issuer {
	return &statement.Issuer{
		Ledger: s.parts.books, Keeping: books.Keep[statement.Tx]{Store: s.parts.books, As: func(tx *books.Tx) statement.Tx { return tx }},
		Zone: s.parts.network.Zone(), Clock: s.env.Clock, Log: s.log,
	}
}

// settlementTopic is what staff may do about settlement. Who prepares and
// approves are persons, under keys of their own.
func (s *system) settlementTopic() *billingoperator.Settlement {
	return &billingoperator.Settlement{
		Books: s.parts.books, Clock: s.env.Clock, Zone: s.parts.network.Zone(), Named: true,
		Direction: func(name string) (string, bool) {
			point, ok := s.parts.network.Point(name)
			return point.Direction, ok
		},
	}
}

// settler makes operators' daily batches.
func (s *system) settler() *settlement.Settler {
	return &settlement.Settler{
		Keeping: books.Keep[settlement.Tx]{Store: s.parts.books, As: func(tx *books.Tx) settlement.Tx { return tx }},
		Zone:    s.parts.network.Zone(), Clock: s.env.Clock, Log: s.log,
	}
}

// startStatements closes days, issues statements and makes settlement batches,
// until ctx ends.
func (s *system) startStatements(ctx context.Context) {
	issuer, settler := s.issuer(), s.settler()
	s.group.Go(func() error {
		tick := time.NewTicker(statementsEvery)
		defer tick.Stop()
		for {
			if _, err := issuer.Run(ctx); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "days or statements are not made", "err", err)
			}
			if _, err := settler.Run(ctx); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "settlement batches are not made", "err", err)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	})
}

func newStatementCommand(env Env) *cobra.Command {
	var (
		f                 apiFlags
		asPDF, asCSV      bool
		language, out, to string
		reason            string
	)
	cmd := &cobra.Command{
		Use:   "statement ACCOUNT MONTH",
		Short: "An account's monthly statement, or all that was posted over a range of days",
		Long: `Fetches an account's statement of a month (2026-11) from the operators' API as
CSV, PDF or JSON. With --to, MONTH is the first day of a range and --to the last
(at most 24 months, CSV or JSON). Who fetched it, and why (--reason), is written
down where the account's holder can see it.`,
		Example: "  freeflow statement A1 2026-11 --pdf --out A1.pdf --reason 'asked by phone'\n  freeflow statement A1 2026-01-01 --to 2026-11-30 --csv",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("give an account and a month, such as 'statement A1 2026-11'")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			kind := "text/csv"
			switch {
			case asPDF && (asCSV || f.json || to != "") || asCSV && f.json:
				return usagef("choose one of --csv, --pdf (of a month) and --json")
			case asPDF:
				kind = "application/pdf"
			case f.json:
				kind = "application/json"
			}
			if asPDF && out == "" && env.Terminal {
				return usagef("a PDF is no text; give a file with --out")
			}
			client, err := f.client()
			if err != nil {
				return err
			}
			var path string
			query := url.Values{}
			if to != "" {
				path = "/v1/accounts/" + url.PathEscape(args[0]) + "/lines"
				query.Set("from", args[1])
				query.Set("to", to)
			} else {
				number, err := statementNumber(cmd.Context(), client, args[0], args[1], reason)
				if err != nil {
					return err
				}
				path = "/v1/statements/" + url.PathEscape(number)
				if language != "" {
					query.Set("language", language)
				}
			}
			if reason != "" {
				query.Set("reason", reason)
			}
			answer, err := client.fetch(cmd.Context(), path, query, kind)
			if err != nil {
				return err
			}
			if out != "" {
				return os.WriteFile(out, answer, 0o600)
			}
			_, err = env.Stdout.Write(answer)
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&asPDF, "pdf", false, "as PDF")
	cmd.Flags().BoolVar(&asCSV, "csv", false, "as CSV, which it is by itself")
	cmd.Flags().StringVar(&language, "language", "", "language of the PDF, en or zh-HK; empty takes the account's")
	cmd.Flags().StringVar(&to, "to", "", "last day of a range that begins with the day given instead of a month")
	cmd.Flags().StringVar(&out, "out", "", "file to write; empty writes to the standard output")
	cmd.Flags().StringVar(&reason, "reason", "", "why you look")
	return cmd
}

// statementNumber finds an account's statement of a month.
func statementNumber(ctx context.Context, c *apiClient, account, text, reason string) (string, error) {
	month, err := statement.ParseMonth(text)
	if err != nil {
		return "", usagef("%q is no month; write it as 2026-11, or give --to for a range", text)
	}
	query := url.Values{"before": {(month + 1).String()}, "limit": {"10"}}
	if reason != "" {
		query.Set("reason", reason)
	}
	answer, err := c.fetch(ctx, "/v1/accounts/"+url.PathEscape(account)+"/statements", query, "application/json")
	if err != nil {
		return "", err
	}
	var list struct {
		Items []struct {
			Number string `json:"number"`
			Month  string `json:"month"`
		} `json:"items"`
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		return "", fmt.Errorf("reading the operators' API's answer: %w", err)
	}
	for _, one := range list.Items {
		if one.Month == month.String() {
			return one.Number, nil
		}
	}
	return "", fmt.Errorf("account %s has no statement of %s; it is issued an hour after the month's end, and where nothing was posted or owed there is none", account, month)
}

// fetch asks for a type of content.
func (c *apiClient) fetch(ctx context.Context, path string, query url.Values, kind string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	address := c.base.JoinPath(path)
	address.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.key)
	request.Header.Set("Accept", kind)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking the operators' API: %w; does it run there? See --url", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, apiAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("reading the operators' API's answer: %w", err)
	}
	if len(answer) > apiAnswer {
		return nil, fmt.Errorf("the answer has more than %d MiB; ask for a shorter range", apiAnswer>>20)
	}
	if response.StatusCode == http.StatusOK {
		return answer, nil
	}
	var p problemJSON
	if json.Unmarshal(answer, &p) != nil || p.Title == "" {
		return nil, fmt.Errorf("the operators' API answers with status %d", response.StatusCode)
	}
	if p.Detail == "" {
		return nil, errors.New(p.Title)
	}
	return nil, errors.New(p.Detail)
}
