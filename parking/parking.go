// Package parking owns car parks and what stands in them: levels, bays and
// machines as data, vehicles and whether they fit, allocations and their
// states, the machines' commands and reports, reservations, stays, and the
// contract of the store that keeps them.
//
// Invariants:
//   - a bay holds at most one allocation that has not ended, whatever the
//     number of server processes: the store's constraint sees to it, no lock;
//   - a vehicle that breaks a hard limit of a bay is never given that bay;
//   - an allocation moves only along the transitions of State, and each change
//     raises its revision by one;
//   - what a machine reports about a bay wins over what was believed.
//
// Not owned here: which bay is best (parking/allocator), how a machine moves
// (parking/mechanism), what a stay costs (parking/tariff), and the money that
// an account owes (billing).
//
// Units: millimetres, kilograms, metres and seconds as the names say. Instants
// are time.Time; the store keeps microseconds.
package parking

import (
	"errors"
	"fmt"
)

// Errors that callers must tell apart. Anything else is a fault of the store or
// of the way to it: the outcome is unknown, and the same request, with the same
// Once, finds out.
var (
	// ErrNotFound: no such car park, bay, allocation, reservation or stay.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the thing is not in a state in which this can be done.
	ErrConflict = errors.New("conflict")
	// ErrInvalid: what was given can never be done, in any state.
	ErrInvalid = errors.New("invalid")
	// ErrBayTaken: another allocation, or a block, holds the bay.
	ErrBayTaken = errors.New("the bay is taken")
	// ErrHasBay: the vehicle has a bay already, here or at another car park; the
	// error is a *HasBayError.
	ErrHasBay = errors.New("the vehicle has a bay already")
	// ErrStale: the thing has another revision than the writer believed.
	ErrStale = errors.New("changed since it was read")
	// ErrKeyReused: the idempotency key was used for another request.
	ErrKeyReused = errors.New("idempotency key was used for another request")
	// ErrKeyBusy: a request with the same idempotency key is being worked on.
	ErrKeyBusy = errors.New("a request with this idempotency key is under way")
)

// HasBayError says that a vehicle has a bay already: by the allocation of that
// id, which has not ended.
type HasBayError struct {
	Allocation string
}

// Error says so without the vehicle's marks.
func (e *HasBayError) Error() string {
	return fmt.Sprintf("the vehicle has a bay already, by allocation %s", e.Allocation)
}

// Unwrap is ErrHasBay.
func (e *HasBayError) Unwrap() error { return ErrHasBay }

// NotFoundError says which thing there is not. Its text is a whole sentence
// that may be shown to whoever asked.
type NotFoundError struct {
	// Kind is what was asked for, for instance "allocation"; ID its name, and At
	// the car park that was meant, empty where that was not said.
	Kind, ID, At string
}

// Error is one sentence; an id that is very long is cut.
func (e *NotFoundError) Error() string {
	if e.At != "" {
		return fmt.Sprintf("there is no %s %.64q at %s", e.Kind, e.ID, e.At)
	}
	return fmt.Sprintf("there is no %s %.64q", e.Kind, e.ID)
}

// Unwrap is ErrNotFound.
func (e *NotFoundError) Unwrap() error { return ErrNotFound }
