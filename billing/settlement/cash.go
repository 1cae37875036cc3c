package settlement

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/billing/statement"
)

// Kinds of breaks. Of cash, by reference: what the bank does not report, what
// the books do not know, another amount, and the same twice. Of the way from
// passes to receivables: a pass without its charge, a charge of another amount, a
// charge without its receivable.
const (
	MissingAtBank     = "missing-at-bank"
	MissingWithUs     = "missing-with-us"
	AmountDiffers     = "amount-differs"
	TwiceAtBank       = "twice-at-bank"
	PassNotCharged    = "pass-not-charged"
	ChargeDiffers     = "charge-differs"
	ReceivableMissing = "receivable-missing"
)

// Break is one thing that does not agree. It is never netted against another.
type Break struct {
	// ID says what it is of, so that it is found once.
	ID, Kind string
	// Subject is the reference or pass; Unit the means or
	// the facility.
	Subject, Unit, Currency string
	// Day is whose reconciliation found it, days since 1970-01-01.
	Day int64
	// OursCents and TheirCents are what either side says; signed, money out is
	// negative.
	OursCents, TheirCents int64
	FoundAt               time.Time
	// EndedAt is when it was resolved, or agreed after all; the zero value while
	// it is open. EndedBy and Reason say by whom and why.
	EndedAt         time.Time
	EndedBy, Reason string
}

// Cash is money that moved by the books: positive in, negative out.
type Cash struct {
	// ID is a movement's, a payment's or a batch's.
	ID, Means, Currency string
	AmountCents         int64
}

// Row is one row of a bank's or provider's report.
type Row struct {
	Line        int64
	Reference   string
	AmountCents int64
	Currency    string
	At          time.Time
}

// Report is what a bank or provider says of one means of payment and days.
type Report struct {
	// ID is made by who takes it in.
	ID, Means string
	// From and To bound the days that it covers: [From, To).
	From, To time.Time
	// More: further parts follow, so that nothing is missing yet.
	More bool
	Rows []Row
}

// Unit is how far the passes of one facility and day came.
type Unit struct {
	Facility string
	// Passes owe something; Charges are their live transactions, Receivables what
	// was derived, and each with its amount.
	Passes, PassCents            int64
	Charges, ChargeCents         int64
	Receivables, ReceivableCents int64
	PaidCents                    int64
	Exempt, Review               int64
}

// Matched is what taking a report came to.
type Matched struct{ Rows, Agree, Breaks, Ended int }

// CashTx is what reconciling needs of one transaction.
type CashTx interface {
	// CashByReference finds what a bank's reference names: a movement, an attempt
	// of payment, a payment at a till or a batch that was remitted. A movement
	// that was undone is of amount 0.
	CashByReference(ctx context.Context, reference string) (c Cash, found bool, err error)
	// OurCash returns what moved by a means in [from, to) that stands.
	OurCash(ctx context.Context, means string, from, to time.Time) ([]Cash, error)
	// PutReport keeps a report without its rows; known if it is there.
	PutReport(ctx context.Context, r Report, by string, at time.Time) (known bool, err error)
	// PutRows keeps its rows.
	PutRows(ctx context.Context, report string, rows []Row) error
	// Reported counts the rows of all reports of a means that name the cash, by
	// its own id or by its attempt's.
	Reported(ctx context.Context, means, cash string) (int64, error)
	// UnitsOf returns how far the passes of [from, to) came, by facility.
	UnitsOf(ctx context.Context, from, to time.Time) ([]Unit, error)
	// ReadsOf counts the reads archived in [from, to).
	ReadsOf(ctx context.Context, from, to time.Time) (int64, error)
	// ChainBreaks finds what does not agree between passes and receivables of
	// [from, to), at most limit of each kind.
	ChainBreaks(ctx context.Context, from, to time.Time, limit int) ([]Break, error)
	// PutBreak adds a break; known if it was found before, open or not.
	PutBreak(ctx context.Context, b Break) (known bool, err error)
	// Break returns one, locked. billing.ErrNotFound.
	Break(ctx context.Context, id string) (Break, error)
	// EndBreak ends an open one; ended is false if it was not open.
	EndBreak(ctx context.Context, id, by, reason string, at time.Time) (ended bool, err error)
	// Breaks returns open ones, or all, of a unit (empty: of all), in the order of
	// day and id after one.
	Breaks(ctx context.Context, unit string, all bool, afterDay int64, after string, limit int) ([]Break, error)
	RecordSettlement(ctx context.Context, action, kind, id string, d Deed) error
}

// MaxRows bounds one part of a report.
const MaxRows = 5000

// ParseRows reads a report: CSV with the columns reference, amount, currency
// and time (RFC 3339), by name in any order, others ignored. billing.ErrInvalid
// names the line.
func ParseRows(text string) ([]Row, error) {
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "\ufeff")))
	header, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("%w: the report has no header", billing.ErrInvalid)
	}
	place := map[string]int{}
	for _, name := range []string{"reference", "amount", "currency", "time"} {
		if place[name] = slices.IndexFunc(header, func(h string) bool { return strings.EqualFold(strings.TrimSpace(h), name) }); place[name] < 0 {
			return nil, fmt.Errorf("%w: the report has no column %s", billing.ErrInvalid, name)
		}
	}
	var rows []Row
	for {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", billing.ErrInvalid, err)
		}
		line, _ := r.FieldPos(0)
		row := Row{Line: int64(line), Reference: strings.TrimSpace(cells[place["reference"]]), Currency: strings.TrimSpace(cells[place["currency"]])}
		if row.AmountCents, err = billing.ParseCents(strings.TrimSpace(cells[place["amount"]])); err == nil {
			row.At, err = time.Parse(time.RFC3339, strings.TrimSpace(cells[place["time"]]))
		}
		if err == nil && (row.Reference == "" || len(row.Reference) > 256 || row.Currency == "") {
			err = errors.New("a row needs a reference of at most 256 bytes and a currency")
		}
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", billing.ErrInvalid, line, err)
		}
		if rows = append(rows, row); len(rows) > MaxRows {
			return nil, fmt.Errorf("%w: a part has at most %d rows", billing.ErrInvalid, MaxRows)
		}
	}
}

// TakeReport keeps a report and compares it with the books, in the caller's
// transaction: each row by its reference, and at the end of all parts what the
// books have and the report lacks. A report taken before changes nothing.
func TakeReport(ctx context.Context, tx CashTx, r Report, day int64, d Deed) (m Matched, err error) {
	if r.Means == "" || len(r.Means) > 64 || !r.From.Before(r.To) || r.To.Sub(r.From) > 40*24*time.Hour {
		return m, fmt.Errorf("%w: a report is of one means and of at most 40 days", billing.ErrInvalid)
	}
	known, err := tx.PutReport(ctx, r, d.By, d.Now)
	if err != nil || known {
		return m, err
	}
	if err := tx.PutRows(ctx, r.ID, r.Rows); err != nil {
		return m, err
	}
	found := func(kind, subject, currency string, ours, theirs int64) error {
		b := Break{ID: kind + ":" + r.Means + ":" + subject, Kind: kind, Subject: subject, Unit: r.Means, Currency: currency, Day: day, OursCents: ours, TheirCents: theirs, FoundAt: d.Now}
		known, err := tx.PutBreak(ctx, b)
		if err == nil && !known {
			m.Breaks++
		}
		return err
	}
	for _, row := range r.Rows {
		m.Rows++
		ours, ok, err := tx.CashByReference(ctx, row.Reference)
		if err != nil {
			return m, err
		}
		switch {
		case !ok || ours.Means != r.Means:
			err = found(MissingWithUs, row.Reference, row.Currency, 0, row.AmountCents)
		case ours.AmountCents != row.AmountCents || ours.Currency != row.Currency:
			err = found(AmountDiffers, row.Reference, row.Currency, ours.AmountCents, row.AmountCents)
		default:
			m.Agree++
			err = agree(ctx, tx, r.Means, ours, d, &m)
		}
		if err != nil {
			return m, err
		}
		if ok {
			n, err := tx.Reported(ctx, r.Means, ours.ID)
			if err == nil && n > 1 {
				err = found(TwiceAtBank, row.Reference, row.Currency, ours.AmountCents, row.AmountCents)
			}
			if err != nil {
				return m, err
			}
		}
	}
	if r.More {
		return m, tx.RecordSettlement(ctx, "cash-report.taken", "cash-report", r.ID, d)
	}
	list, err := tx.OurCash(ctx, r.Means, r.From, r.To)
	if err != nil {
		return m, err
	}
	for _, ours := range list {
		n, err := tx.Reported(ctx, r.Means, ours.ID)
		if err == nil && n == 0 {
			err = found(MissingAtBank, ours.ID, ours.Currency, ours.AmountCents, 0)
		}
		if err != nil {
			return m, err
		}
	}
	return m, tx.RecordSettlement(ctx, "cash-report.taken", "cash-report", r.ID, d)
}

// agree ends what was missing at the bank, and is not any more.
func agree(ctx context.Context, tx CashTx, means string, ours Cash, d Deed, m *Matched) error {
	ended, err := tx.EndBreak(ctx, MissingAtBank+":"+means+":"+ours.ID, "job:reconciliation", "reported after all", d.Now)
	if ended {
		m.Ended++
	}
	return err
}

// Recheck ends breaks of a means whose cash the books have learnt of since, with
// the amount that the bank said; and returns how many.
func Recheck(ctx context.Context, tx CashTx, means string, d Deed) (ended int, err error) {
	day, after := int64(0), ""
	for {
		list, err := tx.Breaks(ctx, means, false, day, after, 500)
		if err != nil || len(list) == 0 {
			return ended, err
		}
		for _, b := range list {
			day, after = b.Day, b.ID
			if b.Kind != MissingWithUs && b.Kind != AmountDiffers {
				continue
			}
			ours, ok, err := tx.CashByReference(ctx, b.Subject)
			if err != nil {
				return ended, err
			}
			if ok && ours.Means == means && ours.AmountCents == b.TheirCents && ours.Currency == b.Currency {
				if _, err := tx.EndBreak(ctx, b.ID, "job:reconciliation", "the books have it since", d.Now); err != nil {
					return ended, err
				}
				ended++
			}
		}
	}
}

// Resolve ends a break by a person's word. billing.ErrNotFound,
// billing.ErrConflict if it is not open, billing.ErrInvalid without a reason.
func Resolve(ctx context.Context, tx CashTx, id string, d Deed) (Break, error) {
	if strings.TrimSpace(d.Reason) == "" || len(d.Reason) > 1000 {
		return Break{}, fmt.Errorf("%w: say why it is resolved, in at most 1,000 bytes", billing.ErrInvalid)
	}
	b, err := tx.Break(ctx, id)
	if err != nil {
		return b, err
	}
	ended, err := tx.EndBreak(ctx, id, d.By, d.Reason, d.Now)
	if err == nil && !ended && (b.EndedBy != d.By || b.Reason != d.Reason) {
		err = fmt.Errorf("%w: it was ended by %s", billing.ErrConflict, b.EndedBy)
	}
	if err == nil && ended {
		err = tx.RecordSettlement(ctx, "break.resolved", "settlement-break", id, d)
	}
	if err != nil {
		return b, err
	}
	return tx.Break(ctx, id)
}

// Chain compares passes, charges and receivables of a day, keeps every
// break, and returns how many are new.
func Chain(ctx context.Context, tx CashTx, day statement.Day, d Deed) (found int, err error) {
	list, err := tx.ChainBreaks(ctx, day.From, day.To, 1000)
	if err != nil {
		return 0, err
	}
	for _, b := range list {
		b.Day, b.FoundAt = day.Number, d.Now
		b.ID = b.Kind + ":" + b.Unit + ":" + b.Subject
		known, err := tx.PutBreak(ctx, b)
		if err != nil {
			return found, err
		}
		if !known {
			found++
		}
	}
	return found, nil
}
