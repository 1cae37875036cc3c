package month

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/billing/books"
	billingoperator "freeflow/billing/operator"
	"freeflow/billing/settlement"
	"freeflow/billing/statement"
	"freeflow/billing/statement/pdf"
	"freeflow/billing/statement/pdf/pdftest"
	"freeflow/internal/audit"
	"freeflow/internal/web"
)

// keepBooks are the jobs of a morning: the chain of the audit trail and its
// checkpoints, days of the ledger that are over, statements of months.
func (w *world) keepBooks(ctx context.Context) error {
	err := w.job(ctx, "audit trail", func(ctx context.Context, s *services) error {
		for {
			n, err := s.trail.Extend(ctx)
			if err != nil {
				return err
			}
			if n == 0 {
				break
			}
		}
		_, err := s.trail.CloseDays(ctx, s.books, w.zone, w.clock.Now(), time.Hour)
		return err
	})
	if err != nil {
		return err
	}
	if w.clock.Now().In(w.zone).Weekday() == time.Monday {
		if err := w.checkpoint(ctx); err != nil {
			return err
		}
	}
	return w.job(ctx, "statements", func(ctx context.Context, s *services) error {
		_, err := s.issuer.Run(ctx)
		if err == nil {
			_, err = s.settler.Run(ctx)
		}
		return err
	})
}

func (w *world) checkpoint(ctx context.Context) error {
	signer, err := audit.LoadSigner(w.dir)
	if err != nil {
		return err
	}
	head, err := w.sets[0].trail.Head(ctx)
	if err != nil || head.Size == 0 {
		return err
	}
	signed, err := audit.Checkpoint{Head: head, At: w.clock.Now()}.Sign(signer)
	if err != nil {
		return err
	}
	_, err = audit.WriteCheckpoint(w.dir, head.Size, signed)
	return err
}

// verifyTrail is audit verify: the chain, its checkpoints, the ledger's days.
func (w *world) verifyTrail(ctx context.Context) error {
	if err := w.checkpoint(ctx); err != nil {
		return err
	}
	files, err := audit.CheckpointFiles(w.dir)
	if err != nil {
		return err
	}
	verifier, err := audit.LoadVerifier(filepath.Join(w.dir, audit.VerifierFile))
	if err != nil {
		return err
	}
	var checkpoints []audit.Checkpoint
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		one, err := audit.ParseCheckpoint(text, verifier)
		if err != nil {
			return err
		}
		checkpoints = append(checkpoints, one)
	}
	r, err := w.sets[0].trail.Verify(ctx, w.sets[0].books, checkpoints)
	if err != nil {
		return err
	}
	for _, f := range r.Findings {
		w.report.wrong("audit trail, entry %d %s: %s", f.Entry, f.Day, f.Detail)
	}
	w.report.checked("entries of the audit trail", r.Entries)
	w.report.checked("days of the ledger by the audit trail", r.Days)
	w.report.checked("checkpoints", r.Checkpoints)
	return nil
}

// settlements holds the operators' daily batches against what was paid to them.
func (w *world) settlements(ctx context.Context) error {
	got, carried, seen := map[string]int64{}, map[string]int64{}, int64(0)
	f := settlement.Filter{Limit: 1000}
	for {
		var list []settlement.Batch
		err := w.sets[0].books.View(ctx, func(tx *books.Tx) (err error) {
			list, err = tx.Batches(ctx, f)
			return err
		})
		if err != nil {
			return err
		}
		for _, b := range list {
			got[b.Creditor] += b.CollectedCents - b.RefundedCents
			if b.RemitCents+b.CarryCents != b.CollectedCents-b.RefundedCents+b.CarriedCents || b.CarriedCents != carried[b.Creditor] || b.RemitCents < 0 {
				w.report.wrong("batch %s remits %d of %d less %d with %d carried and %d to carry", b.Number, b.RemitCents, b.CollectedCents, b.RefundedCents, b.CarriedCents, b.CarryCents)
			}
			carried[b.Creditor] = b.CarryCents
			f.AfterDay, f.After = b.Day, b.Number
		}
		if seen += int64(len(list)); len(list) < f.Limit {
			break
		}
	}
	for creditor, paid := range w.paidOf {
		if got[creditor] != paid {
			w.report.wrong("%s is settled with %d in all, and was paid %d", creditor, got[creditor], paid)
		}
	}
	w.report.checked("daily batches of operators", seen)
	return nil
}

// staffKey opens the operators' API.
const staffKey = "month-staff-key-0123456789"

// labels are the words on statements; codes do for this.
type labels struct{}

// Place is pdf.Words.
func (labels) Place(code, _ string) string { return code }

// Class is pdf.Words.
func (labels) Class(code, _ string) string { return code }

// printed is of how many accounts the PDF is compared, chosen by the seed: 200 of
// ten thousand.
func (w *world) printed() int64 { return min(200, max(10, int64(w.Accounts/50))) }

// papers compares every account's statement of the month as JSON, as CSV and, of
// some, as PDF, over HTTP, and what has happened since with the ledger.
func (w *world) papers(ctx context.Context) error {
	keys, err := web.Bearer(web.Key{Name: "operator", Secret: staffKey})
	if err != nil {
		return err
	}
	e := web.NewEcho(quiet(), w.clock)
	billingoperator.Mount(e, keys, &billingoperator.Statements{
		Books: w.sets[0].books, Clock: w.clock, Zone: w.zone, Currency: currency, PDF: pdf.New(), Words: labels{}, Issuer: "freeflow", Printers: make(chan struct{}, 2),
	})
	address, stop, err := serve(ctx, e)
	if err != nil {
		return err
	}
	compared, documents := int64(0), int64(0)
	order := w.rng.Perm(len(w.cast.people))
	for n, i := range order {
		p := w.cast.people[i]
		has, err := w.paper(ctx, address, p, documents < w.printed())
		if err != nil {
			return errors.Join(fmt.Errorf("statement of %s: %w", p.id, err), stop())
		}
		if has {
			compared++
			documents = min(documents+1, w.printed())
		}
		if n%1000 == 999 {
			fmt.Fprintf(w.progress, "  %d statements\n", n+1)
		}
	}
	w.report.checked("statements, JSON with CSV and ledger", compared)
	w.report.checked("statements as PDF", documents)
	return stop()
}

// sided is both sides as the API writes them.
type sided struct{ Owed, Held string }

// paper compares one account's statement; false if it has none.
func (w *world) paper(ctx context.Context, address string, p *person, asPDF bool) (bool, error) {
	month := statement.MonthOf(w.day(0), w.zone)
	number := statement.Numbered(month, p.id, currency)
	text, status, err := get(ctx, address+"/v1/statements/"+url.PathEscape(number)+"?limit=5000", "application/json")
	if err != nil {
		return false, err
	}
	var lines []statement.Line
	var now statement.Sides
	err = w.sets[0].books.View(ctx, func(tx *books.Tx) (err error) {
		lines, err = tx.Lines(ctx, statement.Holder{Account: p.id, Currency: currency}, w.first.AddDate(0, 1, 0), w.clock.Now().AddDate(1, 0, 0), statement.Place{}, 5000)
		if err == nil {
			now, err = tx.SidesAt(ctx, statement.Holder{Account: p.id, Currency: currency}, w.clock.Now().AddDate(1, 0, 0))
		}
		return err
	})
	if err != nil {
		return false, err
	}
	if status == http.StatusNotFound {
		if _, drove := w.lines[p.id]; drove && now != (statement.Sides{}) && len(lines) == 0 {
			w.report.wrong("%s owes or holds something and has no statement", p.id)
		}
		return false, nil
	}
	if status != http.StatusOK {
		return false, fmt.Errorf("status %d: %s", status, text)
	}
	var shown struct {
		Opening, Closing sided
		Items            []sided
	}
	if err := json.Unmarshal(text, &shown); err != nil {
		return false, err
	}
	opening, closing, sum, err := added(shown.Opening, shown.Closing, shown.Items)
	if err != nil {
		return false, err
	}
	if opening.OwedCents+sum.OwedCents != closing.OwedCents || opening.HeldCents+sum.HeldCents != closing.HeldCents {
		w.report.wrong("%s: the statement's lines do not lead from %+v to %+v", p.id, opening, closing)
	}
	since := closing
	for _, l := range lines {
		since = since.Plus(l)
	}
	if since != now || now.OwedCents != w.endOwed[p.id] || now.HeldCents != w.endHeld[p.id] {
		w.report.wrong("%s: the statement and what came since give %+v, lines in all %+v, the ledger %d owed and %d held", p.id, since, now, w.endOwed[p.id], w.endHeld[p.id])
	}
	if err := w.compareCSV(ctx, address, number, p, closing, sum, len(shown.Items)); err != nil || !asPDF {
		return true, err
	}
	return true, w.comparePDF(ctx, address, number, p, shown.Closing)
}

// added reads both ends and adds the lines up.
func added(from, to sided, items []sided) (opening, closing, sum statement.Sides, err error) {
	read := func(s sided) (one statement.Sides) {
		var e1, e2 error
		one.OwedCents, e1 = billing.ParseCents(s.Owed)
		one.HeldCents, e2 = billing.ParseCents(s.Held)
		err = errors.Join(err, e1, e2)
		return one
	}
	opening, closing = read(from), read(to)
	for _, i := range items {
		one := read(i)
		sum.OwedCents += one.OwedCents
		sum.HeldCents += one.HeldCents
	}
	return opening, closing, sum, err
}

func (w *world) compareCSV(ctx context.Context, address, number string, p *person, closing, sum statement.Sides, n int) error {
	text, status, err := get(ctx, address+"/v1/statements/"+url.PathEscape(number), "text/csv")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("as CSV: status %d", status)
	}
	if err != nil {
		return err
	}
	rows, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")))).ReadAll()
	if err != nil {
		return err
	}
	column := func(name string) int {
		return slices.IndexFunc(rows[0], func(s string) bool { return strings.HasPrefix(s, name+" ") })
	}
	owed, held, all, holds := column("Owed"), column("Held"), column("Balance owed"), column("Balance held")
	if min(owed, held, all, holds) < 0 || len(rows) != n+3 {
		w.report.wrong("%s: the CSV has %d rows, %d lines were shown", p.id, len(rows), n)
		return nil
	}
	var items []sided
	for _, row := range rows[2 : len(rows)-1] {
		items = append(items, sided{row[owed], row[held]})
		for _, cell := range row {
			if cell != "" && strings.ContainsAny(cell[:1], "=+@\t\r") {
				w.report.wrong("%s: a cell of the CSV is a formula: %.20q", p.id, cell)
			}
		}
	}
	last := rows[len(rows)-1]
	_, end, total, err := added(sided{rows[1][all], rows[1][holds]}, sided{last[all], last[holds]}, items)
	if err == nil && (end != closing || total != sum) {
		w.report.wrong("%s: the CSV ends at %+v with lines of %+v, the API at %+v with %+v", p.id, end, total, closing, sum)
	}
	return err
}

func (w *world) comparePDF(ctx context.Context, address, number string, p *person, closing sided) error {
	text, status, err := get(ctx, address+"/v1/statements/"+url.PathEscape(number), "application/pdf")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("as PDF: status %d", status)
	}
	if err != nil {
		return err
	}
	pages, err := pdftest.Pages(text)
	if err != nil {
		return err
	}
	drawn := slices.Concat(pages...)
	for _, must := range []string{closing.Owed, closing.Held, number, p.name} {
		if !slices.ContainsFunc(drawn, func(s string) bool { return strings.Contains(s, must) }) {
			w.report.wrong("%s: the PDF of %d pages does not say %q", p.id, len(pages), must)
		}
	}
	return nil
}

func get(ctx context.Context, address, kind string) (body []byte, status int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, 0, err
	}
	r.Header.Set("Authorization", "Bearer "+staffKey)
	r.Header.Set("Accept", kind)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, 0, err
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(io.LimitReader(answer.Body, 64<<20))
	return body, answer.StatusCode, err
}
