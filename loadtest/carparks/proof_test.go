package carparks

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	_ "modernc.org/sqlite" // to ask the file itself
)

// site is a car park to contend for.
type site struct {
	id   string
	bays []string
	file string
}

// siteFile is a site file of groups of bays and machines.
func siteFile(id, code, machines, groups string) string {
	return fmt.Sprintf(`{"id":%q,"code":%q,"name":{"en":"Proof","zh_hant":"證明","zh_hans":"证明"},"zone":"Asia/Hong_Kong",
"source":"Made for a test.","tariff":"rumsey-street","clock_start":"entry","clock_stop":"exit","machines":[%s],"groups":[%s],
"lanes":[{"unit":"%s-IN-1","direction":"in"},{"unit":"%s-OUT-1","direction":"out"}]}`, id, code, machines, groups, code, code)
}

// ordinary is a car park of so many bays that drivers drive into.
func ordinary(id, code string, n int) site {
	s := site{id: id, file: siteFile(id, code, "", fmt.Sprintf(
		`{"prefix":"A-","first":1,"digits":3,"count":%d,"level":"1","classes":["private_car"],"walk_metres":10,"drive_seconds":20}`, n))}
	for i := range n {
		s.bays = append(s.bays, fmt.Sprintf("A-%03d", i+1))
	}
	return s
}

// racks is a car park of 50 bays in lift-slide racks: three of 3 tiers and 5
// columns, 13 bays each, and one of 2 tiers and 6 columns, 11 bays.
func racks(id, code string) site {
	s := site{id: id}
	var machines, groups []string
	for i, shape := range [][2]int{{3, 5}, {3, 5}, {3, 5}, {2, 6}} {
		name := fmt.Sprint("R", i+1)
		machines = append(machines, fmt.Sprintf(`{"id":%q,"level":"G","mechanism":"puzzle","tiers":%d,"columns":%d,"timing":{"gate_seconds":10,
"user_seconds":45,"pitch_mm":2500,"tier_mm":2100,"slide_mm_per_minute":7000,"lift_mm_per_minute":4500}}`, name, shape[0], shape[1]))
		groups = append(groups, fmt.Sprintf(`{"machine":%q,"level":"G","limits":{"length_mm":5200,"width_mm":2200,"height_mm":2000,"weight_kg":2500},
"classes":["private_car"],"walk_metres":20,"drive_seconds":30}`, name))
		for tier := range shape[0] {
			columns := shape[1]
			if tier+1 < shape[0] {
				columns-- // every tier but the top keeps one place empty
			}
			for column := range columns {
				s.bays = append(s.bays, fmt.Sprintf("%s-%d-%d", name, tier+1, column+1))
			}
		}
	}
	s.file = siteFile(id, code, strings.Join(machines, ","), strings.Join(groups, ","))
	return s
}

// effort is how hard a car park is tried.
type effort struct {
	// rushKills and roundKills are how many kills meet the rush and the rounds.
	rushKills, roundKills int
	// leavesABay is how many departures the rounds have a bay; 30 at least in
	// all.
	leavesABay int
}

// crew are all clients.
func crew() []*driver {
	drivers := make([]*driver, clients)
	for i := range drivers {
		drivers[i] = &driver{number: i}
	}
	return drivers
}

// contend is the whole trial of one car park.
func contend(t *trial, e effort) {
	drivers := crew()
	bays := len(t.site.bays)

	// All at once, and nobody leaves.
	first := make([]answer, clients)
	t.kills(e.rushKills, clients*4/5)
	t.all(drivers, func(d *driver) (err error) {
		first[d.number], err = t.take(d)
		return err
	})
	if got := len(holders(drivers)); got != bays {
		t.Errorf("seed %d: %d of %d clients won one of %d bays", t.seed, got, clients, bays)
	}
	t.inspect("after the rush", drivers)

	// Whoever asks again with the same key, at the other process, is told the
	// same.
	t.all(drivers, func(d *driver) error {
		key, body := d.request()
		again, _, _, err := t.ask(d.number+1, "/v1/carparks/"+t.site.id+"/allocations", t.site.id+"-"+key, body)
		if err == nil && again.decided() != first[d.number].decided() {
			err = fmt.Errorf("the same request was answered\n%v\nand then\n%v", first[d.number], again)
		}
		return err
	})
	t.inspect("after repetition", drivers)

	// Bays change hands: those who have one leave it, and as many again and
	// some more try for it.
	crowd := holders(drivers)
	for _, d := range drivers {
		if d.allocation == "" && len(crowd) < 2*bays+16 {
			crowd = append(crowd, d)
		}
	}
	struck := t.struck.Load()
	want := int64(max(30, e.leavesABay*bays))
	var left atomic.Int64
	t.kills(e.roundKills, 2*want)
	t.all(crowd, func(d *driver) error {
		for left.Load() < want {
			t.pause(10 * time.Millisecond)
			if d.allocation != "" {
				if err := t.leave(d); err != nil {
					return err
				}
				left.Add(1)
			} else if _, err := t.take(d); err != nil {
				return err
			}
		}
		return nil
	})
	t.inspect("after the rounds", crowd)
	if t.struck.Load() == struck || struck == 0 {
		t.Errorf("seed %d: no request met a kill: %d in the rush, %d in the rounds", t.seed, struck, t.struck.Load()-struck)
	}

	// At last all go.
	t.all(holders(crowd), t.leave)
	t.inspect("at the end", nil)
}

// run tries car parks of one bay, of fifty, and of fifty in racks.
func run(t *testing.T, b books, e effort) {
	w := newWorld(t, b, *binary)
	t.Run("1 bay", func(t *testing.T) { contend(w.newTrial(t, ordinary("one", "ONE", 1)), e) })
	t.Run("50 bays", func(t *testing.T) { contend(w.newTrial(t, ordinary("fifty", "FTY", 50)), e) })
	t.Run("50 bays in racks", func(t *testing.T) { contend(w.newTrial(t, racks("racks", "RCK")), e) })
}

func TestSQLite(t *testing.T) { run(t, sqlite(t), effort{rushKills: 2, roundKills: 2, leavesABay: 4}) }

// sqlite is a new file for the test.
func sqlite(t *testing.T) books {
	path := filepath.Join(t.TempDir(), "books.db")
	return books{url: "sqlite:" + path, pairs: func(ctx context.Context, query string) ([][2]string, error) {
		db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(5000)")
		if err != nil {
			return nil, err
		}
		defer db.Close()
		rows, err := db.QueryContext(ctx, query)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		var all [][2]string
		for rows.Next() {
			var pair [2]string
			if err := rows.Scan(&pair[0], &pair[1]); err != nil {
				return nil, err
			}
			all = append(all, pair)
		}
		return all, rows.Err()
	}}
}
