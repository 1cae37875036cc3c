package rejudge

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/loadtest/oracle"
	"freeflow/tolling/matcher"
)

// noon is a Monday, 12:00 in Hong Kong.
var noon = time.Date(2026, 3, 2, 4, 0, 0, 0, time.UTC)

// read puts a read at CHT-N into the log, so long after noon, and its oracle's
// twin beside it.
func (r *rig) read(after time.Duration, fields string) {
	r.Helper()
	line := fmt.Sprintf(`{"unit":"CHT-N-1","seq":%d,"time":%q,%s}`, len(r.reads)+1, noon.Add(after).Format(time.RFC3339Nano), fields)
	r.arrive(line)
	read, err := oracle.ParseRead([]byte(line))
	if err != nil {
		r.Fatal(err)
	}
	r.reads = append(r.reads, read)
}

// postAll posts what has arrived.
func (r *rig) postAll() {
	r.Helper()
	for p := range partitions {
		if err := r.serve(p, int64(len(r.records[p])), 50, r.rng, func() {}); err != nil {
			r.Fatal(err)
		}
	}
}

// amend changes rows of a source of its own, as accounts change theirs.
func (r *rig) amend(remove, add []billing.Assignment) {
	r.Helper()
	for _, rows := range [][]billing.Assignment{remove, add} {
		for i := range rows {
			rows[i].Source = "trial"
		}
	}
	if _, err := r.books.AmendRegistry(r.Context(), remove, add, r.clock.Now()); err != nil {
		r.Fatal(err)
	}
	if err := r.runner("r").Once(r.Context()); err != nil {
		r.Fatal(err)
	}
}

// one returns the only standing pass.
func (r *rig) one() billing.Pass {
	r.Helper()
	list, err := r.books.List(r.Context(), billing.Filter{Limit: 10})
	if err != nil || len(list) != 1 {
		r.Fatalf("%d passes, %v: %+v", len(list), err, list)
	}
	return list[0]
}

func (r *rig) owes(account string) int64 {
	r.Helper()
	list, err := r.books.Balances(r.Context(), []string{account})
	if err != nil {
		r.Fatal(err)
	}
	sum := int64(0)
	for _, b := range list {
		sum += b.AmountCents
	}
	return sum
}

func newCase(t *testing.T) *rig { return newBareRig(t, sqliteURL(t), 1, noon.Add(24*time.Hour)) }

// A tag that is bound as of yesterday takes its pass along: the same pass, now
// of the vehicle and its account, by a reversal and a new toll; its reads are
// found, and taking the tag back undoes it.
func TestAPassMovesToAnAccountAndBack(t *testing.T) {
	r := newCase(t)
	r.read(0, `"tag":"E28001","class":"private_car"`)
	r.read(20*time.Second, `"tag":"E28001"`)
	r.postAll()
	before := r.one()
	if before.Status != billing.StatusUnpaid || before.Vehicle != "tag:E28001" {
		t.Fatalf("%+v", before)
	}
	row := billing.Assignment{Account: "A1", Plate: "AB1234", Class: "private_car", Tag: "E28001", FromMicros: noon.Add(-time.Hour).UnixMicro()}
	r.amend(nil, []billing.Assignment{row})
	after := r.one()
	if after.ID != before.ID || after.Vehicle != "AB1234" || !after.Registered || after.Status != billing.StatusCharged || after.Account != "A1" {
		t.Errorf("%+v", after)
	}
	if owed, unpaid := r.owes("account:A1"), r.owes("unpaid:CHT"); owed != after.AmountCents || owed == 0 || unpaid != 0 {
		t.Errorf("A1 owes %d, nobody %d", owed, unpaid)
	}
	reads, err := matcher.ReadsOf(t.Context(), r.books, r.network, r.current.Get(), after)
	if err != nil || len(reads) != 2 {
		t.Errorf("%d reads, %v", len(reads), err)
	}
	// A late read joins it where it is now.
	r.read(10*time.Second, `"tag":"E28001"`)
	r.postAll()
	if late := r.one(); late.ID != before.ID {
		t.Errorf("%+v", late)
	}
	r.amend([]billing.Assignment{row}, nil)
	back := r.one()
	if back.ID != before.ID || back.Vehicle != before.Vehicle || back.Status != before.Status || back.AmountCents != before.AmountCents || r.owes("account:A1") != 0 {
		t.Errorf("%+v", back)
	}
	r.sound()
}

// What a person decided stands as long as a correction leaves what they saw; one
// that changes it reopens the pass.
func TestADecisionStandsOrIsReopened(t *testing.T) {
	r := newCase(t)
	r.read(0, `"plate":"AB1234","plate_confidence":0.5,"class":"private_car"`)
	r.amend(nil, []billing.Assignment{{Account: "A1", Plate: "AB1234", FromMicros: noon.Add(-time.Hour).UnixMicro(), ToMicros: noon.Add(time.Hour).UnixMicro()}})
	r.postAll()
	p := r.one()
	decided, err := r.books.Decide(t.Context(), p.ID, p.Revision, billing.Decision{Status: billing.StatusCharged, Class: "private_car", Account: "A1",
		AmountCents: 800, Rule: "seen", By: "chan", At: noon, Basis: matcher.Basis(p)})
	if err != nil {
		t.Fatal(err)
	}
	// The same vehicle a moment longer: nothing that was seen differs.
	row := billing.Assignment{Account: "A1", Plate: "AB1234", FromMicros: noon.Add(-time.Hour).UnixMicro(), ToMicros: noon.Add(time.Hour).UnixMicro()}
	longer := row
	longer.FromMicros = noon.Add(-2 * time.Hour).UnixMicro()
	r.amend([]billing.Assignment{row}, []billing.Assignment{longer})
	// A tag of the vehicle that no read carried.
	tagged := longer
	tagged.Tag = "E28002"
	r.amend(nil, []billing.Assignment{tagged})
	if still := r.one(); still.Revision != decided.Revision || still.Status != billing.StatusCharged {
		t.Errorf("a correction that changes nothing seen touched it: %+v", still)
	}
	// Another account's: what was decided no longer holds.
	theirs, tag2 := longer, tagged
	theirs.Account, tag2.Account = "A2", "A2"
	r.amend([]billing.Assignment{longer, tagged}, []billing.Assignment{theirs, tag2})
	open := r.one()
	if open.Status != billing.StatusReview || !strings.Contains(open.Reasons, "reopened") || open.Account != "A2" || open.ID != p.ID {
		t.Errorf("%+v", open)
	}
	if r.owes("account:A1") != 0 || r.owes("account:A2") != 0 {
		t.Error("a pass under review is owed")
	}
	// And back: it is what the person saw.
	r.amend([]billing.Assignment{theirs, tag2}, []billing.Assignment{longer, tagged})
	if again := r.one(); again.Status != billing.StatusCharged || r.owes("account:A1") != 800 {
		t.Errorf("%+v", again)
	}
	r.sound()
}

// A pass whose reads are pruned is left alone and named; one that is still kept
// is not.
func TestPrunedPassesAreNamed(t *testing.T) {
	r := newCase(t)
	r.read(0, `"tag":"E28001","class":"private_car"`)
	r.postAll()
	r.clock.Advance(time.Hour)
	r.read(10*time.Minute, `"tag":"E28001","class":"private_car"`)
	r.postAll()
	if n, err := r.books.PruneArchives(t.Context(), r.clock.Now().Add(-time.Minute)); err != nil || n != 1 {
		t.Fatalf("%d pruned, %v", n, err)
	}
	r.amend(nil, []billing.Assignment{{Account: "A1", Plate: "AB1234", Class: "private_car", Tag: "E28001", FromMicros: noon.Add(-time.Hour).UnixMicro()}})
	list, err := r.books.List(t.Context(), billing.Filter{Limit: 10})
	if err != nil || len(list) != 2 || list[0].Vehicle != "tag:E28001" || list[1].Vehicle != "AB1234" {
		t.Fatalf("%+v, %v", list, err)
	}
	jobs, err := r.books.RejudgeJobs(t.Context(), 0, 10)
	if err != nil || len(jobs) != 1 || jobs[0].Skipped != 1 || jobs[0].Passes != 1 {
		t.Fatalf("%+v, %v", jobs, err)
	}
	if ids, err := r.books.RejudgeSkipped(t.Context(), jobs[0].ID, "", 10); err != nil || !slices.Equal(ids, []string{list[0].ID}) {
		t.Errorf("%v, %v", ids, err)
	}
	r.sound()
}

// A change from now on touches no read, and leaves no job.
func TestAChangeFromNowOnLeavesNoJob(t *testing.T) {
	r := newCase(t)
	r.read(0, `"tag":"E28001","class":"private_car"`)
	r.postAll()
	r.amend(nil, []billing.Assignment{{Account: "A1", Plate: "AB1234", Tag: "E28001", FromMicros: r.clock.Now().UnixMicro()}})
	jobs, err := r.books.RejudgeJobs(t.Context(), 0, 10)
	if err != nil || len(jobs) != 0 {
		t.Errorf("%+v, %v", jobs, err)
	}
	if judged, err := r.books.JudgedVersion(t.Context()); err != nil || judged != 1 {
		t.Errorf("judged by version %d, %v", judged, err)
	}
}

// A process that lost its lease can neither go on nor finish.
func TestALostLeaseIsFenced(t *testing.T) {
	r := newCase(t)
	r.read(0, `"tag":"E28001","class":"private_car"`)
	r.postAll()
	if _, err := r.books.AmendRegistry(t.Context(), nil, []billing.Assignment{{Account: "A1", Plate: "AB1234", Tag: "E28001", FromMicros: 1}}, noon); err != nil {
		t.Fatal(err)
	}
	slow, fast := r.runner("slow"), r.runner("fast")
	slow.hook = func(string) error {
		r.clock.Advance(2 * lease)
		return fast.Once(t.Context())
	}
	if err := slow.Once(t.Context()); !errors.Is(err, billing.ErrFenced) {
		t.Errorf("the slow one ended with %v", err)
	}
	if p := r.one(); p.Vehicle != "AB1234" || p.Revision != 2 {
		t.Errorf("%+v", p)
	}
}
