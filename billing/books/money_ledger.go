package books

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"freeflow/billing"
	"freeflow/internal/database"
)

// Kinds of transactions that belong to money held for somebody.
const (
	kindReceipt    = billing.Receipt
	kindPayout     = billing.Payout
	kindCollection = "collection"
)

// movementMoney names the transactions of a movement, apart from those of
// receivables, whose ids begin otherwise.
func movementMoney(id string) string { return "move:" + id }

// moneyTransactionID is made of what the transaction is, so that a repeat meets
// itself at the primary key.
func moneyTransactionID(moneyID string, revision int64, kind string) string {
	return transactionID("money:"+moneyID, revision, kind)
}

// moneyPosting is what one database transaction adds to the ledger of one
// posting date for wallets.
type moneyPosting struct {
	at           time.Time
	transactions []billing.Transaction
	told         []eventMoney
}

// moneyEvent is the payload of an outbox row of money.
type moneyEvent struct {
	PostedAt string       `json:"posted_at"`
	Money    []eventMoney `json:"money"`
}

type eventMoney struct {
	// ID is the transaction's.
	ID          string `json:"id"`
	Kind        string `json:"kind"`
	Holder      string `json:"holder"`
	Receivable  string `json:"receivable,omitempty"`
	Movement    string `json:"movement,omitempty"`
	AmountCents int64  `json:"amount_cents"`
	Currency    string `json:"currency"`
}

// maxTold bounds the transactions of one posting: its event has to fit into a
// message of the log.
const maxTold = 1000

// transact adds one transaction of two legs to what the ledger gets. The amount
// of a reversal is that of what it undoes, with the opposite sign.
func (t *Tx) transact(at time.Time, told eventMoney, moneyID string, revision int64, reverses string, d debt) {
	var p *moneyPosting
	if i := slices.IndexFunc(t.postings, func(p *moneyPosting) bool { return p.at.Equal(at) && len(p.told) < maxTold }); i >= 0 {
		p = t.postings[i]
	} else {
		p = &moneyPosting{at: at}
		t.postings = append(t.postings, p)
	}
	told.ID, told.AmountCents, told.Currency = moneyTransactionID(moneyID, revision, told.Kind), d.cents, d.currency
	p.told = append(p.told, told)
	p.transactions = append(p.transactions, billing.Transaction{
		ID: told.ID, Kind: told.Kind, MoneyID: moneyID, Revision: revision, Currency: d.currency, Reverses: reverses,
		Entries: []billing.Entry{{Account: d.debtor, AmountCents: d.cents}, {Account: d.creditor, AmountCents: -d.cents}},
	})
	t.move(d)
}

// move remembers what a transaction does to balances.
func (t *Tx) move(d debt) {
	t.moves[billing.Balance{Account: d.debtor, Currency: d.currency}] += d.cents
	t.moves[billing.Balance{Account: d.creditor, Currency: d.currency}] -= d.cents
}

// collectedMark is what outbox.collected_at holds for what was posted at the
// instant: 0 means that nobody has followed it yet.
func collectedMark(at time.Time) int64 {
	if micros := at.UnixMicro(); micros != 0 {
		return micros
	}
	return 1
}

// flush writes the ledger: outbox, transactions and entries of each posting,
// then the balances.
func (t *Tx) flush(ctx context.Context) error {
	for _, p := range t.postings {
		if err := p.write(ctx, t.db); err != nil {
			return err
		}
	}
	balances := sortedBalances(t.moves)
	rows := make([][]any, 0, len(balances))
	for _, b := range balances {
		if b.AmountCents != 0 {
			rows = append(rows, []any{b.Account, b.Currency, b.AmountCents})
		}
	}
	t.postings, t.moves = nil, map[billing.Balance]int64{}
	return insertRows(ctx, t.db, `INSERT INTO balance AS b (account, currency, amount_cents) VALUES `, rows,
		` ON CONFLICT (account, currency) DO UPDATE SET amount_cents = b.amount_cents + excluded.amount_cents`)
}

// write writes one posting. What moves money of wallets owes nothing to
// anybody, so that its event is followed already.
func (p *moneyPosting) write(ctx context.Context, db database.Session) error {
	payload, err := json.Marshal(moneyEvent{PostedAt: p.at.UTC().Format(time.RFC3339Nano), Money: p.told})
	if err != nil {
		return err
	}
	at := p.at.UnixMicro()
	var posting int64
	_, err = database.One(ctx, db, `INSERT INTO outbox (posted_at, collected_at, transactions, payload) VALUES ($1, $2, $3, $4) RETURNING id`,
		[]any{at, collectedMark(p.at), int64(len(p.transactions)), payload}, &posting)
	if err != nil {
		return err
	}
	i := 0
	err = db.Bulk(ctx, "transactions", []string{"id", "kind", "pass_id", "charge_id", "money_id", "revision", "currency", "reverses", "posted_at", "posting"},
		func() ([]any, bool) {
			if i == len(p.transactions) {
				return nil, false
			}
			one := &p.transactions[i]
			i++
			return []any{one.ID, one.Kind, "", "", one.MoneyID, one.Revision, one.Currency, one.Reverses, at, posting}, true
		})
	if err != nil {
		return err
	}
	i = 0
	return db.Bulk(ctx, "entries", []string{"transaction_id", "leg", "account", "amount_cents"}, func() ([]any, bool) {
		if i == 2*len(p.transactions) {
			return nil, false
		}
		one := &p.transactions[i/2]
		leg := i % 2
		i++
		return []any{one.ID, int64(leg + 1), one.Entries[leg].Account, one.Entries[leg].AmountCents}, true
	})
}

// insertRows runs one statement for many rows, in a few sizes of chunks so that
// few texts have to be compiled: head, a tuple a row, tail.
func insertRows(ctx context.Context, db database.Session, head string, rows [][]any, tail string) error {
	for len(rows) > 0 {
		n := 1
		switch {
		case len(rows) >= 64:
			n = 64
		case len(rows) >= 8:
			n = 8
		}
		width := len(rows[0])
		args := make([]any, 0, n*width)
		text := head
		for i := range n {
			if i > 0 {
				text += ", "
			}
			text += "(" + database.Placeholders(i*width+1, width) + ")"
			args = append(args, rows[i]...)
		}
		rows = rows[n:]
		if _, err := db.Exec(ctx, text+tail, args...); err != nil {
			return err
		}
	}
	return nil
}

// inChunk is how many keys one statement of SQLite's asks for.
const inChunk = 200

// eachIn calls fn for every row of a query about many keys: head ends with the
// column, tail goes on behind the list. On PostgreSQL it is one statement, and
// tail's order holds for all.
func (t *Tx) eachIn(ctx context.Context, head string, keys []string, tail string, fn func(database.Rows) error) error {
	if len(keys) == 0 {
		return nil
	}
	if t.s.db.Kind() == database.PostgreSQL {
		return database.Each(ctx, t.db, head+` = ANY($1::text[])`+tail, []any{slices.Clone(keys)}, fn)
	}
	for len(keys) > 0 {
		n := min(len(keys), inChunk)
		size := inChunk
		if n <= 8 {
			size = 8
		}
		args := make([]any, size)
		for i := range args {
			// The last one repeats, so that there are few statements.
			args[i] = keys[min(i, n-1)]
		}
		keys = keys[n:]
		if err := database.Each(ctx, t.db, head+` IN (`+database.Placeholders(1, size)+`)`+tail, args, fn); err != nil {
			return err
		}
	}
	return nil
}

// locking is what a query ends with that keeps others from changing what it
// finds, until the end of the transaction. On SQLite nobody else writes.
func (t *Tx) locking() string {
	if t.s.db.Kind() == database.PostgreSQL {
		return ` FOR NO KEY UPDATE`
	}
	return ""
}
