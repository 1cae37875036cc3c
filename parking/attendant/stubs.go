package attendant

import (
	"context"
	"errors"
	"time"

	"freeflow/parking"
)

var errSoon = errors.New("not built yet")

func (a *Attendant) Allocate(ctx context.Context, r AllocateRequest, keep Keep[Given]) (Result[Given], error) {
	return Result[Given]{}, errSoon
}

// Release ends an allocation as Gone; ErrConflict while the car is in a machine.
func (a *Attendant) Release(ctx context.Context, r EndRequest, keep Keep[parking.Allocation]) (Result[parking.Allocation], error) {
	return Result[parking.Allocation]{}, errSoon
}

// Cancel ends an allocation as Cancelled: it never came.
func (a *Attendant) Cancel(ctx context.Context, r EndRequest, keep Keep[parking.Allocation]) (Result[parking.Allocation], error) {
	return Result[parking.Allocation]{}, errSoon
}

func (a *Attendant) Move(ctx context.Context, r MoveRequest, keep Keep[Given]) (Result[Given], error) {
	return Result[Given]{}, errSoon
}

func (a *Attendant) Assign(ctx context.Context, r AssignRequest, keep Keep[Given]) (Result[Given], error) {
	return Result[Given]{}, errSoon
}

func (a *Attendant) Block(ctx context.Context, r BlockRequest, keep Keep[parking.Allocation]) (Result[parking.Allocation], error) {
	return Result[parking.Allocation]{}, errSoon
}

func (a *Attendant) Unblock(ctx context.Context, r BlockRequest, keep Keep[parking.Allocation]) (Result[parking.Allocation], error) {
	return Result[parking.Allocation]{}, errSoon
}

func (a *Attendant) Retrieve(ctx context.Context, r RetrieveRequest, keep Keep[Retrieval]) (Result[Retrieval], error) {
	return Result[Retrieval]{}, errSoon
}

func (a *Attendant) CancelRetrieval(ctx context.Context, r EndRequest, keep Keep[Retrieval]) (Result[Retrieval], error) {
	return Result[Retrieval]{}, errSoon
}

// Standing is the allocation and where it stands in the queue, for GET.
func (a *Attendant) Standing(ctx context.Context, allocation string) (Retrieval, error) {
	return Retrieval{}, errSoon
}

func (a *Attendant) Resolve(ctx context.Context, r ResolveRequest, keep Keep[parking.Allocation]) (Result[parking.Allocation], error) {
	return Result[parking.Allocation]{}, errSoon
}

func (a *Attendant) Inventory(ctx context.Context, r InventoryReport) ([]parking.Discrepancy, error) {
	return nil, errSoon
}

func (a *Attendant) Next(ctx context.Context, p Poll) (Turn, error) { return Turn{}, errSoon }

func (a *Attendant) Report(ctx context.Context, r Report) error { return errSoon }

func (a *Attendant) SetOut(ctx context.Context, r ServiceRequest, keep Keep[parking.MachineStatus]) (Result[parking.MachineStatus], error) {
	return Result[parking.MachineStatus]{}, errSoon
}

func (a *Attendant) SetIn(ctx context.Context, r ServiceRequest, keep Keep[parking.MachineStatus]) (Result[parking.MachineStatus], error) {
	return Result[parking.MachineStatus]{}, errSoon
}

func (a *Attendant) Reserve(ctx context.Context, r ReserveRequest, keep Keep[parking.Reservation]) (Result[parking.Reservation], error) {
	return Result[parking.Reservation]{}, errSoon
}

func (a *Attendant) Confirm(ctx context.Context, id string, keep Keep[parking.Reservation]) (Result[parking.Reservation], error) {
	return Result[parking.Reservation]{}, errSoon
}

func (a *Attendant) CancelReservation(ctx context.Context, id string, keep Keep[parking.Reservation]) (Result[parking.Reservation], error) {
	return Result[parking.Reservation]{}, errSoon
}

// Availability says how many places of the pool are left over [start, end).
func (a *Attendant) Availability(ctx context.Context, carPark, pool string, start, end time.Time) (left, limit int, err error) {
	return 0, 0, errSoon
}

func (a *Attendant) Counts(ctx context.Context, carPark string) (Counts, error) {
	return Counts{}, errSoon
}

// Live is the picture of the car park and when the store was read for it.
func (a *Attendant) Live(ctx context.Context, carPark string) (parking.Occupancy, time.Time, error) {
	return parking.Occupancy{}, time.Time{}, errSoon
}

func (a *Attendant) Promises(carPark string) (PromiseFigures, error) {
	return PromiseFigures{}, errSoon
}
