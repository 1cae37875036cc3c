package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// keyVariable is the environment variable of a person's key: an argument would
// stand in the list of processes.
const keyVariable = "FREEFLOW_KEY"

// Bounds of the commands that ask the operators' API.
const (
	apiTimeout = 20 * time.Minute // a dry run takes minutes
	apiAnswer  = 64 << 20
)

// apiFlags say where the operators' API is, and who asks.
type apiFlags struct {
	url, keyFile string
	json         bool
}

func (f *apiFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.url, "url", "http://127.0.0.1:8081", "address of the operators' API")
	cmd.Flags().StringVar(&f.keyFile, "key-file", "", "file of your key; empty takes the environment variable "+keyVariable)
	cmd.Flags().BoolVar(&f.json, "json", false, "print the API's answer as JSON")
}

// apiClient asks the operators' API.
type apiClient struct {
	base *url.URL
	key  string
}

func (f *apiFlags) client() (*apiClient, error) {
	base, err := url.Parse(f.url)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, usagef("--url %q is not an address; write it as http://127.0.0.1:8081", f.url)
	}
	key := os.Getenv(keyVariable)
	if f.keyFile != "" {
		text, err := os.ReadFile(f.keyFile)
		if err != nil {
			return nil, fmt.Errorf("reading your key: %w", err)
		}
		key = string(text)
	}
	if key = strings.TrimSpace(key); key == "" {
		return nil, usagef("give your key with --key-file or in the environment variable %s; 'freeflow staff add NAME' makes one", keyVariable)
	}
	return &apiClient{base, key}, nil
}

// problemJSON is what is shown of a problem document.
type problemJSON struct {
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

// ask sends a request and returns the body of a good answer. A refusal becomes
// an error with the API's own words.
func (c *apiClient) ask(ctx context.Context, method, path string, body any) ([]byte, error) {
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, c.base.JoinPath(path).String(), in)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.key)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking the operators' API: %w; does it run there? See --url", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, apiAnswer))
	if err != nil {
		return nil, fmt.Errorf("reading the operators' API's answer: %w", err)
	}
	if response.StatusCode < 300 {
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

// draftAnswer is what the commands read of a draft.
type draftAnswer struct {
	ID            string   `json:"id"`
	State         string   `json:"state"`
	Revision      int64    `json:"revision"`
	By            string   `json:"by"`
	Reason        string   `json:"reason"`
	EffectiveFrom string   `json:"effective_from"`
	Backdated     bool     `json:"backdated"`
	Digest        string   `json:"digest"`
	Mistakes      int      `json:"mistakes"`
	More          int      `json:"more_problems"`
	Warnings      []string `json:"warnings"`
	Sequence      *int64   `json:"sequence"`
	Problems      []struct {
		File   string `json:"file"`
		Line   int    `json:"line"`
		Column int    `json:"column"`
		Text   string `json:"problem"`
	} `json:"problems"`
	Approvals []struct {
		By   string `json:"by"`
		At   string `json:"at"`
		Void bool   `json:"void"`
	} `json:"approvals"`
	DryRuns []dryRunAnswer `json:"dry_runs"`
}

type dryRunAnswer struct {
	ID              string `json:"id"`
	Digest          string `json:"digest"`
	From            string `json:"from"`
	To              string `json:"to"`
	Weeks           int    `json:"weeks"`
	Passes          int64  `json:"passes"`
	Differ          int64  `json:"differ"`
	Vehicles        int64  `json:"vehicles"`
	Higher          int64  `json:"higher"`
	Lower           int64  `json:"lower"`
	Before          string `json:"before"`
	After           string `json:"after"`
	Difference      string `json:"difference"`
	Lost            int64  `json:"lost"`
	Gained          int64  `json:"gained"`
	BookedOtherwise int64  `json:"booked_otherwise"`
	Groups          []struct {
		Facility   string `json:"facility"`
		Class      string `json:"class"`
		DayType    string `json:"day_type"`
		Passes     int64  `json:"passes"`
		Differ     int64  `json:"differ"`
		Difference string `json:"difference"`
	} `json:"groups"`
	Largest []struct {
		Pass      string `json:"pass"`
		TollPoint string `json:"toll_point"`
		Class     string `json:"class"`
		RatedAt   string `json:"rated_at"`
		Before    string `json:"before"`
		After     string `json:"after"`
	} `json:"largest"`
}

// writeText writes the draft for people.
func (d *draftAnswer) writeText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "draft %s, revision %d by %s: %s\n  reason    %s\n  from      %s\n  digest    %s\n", d.ID, d.Revision, d.By, d.State, d.Reason, d.EffectiveFrom, d.Digest)
	if d.Backdated {
		b.WriteString("  back-dated: passes made since then must be rated again once it is published\n")
	}
	if d.Sequence != nil {
		fmt.Fprintf(&b, "  published as statement %d\n", *d.Sequence)
	}
	for _, a := range d.Approvals {
		void := ""
		if a.Void {
			void = ", void: the draft was changed since"
		}
		fmt.Fprintf(&b, "  approved by %s at %s%s\n", a.By, a.At, void)
	}
	for _, p := range d.Problems {
		place := p.File
		if p.Line > 0 {
			place += fmt.Sprintf(":%d", p.Line)
		}
		if p.Column > 0 {
			place += fmt.Sprintf(":%d", p.Column)
		}
		fmt.Fprintf(&b, "%s: %s\n", place, p.Text)
	}
	if d.More > 0 {
		fmt.Fprintf(&b, "and %d more\n", d.More)
	}
	for _, warning := range d.Warnings {
		fmt.Fprintf(&b, "note: %s\n", warning)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeText writes the dry run for people.
func (r *dryRunAnswer) writeText(w io.Writer) error {
	var b strings.Builder
	moved := ""
	if r.Weeks > 0 {
		moved = fmt.Sprintf(", moved forward by %d weeks", r.Weeks)
	}
	fmt.Fprintf(&b, "dry run %s of the proposal %s\n  passes from %s to %s%s\n", r.ID, r.Digest, r.From, r.To, moved)
	fmt.Fprintf(&b, "  %d passes rated, %d differently (%d higher, %d lower), of %d vehicles\n", r.Passes, r.Differ, r.Higher, r.Lower, r.Vehicles)
	fmt.Fprintf(&b, "  %s before, %s after: %s\n", r.Before, r.After, r.Difference)
	if r.Lost+r.Gained > 0 {
		fmt.Fprintf(&b, "  %d passes would lose their toll and go to review, %d would get one\n", r.Lost, r.Gained)
	}
	if r.BookedOtherwise > 0 {
		fmt.Fprintf(&b, "  %d passes owe another amount in the books than the tolls in force give\n", r.BookedOtherwise)
	}
	for _, g := range r.Groups {
		if g.Differ > 0 {
			fmt.Fprintf(&b, "  %-8s %-18s %-8s %8d of %8d passes  %12s\n", g.Facility, g.Class, g.DayType, g.Differ, g.Passes, g.Difference)
		}
	}
	for i, c := range r.Largest {
		if i == 0 {
			b.WriteString("largest single changes\n")
		}
		fmt.Fprintf(&b, "  %s %s %s at %s: %s -> %s\n", c.Pass, c.TollPoint, c.Class, c.RatedAt, c.Before, c.After)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// show prints an answer: as it came, or for people.
func show[T interface{ writeText(io.Writer) error }](env Env, asJSON bool, answer []byte, as T) error {
	if asJSON {
		_, err := env.Stdout.Write(append(bytes.TrimRight(answer, "\n"), '\n'))
		return err
	}
	if err := json.Unmarshal(answer, as); err != nil {
		return fmt.Errorf("reading the operators' API's answer: %w", err)
	}
	return as.writeText(env.Stdout)
}
