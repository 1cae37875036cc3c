package books

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"freeflow/billing"
)

// change is what one database transaction does to the passes: a batch of the
// matcher's, a person's decision, or a restatement, which has neither.
type change struct {
	// batch is the batch, nil for others; it carries the fence and the
	// archive.
	batch    *billing.Batch
	decision *billing.Decision
	passes   []billing.Pass
	// gap is what the overlap guard holds; it is 0 where no pass moves.
	gap      int64
	postedAt time.Time
	// money: nothing changes but what passes owe.
	money bool
}

// moves reports whether passes may begin, end or move, so that the guard and
// the facilities' longest pass matter.
func (c *change) moves() bool { return c.decision == nil && !c.money }

// facilities returns the facilities to be locked, in order of name: those of
// the passes, and those of the reads that joined a pass without changing it.
func (c *change) facilities() []string {
	names := facilities(c.passes)
	if c.batch == nil || c.batch.Fence == nil {
		return names
	}
	for name := range c.batch.Fence.Epochs {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// outdated refuses a batch that was made before the facility's passes were
// judged anew, or under an older registry than is asked for there.
func (c *change) outdated(facility string, epoch, registry int64) error {
	if c.batch == nil || c.batch.Fence == nil {
		return nil
	}
	f := c.batch.Fence
	switch {
	case f.Epochs[facility] != epoch:
		return fmt.Errorf("%w: passes at %s were judged anew", billing.ErrOutdated, facility)
	case f.Registry < registry:
		return fmt.Errorf("%w: reads at %s were resolved under version %d of the registry, version %d is asked for", billing.ErrOutdated, facility, f.Registry, registry)
	}
	return nil
}

// record is a pass as the books hold it.
type record struct {
	billing.Pass
	// tollRevision is the revision at which the live toll was posted; 0 if the
	// pass owes nothing.
	tollRevision int64
}

// debt is what a pass owes to whom.
type debt struct {
	debtor, creditor string
	cents            int64
	currency         string
}

// owed returns what the pass owes as it stands; the zero debt if nothing.
func owed(p *billing.Pass) debt {
	if p.MergedInto != "" || p.AmountCents == 0 {
		return debt{}
	}
	d := debt{creditor: billing.OperatorPrefix + p.Facility, cents: p.AmountCents, currency: p.Currency}
	switch p.Status {
	case billing.StatusCharged:
		d.debtor = billing.MotoristPrefix + p.Account
	case billing.StatusUnpaid:
		d.debtor = billing.UnpaidPrefix + p.Facility
	default:
		return debt{}
	}
	return d
}

// Kinds of transactions.
const (
	kindToll     = "toll"
	kindReversal = "reversal"
)

// transactionID is made of what the transaction is, so that a repeat meets
// itself at the primary key.
func transactionID(passID string, revision int64, kind string) string {
	return passID + "-" + strconv.FormatInt(revision, 10) + "-" + kind
}

// mark is one row of pass_mark.
type mark struct {
	facility, name string
	firstMicros    int64
	passID         string
}

// place is what a facility's row has to become.
type place struct {
	facility             string
	longest, smallestGap int64
}

// plan is all that follows from a change once it is known what the passes
// were before. Everything in it stands in a fixed order.
type plan struct {
	postedAt     int64
	transactions []billing.Transaction
	balances     []billing.Balance
	// superseded are the passes of which a revision is to be kept.
	superseded []record
	// tollRevisions are the amended passes whose live toll is another now.
	tollRevisions []record
	marksPut      []mark
	marksDrop     []mark
	// payload is the outbox event; nil if there is nothing to tell.
	payload []byte
}

// event is the payload of an outbox row.
type event struct {
	PostedAt string      `json:"posted_at"`
	Passes   []eventPass `json:"passes"`
}

type eventPass struct {
	ID          string `json:"id"`
	Vehicle     string `json:"vehicle"`
	Account     string `json:"account"`
	Facility    string `json:"facility"`
	TollPoint   string `json:"toll_point"`
	PassTime    int64  `json:"pass_time"`
	Status      string `json:"status"`
	Class       string `json:"class"`
	AmountCents int64  `json:"amount_cents"`
	Currency    string `json:"currency"`
	Revision    int64  `json:"revision"`
	OwedChanged bool   `json:"owed_changed"`
	MergedInto  string `json:"merged_into,omitempty"`
}

// planChange works out what follows from the change. before holds the amended
// passes as they were, by id.
func planChange(c *change, before map[string]record) (*plan, error) {
	p := &plan{postedAt: c.postedAt.UnixMicro()}
	ev := event{PostedAt: c.postedAt.UTC().Format(time.RFC3339Nano)}
	moves := map[billing.Balance]int64{}
	for i := range c.passes {
		now := &c.passes[i]
		was, amended := before[now.ID]
		p.moveMarks(&was.Pass, now, amended)
		if amended && sameFacts(&was.Pass, now) {
			continue
		}
		if amended {
			p.superseded = append(p.superseded, was)
		}
		changed := p.settle(&was, now, amended, moves)
		if !amended || changed || toldFacts(now, false) != toldFacts(&was.Pass, false) {
			told := toldFacts(now, changed)
			told.Revision = now.Revision
			ev.Passes = append(ev.Passes, told)
		}
	}
	p.balances = sortedBalances(moves)
	if len(ev.Passes) == 0 {
		return p, nil
	}
	var err error
	p.payload, err = json.Marshal(ev)
	return p, err
}

// settle posts the difference between what the pass owed and what it owes,
// and reports whether there is one.
func (p *plan) settle(was *record, now *billing.Pass, amended bool, moves map[billing.Balance]int64) bool {
	var old debt
	if amended {
		old = owed(&was.Pass)
	}
	owes := owed(now)
	if old == owes {
		return false
	}
	tollRevision := int64(0)
	if old != (debt{}) {
		undone := transactionID(now.ID, was.tollRevision, kindToll)
		p.transact(now, kindReversal, undone, debt{old.debtor, old.creditor, -old.cents, old.currency}, moves)
	}
	if owes != (debt{}) {
		tollRevision = now.Revision
		p.transact(now, kindToll, "", owes, moves)
	}
	if amended {
		p.tollRevisions = append(p.tollRevisions, record{Pass: billing.Pass{ID: now.ID}, tollRevision: tollRevision})
	}
	return true
}

// transact adds one transaction of two legs.
func (p *plan) transact(pass *billing.Pass, kind, reverses string, d debt, moves map[billing.Balance]int64) {
	p.transactions = append(p.transactions, billing.Transaction{
		ID: transactionID(pass.ID, pass.Revision, kind), Kind: kind, PassID: pass.ID, Revision: pass.Revision,
		Currency: d.currency, Reverses: reverses,
		Entries: []billing.Entry{{Account: d.debtor, AmountCents: d.cents}, {Account: d.creditor, AmountCents: -d.cents}},
	})
	moves[billing.Balance{Account: d.debtor, Currency: d.currency}] += d.cents
	moves[billing.Balance{Account: d.creditor, Currency: d.currency}] -= d.cents
}

// moveMarks keeps pass_mark in step: it holds the marks of standing passes
// under the instant at which they begin.
func (p *plan) moveMarks(was, now *billing.Pass, amended bool) {
	var old []mark
	if amended {
		old = marksOf(was)
	}
	marks := marksOf(now)
	if slices.Equal(old, marks) {
		return
	}
	for _, m := range old {
		if !slices.Contains(marks, m) {
			p.marksDrop = append(p.marksDrop, m)
		}
	}
	for _, m := range marks {
		if !slices.Contains(old, m) {
			p.marksPut = append(p.marksPut, m)
		}
	}
}

// marksOf returns the rows that a pass has in pass_mark.
func marksOf(p *billing.Pass) []mark {
	if p.MergedInto != "" || len(p.Marks) == 0 {
		return nil
	}
	marks := make([]mark, len(p.Marks))
	for i, name := range p.Marks {
		marks[i] = mark{p.Facility, name, p.FirstMicros, p.ID}
	}
	return marks
}

// sameFacts reports whether nothing but the end, the evidence and the revision
// differs.
func sameFacts(a, b *billing.Pass) bool {
	return a.FirstMicros == b.FirstMicros && a.Status == b.Status && a.AmountCents == b.AmountCents &&
		a.Account == b.Account && a.Class == b.Class && a.Rule == b.Rule && a.Reasons == b.Reasons &&
		a.MergedInto == b.MergedInto && a.TariffVersion == b.TariffVersion && a.Currency == b.Currency &&
		a.Vehicle == b.Vehicle && a.Registered == b.Registered && a.TollPoint == b.TollPoint && a.Facility == b.Facility &&
		slices.Equal(a.Marks, b.Marks)
}

// toldFacts is what followers are told of a pass, without the revision.
func toldFacts(p *billing.Pass, owedChanged bool) eventPass {
	return eventPass{
		ID: p.ID, Vehicle: p.Vehicle, Account: p.Account, Facility: p.Facility, TollPoint: p.TollPoint, PassTime: p.FirstMicros,
		Status: p.Status, Class: p.Class, AmountCents: p.AmountCents, Currency: p.Currency,
		OwedChanged: owedChanged, MergedInto: p.MergedInto,
	}
}

// places returns what the facilities' rows have to become for the change,
// given how they stand; those that need nothing are left out. The order is
// that of standing.
func places(c *change, standing []place) []place {
	if !c.moves() {
		return nil
	}
	longest := make(map[string]int64, len(standing))
	for i := range c.passes {
		p := &c.passes[i]
		longest[p.Facility] = max(longest[p.Facility], p.LastMicros-p.FirstMicros)
	}
	var moved []place
	for _, s := range standing {
		next := place{s.facility, max(s.longest, longest[s.facility]), min(s.smallestGap, c.gap)}
		if next != s {
			moved = append(moved, next)
		}
	}
	return moved
}

// facilities returns the facilities that the passes touch, in order of name.
func facilities(passes []billing.Pass) []string {
	var names []string
	for i := range passes {
		if !slices.Contains(names, passes[i].Facility) {
			names = append(names, passes[i].Facility)
		}
	}
	slices.Sort(names)
	return names
}
