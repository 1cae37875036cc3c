// Package faults owns the tests that hurt the system on real Kafka, Redis and
// PostgreSQL: matchers killed at named points, frozen and thawed, a Redis that
// forgets or whose replies are lost, partitions that change hands every second.
// What the books hold at the end is compared with the oracle, row by row.
//
// The tests are built with the tag services and run by 'make test-services'.
package faults
