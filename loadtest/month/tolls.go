package month

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/notice"
	"freeflow/internal/clock"
	"freeflow/tolling/governance"
	govstore "freeflow/tolling/governance/store"
	"freeflow/tolling/rerate"
	"freeflow/tolling/tariff"
)

// office is where tolls are published: by two persons, signed.
type office struct {
	store *govstore.Store
	keys  governance.Keys
	live  *governance.Live
	desk  *governance.Desk
	right tariff.Files // tolls.csv and versions.csv as they should be
}

// bookedPasses gives passes to dry runs.
type bookedPasses struct{ books func() *books.Store }

// Each is governance.Passes.
func (b bookedPasses) Each(ctx context.Context, from, to time.Time, fn func(*governance.Pass) error) error {
	f := billing.Filter{FromMicros: from.UnixMicro(), ToMicros: to.UnixMicro(), Limit: 5000}
	for {
		list, err := b.books().List(ctx, f)
		if err != nil {
			return err
		}
		for i := range list {
			p := &list[i]
			err := fn(&governance.Pass{
				ID: p.ID, Vehicle: p.Vehicle, TollPoint: p.TollPoint, Facility: p.Facility, Class: p.Class, FirstMicros: p.FirstMicros,
				AmountCents: p.AmountCents, Owing: p.Status == billing.StatusCharged || p.Status == billing.StatusUnpaid,
			})
			if err != nil {
				return err
			}
		}
		if len(list) < f.Limit {
			return nil
		}
		f.After = billing.CursorOf(list[len(list)-1])
	}
}

// openOffice plants the network of the files, and puts it in force.
func openOffice(ctx context.Context, url string, clk clock.Clock, b func() *books.Store) (_ *office, err error) {
	o := &office{keys: governance.Keys{}}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, fmt.Errorf("making a key for tolls: %w", err)
	}
	signer := governance.NewSigner(key)
	o.keys.Add(signer.Public())
	files, err := tariff.ReadFiles("hongkong")
	if err != nil {
		return nil, err
	}
	o.right = tariff.Files{"tolls.csv": files["tolls.csv"], "versions.csv": files["versions.csv"]}
	if o.store, err = govstore.Open(ctx, url, govstore.Options{Migrate: true}); err != nil {
		return nil, err
	}
	if err := governance.Plant(ctx, o.store, signer, files, clk.Now()); err != nil {
		return nil, errors.Join(err, o.store.Close())
	}
	chain, err := o.chain(ctx, &governance.Chain{})
	if err == nil {
		o.live, err = governance.NewLive(chain, clk)
	}
	if err == nil {
		o.desk, err = governance.NewDesk(governance.Parts{
			Store: o.store, Live: o.live, Passes: bookedPasses{b}, Clock: clk, Signer: signer, Keys: func() governance.Keys { return o.keys },
			Changed: func(ctx context.Context) error {
				next, err := o.chain(ctx, o.live.Chain())
				if err == nil {
					o.live.Set(next)
				}
				return err
			},
		})
	}
	if err != nil {
		return nil, errors.Join(err, o.store.Close())
	}
	return o, nil
}

// chain extends what is believed by what the database has.
func (o *office) chain(ctx context.Context, have *governance.Chain) (*governance.Chain, error) {
	rows, err := o.store.Rows(ctx, "hongkong", 0)
	if err != nil {
		return nil, err
	}
	return have.Extend(rows, o.keys, true)
}

// publish takes tolls from a draft to publication: one person writes, another
// looks at the dry run and approves.
func (o *office) publish(ctx context.Context, files tariff.Files, effective time.Time, backdated bool, reason string) error {
	d, err := o.desk.Draft(ctx, "anna", governance.Wish{Files: files, Effective: effective, Backdated: backdated, Reason: reason})
	if err != nil {
		return err
	}
	if !d.Last().Good() {
		return fmt.Errorf("the draft of tolls is refused: %+v", d.Last().Problems)
	}
	digest := d.Last().Digest
	run, err := o.desk.DryRun(ctx, "anna", d.ID, digest, governance.Period{})
	if err != nil {
		return err
	}
	if _, err := o.desk.Approve(ctx, "anna", d.ID, digest, run.ID, ""); !errors.Is(err, governance.ErrForbidden) {
		return fmt.Errorf("who wrote a draft may approve it: %w", err)
	}
	if _, err := o.desk.Approve(ctx, "ben", d.ID, digest, run.ID, "looked at the dry run"); err != nil {
		return err
	}
	_, err = o.desk.Publish(ctx, "ben", d.ID, digest, nil)
	return err
}

// mistaken are the tolls with a new version in which every amount of one
// facility is 10.00 too high.
func mistaken(right tariff.Files, from time.Time) tariff.Files {
	var tolls strings.Builder
	tolls.Write(right["tolls.csv"])
	for line := range strings.Lines(string(right["tolls.csv"])) {
		cells := strings.Split(line, ",")
		if len(cells) < 7 || cells[0] != "2023-12-tv" || cells[1] != mistakenFacility {
			continue
		}
		if n, err := strconv.Atoi(cells[6]); err == nil {
			cells[6] = strconv.Itoa(n + 10)
		}
		cells[0] = "2026-10-slip"
		tolls.WriteString(strings.Join(cells, ","))
	}
	versions := string(right["versions.csv"]) + "2026-10-slip," + from.Format(time.RFC3339) + ",a slip of the pen\n"
	return tariff.Files{"tolls.csv": []byte(tolls.String()), "versions.csv": []byte(versions)}
}

// The tariff mistake: on this day of the month, from 07:00 until it is found.
const (
	mistakenFacility = "WHC"
	mistakenDay      = 8
)

// isMistaken reports whether a pass was rated by the wrong tolls at first.
func (w *world) isMistaken(at time.Time, point string) bool {
	from := w.day(mistakenDay).Add(7 * time.Hour)
	return strings.HasPrefix(point, mistakenFacility) && !at.Before(from) && at.Before(w.day(mistakenDay).Add(noon))
}

// planTolls plans the mistake, how it is put right, and the bulk re-rate.
func (w *world) planTolls() {
	from := w.day(mistakenDay).Add(7 * time.Hour)
	w.on(w.day(mistakenDay).Add(morning), func(ctx context.Context) error {
		return w.office.publish(ctx, mistaken(w.office.right, from), from, false, "new tolls, with a slip in them")
	})
	w.on(w.day(mistakenDay).Add(evening), func(ctx context.Context) error {
		return w.office.publish(ctx, w.office.right, from, true, "the slip is put right as of its beginning")
	})
	w.on(w.day(mistakenDay+1).Add(noon), w.tryRerate)
	w.on(w.day(mistakenDay+2).Add(noon), w.orderRerate)
}

func (w *world) rerater(s *services) *rerate.Rerater {
	return &rerate.Rerater{Network: w.office.live, Books: s.books, Clock: w.clock, Logger: quiet()}
}

// tryRerate works out the dry run, with its totals.
func (w *world) tryRerate(ctx context.Context) error {
	r, err := w.rerater(w.sets[0]).Try(ctx, rerate.Request{
		Facility: mistakenFacility, From: w.day(mistakenDay), To: w.day(mistakenDay + 1), Reason: "wrong tolls were published", By: "anna",
	})
	if err != nil {
		return err
	}
	w.rerate = r
	if r.WasCents-r.NowCents <= 0 || r.Passes == 0 {
		w.report.wrong("the dry run of the re-rate has %d passes from %d to %d", r.Passes, r.WasCents, r.NowCents)
	}
	return nil
}

// orderRerate has it executed by another person, in every process, and tells
// each customer once.
func (w *world) orderRerate(ctx context.Context) error {
	if _, err := w.rerater(w.sets[0]).Order(ctx, w.rerate.ID, w.rerate.Digest, "anna"); err == nil {
		w.report.wrong("who worked a re-rate out may order it")
	}
	_, err := w.rerater(w.sets[0]).Order(ctx, w.rerate.ID, w.rerate.Digest, "ben")
	if errors.Is(err, billing.ErrStale) {
		// A correction or a ruling came between: what is ordered is what is seen.
		w.counts["dry runs that were outdated"]++
		if err := w.tryRerate(ctx); err != nil {
			return err
		}
		_, err = w.rerater(w.sets[0]).Order(ctx, w.rerate.ID, w.rerate.Digest, "ben")
	}
	if err != nil {
		return err
	}
	w.rerated = w.clock.Now()
	for range 2 { // the second time it has nothing to do
		if err := w.job(ctx, "rating anew", func(ctx context.Context, s *services) error { return w.rerater(s).Once(ctx) }); err != nil {
			return err
		}
	}
	done, err := w.sets[0].books.Rerate(ctx, w.rerate.ID)
	if err != nil {
		return err
	}
	w.counts["passes rated anew"] = done.Done
	if done.State != billing.RerateDone || done.Done+done.Changed != w.rerate.Passes || done.Changed > 0 {
		w.report.wrong("the re-rate of %d passes is %s with %d done and %d changed", w.rerate.Passes, done.State, done.Done, done.Changed)
	}
	return w.tellCustomers(ctx)
}

// tellCustomers has every process tell the customers, twice: each is told once.
func (w *world) tellCustomers(ctx context.Context) error {
	var told counter
	for range 2 {
		err := w.job(ctx, "telling customers", func(ctx context.Context, s *services) error {
			n, err := s.teller.Once(ctx)
			told.add(int64(n))
			return err
		})
		if err != nil {
			return err
		}
	}
	list, err := w.sets[0].books.RerateCustomers(ctx, w.rerate.ID, "", mostCustomers)
	if err != nil {
		return err
	}
	w.counts["customers told of the re-rate"] = int64(len(list))
	for _, c := range list {
		var notices []notice.Notice
		err := w.sets[0].books.View(ctx, func(tx *books.Tx) (err error) {
			account, _ := strings.CutPrefix(c.Customer, billing.MotoristPrefix)
			vehicle, ok := strings.CutPrefix(c.Customer, "vehicle:")
			if ok {
				account = ""
			}
			notices, err = tx.NoticesOf(ctx, account, vehicle, time.Time{}, 1000)
			return err
		})
		if err != nil {
			return err
		}
		n := 0
		for _, one := range notices {
			if one.Kind == notice.Corrected && strings.HasPrefix(one.ID, "rerate:") {
				n++
			}
		}
		if n != 1 {
			w.report.wrong("%s has %d notices of the re-rate of %d passes", c.Customer, n, c.Passes)
		}
	}
	return nil
}

// mostCustomers bounds the customers of the re-rate.
const mostCustomers = 100_000
