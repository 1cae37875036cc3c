package store

import (
	"encoding/json"

	"freeflow/internal/database"
	"freeflow/parking"
)

// How records stand in their tables: args and scan are in the order of columns.

var allocationTable = newTable("allocation", "parking_allocation", 1,
	"id", "car_park", "bay", "machine", "state", "revision", "assigned_micros", "since_micros", "ended_micros", "stored_micros",
	"requested_micros", "promised_micros", "staged_micros", "not_before_micros", "stay_minutes", "ready_seconds",
	"length_mm", "width_mm", "height_mm", "weight_kg", "ev", "accessible", "plate", "tag", "class",
	"reservation", "stay", "why", "next_bay", "decided_by", "reason", "come_by_micros", "mark")

// allocationRow is an allocation and since when it holds its present bay.
type allocationRow struct {
	parking.Allocation
	since int64
}

func allocationArgs(a *parking.Allocation) []any {
	assigned := micros(a.AssignedAt)
	v := &a.Vehicle
	return []any{a.ID, a.CarPark, a.Bay, a.Machine, string(a.State), a.Revision, assigned, assigned, micros(a.EndedAt), micros(a.StoredAt),
		micros(a.RequestedAt), micros(a.PromisedAt), micros(a.StagedAt), micros(a.NotBefore), int64(a.ExpectedStayMinutes), int64(a.ReadySeconds),
		int64(v.LengthMM), int64(v.WidthMM), int64(v.HeightMM), int64(v.WeightKG), v.EV, v.Accessible, v.Plate, v.Tag, v.Class,
		a.Reservation, a.Stay, a.Why, a.Next, a.By, a.Reason, micros(a.ComeBy), a.Mark()}
}

func scanAllocation(r database.Rows) (a allocationRow, err error) {
	var (
		assigned, ended, stored, requested, promised, staged, notBefore, comeBy int64
		mark                                                                    string
	)
	v := &a.Vehicle
	err = r.Scan(&a.ID, &a.CarPark, &a.Bay, &a.Machine, &a.State, &a.Revision, &assigned, &a.since, &ended, &stored,
		&requested, &promised, &staged, &notBefore, &a.ExpectedStayMinutes, &a.ReadySeconds,
		&v.LengthMM, &v.WidthMM, &v.HeightMM, &v.WeightKG, &v.EV, &v.Accessible, &v.Plate, &v.Tag, &v.Class,
		&a.Reservation, &a.Stay, &a.Why, &a.Next, &a.By, &a.Reason, &comeBy, &mark)
	a.AssignedAt, a.EndedAt, a.StoredAt, a.RequestedAt = instant(assigned), instant(ended), instant(stored), instant(requested)
	a.PromisedAt, a.StagedAt, a.NotBefore, a.ComeBy = instant(promised), instant(staged), instant(notBefore), instant(comeBy)
	// What was put before marks were kept does not count either.
	a.Beside = mark == "" && a.Mark() != ""
	return a, err
}

// plain drops what only the store knows.
func plain(rows []allocationRow) []parking.Allocation {
	var list []parking.Allocation
	for i := range rows {
		list = append(list, rows[i].Allocation)
	}
	return list
}

var commandTable = newTable("command", "parking_command", 1,
	"id", "car_park", "machine", "kind", "allocation", "bay", "from_bay", "state", "revision",
	"due_micros", "created_micros", "sent_micros", "ended_micros", "attempt", "detail")

func commandArgs(c *parking.Command) []any {
	return []any{c.ID, c.CarPark, c.Machine, string(c.Kind), c.Allocation, c.Bay, c.From, string(c.State), c.Revision,
		micros(c.DueAt), micros(c.CreatedAt), micros(c.SentAt), micros(c.EndedAt), int64(c.Attempt), c.Detail}
}

func scanCommand(r database.Rows) (c parking.Command, err error) {
	var due, created, sent, ended int64
	err = r.Scan(&c.ID, &c.CarPark, &c.Machine, &c.Kind, &c.Allocation, &c.Bay, &c.From, &c.State, &c.Revision,
		&due, &created, &sent, &ended, &c.Attempt, &c.Detail)
	c.DueAt, c.CreatedAt, c.SentAt, c.EndedAt = instant(due), instant(created), instant(sent), instant(ended)
	return c, err
}

var machineTable = newTable("machine", "parking_machine", 2,
	"car_park", "id", "revision", "boot", "reconciled", "out", "reason", "said_by", "reported_micros", "lifts_out", "memory")

func machineArgs(m *parking.MachineStatus) []any {
	return []any{m.CarPark, m.ID, m.Revision, m.Boot, m.Reconciled, m.Out, m.Reason, m.By, micros(m.ReportedAt), int64(m.LiftsOut), notNil(m.Memory)}
}

func scanMachine(r database.Rows) (m parking.MachineStatus, err error) {
	var reported int64
	err = r.Scan(&m.CarPark, &m.ID, &m.Revision, &m.Boot, &m.Reconciled, &m.Out, &m.Reason, &m.By, &reported, &m.LiftsOut, &m.Memory)
	m.ReportedAt, m.Memory = instant(reported), orNil(m.Memory)
	return m, err
}

var reservationTable = newTable("reservation", "parking_reservation", 1,
	"id", "car_park", "pool", "state", "revision", "start_micros", "end_micros", "expires_micros", "no_show_micros", "deadline_micros",
	"created_micros", "ended_micros", "length_mm", "width_mm", "height_mm", "weight_kg", "ev", "accessible", "plate", "tag", "class",
	"account", "allocation", "quote")

// deadline is when the reservation lapses in its present state.
func deadline(r *parking.Reservation) int64 {
	switch r.State {
	case parking.Held:
		return micros(r.ExpiresAt)
	case parking.Confirmed:
		return micros(r.NoShowAfter)
	default:
		return 0
	}
}

func reservationArgs(r *parking.Reservation) []any {
	v := &r.Vehicle
	return []any{r.ID, r.CarPark, r.Pool, string(r.State), r.Revision, micros(r.Start), micros(r.End), micros(r.ExpiresAt), micros(r.NoShowAfter), deadline(r),
		micros(r.CreatedAt), micros(r.EndedAt), int64(v.LengthMM), int64(v.WidthMM), int64(v.HeightMM), int64(v.WeightKG), v.EV, v.Accessible,
		v.Plate, v.Tag, v.Class, r.Account, r.Allocation, r.Quote}
}

func scanReservation(row database.Rows) (r parking.Reservation, err error) {
	var start, end, expires, noShow, lapses, created, ended int64
	v := &r.Vehicle
	err = row.Scan(&r.ID, &r.CarPark, &r.Pool, &r.State, &r.Revision, &start, &end, &expires, &noShow, &lapses,
		&created, &ended, &v.LengthMM, &v.WidthMM, &v.HeightMM, &v.WeightKG, &v.EV, &v.Accessible,
		&v.Plate, &v.Tag, &v.Class, &r.Account, &r.Allocation, &r.Quote)
	r.Start, r.End, r.ExpiresAt, r.NoShowAfter = instant(start), instant(end), instant(expires), instant(noShow)
	r.CreatedAt, r.EndedAt = instant(created), instant(ended)
	return r, err
}

var laneEventTable = newTable("lane event", "parking_lane_event", 1,
	"id", "car_park", "lane", "direction", "at_micros", "tag", "plate", "confidence_permille", "class", "ticket", "source")

func laneEventArgs(e *parking.LaneEvent) []any {
	return []any{e.ID, e.CarPark, e.Lane, string(e.Direction), micros(e.At), e.Tag, e.Plate, int64(e.ConfidencePermille), e.Class, e.Ticket, e.Source}
}

func scanLaneEvent(r database.Rows) (e parking.LaneEvent, err error) {
	var at int64
	err = r.Scan(&e.ID, &e.CarPark, &e.Lane, &e.Direction, &at, &e.Tag, &e.Plate, &e.ConfidencePermille, &e.Class, &e.Ticket, &e.Source)
	e.At = instant(at)
	return e, err
}

var stayTable = newTable("stay", "parking_stay", 1,
	"id", "car_park", "state", "revision", "vehicle", "tag", "plate", "ticket", "class", "account", "means", "entry_event", "exit_event",
	"entry_micros", "exit_micros", "clock_from_micros", "clock_to_micros", "allocation", "tariff_version", "quote", "amount_cents", "paid_cents",
	"currency", "receipt", "flags", "charge_revision", "decided_by", "reason", "details", "time_micros")

// stayTime is what stays are listed by.
func stayTime(s *parking.Stay) int64 {
	if s.Entry.IsZero() {
		return micros(s.Exit)
	}
	return micros(s.Entry)
}

func stayArgs(s *parking.Stay) ([]any, error) {
	flags := ""
	if len(s.Flags) > 0 {
		b, err := json.Marshal(s.Flags)
		if err != nil {
			return nil, err
		}
		flags = string(b)
	}
	return []any{s.ID, s.CarPark, string(s.State), s.Revision, s.Vehicle, s.Tag, s.Plate, s.Ticket, s.Class, s.Account, s.Means, s.EntryEvent, s.ExitEvent,
		micros(s.Entry), micros(s.Exit), micros(s.ClockFrom), micros(s.ClockTo), s.Allocation, s.TariffVersion, s.Quote, s.AmountCents, s.PaidCents,
		s.Currency, notNil(s.Receipt), flags, s.ChargeRevision, s.By, s.Reason, notNil(s.Details), stayTime(s)}, nil
}

func scanStay(r database.Rows) (s parking.Stay, err error) {
	var (
		entry, exit, from, to, listed int64
		flags                         string
	)
	err = r.Scan(&s.ID, &s.CarPark, &s.State, &s.Revision, &s.Vehicle, &s.Tag, &s.Plate, &s.Ticket, &s.Class, &s.Account, &s.Means, &s.EntryEvent, &s.ExitEvent,
		&entry, &exit, &from, &to, &s.Allocation, &s.TariffVersion, &s.Quote, &s.AmountCents, &s.PaidCents,
		&s.Currency, &s.Receipt, &flags, &s.ChargeRevision, &s.By, &s.Reason, &s.Details, &listed)
	s.Entry, s.Exit, s.ClockFrom, s.ClockTo = instant(entry), instant(exit), instant(from), instant(to)
	s.Receipt, s.Details = orNil(s.Receipt), orNil(s.Details)
	if err == nil && flags != "" {
		err = json.Unmarshal([]byte(flags), &s.Flags)
	}
	return s, err
}
