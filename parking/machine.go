package parking

import "time"

// CommandKind is what a machine is told to do.
type CommandKind string

// The kinds of commands.
const (
	// Store takes the car at the gate into its bay.
	Store CommandKind = "store"
	// Fetch brings the car of a bay to the gate.
	Fetch CommandKind = "fetch"
	// Relocate moves a car from its bay to Bay of the command, to make way or to
	// be nearer when it is wanted.
	Relocate CommandKind = "relocate"
	// Prepare slides empty places so that Bay is ready at the gate sooner; no
	// car changes its bay.
	Prepare CommandKind = "prepare"
)

// CommandState is how far a command has come.
type CommandState string

// The states of a command.
const (
	// Queued: not yet given to the machine.
	Queued CommandState = "queued"
	// Sent: given to the machine's controller, which has not said that it began.
	Sent CommandState = "sent"
	// Running: the controller said that it began.
	Running CommandState = "running"
	// Done: the controller said that it ended well. Final.
	Done CommandState = "done"
	// Failed: the controller said that it did not move anything. Final.
	Failed CommandState = "failed"
	// Lost: nobody knows how it ended: the controller started anew or its
	// inventory says otherwise. Final; the allocation is Unknown.
	Lost CommandState = "lost"
	// Withdrawn before it was given to the machine. Final.
	Withdrawn CommandState = "withdrawn"
)

// Final reports whether the command has ended.
func (s CommandState) Final() bool { return s == Done || s == Failed || s == Lost || s == Withdrawn }

// Command is one order to a machine. Its id is persisted before it is first
// sent and echoed by the controller, so that a repeated order is known as such.
type Command struct {
	// ID is 32 lower-case hex digits.
	ID         string
	CarPark    string
	Machine    string
	Kind       CommandKind
	Allocation string
	// Bay is where the car goes (Store, Relocate) or comes from (Fetch).
	Bay string
	// From is the bay that a Relocate empties.
	From  string
	State CommandState
	// Revision counts the changes, from 1.
	Revision int64
	// DueAt orders the queue: the promised time of a retrieval, the time of the
	// request otherwise.
	DueAt                      time.Time
	CreatedAt, SentAt, EndedAt time.Time
	// Attempt counts the times that it was tried, from 1: what the machine says
	// has failed without moving anything is tried again, a bounded number of
	// times.
	Attempt int
	// Detail is what the controller said last, cut at 500 bytes.
	Detail string
}

// MachineStatus is the present state of one machine. The zero value with
// CarPark and ID set is a machine that has never reported.
type MachineStatus struct {
	CarPark, ID string
	Revision    int64
	// Boot is the controller's run, as it calls itself; empty before the first.
	Boot string
	// Reconciled says that the inventory of this boot agreed with the books, or
	// that the differences were set aside; no command is sent before.
	Reconciled bool
	// Out says that the machine is out of service, with the reason and who said
	// so ("machine" where its controller did).
	Out        bool
	Reason, By string
	ReportedAt time.Time
	// LiftsOut is how many of several lifts are out.
	LiftsOut int
	// Memory is the mechanism's own encoding of where pallets stand.
	Memory []byte
}

// Presence is what a machine says about a bay.
type Presence string

// What a machine's sensors can say.
const (
	Occupied Presence = "occupied"
	Empty    Presence = "empty"
	Unsure   Presence = "unknown"
)

// InventoryItem is one bay as the machine sees it.
type InventoryItem struct {
	Bay      string
	Presence Presence
}

// Discrepancy is a bay about which machine and books did not agree.
type Discrepancy struct {
	Bay string
	// Machine is what the machine said, Books what was believed.
	Machine, Books Presence
	// Allocation is the one concerned, or the block made for the bay.
	Allocation string
	// Action says what was done: "blocked", "unknown", "ended".
	Action string
}

// Alarm is something that a person has to look at.
type Alarm struct {
	// ID is made of what it is about, so that the same thing is one alarm.
	ID      string
	CarPark string
	// Kind is its short name, for instance "bay-disagrees", "machine-out",
	// "already-inside", "missing-exit".
	Kind string
	// Subject is the bay, machine, lane or allocation it is about.
	Subject string
	// Detail says in words what is the matter; no plates, no tags.
	Detail string
	Raised time.Time
	// Cleared is zero while it stands; By and Note say who cleared it and why.
	Cleared  time.Time
	By, Note string
}
