// Package stay owns the rules that derive stays from what was seen: lane events, bays and decisions; to be
// written out here.
package stay
