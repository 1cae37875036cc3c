package rejudge

import (
	"context"
	"fmt"
	"sync"

	"freeflow/billing"
	"freeflow/tolling/registry"
)

// changesAtOnce is how many changed rows are taken into a registry one by one;
// with more, it is read whole.
const changesAtOnce = 20_000

// Source gives the registry as the books have it.
type Source interface {
	Registry(ctx context.Context) ([]billing.Assignment, int64, error)
	RegistryVersion(ctx context.Context) (int64, error)
	RegistryChanges(ctx context.Context, since int64, limit int) (changes []billing.AssignmentChange, version int64, more bool, err error)
}

// Follower keeps a registry in memory up to date with the books: of a large one
// only what changed is read. Safe for concurrent use.
type Follower struct {
	source  Source
	current *registry.Current
	mu      sync.Mutex
}

// NewFollower returns a follower that sets current, which nobody else sets.
func NewFollower(source Source, current *registry.Current) *Follower {
	return &Follower{source: source, current: current}
}

// Load puts the registry in force that the books have now.
func (f *Follower) Load(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	version, err := f.source.RegistryVersion(ctx)
	if err != nil {
		return fmt.Errorf("reading the registry's version: %w", err)
	}
	have := f.current.Get()
	if version == have.Version() {
		return nil
	}
	changes, version, more, err := f.source.RegistryChanges(ctx, have.Version(), changesAtOnce)
	if err != nil {
		return fmt.Errorf("reading what changed in the registry: %w", err)
	}
	if !more {
		f.current.Set(have.Apply(changesOf(changes), version))
		return nil
	}
	rows, version, err := f.source.Registry(ctx)
	if err != nil {
		return fmt.Errorf("reading the registry: %w", err)
	}
	f.current.Set(registry.New(rowsOf(rows)).WithVersion(version))
	return nil
}

func rowOf(a *billing.Assignment) registry.Assignment {
	return registry.Assignment{
		Account: a.Account, Plate: a.Plate, Class: a.Class, Tag: a.Tag,
		FromMicros: a.FromMicros, ToMicros: a.ToMicros, Exempt: a.Exempt, Source: a.Source,
	}
}

func rowsOf(list []billing.Assignment) []registry.Assignment {
	rows := make([]registry.Assignment, len(list))
	for i := range list {
		rows[i] = rowOf(&list[i])
	}
	return rows
}

func changesOf(list []billing.AssignmentChange) []registry.Change {
	changes := make([]registry.Change, len(list))
	for i := range list {
		changes[i] = registry.Change{Assignment: rowOf(&list[i].Assignment), Since: list[i].Since, Until: list[i].Until}
	}
	return changes
}
