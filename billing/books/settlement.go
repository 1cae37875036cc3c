package books

// kindRemittance is the kind of transactions that pay operators what was
// collected for them.
const kindRemittance = "remittance"

var settlementProofs []proof
