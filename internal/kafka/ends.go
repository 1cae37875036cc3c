package kafka

import (
	"context"
	"sync"
)

// Ends returns for each partition of the topic the offset after its newest
// record, for those who wait until all that stands in the log now is worked.
func Ends(ctx context.Context, cfg FollowConfig) (map[int]int64, error) {
	var mu sync.Mutex
	ends := make(map[int]int64)
	err := eachPartition(ctx, cfg, func(ctx context.Context, t *tail, _ func([]Record) error) error {
		_, end, err := t.bounds(ctx)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		ends[t.partition] = end
		return nil
	}, nil)
	return ends, err
}
