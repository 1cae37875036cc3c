package passage

import (
	"context"
	"slices"
	"sync"
)

// Memory is the Store in plain maps: the reference that the conformance suite
// holds Redis against, and what a replay without Redis would need. It is lost
// with the process.
type Memory struct {
	mu         sync.Mutex
	partitions map[int]*memoryPartition
}

type memoryPartition struct {
	stamp   Stamp
	horizon int64
	items   map[Key]Item
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{partitions: make(map[int]*memoryPartition)} }

// Adopt implements Store.
func (m *Memory) Adopt(_ context.Context, partition int, at Stamp) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.partitions[partition]
	if p == nil || p.stamp.Books != at.Books || p.stamp.Offset != at.Offset {
		return 0, ErrLost
	}
	p.stamp.Owner = at.Owner
	return p.horizon, nil
}

// Reset implements Store.
func (m *Memory) Reset(_ context.Context, partition int, at Stamp, horizon int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.partitions[partition] = &memoryPartition{stamp: at, horizon: horizon, items: make(map[Key]Item)}
	return nil
}

// Exchange implements Store.
func (m *Memory) Exchange(_ context.Context, partition int, at Stamp, change *Change, want []Key) ([]Item, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.partitions[partition]
	switch {
	case p == nil:
		return nil, ErrLost
	case p.stamp == at:
		if change != nil {
			p.apply(change)
		}
	case change == nil || p.stamp != change.To:
		return nil, ErrLost
	}
	items := make([]Item, len(want))
	for i, k := range want {
		items[i] = p.items[k]
		items[i].Key = k
		items[i].Value = slices.Clone(items[i].Value)
	}
	return items, nil
}

func (p *memoryPartition) apply(c *Change) {
	for _, item := range c.Put {
		item.Value = slices.Clone(item.Value)
		p.items[item.Key] = item
	}
	for _, k := range c.Drop {
		if item, ok := p.items[k]; ok && item.LastMicros < c.Horizon {
			delete(p.items, k)
		}
	}
	p.stamp, p.horizon = c.To, c.Horizon
}

// Keys implements Store.
func (m *Memory) Keys(_ context.Context, partition int, _ Stamp, each func(Item)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.partitions[partition]; p != nil {
		for k, item := range p.items {
			each(Item{Key: k, LastMicros: item.LastMicros})
		}
	}
	return nil
}
