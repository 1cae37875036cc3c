package booktest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"freeflow/billing"
)

// restating makes a step at CHT without a job.
func restating(decide func(context.Context, billing.View) (billing.Restated, error)) billing.Restatement {
	return billing.Restatement{Facility: "CHT", Gap: gap, PostedAt: postedAt, DoneMicros: -1, Decide: decide}
}

// amend changes rows and checks the version.
func amend(t *testing.T, b Books, want int64, remove, add []billing.Assignment) {
	t.Helper()
	if version, err := b.AmendRegistry(context.Background(), remove, add, postedAt); err != nil || version != want {
		t.Fatalf("version %d, %v, want %d", version, err, want)
	}
}

var rejudgingTests = []test{
	{"rows of the registry are amended", func(t *testing.T, b Books) {
		ctx := context.Background()
		file := billing.Assignment{Account: "f", Plate: "FILE1", FromMicros: base}
		if _, err := b.PutRegistry(ctx, []billing.Assignment{file}, postedAt); err != nil {
			t.Fatal(err)
		}
		row := billing.Assignment{Account: "acc-1", Plate: "AB1234", Class: "taxi", Tag: "E280", FromMicros: base, Source: billing.RegistryAccounts}
		unsaid := row
		unsaid.Source = "" // means the accounts
		amend(t, b, 2, nil, []billing.Assignment{unsaid})
		amend(t, b, 2, nil, []billing.Assignment{row, row})
		holds(t, b, 2, []billing.Assignment{file, row})
		// A row ends as of an instant: it goes, and comes again with an end.
		ended := row
		ended.ToMicros = base + 5
		next := billing.Assignment{Account: "acc-2", Plate: "CD5678", Tag: "E280", FromMicros: base + 5, Source: billing.RegistryAccounts}
		amend(t, b, 3, []billing.Assignment{row}, []billing.Assignment{ended, next})
		amend(t, b, 3, []billing.Assignment{row}, []billing.Assignment{ended, next})
		amend(t, b, 3, []billing.Assignment{file}, nil) // not theirs
		holds(t, b, 3, []billing.Assignment{file, ended, next})
		changes, version, more, err := b.RegistryChanges(ctx, 1, 10)
		if err != nil || more || version != 3 || len(changes) != 3 {
			t.Fatalf("%+v, version %d, %t, %v", changes, version, more, err)
		}
		for _, want := range []billing.AssignmentChange{{Assignment: row, Since: 2, Until: 3}, {Assignment: ended, Since: 3}, {Assignment: next, Since: 3}} {
			if !slices.Contains(changes, want) {
				t.Errorf("%+v is not among the changes %+v", want, changes)
			}
		}
		if changes, _, _, err := b.RegistryChanges(ctx, 2, 10); err != nil || len(changes) != 3 {
			t.Errorf("after version 2: %+v, %v", changes, err)
		}
		if changes, _, more, err := b.RegistryChanges(ctx, 0, 3); err != nil || !more || len(changes) != 0 {
			t.Errorf("more than asked for: %+v, %t, %v", changes, more, err)
		}
		if rows, err := b.RegistryAt(ctx, 2); err != nil || !slices.Equal(sortRows(rows), sortRows([]billing.Assignment{file, row})) {
			t.Errorf("at version 2: %+v, %v", rows, err)
		}
		// The file goes and comes without touching theirs.
		if _, err := b.PutRegistry(ctx, nil, postedAt); err != nil {
			t.Fatal(err)
		}
		holds(t, b, 4, []billing.Assignment{ended, next})
	}},
	{"rows that contradict others are refused", func(t *testing.T, b Books) {
		ctx := context.Background()
		row := billing.Assignment{Account: "acc-1", Plate: "AB1234", Class: "taxi", Tag: "E280", FromMicros: base}
		amend(t, b, 1, nil, []billing.Assignment{row})
		for _, change := range []func(*billing.Assignment){
			func(a *billing.Assignment) { a.Plate = "CD5678" },
			func(a *billing.Assignment) { a.Tag, a.Account = "E281", "acc-2" },
			func(a *billing.Assignment) { a.Tag, a.Class = "", "" },
			func(a *billing.Assignment) { a.Tag, a.Exempt = "", true },
			func(a *billing.Assignment) { a.FromMicros = base + 1 },
		} {
			other := row
			change(&other)
			_, err := b.AmendRegistry(ctx, nil, []billing.Assignment{other}, postedAt)
			wantError(t, err, billing.ErrConflict)
			_, err = b.PutRegistry(ctx, []billing.Assignment{other}, postedAt)
			wantError(t, err, billing.ErrConflict)
		}
		for _, wrong := range []billing.Assignment{{Account: "a", FromMicros: base}, {Plate: "X", FromMicros: base, ToMicros: base}, {Plate: "\xff", FromMicros: base}} {
			_, err := b.AmendRegistry(ctx, nil, []billing.Assignment{wrong}, postedAt)
			wantError(t, err, billing.ErrInvalid)
		}
		holds(t, b, 1, []billing.Assignment{{Account: "acc-1", Plate: "AB1234", Class: "taxi", Tag: "E280", FromMicros: base, Source: billing.RegistryAccounts}})
	}},
	{"an outdated batch is refused", func(t *testing.T, b Books) {
		ctx := context.Background()
		l := &log{b: b}
		try := func(registry, epoch int64, passes ...billing.Pass) error {
			batch := l.batch(passes...)
			batch.Fence = &billing.Fence{Registry: registry, Epochs: map[string]int64{"CHT": epoch}}
			err := b.Post(ctx, batch)
			if err == nil {
				l.next = batch.To
			}
			return err
		}
		amend(t, b, 1, nil, []billing.Assignment{{Plate: "X", FromMicros: base, Source: "trial"}})
		// A facility that is new asks for the registry in force.
		wantError(t, try(0, 0, charged(1, 0)), billing.ErrOutdated)
		if err := try(1, 0, charged(1, 0)); err != nil {
			t.Fatal(err)
		}
		amend(t, b, 2, nil, []billing.Assignment{{Plate: "Y", FromMicros: base, Source: "trial"}})
		if err := try(1, 0, charged(2, 100)); err != nil {
			t.Fatalf("nobody asked for version 2 yet: %v", err)
		}
		latest, err := b.RequireRegistry(ctx, 2)
		if err != nil || latest != base {
			t.Fatalf("latest read %d, %v", latest, err)
		}
		// Also where the reads change no pass.
		wantError(t, try(1, 0), billing.ErrOutdated)
		wantError(t, try(1, 0, charged(3, 200)), billing.ErrOutdated)
		if err := try(2, 0, charged(3, 200)); err != nil {
			t.Fatal(err)
		}
		if _, err := b.RequireRegistry(ctx, 1); err != nil {
			t.Fatal(err)
		}
		wantError(t, try(1, 0), billing.ErrOutdated)
		err = b.Restate(ctx, restating(func(context.Context, billing.View) (billing.Restated, error) {
			return billing.Restated{Passes: []billing.Pass{with(charged(1, 0), func(p *billing.Pass) { p.Vehicle, p.Account = "OTHER", "acc-2" })}}, nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, try(2, 0), billing.ErrOutdated)
		facilities, err := b.Facilities(ctx)
		want := billing.Facility{Name: "CHT", Epoch: 1, EpochMicros: base + second, Registry: 2}
		if err != nil || len(facilities) != 1 || facilities[0] != want {
			t.Fatalf("%+v, %v, want %+v", facilities, err, want)
		}
		if err := try(2, 1, charged(4, 300)); err != nil {
			t.Fatal(err)
		}
		owe(t, b, map[string]int64{"account:acc-1": 2400, "account:acc-2": 800, "operator:CHT": -3200})
		sound(t, b)
	}},
	{"a step is posted wholly or not at all", func(t *testing.T, b Books) {
		ctx := context.Background()
		l := &log{b: b}
		l.post(t, charged(1, 0), charged(2, 100))
		before := list(t, b)
		failed := errors.New("failed")
		for _, wrong := range []struct {
			want   error
			passes []billing.Pass
			err    error
		}{
			{failed, nil, failed},
			{billing.ErrStale, []billing.Pass{with(with(charged(1, 0), func(*billing.Pass) {}), func(p *billing.Pass) { p.Account = "x" })}, nil},
			{billing.ErrStale, []billing.Pass{charged(2, 500)}, nil},
			{billing.ErrStale, []billing.Pass{charged(3, 130)}, nil}, // within the gap of another
			{billing.ErrInvalid, []billing.Pass{with(charged(1, 0), func(p *billing.Pass) { p.Facility = "WHC" })}, nil},
			{billing.ErrInvalid, []billing.Pass{charged(3, 900), charged(3, 900)}, nil},
		} {
			err := b.Restate(ctx, restating(func(context.Context, billing.View) (billing.Restated, error) {
				return billing.Restated{Passes: wrong.passes}, wrong.err
			}))
			wantError(t, err, wrong.want)
		}
		err := b.Restate(ctx, billing.Restatement{Facility: "NONE", PostedAt: postedAt, Decide: func(context.Context, billing.View) (billing.Restated, error) {
			return billing.Restated{}, nil
		}})
		wantError(t, err, billing.ErrNotFound)
		if !slices.EqualFunc(list(t, b), before, same) {
			t.Error("something was posted")
		}
		// One pass becomes part of another, which takes over its place.
		err = b.Restate(ctx, restating(func(ctx context.Context, v billing.View) (billing.Restated, error) {
			found, err := v.Passes(ctx, []billing.Window{{Facility: "CHT", Vehicle: "AB1234", Registered: true, FromMicros: base, ToMicros: base}})
			if err != nil || len(found) != 1 || !same(found[0], charged(1, 0)) {
				t.Errorf("%+v, %v", found, err)
			}
			if byID, err := v.ByID(ctx, []string{id(2), id(9)}); err != nil || len(byID) != 1 || byID[0].ID != id(2) {
				t.Errorf("%+v, %v", byID, err)
			}
			return billing.Restated{Passes: []billing.Pass{
				with(charged(1, 0), func(p *billing.Pass) { p.MergedInto = id(2) }),
				with(charged(2, 100), func(p *billing.Pass) { p.FirstMicros, p.Vehicle, p.Marks = base, "tag:E1", []string{"plate:X"} }),
			}}, nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		owe(t, b, map[string]int64{"account:acc-1": 800})
		sound(t, b)
		if known, err := b.KnownPasses(ctx, []string{id(1), id(2), id(3)}); err != nil || !slices.Equal(known, []string{id(1), id(2)}) {
			t.Errorf("%v, %v", known, err)
		}
	}},
	{"a job has one owner at a time", func(t *testing.T, b Books) {
		ctx := context.Background()
		_, err := b.ClaimRejudge(ctx, "a", postedAt, postedAt.Add(time.Minute))
		wantError(t, err, billing.ErrNotFound)
		wantError(t, b.SetJudgedVersion(ctx, 1, 2), billing.ErrConflict)
		if err := b.SetJudgedVersion(ctx, 0, 1); err != nil {
			t.Fatal(err)
		}
		job := billing.RejudgeJob{FromVersion: 1, ToVersion: 4, FromMicros: base, ToMicros: base + 9, DoneMicros: base, StartedAt: postedAt, Owner: "a", LeaseUntil: postedAt.Add(time.Minute)}
		started, err := b.StartRejudge(ctx, job)
		if err != nil || started.ID != 1 {
			t.Fatalf("%+v, %v", started, err)
		}
		for _, other := range []billing.RejudgeJob{job, {FromVersion: 0, ToVersion: 4, StartedAt: postedAt, LeaseUntil: postedAt}} {
			_, err := b.StartRejudge(ctx, other)
			wantError(t, err, billing.ErrConflict)
		}
		wantError(t, b.SetJudgedVersion(ctx, 1, 2), billing.ErrConflict)
		_, err = b.ClaimRejudge(ctx, "b", postedAt, postedAt.Add(time.Minute))
		wantError(t, err, billing.ErrConflict)
		wantError(t, b.AdvanceRejudge(ctx, 1, "b", base+1, postedAt), billing.ErrFenced)
		if err := b.AdvanceRejudge(ctx, 1, "a", base+3, postedAt.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		later := postedAt.Add(2 * time.Minute)
		taken, err := b.ClaimRejudge(ctx, "b", later, later.Add(time.Minute))
		if err != nil || taken.Owner != "b" || taken.DoneMicros != base+3 {
			t.Fatalf("%+v, %v", taken, err)
		}
		wantError(t, b.SkipRejudge(ctx, 1, "a", []string{id(1)}), billing.ErrFenced)
		for range 2 {
			if err := b.SkipRejudge(ctx, 1, "b", []string{id(2), id(1)}); err != nil {
				t.Fatal(err)
			}
		}
		if ids, err := b.RejudgeSkipped(ctx, 1, id(1), 10); err != nil || !slices.Equal(ids, []string{id(2)}) {
			t.Errorf("%v, %v", ids, err)
		}
		_, err = b.FinishRejudge(ctx, 1, "a", later)
		wantError(t, err, billing.ErrFenced)
		l := &log{b: b}
		l.post(t, charged(1, 0))
		step := restating(func(context.Context, billing.View) (billing.Restated, error) { return billing.Restated{}, nil })
		step.Job, step.Owner, step.LeaseUntil, step.Reads = 1, "a", later.Add(time.Minute), 3
		wantError(t, b.Restate(ctx, step), billing.ErrFenced)
		step.Owner, step.DoneMicros = "b", base+7
		if err := b.Restate(ctx, step); err != nil {
			t.Fatal(err)
		}
		done, err := b.FinishRejudge(ctx, 1, "b", later)
		if err != nil || done.FinishedAt.IsZero() || done.Reads != 3 || done.Skipped != 2 {
			t.Errorf("%+v, %v", done, err)
		}
		if v, err := b.JudgedVersion(ctx); err != nil || v != 4 {
			t.Errorf("judged by %d, %v", v, err)
		}
		if jobs, err := b.RejudgeJobs(ctx, 0, 10); err != nil || len(jobs) != 1 || jobs[0] != done {
			t.Errorf("%+v, %v", jobs, err)
		}
		if jobs, err := b.RejudgeJobs(ctx, 1, 10); err != nil || len(jobs) != 0 {
			t.Errorf("%+v, %v", jobs, err)
		}
	}},
	{"what is pruned is remembered", func(t *testing.T, b Books) {
		ctx := context.Background()
		l := &log{b: b}
		for n, at := range []time.Time{postedAt, postedAt.Add(time.Hour)} {
			batch := l.batch()
			batch.PostedAt = at
			batch.Reads = &billing.ReadArchive{Count: 1, MinMicros: base + int64(n), MaxMicros: base + int64(n), Blob: []byte{byte(n)}}
			if err := b.Post(ctx, batch); err != nil {
				t.Fatal(err)
			}
			l.next = batch.To
		}
		if _, err := b.PruneArchives(ctx, postedAt); err != nil {
			t.Fatal(err)
		}
		if micros, err := b.PrunedMicros(ctx); err != nil || micros != 0 {
			t.Errorf("pruned until %d, %v", micros, err)
		}
		if n, err := b.PruneArchives(ctx, postedAt.Add(time.Minute)); err != nil || n != 1 {
			t.Fatalf("%d, %v", n, err)
		}
		if micros, err := b.PrunedMicros(ctx); err != nil || micros != base {
			t.Errorf("pruned until %d, %v", micros, err)
		}
		offsets, err := b.Offsets(ctx)
		if err != nil || offsets[0] != 2 || len(offsets) != 1 {
			t.Errorf("%v, %v", offsets, err)
		}
		l.post(t, charged(1, 0))
		seen := 0
		err = b.Restate(ctx, restating(func(ctx context.Context, v billing.View) (billing.Restated, error) {
			for _, since := range []map[int]int64{nil, {0: 1}, {0: 2}} {
				err := v.ArchivedSince(ctx, since, base, base+5, func(blob []byte) error {
					seen += len(blob)
					return nil
				})
				if err != nil {
					return billing.Restated{}, err
				}
			}
			return billing.Restated{}, nil
		}))
		if err != nil || seen != 2 {
			t.Errorf("%d archives seen, %v", seen, err)
		}
	}},
	{"steps and posters wait for each other", func(t *testing.T, b Books) {
		ctx := context.Background()
		(&log{b: b, partition: 9}).post(t, charged(1, 0))
		const steps = 20
		var wg sync.WaitGroup
		// Each step lengthens the pass by what it finds; each poster too.
		lengthen := func(p billing.Pass) billing.Pass {
			return with(p, func(p *billing.Pass) { p.LastMicros += second })
		}
		stale := func(err error) bool { return errors.Is(err, billing.ErrStale) || errors.Is(err, billing.ErrOutdated) }
		for n := range 2 {
			wg.Go(func() {
				l := &log{b: b, partition: n}
				for done := 0; done < steps; {
					facilities, err := b.Facilities(ctx)
					if err == nil {
						var found []billing.Pass
						found, err = b.Passes(ctx, []billing.Window{{Facility: "CHT", Vehicle: "AB1234", Registered: true, FromMicros: base, ToMicros: base}})
						if err == nil {
							batch := l.batch(lengthen(found[0]))
							batch.Fence = &billing.Fence{Epochs: map[string]int64{"CHT": facilities[0].Epoch}}
							if err = b.Post(ctx, batch); err == nil {
								l.next = batch.To
								done++
							}
						}
					}
					if err != nil && !stale(err) {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Go(func() {
			for range steps {
				err := b.Restate(ctx, restating(func(ctx context.Context, v billing.View) (billing.Restated, error) {
					found, err := v.ByID(ctx, []string{id(1)})
					if err != nil {
						return billing.Restated{}, err
					}
					return billing.Restated{Passes: []billing.Pass{lengthen(found[0])}}, nil
				}))
				if err != nil {
					t.Errorf("a step, which holds the facility, failed: %v", err)
				}
			}
		})
		wg.Wait()
		p := list(t, b)[0]
		if p.Revision != 1+3*steps || p.LastMicros != base+second+3*steps*second {
			t.Errorf("revision %d, %d s long", p.Revision, (p.LastMicros-p.FirstMicros)/second)
		}
		sound(t, b)
	}},
}
