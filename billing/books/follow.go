package books

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/internal/database"
)

// maxFollowed bounds how many passes and charges one transaction follows,
// beyond the first posting: a follower must not keep posters waiting, least of
// all on SQLite, where they stand still meanwhile.
const (
	maxFollowedSQLite   = 200
	maxFollowedPostgres = 4000
)

// maxOpenTried bounds how many open receivables of a wallet are tried when
// money came back to it.
const maxOpenTried = 200

// reasonOwed is said of what was given back by itself: less is owed now, or by
// another.
const reasonOwed = "less is owed, or by another"

// owing is what a posting says that a pass or charge owes.
type owing struct {
	billing.Receivable // without what is paid, the hold and shortness
	// first says that nothing of it can be in the books of receivables yet.
	first bool
}

// followed is one posting.
type followed struct {
	posting  int64
	postedAt time.Time
	owings   []owing
}

// OneWriter reports whether whoever writes to these books keeps all others who
// write waiting.
func (s *Store) OneWriter() bool { return s.db.Kind() == database.SQLite }

// FollowPostings derives receivables from postings and collects. See
// billing.Collecting.
func (s *Store) FollowPostings(ctx context.Context, limit int, postedAt time.Time) (billing.Followed, error) {
	done, err := s.followPostings(ctx, limit, postedAt)
	if err != nil {
		return billing.Followed{}, fmt.Errorf("following postings: %w", err)
	}
	return done, nil
}

func (s *Store) followPostings(ctx context.Context, limit int, postedAt time.Time) (billing.Followed, error) {
	switch {
	case limit <= 0:
		return billing.Followed{}, invalid("limit %d", limit)
	case postedAt.IsZero():
		return billing.Followed{}, invalid("there is no posting date")
	}
	// To look costs no writer anything; there is nothing most of the time.
	waiting, err := s.Unfollowed(ctx)
	if err != nil || waiting.IsZero() {
		return billing.Followed{}, err
	}
	var done billing.Followed
	err = s.Do(ctx, func(t *Tx) error {
		var err error
		done, err = t.follow(ctx, limit, postedAt)
		return err
	})
	return done, err
}

// Unfollowed returns the posting date of the oldest posting that was not
// followed. See billing.Collecting.
func (s *Store) Unfollowed(ctx context.Context) (time.Time, error) {
	var (
		at    int64
		found bool
	)
	err := s.db.Direct(ctx, func(db database.Session) error {
		var err error
		found, err = database.One(ctx, db, `SELECT posted_at FROM outbox WHERE collected_at = 0 ORDER BY id LIMIT 1`, nil, &at)
		return err
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("looking for postings to follow: %w", err)
	}
	if !found {
		return time.Time{}, nil
	}
	return time.UnixMicro(at).UTC(), nil
}

func (t *Tx) follow(ctx context.Context, limit int, postedAt time.Time) (billing.Followed, error) {
	// One at a time: postings are followed in their order.
	if _, err := t.db.Exec(ctx, followLock); err != nil {
		return billing.Followed{}, err
	}
	postings, err := t.unfollowed(ctx, limit)
	if err != nil || len(postings) == 0 {
		return billing.Followed{}, err
	}
	f := &follower{clearing: t.clear(postedAt), byHolder: map[string][]*receivableRow{}}
	if err := f.load(ctx, postings); err != nil {
		return billing.Followed{}, err
	}
	for i := range postings {
		f.follow(&postings[i])
	}
	if err := f.save(ctx); err != nil {
		return billing.Followed{}, err
	}
	done := billing.Followed{Postings: len(postings), Oldest: postings[0].postedAt, Collected: len(f.made), GivenBack: f.reversals}
	return done, t.markFollowed(ctx, postings, f.at)
}

// errEnough ends the reading of postings.
var errEnough = errors.New("enough")

// unfollowed reads the oldest postings that were not followed. It asks for what
// lacks the mark, as Unpublished does. What changed a pass or charge later has
// the higher number, since both wait for its row and take their numbers then.
func (t *Tx) unfollowed(ctx context.Context, limit int) ([]followed, error) {
	most := maxFollowedSQLite
	if t.s.db.Kind() == database.PostgreSQL {
		most = maxFollowedPostgres
	}
	var list []followed
	n := 0
	err := database.Each(ctx, t.db, `SELECT id, posted_at, payload FROM outbox WHERE collected_at = 0 ORDER BY id LIMIT $1`, []any{int64(limit)}, func(r database.Rows) error {
		if n >= most {
			return errEnough
		}
		var (
			posting, at int64
			payload     []byte
		)
		if err := r.Scan(&posting, &at, &payload); err != nil {
			return err
		}
		owings, err := owingsOf(posting, at, payload)
		if err != nil {
			return fmt.Errorf("reading posting %d: %w", posting, err)
		}
		list = append(list, followed{posting, time.UnixMicro(at).UTC(), owings})
		n += len(owings)
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return list, err
}

// owingsOf reads the payload of an outbox row.
func owingsOf(posting, at int64, payload []byte) ([]owing, error) {
	var e struct {
		Passes  []eventPass   `json:"passes"`
		Charges []eventCharge `json:"charges"`
	}
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, err
	}
	list := make([]owing, 0, len(e.Passes)+len(e.Charges))
	postedAt := time.UnixMicro(at).UTC()
	for i := range e.Passes {
		p := &e.Passes[i]
		if p.Facility == "" {
			return nil, fmt.Errorf("pass %s has no facility: an older freeflow posted it after these books were migrated; stop it", p.ID)
		}
		o := owing{first: p.Revision == 1, Receivable: billing.Receivable{
			ID: billing.ReceivablePass + p.ID, Kind: billing.ReceivableToll, Creditor: p.Facility, Vehicle: p.Vehicle, Currency: p.Currency,
			OccurredMicros: p.PassTime, PostedAt: postedAt, Posting: posting, Revision: p.Revision,
		}}
		if p.MergedInto == "" && (p.Status == billing.StatusCharged || p.Status == billing.StatusUnpaid) {
			o.AmountCents = p.AmountCents
		}
		if p.Status == billing.StatusCharged {
			o.Account = p.Account
		}
		list = append(list, o)
	}
	for i := range e.Charges {
		c := &e.Charges[i]
		list = append(list, owing{Receivable: billing.Receivable{
			ID: billing.ReceivableCharge + c.ID, Kind: c.Kind, Account: c.Account, Creditor: c.Creditor, Vehicle: c.Vehicle,
			AmountCents: c.AmountCents - c.PaidCents, Currency: c.Currency,
			OccurredMicros: c.OccurredMicros, PostedAt: postedAt, Posting: posting, Revision: c.Revision,
		}})
	}
	return list, nil
}

// markFollowed marks postings as followed.
func (t *Tx) markFollowed(ctx context.Context, postings []followed, at time.Time) error {
	const chunk = 100
	for len(postings) > 0 {
		n := min(len(postings), chunk)
		args := make([]any, 0, chunk+1)
		args = append(args, collectedMark(at))
		for i := range chunk {
			args = append(args, postings[min(i, n-1)].posting)
		}
		postings = postings[n:]
		if _, err := t.db.Exec(ctx, `UPDATE outbox SET collected_at = $1 WHERE id IN (`+database.Placeholders(2, chunk)+`)`, args...); err != nil {
			return err
		}
	}
	return nil
}

// follower brings receivables in line with postings, one after the other, in
// memory.
type follower struct {
	*clearing
	// byHolder are receivables by account and by the class tag's own vehicle: a
	// superset of what each wallet is to pay.
	byHolder map[string][]*receivableRow
}

// load loads and locks whatever the postings can touch: the wallets of who owes
// and of who paid, then the receivables; and where money may come back to a
// wallet, what else is open for it.
func (f *follower) load(ctx context.Context, postings []followed) error {
	var known, holders, gainers []string
	seen := map[string][]string{}
	for i := range postings {
		for j := range postings[i].owings {
			o := &postings[i].owings[j]
			mine := holdersOf(&o.Receivable)
			if o.AmountCents > 0 {
				holders = append(holders, mine...)
			}
			before, again := seen[o.ID]
			seen[o.ID] = append(before, mine...)
			if again {
				// What is paid by one posting may be given back by a later one.
				gainers = append(gainers, seen[o.ID]...)
			} else if !o.first {
				known = append(known, o.ID)
			}
		}
	}
	payers, err := f.tx.payersOf(ctx, known)
	if err != nil {
		return err
	}
	if err := f.lockWallets(ctx, slices.Concat(holders, payers, gainers)); err != nil {
		return err
	}
	ids := known
	gainers = append(gainers, payers...)
	slices.Sort(gainers)
	gainers = slices.Compact(gainers)
	for key, w := range f.wallets {
		if _, gains := slices.BinarySearch(gainers, key.holder); w.Manual || !gains {
			continue
		}
		open, err := f.tx.openOf(ctx, key.holder, key.currency, maxOpenTried, f.at)
		if err != nil {
			return err
		}
		ids = append(ids, open...)
	}
	if err := f.lockReceivables(ctx, ids); err != nil {
		return err
	}
	for _, r := range f.receivables {
		f.index(r)
	}
	return f.loadCollections(ctx)
}

// holdersOf returns whose wallets could have to pay the receivable.
func holdersOf(r *billing.Receivable) []string {
	var list []string
	if r.Account != "" {
		list = append(list, r.Account)
	}
	if strings.HasPrefix(r.Vehicle, billing.HolderTag) {
		list = append(list, r.Vehicle)
	}
	return list
}

// index makes the receivable findable by those who could have to pay it.
func (f *follower) index(r *receivableRow) {
	holders := holdersOf(&r.Receivable)
	if w := f.payer(r); w != nil && !slices.Contains(holders, w.Holder) {
		holders = append(holders, w.Holder) // the heir of a tag that ended
	}
	for _, holder := range holders {
		if !slices.Contains(f.byHolder[holder], r) {
			f.byHolder[holder] = append(f.byHolder[holder], r)
		}
	}
}

// payer is the wallet that is to pay the receivable by itself; nil if there is
// none. A class tag that has a wallet pays for itself, and its heir once it has
// ended.
func (f *follower) payer(r *receivableRow) *walletRow {
	if strings.HasPrefix(r.Vehicle, billing.HolderTag) {
		if w := f.wallets[walletKey{r.Vehicle, r.Currency}]; w != nil {
			return f.heirOf(w)
		}
	}
	if r.Account == "" {
		return nil
	}
	return f.heirOf(f.wallets[walletKey{r.Account, r.Currency}])
}

// follow does one posting: what is owed, what is given back, what is paid anew.
func (f *follower) follow(p *followed) {
	gained := map[*walletRow]bool{}
	tried := map[*receivableRow]bool{}
	for i := range p.owings {
		o := &p.owings[i]
		r := f.receivables[o.ID]
		if r == nil {
			if o.AmountCents == 0 {
				continue
			}
			r = &receivableRow{fresh: true}
			f.receivables[o.ID] = r
		} else if o.Revision < r.Revision {
			continue
		}
		for _, w := range f.owe(r, o) {
			gained[w] = true
		}
		f.index(r)
		tried[r] = true
	}
	for w := range gained {
		for _, r := range f.byHolder[w.Holder] {
			if f.payer(r) == w {
				tried[r] = true
			}
		}
	}
	order := make([]*receivableRow, 0, len(tried))
	for r := range tried {
		if r.payable() {
			order = append(order, r)
		}
	}
	slices.SortFunc(order, func(a, b *receivableRow) int {
		return cmp.Or(cmp.Compare(a.Posting, b.Posting), strings.Compare(a.ID, b.ID))
	})
	for _, r := range order {
		if w := f.payer(r); w != nil && !w.Manual {
			f.pay(r, w)
		}
	}
}

// owe brings the receivable in line with what a posting says, gives back what
// stands against nothing then, and lets who had paid pay what is left of it.
// It returns the wallets to which money came back.
func (f *follower) owe(r *receivableRow, o *owing) []*walletRow {
	was := *r
	r.Kind, r.Vehicle, r.OccurredMicros, r.Revision, r.changed = o.Kind, o.Vehicle, o.OccurredMicros, o.Revision, true
	r.ID = o.ID
	r.AmountCents = o.AmountCents
	if o.AmountCents > 0 {
		r.Account, r.Creditor, r.Currency = o.Account, o.Creditor, o.Currency
	}
	another := r.debtor() != was.debtor() || r.Currency != was.Currency
	if another || r.AmountCents != was.AmountCents || r.Creditor != was.Creditor {
		r.Posting, r.PostedAt, r.Short = o.Posting, o.PostedAt, false
	}
	var gained []*walletRow
	for _, one := range r.standing() {
		if another || r.PaidCents > r.AmountCents {
			gained = append(gained, f.undo(r, one, reasonOwed, true))
		}
	}
	if r.RestCents() == 0 || r.Hold != "" && len(gained) == 0 {
		return gained
	}
	f.payAgain(r)
	return gained
}

// payAgain lets those who paid for the receivable, and got it back last because
// less was owed or because it was not owed for a time, pay its rest again: the
// earliest first. What somebody paid stays paid as far as it is owed; what was
// undone for another reason stays undone.
func (f *follower) payAgain(r *receivableRow) {
	last := map[string]*collectionRow{}
	for _, one := range r.collections {
		last[one.Holder] = one
	}
	for _, one := range r.collections {
		if one != last[one.Holder] || !one.givenBack || !sameOwer(one.debtor, r.debtor()) {
			continue
		}
		if w := f.wallets[walletKey{one.Holder, r.Currency}]; w != nil && w.BalanceCents >= r.RestCents() {
			f.pay(r, w)
			return
		}
	}
}

// sameOwer reports whether two debtors are one account, or both nobody's.
func sameOwer(a, b string) bool {
	return a == b || strings.HasPrefix(a, billing.UnpaidPrefix) && strings.HasPrefix(b, billing.UnpaidPrefix)
}
