package payment

import (
	"context"
	"time"

	"freeflow/billing"
	"freeflow/billing/account"
	"freeflow/billing/notice"
)

// Record is what a person of the operator did, for the audit trail.
type Record struct {
	// By is the person's name, Role what they are.
	By, Role string
	// Action is lower-case dotted words.
	Action string
	// Attempt or account that it was about.
	Attempt, Account string
	Reason, Evidence string
	AmountCents      int64
	At               time.Time
}

// Tx is one transaction of the store: attempts and debits in one with the
// money. Methods that change what is there return billing.ErrStale where
// somebody else changed it since it was read.
type Tx interface {
	billing.Money
	notice.Tx
	account.Tx

	// PutPaymentAttempt keeps an attempt: with Version 0 a new one with its
	// items, else the state of one whose Version is still that. It sets Version.
	PutPaymentAttempt(ctx context.Context, a *Attempt) error
	// PaymentAttempt returns one with its items, locked until the transaction
	// ends if lock is set. billing.ErrNotFound.
	PaymentAttempt(ctx context.Context, id string, lock bool) (Attempt, error)
	// PaymentAttemptOfBill returns the Await of a bill number.
	// billing.ErrNotFound.
	PaymentAttemptOfBill(ctx context.Context, bill string) (Attempt, error)
	// PaymentAttemptDone returns, locked, the attempt that stands for what the
	// provider did under its own name. billing.ErrNotFound.
	PaymentAttemptDone(ctx context.Context, provider, ref string) (Attempt, error)
	// PaymentAttempts returns those selected, without items: with Due in the
	// order of NextAt, else newest first.
	PaymentAttempts(ctx context.Context, f Filter) ([]Attempt, error)
	// ClaimDebts makes debts the attempt's: billing.ErrConflict if one of them is
	// another's.
	ClaimDebts(ctx context.Context, attempt string, debts []string) error
	// ReleaseDebts gives up what the attempt claimed.
	ReleaseDebts(ctx context.Context, attempt string) error

	// PutPaymentDebit keeps a debit; with Version 0 a new one, unless there is
	// one of that ID: known. An item that another debit has is left out.
	PutPaymentDebit(ctx context.Context, d *Debit) (known bool, err error)
	// PaymentDebit returns one with its items, locked. billing.ErrNotFound.
	PaymentDebit(ctx context.Context, id string) (Debit, error)
	// DropDebitItem takes an item out of a debit, so that another may have it.
	DropDebitItem(ctx context.Context, i Item) error
	// TopUpsOf counts the top-up debits that an account ever had.
	TopUpsOf(ctx context.Context, account string) (int64, error)
	// DueDebits returns the ids of open debits whose NextAt has come.
	DueDebits(ctx context.Context, at time.Time, limit int) ([]string, error)
	// ForgiveTopUps makes failed top-ups of an account DebitOver, so that
	// automatic ones are tried again.
	ForgiveTopUps(ctx context.Context, account string) error
	// NotDebited returns open, unheld receivables of the account that were posted
	// before the instant and are in no debit, in the order of postings.
	NotDebited(ctx context.Context, account, currency string, before time.Time, limit int) ([]billing.Receivable, error)
	// TripsToDebit is NotDebited for all accounts that pay per trip at the
	// instant.
	TripsToDebit(ctx context.Context, at time.Time, limit int) ([]billing.Receivable, error)

	// AddMeans keeps means and returns them with their revision.
	AddMeans(ctx context.Context, m Means) (Means, error)
	// MeansAt returns those in force at the instant; billing.ErrNotFound.
	MeansAt(ctx context.Context, account string, at time.Time) (Means, error)
	// MeansHistory returns all of an account, by revision.
	MeansHistory(ctx context.Context, account string) ([]Means, error)
	// AccountsPaying returns the accounts whose means in force at the instant are
	// of the mode, above the one given, in order.
	AccountsPaying(ctx context.Context, mode string, at time.Time, after string, limit int) ([]Means, error)
	// LowWallets returns prepaid accounts below their threshold that have no
	// top-up under way, none that was given up under the same means, and, if
	// there is nothing to top up by, were not told yet.
	LowWallets(ctx context.Context, at time.Time, limit int) ([]Low, error)
	// TellLow marks an account as told that its wallet is low, or, by
	// ForgetLow, those that are no longer low as not told.
	TellLow(ctx context.Context, account string, at time.Time) (first bool, err error)
	ForgetLow(ctx context.Context, at time.Time) error

	// ClosingDay returns how far a day is closed, locked; a new one if it was
	// never begun. PutClosingDay keeps it. LastClosedDay returns the latest that
	// is done, empty if none is.
	ClosingDay(ctx context.Context, day string) (DayClosing, error)
	PutClosingDay(ctx context.Context, d DayClosing) error
	LastClosedDay(ctx context.Context) (string, error)

	// NoteNotice keeps that a notice of the provider was taken; known if it was
	// before.
	NoteNotice(ctx context.Context, provider, id, attempt string, at time.Time) (known bool, err error)
	// TellPayment keeps an event, once under its ID.
	TellPayment(ctx context.Context, e Event) error
	// PaymentEvents returns an account's events, newest first; of an empty
	// account those for a person of the operator.
	PaymentEvents(ctx context.Context, account string, before time.Time, limit int) ([]Event, error)
	// UntoldPayments returns events that nobody has taken to be told, oldest
	// first; TookPayments marks them.
	UntoldPayments(ctx context.Context, limit int) ([]Event, error)
	TookPayments(ctx context.Context, ids []string, at time.Time) error

	// PutPayReference keeps a notice's number; more receivables under the same
	// number and vehicle are added. billing.ErrConflict: the number is another
	// vehicle's.
	PutPayReference(ctx context.Context, r Reference) error
	// PayReference returns what is open of what a notice names, by one
	// statement whether or not it is there. named is 0 if there is no such
	// notice of such a vehicle; what turned out to be another's counts no more.
	PayReference(ctx context.Context, vehicle, number string) (open []billing.Receivable, named int64, err error)

	// RefundableOf returns an account's attempts whose money can be given back,
	// newest first.
	RefundableOf(ctx context.Context, account, currency string, limit int) ([]ClosedSource, error)
	// IdleMoney returns attempts of payers without an account whose wallet holds
	// something that no refund was tried of.
	IdleMoney(ctx context.Context, limit int) ([]string, error)
	// LivePayments counts an account's attempts under way or unknown.
	LivePayments(ctx context.Context, account string) (int64, error)
	// LeftOf says what keeps an account from being paid out.
	LeftOf(ctx context.Context, account string) (Left, error)
	// ClosingAccounts returns at most limit closing accounts whose end has come,
	// that owe nothing, hold nothing and are not put off, after an id.
	ClosingAccounts(ctx context.Context, now time.Time, after string, limit int) ([]string, error)
	// PutOff notes that an item of a job failed and leaves it for a while;
	// DropPutOff forgets that.
	PutOff(ctx context.Context, job, item, why string, now time.Time) (failures int64, err error)
	DropPutOff(ctx context.Context, job, item string) error

	// PutPaymentDeed keeps a deed: with Version 0 a new one, else the decision on
	// one whose Version is still that. It sets Version. billing.ErrConflict if
	// one about the same waits already, or if somebody decides on their own.
	PutPaymentDeed(ctx context.Context, d *Deed) error
	// PaymentDeed returns one, locked. billing.ErrNotFound.
	PaymentDeed(ctx context.Context, id string) (Deed, error)
	// PaymentDeeds returns those in a state, or all, newest first, after the place
	// of the last one seen.
	PaymentDeeds(ctx context.Context, state string, afterAt time.Time, afterID string, limit int) ([]Deed, error)
	// DoneAlone adds up a person's deeds of a kind that no second person decided
	// on, since an instant.
	DoneAlone(ctx context.Context, by, kind, currency string, since time.Time) (int64, error)

	// RecordPayment adds to the audit trail.
	RecordPayment(ctx context.Context, r Record) error
}

// Store runs functions in transactions; books.Keep[Tx] is one. Do may run its
// function again. An error of Do other than the function's own leaves unknown
// whether it was committed.
type Store interface {
	Do(ctx context.Context, fn func(Tx) error) error
	View(ctx context.Context, fn func(Tx) error) error
}
