package rsu

// A record of the log says in its header what its value is, so that a reader
// can tell forms apart before it decodes, and forms can change while old
// records are still kept.
const (
	// HeaderContentType is the header's name.
	HeaderContentType = "content-type"
	// ContentTypeRead is the header's value where the record's value is one
	// freeflow.rsu.v1.Read (Read.AppendBinary). The version is the topic's.
	ContentTypeRead = "application/x-protobuf"
	// ContentTypeRejected is the header's value where the record's value is a
	// Rejected envelope.
	ContentTypeRejected = "application/json"
)
