// Package reserve owns the arithmetic of reservations: how many rights to a
// pool may be promised at once, how many overlap at the busiest instant, and
// which state of a reservation may follow which. It is pure.
package reserve
