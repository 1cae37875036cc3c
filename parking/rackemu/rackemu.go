// Package rackemu owns an emulated controller of a parking machine: a client of
// the operators' API that polls for orders, carries them out in its own physical
// world, where each car really is, and reports. It fails now and then, by seed,
// as real controllers do.
//
// Invariants: its world never holds two cars on one pallet, whatever it is
// ordered; what it reports about its world is true or "unknown", never false.
//
// Not promised: the timing of a particular maker's machine; and it never
// decides anything about allocations.
package rackemu
