package dispute

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"freeflow/billing"
)

// Evidence is what was known of a charge at an instant, kept as it was.
type Evidence struct {
	Reference string
	// Number counts from 1.
	Number int64
	At     time.Time
	// PassRevision is the revision of the pass or charge that it shows.
	PassRevision int64
	// Body is JSON of a Bundle; Digest its SHA-256 in hex.
	Body   []byte
	Digest string
}

// Intact reports whether the body is what the digest was made of.
func (e *Evidence) Intact() bool { return e.Digest == digest(e.Body) }

func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// Bundle is the evidence of one charge.
type Bundle struct {
	// Receivable is the charge; Pass is set where it is a pass, Charge where not.
	Receivable string       `json:"receivable"`
	Pass       *PassFacts   `json:"pass,omitempty"`
	Charge     *ChargeFacts `json:"charge,omitempty"`
	// Reads are the pass's in order of time: the antenna and signal timeline.
	Reads []ReadFacts `json:"reads,omitempty"`
	// ReadsComplete is false if some reads are no longer kept.
	ReadsComplete bool             `json:"reads_complete"`
	Revisions     []RevisionFacts  `json:"revisions"`
	Entries       []EntryFacts     `json:"entries"`
	Collections   []CollectedFacts `json:"collections"`
	// Near are other passes of the vehicle near it in time.
	Near []PassFacts `json:"near,omitempty"`
}

// PassFacts is a pass. Times are RFC 3339 with microseconds; amounts decimals.
type PassFacts struct {
	ID            string   `json:"id"`
	Revision      int64    `json:"revision"`
	Facility      string   `json:"facility"`
	TollPoint     string   `json:"toll_point"`
	First         string   `json:"first"`
	Last          string   `json:"last"`
	Vehicle       string   `json:"vehicle"`
	Registered    bool     `json:"registered"`
	Status        string   `json:"status"`
	Class         string   `json:"class"`
	Account       string   `json:"account,omitempty"`
	Amount        string   `json:"amount"`
	Currency      string   `json:"currency,omitempty"`
	Rule          string   `json:"rule"`
	TariffVersion string   `json:"tariff_version"`
	Marks         []string `json:"marks,omitempty"`
	DecidedBy     string   `json:"decided_by,omitempty"`
	MergedInto    string   `json:"merged_into,omitempty"`
}

// ChargeFacts is another charge.
type ChargeFacts struct {
	ID          string `json:"id"`
	Kind        string `json:"kind"`
	Revision    int64  `json:"revision"`
	Account     string `json:"account,omitempty"`
	Creditor    string `json:"creditor"`
	Amount      string `json:"amount"`
	Paid        string `json:"paid"`
	Currency    string `json:"currency"`
	Occurred    string `json:"occurred"`
	Description string `json:"description"`
	Vehicle     string `json:"vehicle,omitempty"`
}

// RevisionFacts is what the charge was before.
type RevisionFacts struct {
	Revision   int64  `json:"revision"`
	ReplacedAt string `json:"replaced_at"`
	Status     string `json:"status,omitempty"`
	Class      string `json:"class,omitempty"`
	Account    string `json:"account,omitempty"`
	Amount     string `json:"amount"`
	Rule       string `json:"rule,omitempty"`
	Reasons    string `json:"reasons,omitempty"`
}

// EntryFacts is one leg of a transaction.
type EntryFacts struct {
	Transaction string `json:"transaction"`
	Kind        string `json:"kind"`
	PostedAt    string `json:"posted_at"`
	Account     string `json:"account"`
	Amount      string `json:"amount"`
}

// CollectedFacts is what was collected for it.
type CollectedFacts struct {
	ID         string `json:"id"`
	Holder     string `json:"holder"`
	Amount     string `json:"amount"`
	PostedAt   string `json:"posted_at"`
	ReversedAt string `json:"reversed_at,omitempty"`
}

// Gatherer finds the evidence of a charge; it may read archives and be slow.
type Gatherer interface {
	// Gather returns it and the revision of the pass or charge that it shows.
	// billing.ErrNotFound.
	Gather(ctx context.Context, receivable string) (Bundle, int64, error)
}

// FormatInstant writes an instant as evidence has it.
func FormatInstant(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000000Z") }

// FactsOf writes a pass as evidence has it.
func FactsOf(p *billing.Pass) PassFacts {
	f := PassFacts{
		ID: p.ID, Revision: p.Revision, Facility: p.Facility, TollPoint: p.TollPoint, First: FormatInstant(time.UnixMicro(p.FirstMicros)),
		Last: FormatInstant(time.UnixMicro(p.LastMicros)), Vehicle: p.Vehicle, Registered: p.Registered, Status: p.Status, Class: p.Class,
		Account: p.Account, Amount: billing.FormatCents(p.AmountCents), Currency: p.Currency, Rule: p.Rule, TariffVersion: p.TariffVersion,
		Marks: p.Marks, MergedInto: p.MergedInto,
	}
	if p.Decision != nil {
		f.DecidedBy = p.Decision.By
	}
	return f
}

// gather brings the evidence of a dispute and keeps it: outside the
// transaction that opened it, since archives take their time.
func (s *Service) gather(ctx context.Context, d Dispute) error {
	bundle, revision, err := s.Gatherer.Gather(ctx, d.Receivable)
	if err != nil {
		return fmt.Errorf("gathering the evidence of dispute %s: %w", d.Reference, err)
	}
	body, err := json.Marshal(bundle)
	if err != nil {
		return fmt.Errorf("writing the evidence of dispute %s: %w", d.Reference, err)
	}
	e := Evidence{Reference: d.Reference, At: s.Clock.Now(), PassRevision: revision, Body: body, Digest: digest(body)}
	err = s.Keeping.Do(ctx, func(tx Tx) error {
		if _, err := tx.LockDispute(ctx, d.Reference); err != nil {
			return err
		}
		list, err := tx.EvidenceOf(ctx, d.Reference)
		if err != nil {
			return err
		}
		if n := len(list); n > 0 && list[n-1].PassRevision >= revision {
			return nil // another process was first
		}
		e.Number = int64(len(list)) + 1
		return tx.AddEvidence(ctx, e)
	})
	if err != nil {
		return fmt.Errorf("keeping the evidence of dispute %s: %w", d.Reference, err)
	}
	return nil
}
