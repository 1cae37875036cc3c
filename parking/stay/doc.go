// Package stay owns the rules that derive stays from what was seen of a vehicle
// at a car park: lane events, allocations of bays, and what people decided. It
// is pure: no clock, no store, no prices.
//
// The central property: the stays are a function of the set of what was seen.
// Order, repetition, splitting and delay of arrival cannot change them, because
// Derive sorts what it is given and looks at all of it; there is no state that
// an early arrival could have left behind. Whoever adds a rule must keep it to
// what the set says, never to when it was learnt.
//
// The rules:
//
//  1. Identity. Who a read names is the registry's word as of the read's time
//     (contract section 4, rule 1): the plate wins over the tag of a vehicle, a
//     class tag wins over the plate; a tag and a plate assigned to different
//     vehicles send the stay to review, with both kept. A plate read with a
//     confidence under 0.90 names nobody against a tag or a ticket; where there
//     is nothing else the stay is under review if an account would pay, and paid
//     by ticket if not.
//  2. Names. A read goes by every mark that it carries: plate, tag, ticket, and
//     the registered plate of its tag. Reads belong together if they share a
//     name; so a vehicle seen by tag at the entry and by plate at the exit is
//     one as soon as the registry or one read knows both. A weak plate joins
//     only where no better name does, and never beside a tag.
//  3. Repetition. Reads of one vehicle at one lane, each at most 60 s after the
//     one before, are one passage, at the time of the first.
//  4. Opening and closing. An entry opens a stay, the next exit closes it. Two
//     stays opened at one lane within 60 s that one exit shows to be one vehicle
//     are merged.
//  5. Missing exit. An entry of a vehicle that is inside ends its earlier stay:
//     at the time its bay was given back, if it was; else without an exit, for a
//     person to decide, and never priced to the present.
//  6. Missing entry. An exit of a vehicle that is not inside is a stay without
//     an entry. An entry that becomes known later takes its place in the set and
//     the stay has it.
//  7. Skew. An exit at most 5 minutes before an entry that has no exit is that
//     entry's: the stay has no length and says so.
//  8. Held at the exit. An exit at most 30 minutes after an exit of the same
//     stay, without an entry between, is the same departure at the later time:
//     the barrier had stayed down.
//  9. Re-entry. An entry within the tariff's minutes after an exit continues the
//     stay, with a further visit.
//  10. Bays. An allocation belongs to the stay during which it was made. Where
//     no lane saw the entry its beginning is the entry, provided the car was in
//     the bay; a stay that no lane saw begin ends with the bay, and so does
//     every stay at a site without exit lanes. The lane at a machine's own gate
//     neither opens nor closes where the site has other lanes of that direction.
//  11. Clock. What is charged begins at the entry or at the acceptance into the
//     machine, and ends at the exit or when the car was wanted, as the site
//     says. Where the machine never said that it took the car in, the entry
//     counts, and the stay says so.
//  12. Decisions stand. What a person decided is kept until what they saw
//     changes; then the stay goes to review again.
//
// Not promised: that two vehicles which share a plate, or a tag that is carried
// from car to car within one stay, can be told apart.
package stay
