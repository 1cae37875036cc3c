package dispute

import "context"

// Raise is raise, for tests that raise flags of their own.
func (f *Flags) Raise(ctx context.Context, flag Flag) (bool, error) { return f.raise(ctx, flag) }

// NewFlag is newFlag.
func NewFlag(rule, vehicle string, passes ...Seen) Flag { return newFlag(rule, vehicle, passes...) }
