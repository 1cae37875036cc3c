package billing

import (
	"context"
	"errors"
	"time"
)

// RegistryAccounts is the source of the registry's rows that the accounts keep.
// The rows of the file that operators put have the empty source.
const RegistryAccounts = "accounts"

// ErrOutdated: passes of a facility were judged anew since the poster read
// them, or its reads were resolved under an older registry than the books ask
// for. Read the facilities and the registry again, resolve and retry.
var ErrOutdated = errors.New("the poster's registry or passes are outdated")

// AssignmentChange is a row of the registry with the versions between which it
// held.
type AssignmentChange struct {
	Assignment
	// Since is the version that put it in force; Until the one that ended it,
	// 0 if it holds.
	Since, Until int64
}

// Amending changes a few rows of the registry.
type Amending interface {
	// AmendRegistry takes rows out of the registry and puts others in, as one
	// new version, and returns the version in force. A row to be removed that
	// is not in force, and one to be added that is, change nothing; where
	// nothing changes there is no new version. An empty Source means
	// RegistryAccounts. ErrConflict if a tag would be assigned twice at an
	// instant, or rows of one plate would disagree; ErrInvalid.
	AmendRegistry(ctx context.Context, remove, add []Assignment, at time.Time) (version int64, err error)
	// RegistryChanges returns every row that was put in force or ended after
	// the version, also those that both happened to, at most limit of them,
	// and the present version. more is true if there were more: read the whole
	// Registry instead.
	RegistryChanges(ctx context.Context, since int64, limit int) (changes []AssignmentChange, version int64, more bool, err error)
}

// Fence says what a poster's batch was made under, so that it cannot undo what
// was judged anew meanwhile.
type Fence struct {
	// Registry is the version of the registry that resolved the reads.
	Registry int64
	// Epochs are the epochs of all facilities of the batch's reads, as
	// Facilities gave them before any of the passes were read; 0 for one that
	// the books do not know.
	Epochs map[string]int64
}

// Facility is what posters know of a facility beside its passes.
type Facility struct {
	Name string
	// Epoch counts how often its passes were judged anew.
	Epoch int64
	// EpochMicros is the latest read time that any pass judged anew ever had:
	// what is held of later passes stays good.
	EpochMicros int64
	// Registry is the oldest version of the registry that batches may have
	// been resolved under.
	Registry int64
}

// RejudgeJob is one run over the kept reads after the registry changed.
type RejudgeJob struct {
	ID int64
	// FromVersion is the version under which all kept reads had been judged
	// before, ToVersion the one under which they are after.
	FromVersion, ToVersion int64
	// FromMicros and ToMicros bound the read times that are touched, both
	// included; DoneMicros is where it stands: all touched reads before it are
	// done.
	FromMicros, ToMicros, DoneMicros int64
	StartedAt                        time.Time
	// FinishedAt is zero while it runs.
	FinishedAt time.Time
	// Reads counts reads that name another vehicle or holder now; Passes those
	// that were added, changed or ended; Skipped those left alone because their
	// reads are no longer kept.
	Reads, Passes, Skipped int64
	// Owner is the process that works on it, until LeaseUntil.
	Owner      string
	LeaseUntil time.Time
}

// Restatement is one step of judging anew or rating anew: changes to passes of
// one facility, in one database transaction, while nobody else posts there.
type Restatement struct {
	Facility string
	// Gap is the network's gap in microseconds, for the overlap guard.
	Gap      int64
	PostedAt time.Time
	// Job is the job that the step belongs to; Owner must hold it (ErrFenced
	// otherwise). 0 belongs to none.
	Job   int64
	Owner string
	// LeaseUntil prolongs the job's lease.
	LeaseUntil time.Time
	// DoneMicros is where the job then stands; -1 leaves it.
	DoneMicros int64
	// Reads are added to the job's count of touched reads.
	Reads int64
	// Rerate is the bulk re-rate that the step belongs to; 0 belongs to none.
	Rerate int64
	// OnlyMoney: nothing changes but what passes owe, so that posters need not
	// read them again.
	OnlyMoney bool
	// Decide works out the step on what the view shows.
	Decide func(ctx context.Context, v View) (Restated, error)
}

// Restated is what a step comes to.
type Restated struct {
	// Passes are new or changed, as in a Batch.
	Passes []Pass
	// Changed are the ids of a bulk re-rate's passes that it does not touch any
	// more, because they changed.
	Changed []string
	// Failed are the ids of a bulk re-rate's passes that it gives up, because
	// they could not be posted.
	Failed []string
	// Skipped are the ids of passes left alone because their reads are no longer
	// kept.
	Skipped []string
}

// View is what a step sees: the books as they stand, while the facility is
// held. Not safe for concurrent use.
type View interface {
	// Passes answers as Posting's.
	Passes(ctx context.Context, windows []Window) ([]Pass, error)
	// ByID returns those of the passes that the books know, swallowed ones too.
	ByID(ctx context.Context, ids []string) ([]Pass, error)
	// PendingRerate returns pending rows of the step's bulk re-rate, in the order
	// of their pass ids, and keeps other steps of it waiting.
	PendingRerate(ctx context.Context, limit int) ([]RerateRow, error)
	// ArchivedSince calls each with the archived read batches at or after the
	// offsets, by partition, whose reads may lie in [fromMicros, toMicros].
	// Partitions not named count from 0.
	ArchivedSince(ctx context.Context, offsets map[int]int64, fromMicros, toMicros int64, each func(blob []byte) error) error
}

// Rejudging is what judging anew needs of the books. All methods are safe for
// concurrent use.
type Rejudging interface {
	Amending
	// JudgedVersion returns the registry's version under which all kept reads
	// have been judged.
	JudgedVersion(ctx context.Context) (int64, error)
	// RegistryAt returns the rows that were in force at a version.
	RegistryAt(ctx context.Context, version int64) ([]Assignment, error)
	// RequireRegistry refuses, from its return on, batches resolved under a
	// registry older than the version, and returns the latest read time posted
	// before; batches under way are waited for.
	RequireRegistry(ctx context.Context, version int64) (maxMicros int64, err error)
	// ClaimRejudge returns the unfinished job, now the owner's until the lease
	// ends. ErrNotFound if there is none; ErrConflict while another's lease
	// runs.
	ClaimRejudge(ctx context.Context, owner string, now, leaseUntil time.Time) (RejudgeJob, error)
	// StartRejudge adds a job. ErrConflict if one is unfinished, or if reads
	// are judged by another version than FromVersion.
	StartRejudge(ctx context.Context, j RejudgeJob) (RejudgeJob, error)
	// AdvanceRejudge moves an owned job on without a step. ErrFenced.
	AdvanceRejudge(ctx context.Context, id int64, owner string, doneMicros int64, leaseUntil time.Time) error
	// FinishRejudge ends an owned job; reads are judged under its ToVersion.
	// ErrFenced.
	FinishRejudge(ctx context.Context, id int64, owner string, at time.Time) (RejudgeJob, error)
	// SetJudgedVersion says that no kept read is touched between the versions.
	// ErrConflict if a job is unfinished or it stands elsewhere.
	SetJudgedVersion(ctx context.Context, from, to int64) error
	// RejudgeJobs returns jobs, the latest first, below the id before (0: all).
	RejudgeJobs(ctx context.Context, before int64, limit int) ([]RejudgeJob, error)
	// Facilities returns all facilities in the order of their names.
	Facilities(ctx context.Context) ([]Facility, error)
	// Offsets returns how far each partition has been posted.
	Offsets(ctx context.Context) (map[int]int64, error)
	// Archives is Reading's.
	Archives(ctx context.Context, fromMicros, toMicros int64, each func(blob []byte) bool) error
	// PrunedMicros returns the latest time that any archived read had that was
	// pruned, microseconds since the Unix epoch; 0 if none was: reads later than
	// it are all kept.
	PrunedMicros(ctx context.Context) (int64, error)
	// SkipRejudge notes passes that an owned job leaves alone because their
	// reads are no longer kept. ErrFenced.
	SkipRejudge(ctx context.Context, id int64, owner string, passIDs []string) error
	// RejudgeSkipped returns the ids of such passes, in order, after one.
	RejudgeSkipped(ctx context.Context, id int64, after string, limit int) ([]string, error)
	// Restate runs one step. ErrFenced, ErrStale (the passes given are not
	// those that stand), ErrInvalid, what Decide returns, or a fault.
	Restate(ctx context.Context, r Restatement) error
}
