package billing

import (
	"context"
	"time"
)

// WalletPrefix begins the code of an account of the ledger that holds money of
// somebody, who may spend it on receivables: "wallet:" + holder. Its balance
// is negative: it is owed to the holder.
const WalletPrefix = "wallet:"

// Holders of wallets other than accounts, whose holder is their id: a class
// tag's stored value is held by "tag:" + the tag, what came from somebody
// without an account by "once:" + the receipt's id.
const (
	HolderTag  = "tag:"
	HolderOnce = "once:"
)

// Kinds of movements.
const (
	// Receipt: money came in, and stands in the holder's wallet.
	Receipt = "receipt"
	// Payout: money left the holder's wallet for good.
	Payout = "payout"
)

// ReceivableToll is the kind of a pass's receivable; that of a charge has the
// charge's kind.
const ReceivableToll = "toll"

// ReceivablePass and ReceivableCharge begin the ids of receivables; the id of
// the pass or charge follows.
const (
	ReceivablePass   = "pass:"
	ReceivableCharge = "charge:"
)

// Movement is money that came in for a wallet, or left one.
type Movement struct {
	// ID is made by who moves the money and never changes: 1 to 256 bytes. The
	// same id and content again changes nothing.
	ID string
	// Kind is Receipt or Payout.
	Kind string
	// Holder is whose wallet: an account's id, or as HolderTag and HolderOnce
	// say.
	Holder string
	// Means is how, such as "card" or "fps"; the money stands at "cash:" + Means.
	Means string
	// AmountCents is positive.
	AmountCents int64
	Currency    string
	// At is when it happened, by the word of who moved it; the posting date is
	// another thing.
	At time.Time
	// Note is for people, at most 1,000 bytes: where from, where to.
	Note string
	// ReversedAt is when it was undone; the zero value while it stands. The
	// books keep it.
	ReversedAt time.Time
}

// Receivable is what one pass or charge has given somebody to pay. The books
// derive it from postings, in their order, shortly after each; nobody else
// writes it.
type Receivable struct {
	// ID is "pass:" or "charge:" and the id of the pass or charge.
	ID string
	// Kind is ReceivableToll, or the charge's kind.
	Kind string
	// Account owes; empty if it is nobody's account: it then stands at
	// "unpaid:" + Creditor.
	Account string
	// Creditor is the facility, or who else is owed.
	Creditor string
	// Vehicle is the vehicle's name as passes have it.
	Vehicle string
	// AmountCents is what is owed in all, PaidCents what collections have paid
	// of it. What was paid at a till (Charging.PostPayment) is not in
	// AmountCents any more.
	AmountCents, PaidCents int64
	Currency               string
	// OccurredMicros is the pass's or charge's own time; microseconds since the
	// Unix epoch, UTC.
	OccurredMicros int64
	// PostedAt is when what is owed was last posted, Posting its place in the
	// order of postings.
	PostedAt time.Time
	Posting  int64
	// Revision is the pass's or charge's.
	Revision int64
	// Hold says why nothing is collected for it meanwhile, such as "dispute:"
	// and an id; empty if it is.
	Hold string
	// Short reports that a wallet of its debtor did not cover it when it was
	// last tried.
	Short bool
}

// RestCents is what is still to be paid.
func (r Receivable) RestCents() int64 { return r.AmountCents - r.PaidCents }

// Collection is one payment of the whole rest of one receivable out of one
// wallet.
type Collection struct {
	// ID is the receivable's and a number.
	ID         string
	Receivable string
	Holder     string
	// AmountCents is positive.
	AmountCents int64
	Currency    string
	PostedAt    time.Time
	// ReversedAt is when it was undone; the zero value while it stands.
	ReversedAt time.Time
	// Reason says why it was undone.
	Reason string
}

// Wallet is money held for somebody.
type Wallet struct {
	Holder   string
	Currency string
	// BalanceCents is what is held, never negative: the database refuses it.
	BalanceCents int64
	// Manual reports that nothing is collected from it by itself: whoever
	// brought the money says what for.
	Manual bool
}

// ReceivableFilter selects receivables. Zero fields do not restrict.
type ReceivableFilter struct {
	Account, Vehicle, Creditor, Kind string
	// Nobodys selects those that nobody's account owes.
	Nobodys bool
	// Open selects those with something still to be paid.
	Open bool
	// FromMicros and ToMicros bound OccurredMicros, half-open: [from, to).
	// ToMicros 0 means no upper bound.
	FromMicros, ToMicros int64
	// PostedFrom and PostedTo bound PostedAt, half-open.
	PostedFrom, PostedTo time.Time
	// AfterMicros and AfterID are the place of the last one seen, in the order
	// of OccurredMicros and ID; both zero at the start.
	AfterMicros int64
	AfterID     string
	// Limit bounds the answer; it must be positive.
	Limit int
}

// MoneyReading reads wallets, receivables and what moved. Part of a
// transaction: one snapshot.
type MoneyReading interface {
	// Receivable returns one; ErrNotFound, also for a pass or charge that never
	// owed anything or whose posting has not been followed yet.
	Receivable(ctx context.Context, id string) (Receivable, error)
	// Receivables returns those selected in the order of OccurredMicros and ID.
	Receivables(ctx context.Context, f ReceivableFilter) ([]Receivable, error)
	// Collections returns what was collected for a receivable, undone ones too,
	// in order.
	Collections(ctx context.Context, receivable string) ([]Collection, error)
	// Wallet returns a wallet; an empty one if nothing was ever there.
	Wallet(ctx context.Context, holder, currency string) (Wallet, error)
	// Movement returns one; ErrNotFound.
	Movement(ctx context.Context, id string) (Movement, error)
	// Movements returns a holder's movements with from <= At < to in the order
	// of At and id, at most limit after the one with the id after (empty: from
	// the start).
	Movements(ctx context.Context, holder string, from, to time.Time, after string, limit int) ([]Movement, error)
}

// Money moves money between wallets and receivables, as part of a transaction
// that does it all or nothing. Whoever posts gives the posting date.
type Money interface {
	MoneyReading
	// Move posts a movement; known reports that the same was posted before.
	// ErrConflict: the id is another movement's; or a payout of more than the
	// wallet holds. ErrInvalid. A receipt does not collect by itself: see
	// CollectOpen.
	Move(ctx context.Context, m Movement, postedAt time.Time) (known bool, err error)
	// ReverseMovement undoes a movement entirely, once; doing it again changes
	// nothing. Where a receipt's money has been spent, the latest collections
	// from the wallet are undone until it is there. ErrNotFound.
	ReverseMovement(ctx context.Context, id, reason string, postedAt time.Time) error
	// Collect pays the whole rest of each of the receivables out of the
	// holder's wallet, in the order given, and returns what it paid. Those that
	// nothing is owed for, that are held, or that another account owes by now, are
	// passed over; so are those that
	// the wallet does not cover, which are marked Short.
	Collect(ctx context.Context, holder string, receivables []string, postedAt time.Time) ([]Collection, error)
	// CollectOpen is Collect for all open receivables of the holder: an
	// account's in the order of postings, or those of a class tag's own
	// vehicle. At most limit are tried.
	CollectOpen(ctx context.Context, holder, currency string, limit int, postedAt time.Time) ([]Collection, error)
	// Uncollect undoes all standing collections of a receivable: the money is
	// in the wallets again from which it came. ErrNotFound.
	Uncollect(ctx context.Context, receivable, reason string, postedAt time.Time) ([]Collection, error)
	// Hold keeps a receivable from being collected, or lets it go (reason
	// empty). Who holds it may let it go, nobody else: ErrConflict if another
	// reason stands than was. ErrNotFound.
	Hold(ctx context.Context, receivable, was, reason string) error
	// PutHeir says who takes over a wallet from an instant on, as a class tag
	// ends: what is open for it and what comes back to it is the heir's then, and
	// what is left in it is moved on (Collecting.MoveOn).
	PutHeir(ctx context.Context, holder, currency, heir string, from time.Time) error
	// PutWallet makes a wallet, or changes how it is used.
	PutWallet(ctx context.Context, holder, currency string, manual bool) error
	// PostCharge is Charging.PostCharge within the transaction.
	PostCharge(ctx context.Context, c Charge, postedAt time.Time) (Charge, error)
}

// Followed is what one call of FollowPostings did.
type Followed struct {
	// Postings is how many were taken, Oldest the posting date of the first; the
	// zero values if there was nothing to follow.
	Postings int
	Oldest   time.Time
	// Collected and GivenBack count collections made and undone.
	Collected, GivenBack int
}

// Collecting follows the postings. Safe for concurrent use and by several
// processes.
type Collecting interface {
	// MoveOn moves what is left in at most limit wallets to those who took them
	// over by the posting date, and returns how many there were.
	MoveOn(ctx context.Context, limit int, postedAt time.Time) (int, error)
	// FollowPostings takes at most limit postings, oldest first, brings the
	// receivables in line with them, gives back what was collected for what is
	// no longer owed, and pays what wallets that are not Manual cover, in the
	// order of the postings. A posting is taken once, whoever crashes when. How
	// postings fall into calls makes no difference to what is owed and paid in
	// the end, as far as a wallet to which money comes back has at most 200 open
	// receivables.
	//
	// What somebody paid stays paid as far as it is owed: where less is owed, or
	// where a toll was not owed for a time and then is again by the same, those
	// wallets pay first that had paid before, Manual ones too.
	FollowPostings(ctx context.Context, limit int, postedAt time.Time) (Followed, error)
	// Unfollowed returns the posting date of the oldest posting that was not
	// taken yet; the zero value if there is none.
	Unfollowed(ctx context.Context) (time.Time, error)
}
