package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"freeflow/internal/clock"
	"freeflow/parking"
	"freeflow/parking/opendata"
	"freeflow/parking/sites"
	parktariff "freeflow/parking/tariff"
)

// sitesEvery is how often other processes' definitions are looked for.
const sitesEvery = time.Second

// errVersion refuses a site file written for another version. It is not
// parking.ErrStale, at which a store tries again.
var errVersion = errors.New("another version is in force")

// siteKeeper keeps the car parks: for good in the store, in memory for all that
// asks for them. Safe for concurrent use.
type siteKeeper struct {
	keeping parking.Keeping
	network roads
	clock   clock.Clock
	log     *slog.Logger
	tariffs map[string]*parktariff.Book
	// loading keeps one reading of the definitions at a time, so that an older
	// one never comes after a newer.
	loading sync.Mutex
	// changed hears of every definition that comes into force.
	changed func(*parking.CarPark) error
	now     atomic.Pointer[siteList]
}

// siteList is what is in force at one time; never changed.
type siteList struct {
	byID  map[string]*parking.CarPark
	all   []*parking.CarPark
	about map[string]parking.Definition
	// lanes gives each lane's car park by the unit's name.
	lanes map[string]*parking.CarPark
	// refused are stored definitions that are not in force here, by car park.
	refused map[string]error
}

// err says which stored definitions are not in force here, nil if all are.
func (l *siteList) err() error {
	var all []error
	for id, err := range l.refused {
		all = append(all, fmt.Errorf("car park %s: %w", id, err))
	}
	return errors.Join(all...)
}

func newSiteKeeper(keeping parking.Keeping, network roads, clk clock.Clock, log *slog.Logger, tariffs map[string]*parktariff.Book) *siteKeeper {
	k := &siteKeeper{keeping: keeping, network: network, clock: clk, log: log, tariffs: tariffs, changed: func(*parking.CarPark) error { return nil }}
	k.now.Store(&siteList{})
	return k
}

// seed puts the sample sites where there is no car park yet.
func (k *siteKeeper) seed(ctx context.Context) error {
	_, err := k.keeping.Do(ctx, nil, func(tx parking.Tx) (parking.Answer, error) {
		if err := tx.Lock(ctx, "definitions"); err != nil {
			return parking.Answer{}, err
		}
		have, err := tx.Definitions(ctx)
		if err != nil || len(have) > 0 {
			return parking.Answer{}, err
		}
		for _, name := range sites.Samples() {
			site, text, err := sites.Sample(name)
			if err != nil {
				return parking.Answer{}, err
			}
			err = tx.PutDefinition(ctx, parking.Definition{CarPark: site.ID, Version: 1, Document: text, PutAt: k.clock.Now(), By: "sample"})
			if err != nil {
				return parking.Answer{}, err
			}
		}
		return parking.Answer{}, nil
	})
	if err != nil {
		return fmt.Errorf("putting the sample car parks: %w", err)
	}
	return nil
}

// load puts what is stored in force, if it is another than before. A stored
// definition that cannot be in force here is logged, keeps its predecessor in
// force while this process has one, and costs the other car parks nothing.
func (k *siteKeeper) load(ctx context.Context) error {
	k.loading.Lock()
	defer k.loading.Unlock()
	var stored []parking.Definition
	err := k.keeping.View(ctx, func(tx parking.Tx) (err error) {
		stored, err = tx.Definitions(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading the car parks: %w", err)
	}
	before := k.now.Load()
	next := &siteList{byID: map[string]*parking.CarPark{}, about: map[string]parking.Definition{}, lanes: map[string]*parking.CarPark{}, refused: map[string]error{}}
	for _, d := range stored {
		site := before.byID[d.CarPark]
		if site == nil || before.about[d.CarPark].Version != d.Version {
			fresh, err := k.takeUp(d)
			if err != nil {
				next.refused[d.CarPark] = err
				if before.refused[d.CarPark] == nil {
					k.log.ErrorContext(ctx, "a car park's definition is not in force", "carpark", d.CarPark, "version", d.Version, "err", err)
				}
				if site == nil {
					continue
				}
				d = before.about[d.CarPark]
			} else {
				site = fresh
			}
		}
		next.byID[d.CarPark], next.about[d.CarPark] = site, d
		next.all = append(next.all, site)
		for _, lane := range site.Lanes {
			next.lanes[lane.Unit] = site
		}
	}
	slices.SortFunc(next.all, func(a, b *parking.CarPark) int { return cmp.Compare(a.ID, b.ID) })
	k.now.Store(next)
	return nil
}

// takeUp makes a stored definition ready to be in force in this process.
func (k *siteKeeper) takeUp(d parking.Definition) (*parking.CarPark, error) {
	site, err := sites.Parse(d.Document)
	if err != nil {
		return nil, err
	}
	if err := k.suits(site); err != nil {
		return nil, err
	}
	return site, k.changed(site)
}

// suits checks what a site file cannot know: the road network and the tariffs
// of this process. A facility's code would send its tolls to the car park.
func (k *siteKeeper) suits(site *parking.CarPark) error {
	if _, ok := k.tariffs[site.Tariff]; !ok {
		return fmt.Errorf("%w: /tariff: there is no tariff %q; give its folder with --parking-tariffs", parking.ErrInvalid, site.Tariff)
	}
	if hasFacility(k.network, site.Code) {
		return fmt.Errorf("%w: /code: %s is a facility of the road network %s; choose another", parking.ErrInvalid, site.Code, k.network.Name())
	}
	return nil
}

// watch follows the stored definitions until ctx ends.
func (k *siteKeeper) watch(ctx context.Context, log *slog.Logger) error {
	clock.Every(ctx, sitesEvery, func(ctx context.Context) {
		if err := k.load(ctx); err != nil && ctx.Err() == nil {
			log.ErrorContext(ctx, "car parks not refreshed", "err", err)
		}
	})
	return nil
}

// All returns the car parks in force, by id.
func (k *siteKeeper) All() []*parking.CarPark { return k.now.Load().all }

// CarPark returns one of them.
func (k *siteKeeper) CarPark(id string) (*parking.CarPark, bool) {
	site, ok := k.now.Load().byID[id]
	return site, ok
}

// Tariff returns the tariff of that name.
func (k *siteKeeper) Tariff(name string) (*parktariff.Book, bool) {
	book, ok := k.tariffs[name]
	return book, ok
}

// Definition returns the site file in force.
func (k *siteKeeper) Definition(_ context.Context, id string) (parking.Definition, error) {
	d, ok := k.now.Load().about[id]
	if !ok {
		return parking.Definition{}, fmt.Errorf("car park %.64q: %w", id, parking.ErrNotFound)
	}
	return d, nil
}

// Put checks a site file, stores it and puts it in force in this process; the
// others follow within a second. The site must have the id given. A bay that
// goes away must be empty: what stands in it would be out of sight. A lane that
// goes away must be idle, with nobody inside who came in by it: what it saw
// later would be refused, and the cars would have no way out.
func (k *siteKeeper) Put(ctx context.Context, id string, document []byte, version int64, by string) (parking.Definition, error) {
	site, err := sites.Parse(document)
	if err != nil {
		return parking.Definition{}, err
	}
	if site.ID != id {
		return parking.Definition{}, fmt.Errorf("%w: /id: %q is not the car park of the address", parking.ErrInvalid, site.ID)
	}
	if err := k.suits(site); err != nil {
		return parking.Definition{}, err
	}
	var put parking.Definition
	_, err = k.keeping.Do(ctx, nil, func(tx parking.Tx) (parking.Answer, error) {
		if err := tx.Lock(ctx, "definitions"); err != nil {
			return parking.Answer{}, err
		}
		stored, err := tx.Definitions(ctx)
		if err != nil {
			return parking.Answer{}, err
		}
		var now int64
		var before lanesForm
		for _, d := range stored {
			had, err := lanesOf(d)
			switch {
			case err != nil:
				return parking.Answer{}, err
			case d.CarPark == site.ID:
				now, before = d.Version, had
			case had.Code == site.Code:
				return parking.Answer{}, fmt.Errorf("%w: /code: %s is car park %s's", parking.ErrInvalid, site.Code, d.CarPark)
			}
		}
		if version >= 0 && version != now {
			return parking.Answer{}, fmt.Errorf("%w: it stands at version %d", errVersion, now)
		}
		active, err := tx.Active(ctx, site.ID)
		if err != nil {
			return parking.Answer{}, err
		}
		for _, al := range active {
			if _, ok := site.Bay(al.Bay); !ok {
				return parking.Answer{}, fmt.Errorf("%w: bay %s is taken and not in the new file", parking.ErrConflict, al.Bay)
			}
		}
		if err := k.freeLanes(ctx, tx, site, before.Lanes); err != nil {
			return parking.Answer{}, err
		}
		put = parking.Definition{CarPark: site.ID, Version: now + 1, Document: document, PutAt: k.clock.Now(), By: by}
		return parking.Answer{}, tx.PutDefinition(ctx, put)
	})
	if errors.Is(err, errVersion) {
		return parking.Definition{}, fmt.Errorf("%w: %w", parking.ErrStale, err)
	}
	if err != nil {
		return parking.Definition{}, err
	}
	return put, k.load(ctx)
}

// lanesForm is what of a stored site file others have to keep clear of. Whether
// the rest of it is sound here does not matter.
type lanesForm struct {
	Code  string         `json:"code"`
	Lanes []parking.Lane `json:"lanes"`
}

func lanesOf(d parking.Definition) (f lanesForm, err error) {
	if err := json.Unmarshal(d.Document, &f); err != nil {
		return f, fmt.Errorf("reading the stored site file of %s: %w", d.CarPark, err)
	}
	return f, nil
}

// laneIdle is how long after its last car a lane is in use.
const laneIdle = 15 * time.Minute

// freeLanes refuses a site without lanes that are needed: those in use, those by
// which somebody inside came in, and the last exit while anybody is inside.
func (k *siteKeeper) freeLanes(ctx context.Context, tx parking.Tx, site *parking.CarPark, before []parking.Lane) error {
	left := map[string]bool{}
	exits := false
	for _, lane := range site.Lanes {
		left[lane.Unit] = true
		exits = exits || lane.Direction == parking.Out
	}
	for _, lane := range before {
		if left[lane.Unit] {
			continue
		}
		refuse := func(why string, args ...any) error {
			return fmt.Errorf("%w: lane %s is not in the new file, and %s", parking.ErrConflict, lane.Unit, fmt.Sprintf(why, args...))
		}
		heard, err := tx.LastLaneEvent(ctx, site.ID, lane.Unit)
		if err != nil {
			return err
		}
		if free := heard.Add(laneIdle); !heard.IsZero() && k.clock.Now().Before(free) {
			return refuse("saw a car at %s; close it, and take it away from %s on", heard.Format(time.RFC3339), free.Format(time.RFC3339))
		}
		cameIn := lane.Unit
		if lane.Direction == parking.Out {
			if exits {
				continue
			}
			cameIn = "" // it is the last way out
		}
		inside, err := tx.OpenStays(ctx, site.ID, cameIn)
		switch {
		case err != nil:
			return err
		case inside > 0 && cameIn == "":
			return refuse("it is the last exit; there are %d open stays: close them, or keep it", inside)
		case inside > 0:
			return refuse("%d stays that are open came in by it; take it away when they have left", inside)
		}
	}
	return nil
}

// Sites gives the car parks to the open-data feed.
func (k *siteKeeper) Sites(context.Context) ([]opendata.Site, error) {
	now := k.now.Load()
	out := make([]opendata.Site, len(now.all))
	for i, site := range now.all {
		out[i] = opendata.Site{CarPark: site, Changed: now.about[site.ID].PutAt}
		if t := inForce(k.tariffs[site.Tariff], k.clock.Now()); t != nil {
			out[i].Prices = t
		}
	}
	return out, nil
}

// inForce is the version of the book that is in force at the instant, nil for
// none.
func inForce(book *parktariff.Book, at time.Time) *parktariff.Tariff {
	if book == nil {
		return nil
	}
	var now *parktariff.Tariff
	for _, t := range book.Versions() {
		if !t.EffectiveFrom.After(at) && (now == nil || t.EffectiveFrom.After(now.EffectiveFrom)) {
			now = t
		}
	}
	return now
}

// calendar gives parking's tariffs the general holidays of the network.
type calendar struct {
	network interface {
		Holiday(date string) (holiday, known bool)
	}
}

func (c calendar) Holiday(d parktariff.Date) (holiday, known bool) {
	return c.network.Holiday(d.String())
}

// loadParkingTariffs reads the sample tariffs, and all files of the folder if
// one is given; several versions of one tariff are files with the same id.
func loadParkingTariffs(folder string, network roads) (map[string]*parktariff.Book, error) {
	versions := map[string][]*parktariff.Tariff{}
	for _, name := range parktariff.Samples() {
		t, err := parktariff.Sample(name)
		if err != nil {
			return nil, fmt.Errorf("reading the sample tariff %s: %w", name, err)
		}
		versions[t.ID] = append(versions[t.ID], t)
	}
	if folder != "" {
		own, err := readTariffFolder(folder)
		if err != nil {
			return nil, err
		}
		for id, list := range own {
			versions[id] = list // a folder's tariff replaces the sample of its name
		}
	}
	books := map[string]*parktariff.Book{}
	for id, list := range versions {
		book, err := parktariff.New(list, calendar{network})
		if err != nil {
			return nil, fmt.Errorf("compiling the parking tariff %s: %w", id, err)
		}
		books[id] = book
	}
	return books, nil
}

func readTariffFolder(folder string) (map[string][]*parktariff.Tariff, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("reading the parking tariffs: %w", err)
	}
	found := map[string][]*parktariff.Tariff{}
	for _, entry := range entries {
		if entry.IsDir() || !strings.HasSuffix(entry.Name(), ".json") {
			continue
		}
		t, err := readTariff(os.DirFS(folder), entry.Name())
		if err != nil {
			return nil, fmt.Errorf("reading the parking tariff %s: %w", filepath.Join(folder, entry.Name()), err)
		}
		found[t.ID] = append(found[t.ID], t)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("reading the parking tariffs: there is no .json file in %s", folder)
	}
	return found, nil
}

func readTariff(folder fs.FS, name string) (*parktariff.Tariff, error) {
	f, err := folder.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parktariff.Parse(f)
}

// openSites puts the car parks in force, the samples where there are none yet.
func (s *system) openSites(ctx context.Context) error {
	tariffs, err := loadParkingTariffs(s.flags.parkingTariffs, s.parts.network)
	if err != nil {
		return err
	}
	s.sites = newSiteKeeper(s.carParks, s.parts.network, s.env.Clock, s.log, tariffs)
	s.roadside = roadside{s.parts.network, s.sites}
	if !s.flags.noSamples && s.parts.network.Name() == "hongkong" {
		if err := s.sites.seed(ctx); err != nil {
			return err
		}
	}
	return s.sites.load(ctx)
}
