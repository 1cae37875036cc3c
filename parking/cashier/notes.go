package cashier

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"freeflow/parking"
	"freeflow/parking/stay"
	"freeflow/parking/tariff"
)

// Kinds of notes.
const (
	notePayment    = "payment"
	noteValidation = "validation"
	noteCharging   = "charging"
	noteFlag       = "flag"
	notePermit     = "permit"
	notePass       = "pass"
	noteQuote      = "quote"
	notePause      = "pause"
	noteDecision   = "decision"
	noteLost       = "lost-ticket"
	notePreference = "preference"
	noteBay        = "bay"
)

// maxNotes bounds the notes of one stay.
const maxNotes = 200

// note is one thing that was put on a stay by somebody, and not seen by a lane.
// It stays with what it was put on (Anchor) when the stays are derived anew.
type note struct {
	Kind   string    `json:"kind"`
	Anchor string    `json:"anchor"`
	At     time.Time `json:"at"`
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`

	Payment    *paymentNote       `json:"payment,omitempty"`
	Validation *tariff.Validation `json:"validation,omitempty"`
	Charging   *chargingNote      `json:"charging,omitempty"`
	// Name is the flag, permit, pass, quote or allocation; Off takes the flag or permit away.
	Name string `json:"name,omitempty"`
	Off  bool   `json:"off,omitzero"`
	// From and To bound a pause.
	From     time.Time      `json:"from,omitzero"`
	To       time.Time      `json:"to,omitzero"`
	Decision *stay.Decision `json:"decision,omitempty"`
	// Account and Pays are what the account had said when the stay was first
	// settled: what it says later is about later stays.
	Account string `json:"account,omitempty"`
	Pays    bool   `json:"pays,omitzero"`
}

// paymentNote is money received.
type paymentNote struct {
	ID          string `json:"id"`
	AmountCents int64  `json:"amount_cents"`
	Means       string `json:"means"`
	// For is the instant up to which it paid; zero if it paid only a part.
	For time.Time `json:"for,omitzero"`
	// KeptCents of it were not given back.
	KeptCents int64 `json:"kept_cents"`
	// LedgerID is the ledger's present payment, empty if all was given back;
	// Charge the stay whose charge it stands at; Turn counts the ledger's
	// payments that were made of this one.
	LedgerID string `json:"ledger_id,omitempty"`
	Charge   string `json:"charge,omitempty"`
	Turn     int    `json:"turn"`
}

// chargingNote is one charging session of an EV.
type chargingNote struct {
	Session   string    `json:"session"`
	PlugIn    time.Time `json:"plug_in"`
	ChargeEnd time.Time `json:"charge_end,omitzero"`
	Unplug    time.Time `json:"unplug,omitzero"`
	WattHours int64     `json:"watt_hours,omitzero"`
}

// order is what was last ordered of the ledger for a stay.
type order struct {
	// TicketCents is charged to nobody's account, for payments to pay;
	// AccountCents to Account.
	TicketCents  int64  `json:"ticket_cents,omitzero"`
	AccountCents int64  `json:"account_cents,omitzero"`
	Account      string `json:"account,omitempty"`
	Means        string `json:"means,omitempty"`
	// Ticketed and Accounted: such a charge was once ordered.
	Ticketed  bool `json:"ticketed,omitzero"`
	Accounted bool `json:"accounted,omitzero"`
}

// details are the cashier's own facts of a stay, in Stay.Details.
type details struct {
	Names       []string `json:"names,omitempty"`
	Events      []string `json:"events,omitempty"`
	Allocations []string `json:"allocations,omitempty"`
	Notes       []note   `json:"notes,omitempty"`
	Ordered     order    `json:"ordered,omitzero"`
	// Problem says why there is no price.
	Problem string `json:"problem,omitempty"`
	// Inputs is a digest of what the stay was settled by.
	Inputs string `json:"inputs,omitempty"`
	// Basis is what a person sees who decides.
	Basis string `json:"basis,omitempty"`
	// Superseded: what it was seen by belongs to other stays now.
	Superseded bool `json:"superseded,omitzero"`
	Open       bool `json:"open,omitzero"`
	// Rated is what the tariff was told when the stay was priced last, for
	// comparisons with another tariff.
	Rated *tariff.Stay `json:"rated,omitempty"`
}

// record is a stay as stored, with its details read.
type record struct {
	parking.Stay
	details details
}

func read(s parking.Stay) (record, error) {
	r := record{Stay: s}
	if len(s.Details) > 0 {
		if err := json.Unmarshal(s.Details, &r.details); err != nil {
			return r, fmt.Errorf("reading the details of stay %s: %w", s.ID, err)
		}
	}
	return r, nil
}

// write puts the details into the stay.
func (r *record) write() error {
	b, err := json.Marshal(&r.details, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("writing the details of stay %s: %w", r.ID, err)
	}
	r.Stay.Details = b
	return nil
}

// began is the entry, or the exit where the entry is not known.
func (r *record) began() time.Time {
	if r.Entry.IsZero() {
		return r.Exit
	}
	return r.Entry
}

// anchor is what notes put on the stay now are bound to.
func (r *record) anchor() string {
	switch {
	case r.EntryEvent != "":
		return r.EntryEvent
	case r.ExitEvent != "":
		return r.ExitEvent
	case r.Allocation != "":
		return stay.BayAnchor(r.Allocation)
	case len(r.details.Events) > 0:
		return r.details.Events[0]
	default:
		return "stay:" + r.ID
	}
}

// paid is what payments have paid and keep.
func paid(notes []note) int64 {
	var sum int64
	for i := range notes {
		if p := notes[i].Payment; p != nil {
			sum += p.KeptCents
		}
	}
	return sum
}

func sortNotes(notes []note) {
	slices.SortStableFunc(notes, func(a, b note) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name))
	})
}

// add puts a note on the stay.
func (r *record) add(n note) error {
	if len(r.details.Notes) >= maxNotes {
		return fmt.Errorf("stay %s has %d notes, which is the most: %w", r.ID, maxNotes, parking.ErrConflict)
	}
	r.details.Notes = append(r.details.Notes, n)
	sortNotes(r.details.Notes)
	return nil
}
