package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"

	"freeflow/billing"
	"freeflow/internal/clock"
	"freeflow/tolling/governance"
	govstore "freeflow/tolling/governance/store"
	"freeflow/tolling/operator"
	"freeflow/tolling/tariff"
)

// Alarms of the tolls.
const (
	alarmTariffRefused = "tariff-refused"
	alarmTariffStale   = "tariff-not-refreshed"
	alarmTariffOther   = "network-not-in-force"
	alarmDisplayed     = "displayed-toll"
)

const (
	// tariffVerifyEvery is how often every statement is verified anew, beside
	// those that have come.
	tariffVerifyEvery = time.Minute
	// tariffStaleAfter is how long a process may have seen nothing of the
	// database before it says so.
	tariffStaleAfter = 10 * time.Second
	// displaysEvery is how often rated tolls are compared with displayed ones.
	displaysEvery = 5 * time.Second
)

// tariffs is the network in force in this process, followed while it runs, and
// the desk where tolls are changed.
type tariffs struct {
	store    *govstore.Store
	live     *governance.Live
	desk     *governance.Desk
	displays *governance.Displays
	signer   *governance.Signer
	clock    clock.Clock
	log      *slog.Logger
	dir      string
	booksID  string
	network  string
	// given is the digest of the files that --network names.
	given string
	// loading keeps one look at a time, so that an older one never comes after
	// a newer; the fields below are its.
	loading  sync.Mutex
	keys     governance.Keys
	headHash string
	verified time.Time
	looked   time.Time
	inForce  int64

	mu     sync.Mutex
	alarms map[string]operator.Alarm

	refused prometheus.Gauge
	differ  prometheus.Counter
}

// tariffOptions are what openTariffs needs.
type tariffOptions struct {
	network, dir, url, trust string
	booksID                  string
	// publishes says that this process holds the signing key and plants the
	// seed.
	publishes bool
	passes    governance.Passes
	clock     clock.Clock
	log       *slog.Logger
	metrics   prometheus.Registerer
}

// openTariffs puts the last good network in force. It fails where the database
// has statements of the network and none of them verifies.
func openTariffs(ctx context.Context, o tariffOptions) (_ *tariffs, err error) {
	t := &tariffs{clock: o.clock, log: o.log, dir: o.dir, booksID: o.booksID, alarms: map[string]operator.Alarm{},
		refused: prometheus.NewGauge(prometheus.GaugeOpts{Name: "freeflow_tariff_refused", Help: "1 while a stored tariff statement is refused and the last good network holds."}),
		differ:  prometheus.NewCounter(prometheus.CounterOpts{Name: "freeflow_displayed_toll_findings_total", Help: "Toll points and classes at which a rated toll was found to differ from a displayed one."}),
	}
	o.metrics.MustRegister(t.refused, t.differ)
	files, err := tariff.ReadFiles(o.network)
	if err != nil {
		return nil, err
	}
	local, err := governance.Unsigned(files, o.network)
	if err != nil {
		return nil, err
	}
	t.network, t.given = local.Head().Network, files.Digest()
	if t.store, err = govstore.Open(ctx, o.url, govstore.Options{Migrate: true, Logger: o.log}); err != nil {
		return nil, fmt.Errorf("opening the tariffs: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.store.Close())
		}
	}()
	if t.signer, err = loadSigner(o.dir, o.publishes); err != nil {
		return nil, err
	}
	if t.keys, err = loadTrust(o.dir, o.trust); err != nil {
		return nil, err
	}
	good, err := t.start(ctx, local, files, o.publishes)
	if err != nil {
		return nil, err
	}
	if t.live, err = governance.NewLive(good, o.clock); err != nil {
		return nil, err
	}
	t.looked, t.inForce = o.clock.Now(), -1
	t.compareGiven(ctx, good)
	t.desk, err = governance.NewDesk(governance.Parts{
		Store: t.store, Live: t.live, Passes: o.passes, Clock: o.clock, Signer: t.signer, Keys: t.trusted, Changed: t.load,
	})
	if err != nil {
		return nil, err
	}
	t.displays = &governance.Displays{Store: t.store, Live: t.live, Passes: o.passes, Clock: o.clock, Raised: t.raisedDisplay}
	return t, nil
}

// start returns the chain to begin with: what verified last, extended by what
// the database has; the local files alone where nobody has planted a seed.
func (t *tariffs) start(ctx context.Context, local *governance.Chain, files tariff.Files, publishes bool) (*governance.Chain, error) {
	kept, err := t.readCache()
	if err != nil {
		return nil, err
	}
	if publishes && len(kept) == 0 {
		if err := governance.Plant(ctx, t.store, t.signer, files, t.clock.Now()); err != nil {
			return nil, err
		}
	}
	if err := t.pin(ctx); err != nil {
		return nil, err
	}
	chain, err := (&governance.Chain{}).Extend(kept, t.keys, false)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; remove the file if the trusted keys were changed on purpose", filepath.Join(t.dir, tariffCacheFile), err)
	}
	rows, err := t.store.Rows(ctx, t.network, 0)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 && chain.Len() == 0 {
		return local, nil
	}
	chain, wrong := chain.Extend(rows, t.keys, true)
	if chain.Len() == 0 {
		return nil, fmt.Errorf("no stored network %s verifies, so nothing may be rated: %w", t.network, wrong)
	}
	t.judge(ctx, wrong)
	t.headHash, t.verified = headOf(rows), t.clock.Now()
	return chain, t.writeCache(chain)
}

// headOf is the hash under which the last row stands.
func headOf(rows []governance.Row) string {
	if len(rows) == 0 {
		return ""
	}
	return rows[len(rows)-1].Hash()
}

// pin trusts, where nothing was ever trusted, the key that signed the network's
// seed, and keeps to it from then on.
func (t *tariffs) pin(ctx context.Context) error {
	if t.keys != nil {
		return nil
	}
	keys, err := t.store.SeedKeys(ctx, t.network)
	if err != nil || len(keys) == 0 {
		return err
	}
	t.keys = keys
	for name := range keys {
		t.log.WarnContext(ctx, "tolls signed with this key are trusted from now on", "key", name, "network", t.network)
	}
	return saveTrust(t.dir, keys)
}

func (t *tariffs) trusted() governance.Keys {
	t.loading.Lock()
	defer t.loading.Unlock()
	return t.keys
}

// load looks whether the network's statements are others than before, and puts
// those that verify in force.
func (t *tariffs) load(ctx context.Context) error {
	t.loading.Lock()
	defer t.loading.Unlock()
	_, hash, _, err := t.store.Head(ctx, t.network)
	now := t.clock.Now()
	if err != nil {
		if now.Sub(t.looked) > tariffStaleAfter {
			t.raise(alarmTariffStale, "this process has not seen the published tolls since "+t.looked.Format(time.RFC3339))
		}
		return err
	}
	t.looked = now
	t.clear(alarmTariffStale)
	t.tellInForce(ctx)
	if hash == t.headHash && now.Sub(t.verified) < tariffVerifyEvery {
		return nil
	}
	if err := t.pin(ctx); err != nil {
		return err
	}
	rows, err := t.store.Rows(ctx, t.network, 0)
	if err != nil {
		return err
	}
	t.headHash, t.verified = hash, now
	chain := t.live.Chain()
	if !chain.IsSigned() {
		if len(rows) == 0 {
			return nil
		}
		chain = &governance.Chain{}
	}
	next, wrong := chain.Extend(rows, t.keys, true)
	t.judge(ctx, wrong)
	if next.Len() == chain.Len() {
		return nil
	}
	t.live.Set(next)
	t.compareGiven(ctx, next)
	for _, e := range next.Entries()[chain.Len():] {
		t.log.InfoContext(ctx, "a statement on tolls holds", "network", t.network, "sequence", e.Sequence, "kind", e.Kind, "effective", e.Effective, "statement", e.Hash)
	}
	return t.writeCache(next)
}

// tellInForce logs when another publication has come in force.
func (t *tariffs) tellInForce(ctx context.Context) {
	if e := t.live.Chain().At(t.clock.Now()); e != nil && e.Sequence != t.inForce {
		if t.inForce >= 0 {
			t.log.InfoContext(ctx, "tolls have changed", "network", t.network, "sequence", e.Sequence, "content", e.Content)
		}
		t.inForce = e.Sequence
	}
}

// judge raises the alarm on what was refused, or ends it.
func (t *tariffs) judge(ctx context.Context, wrong error) {
	if wrong == nil {
		t.clear(alarmTariffRefused)
		t.refused.Set(0)
		return
	}
	t.log.ErrorContext(ctx, "stored tolls are refused; the last good ones hold", "network", t.network, "err", wrong)
	t.raise(alarmTariffRefused, "stored tolls are refused, the last good ones hold: "+wrong.Error())
	t.refused.Set(1)
}

// compareGiven says where the files that the process was started with are not
// those published last: they change nothing by themselves.
func (t *tariffs) compareGiven(ctx context.Context, chain *governance.Chain) {
	for _, e := range chain.Entries() {
		if e.Content == t.given {
			t.clear(alarmTariffOther)
			return
		}
	}
	t.log.WarnContext(ctx, "the network of --network is not one that was published, and is not in force; draft it with 'freeflow tariff draft'",
		"network", t.network, "given", t.given, "in_force", chain.Standing().Content)
	t.raise(alarmTariffOther, "the files given with --network were never published; what is published holds. Draft them with 'freeflow tariff draft'")
}

// watch follows the published tolls until ctx ends.
func (t *tariffs) watch(ctx context.Context) error {
	clock.Every(ctx, watchEvery, func(ctx context.Context) {
		if err := t.load(ctx); err != nil && ctx.Err() == nil {
			t.log.ErrorContext(ctx, "tolls not refreshed", "err", err)
		}
	})
	return nil
}

// compare compares rated with displayed tolls until ctx ends.
func (t *tariffs) compare(ctx context.Context) error {
	clock.Every(ctx, displaysEvery, func(ctx context.Context) {
		if _, err := t.displays.Turn(ctx); err != nil && ctx.Err() == nil {
			t.log.ErrorContext(ctx, "rated tolls not compared with displayed ones", "err", err)
		}
	})
	return nil
}

func (t *tariffs) raisedDisplay(f governance.Finding) {
	t.differ.Inc()
	t.log.Error("a rated toll differs from the displayed one", "toll_point", f.TollPoint, "class", f.Class, "pass", f.First.Pass,
		"rated", billing.FormatCents(f.First.RatedCents), "displayed", billing.FormatCents(f.First.ShownCents), "sign", f.First.Sign, "at", f.First.At)
}

// raise and clear keep this process's own alarms.
func (t *tariffs) raise(kind, detail string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	a, there := t.alarms[kind]
	if !there {
		a = operator.Alarm{Kind: kind, First: now}
	}
	a.Last, a.Count, a.Detail = now, a.Count+1, detail
	t.alarms[kind] = a
}

func (t *tariffs) clear(kind string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.alarms, kind)
}

// mostFindings bounds the open findings among the alarms.
const mostFindings = 100

// Alarms returns what is wrong with the tolls.
func (t *tariffs) Alarms(ctx context.Context) ([]operator.Alarm, error) {
	t.mu.Lock()
	var all []operator.Alarm
	for _, a := range t.alarms {
		all = append(all, a)
	}
	t.mu.Unlock()
	open, err := t.store.Findings(ctx, t.network, false, mostFindings)
	if err != nil {
		return nil, err
	}
	for _, f := range open {
		all = append(all, operator.Alarm{Kind: alarmDisplayed, Unit: f.TollPoint, First: f.First.At, Last: f.Last, Count: f.Count,
			Detail: fmt.Sprintf("%s %s: rated %s, sign %s displayed %s (first %s); finding %s", f.TollPoint, f.Class,
				billing.FormatCents(f.First.RatedCents), f.First.Sign, billing.FormatCents(f.First.ShownCents), f.First.Pass, f.ID)})
	}
	return all, nil
}

// tellStaff tells the audit trail of the people whose keys this process takes:
// whoever makes two keys for one person cannot do so unseen.
func (t *tariffs) tellStaff(ctx context.Context, action, name string) error {
	return t.store.Do(ctx, func(tx governance.Tx) error {
		return tx.Record(ctx, governance.Event{At: t.clock.Now(), By: "system", Action: action, Kind: "staff", Subject: name})
	})
}

// healthy is the health check.
func (t *tariffs) healthy(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, kind := range []string{alarmTariffRefused, alarmTariffStale} {
		if a, bad := t.alarms[kind]; bad {
			return errors.New(a.Detail)
		}
	}
	return nil
}

// close closes the store.
func (t *tariffs) close() error { return t.store.Close() }

// goodTariffs is the file of what verified last, of one set of books.
type goodTariffs struct {
	Books   string           `json:"books"`
	Network string           `json:"network"`
	Rows    []governance.Row `json:"rows"`
}

// readCache reads what verified last; nothing where it was of other books or
// another network.
func (t *tariffs) readCache() ([]governance.Row, error) {
	path := filepath.Join(t.dir, tariffCacheFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var good goodTariffs
	if err == nil {
		err = json.Unmarshal(text, &good)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w; remove it to begin with what the database has", path, err)
	}
	if good.Books != t.booksID || good.Network != t.network {
		return nil, nil
	}
	return good.Rows, nil
}

func (t *tariffs) writeCache(chain *governance.Chain) error {
	text, err := json.Marshal(goodTariffs{t.booksID, t.network, chain.Rows()})
	if err != nil {
		return err
	}
	if err := writeNew(filepath.Join(t.dir, tariffCacheFile), text); err != nil {
		return fmt.Errorf("keeping the last good tolls: %w", err)
	}
	return nil
}

// passPage is how many passes are in memory at a time.
const passPage = 5000

// bookedPasses gives passes of the books to tariff governance.
type bookedPasses struct{ books billing.Reading }

// Each calls fn for the standing passes of a period. See governance.Passes.
func (b bookedPasses) Each(ctx context.Context, from, to time.Time, fn func(*governance.Pass) error) error {
	f := billing.Filter{FromMicros: max(from.UnixMicro(), 0), ToMicros: max(to.UnixMicro(), 1), Limit: passPage}
	for {
		passes, err := b.books.List(ctx, f)
		if err != nil {
			return err
		}
		for i := range passes {
			p := &passes[i]
			err := fn(&governance.Pass{ID: p.ID, Vehicle: p.Vehicle, TollPoint: p.TollPoint, Facility: p.Facility, Class: p.Class,
				Owing:       p.Status == billing.StatusCharged || p.Status == billing.StatusUnpaid,
				FirstMicros: p.FirstMicros, AmountCents: p.AmountCents})
			if err != nil {
				return err
			}
		}
		if len(passes) < passPage {
			return nil
		}
		f.After = billing.CursorOf(passes[len(passes)-1])
	}
}

// api is the operators' API of tolls.
func (t *tariffs) api() (*operator.Tariffs, error) {
	return operator.NewTariffs(operator.TariffParts{Desk: t.desk, Displays: t.displays, Clock: t.clock, Keys: t.trusted})
}
