package audit

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeLedger is a list of transactions in order.
type fakeLedger struct {
	list []Posted
	// calls counts the walks.
	calls int
}

func (f *fakeLedger) post(at time.Time, id string) {
	p := Posted{At: at, ID: id, Posting: int64(len(f.list) + 1), Entries: 2, Encoding: []byte(`{"id":"` + id + `"}`)}
	f.list = append(f.list, p)
	slices.SortStableFunc(f.list, func(a, b Posted) int { return a.At.Compare(b.At) })
}

func (f *fakeLedger) FirstPosted(context.Context) (time.Time, bool, error) {
	if len(f.list) == 0 {
		return time.Time{}, false, nil
	}
	return f.list[0].At, true, nil
}

func (f *fakeLedger) Posted(_ context.Context, from, to time.Time, each func(*Posted) error) error {
	f.calls++
	for i := range f.list {
		if p := &f.list[i]; !p.At.Before(from) && p.At.Before(to) {
			if err := each(p); err != nil {
				return err
			}
		}
	}
	return nil
}

var hongKong = time.FixedZone("HKT", 8*3600)

// day is an instant of a day of November in Hong Kong.
func day(d, hour int) time.Time { return time.Date(2026, 11, d, hour, 0, 0, 0, hongKong) }

// threeDays is a ledger with postings on the 20th and the 22nd, closed up to
// the 22nd.
func threeDays(t testing.TB, l *Log) *fakeLedger {
	t.Helper()
	f := &fakeLedger{}
	f.post(day(20, 9), "t1")
	f.post(day(20, 23), "t2")
	f.post(day(22, 0), "t3")
	n, err := l.CloseDays(context.Background(), f, hongKong, day(23, 2), time.Hour)
	if err != nil || n != 3 {
		t.Fatalf("closed %d days: %v", n, err)
	}
	extendAll(t, l)
	return f
}

func TestDaysAreClosedOnceAndAfterTheDelay(t *testing.T) {
	l := openLog(t, sqliteURL(t))
	if n, err := l.CloseDays(t.Context(), &fakeLedger{}, hongKong, day(23, 2), time.Hour); n != 0 || err != nil {
		t.Fatalf("an empty ledger: %d, %v", n, err)
	}
	f := threeDays(t, l)
	if f.calls != 1 {
		t.Errorf("the ledger was walked %d times", f.calls)
	}
	f.post(day(23, 12), "t4")
	for _, one := range []struct {
		now  time.Time
		want int
	}{{day(23, 2), 0}, {day(24, 0), 0}, {day(24, 1), 1}, {day(24, 1), 0}, {day(27, 3), 3}} {
		n, err := l.CloseDays(t.Context(), f, hongKong, one.now, time.Hour)
		if err != nil || n != one.want {
			t.Errorf("at %s: closed %d days, want %d (%v)", one.now, n, one.want, err)
		}
	}
	extendAll(t, l)
	r := verify(t, l, f)
	holds(t, r)
	if r.Days != 7 {
		t.Errorf("%d days, want 7", r.Days)
	}
}

func TestManyDaysAreClosedInSteps(t *testing.T) {
	l := openLog(t, sqliteURL(t))
	f := &fakeLedger{}
	f.post(day(1, 1), "t1")
	f.post(day(1, 1).AddDate(0, 0, maxDays+5), "t2")
	now := day(1, 2).AddDate(0, 0, maxDays+6)
	for _, want := range []int{maxDays, 6, 0} {
		if n, err := l.CloseDays(t.Context(), f, hongKong, now, time.Hour); err != nil || n != want {
			t.Fatalf("closed %d days, want %d: %v", n, want, err)
		}
	}
	extendAll(t, l)
	holds(t, verify(t, l, f))
}

func TestTwoCloseADayOnce(t *testing.T) { testTwoClose(t, sqliteURL(t)) }

func testTwoClose(t *testing.T, url string) {
	one, two := openLog(t, url), openLog(t, url)
	f := &fakeLedger{}
	f.post(day(1, 9), "t1")
	var wg sync.WaitGroup
	for _, l := range []*Log{one, two} {
		mine := &fakeLedger{list: slices.Clone(f.list)}
		wg.Go(func() {
			if _, err := l.CloseDays(context.Background(), mine, hongKong, day(20, 9), time.Hour); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	extendAll(t, one)
	r := verify(t, one, f)
	holds(t, r)
	if r.Days != 19 || r.Entries != 19 {
		t.Errorf("report %+v", r)
	}
}

// entryNumber is left out of what is compared: days closed at one instant stand
// in no particular order.
var entryNumber = regexp.MustCompile(` \(entry \d+\)`)

func TestAChangedLedgerIsNamedByItsDay(t *testing.T) {
	for name, one := range map[string]struct {
		change func(*fakeLedger)
		want   string
	}{
		"an entry rewritten": {func(f *fakeLedger) { f.list[1].Encoding = []byte(`{"id":"t2","amount":1}`) }, "the ledger of 2026-11-20 is not"},
		"a transaction gone": {func(f *fakeLedger) { f.list = f.list[1:] }, "of 2026-11-20 is not what it was when it was closed: it had 2 transactions and has 1"},
		"posted into a closed day": {func(f *fakeLedger) { f.post(day(21, 5), "late") },
			"of 2026-11-21 is not what it was when it was closed: transaction late bears that day and was posted afterwards"},
		"posted before the first": {func(f *fakeLedger) { f.post(day(19, 5), "early") }, "transaction early was posted before the first closed day"},
		"an entry less":           {func(f *fakeLedger) { f.list[2].Entries = 1 }, "of 2026-11-22 is not what it was when it was closed: it had 2 entries and has 1"},
	} {
		t.Run(name, func(t *testing.T) {
			l := openLog(t, sqliteURL(t))
			f := threeDays(t, l)
			holds(t, verify(t, l, f))
			one.change(f)
			r := verify(t, l, f)
			if len(r.Findings) != 1 || !strings.Contains(entryNumber.ReplaceAllString(r.Findings[0].Detail, ""), one.want) {
				t.Errorf("findings %+v, want %q", r.Findings, one.want)
			}
		})
	}
}

// The days follow each other over the ends of summer time.
func TestDaysFollowTheZone(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	l := openLog(t, sqliteURL(t))
	f := &fakeLedger{}
	start := time.Date(2026, 10, 23, 12, 0, 0, 0, zone)
	for h := range 24 * 6 {
		f.post(start.Add(time.Duration(h)*time.Hour), fmt.Sprint("t", h))
	}
	if n, err := l.CloseDays(t.Context(), f, zone, start.AddDate(0, 0, 6), time.Hour); n != 6 || err != nil {
		t.Fatalf("closed %d days: %v", n, err)
	}
	extendAll(t, l)
	holds(t, verify(t, l, f))
}
