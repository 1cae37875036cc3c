// Package readpb owns the protobuf schema of a read and Go's code for it,
// generated. It is for whoever writes or reads the wire form with protobuf's
// own library; the product itself uses package rsu, whose codec is the same on
// the wire and judges what it decodes.
package readpb

import _ "embed"

// Regenerating needs Debian's protobuf-compiler and
// google.golang.org/protobuf/cmd/protoc-gen-go at the version in go.mod.
//go:generate protoc --go_out=. --go_opt=paths=source_relative read.proto

//go:embed read.proto
var schema string

// Schema returns the text of read.proto, as served at /v1/reads.proto.
func Schema() string { return schema }
