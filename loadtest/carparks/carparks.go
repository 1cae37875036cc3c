// Package carparks owns the proof that no bay is ever given twice: two server
// processes over one database, hundreds of clients at once over HTTP, and kill
// -9 on the way. It judges the history that the clients saw, the rows that the
// database holds, and the product's own verification.
//
// What is demanded: as many winners as bays, every other client refused with
// no-bay, the same answer to every repetition of a request, and a history that
// is linearizable: each allocation, departure and refusal can be given one
// instant between request and answer so that, in that order, a bay is given
// only while it is free and nobody is refused while one is free. The search for
// such an order is anishathalye/porcupine's; history.go narrows the windows it
// searches in, and a property test holds that against the search without.
//
// Not promised: anything of speed, and fairness among clients.
package carparks
