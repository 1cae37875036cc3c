package rsu

import (
	"fmt"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// A read on the log is freeflow.rsu.v1.Read of readpb/read.proto in the
// record's value. This codec is written by hand because the matcher decodes
// every read once more: it allocates once a read where generated code
// allocates for every field, and it judges each field as the JSON form's.

// wireTypes are the fields' types on the wire, by the field's number in the
// schema, which is that in Read plus one.
var wireTypes = [fieldCount]protowire.Type{
	fieldUnit:       protowire.BytesType,
	fieldBoot:       protowire.BytesType,
	fieldSeq:        protowire.VarintType,
	fieldTime:       protowire.VarintType,
	fieldTag:        protowire.BytesType,
	fieldPlate:      protowire.BytesType,
	fieldConfidence: protowire.Fixed64Type,
	fieldClass:      protowire.BytesType,
	fieldAntenna:    protowire.VarintType,
	fieldRSSI:       protowire.Fixed64Type,
	fieldImage:      protowire.BytesType,
}

// MarshalBinary returns the read as a record's value. Equal reads have equal
// bytes. It never fails.
func (r Read) MarshalBinary() ([]byte, error) { return r.AppendBinary(make([]byte, 0, 128)) }

// AppendBinary appends what MarshalBinary returns.
func (r Read) AppendBinary(b []byte) ([]byte, error) {
	b = appendProtoText(b, fieldUnit, r.Unit)
	b = appendProtoText(b, fieldBoot, r.Boot)
	b = appendVarint(b, fieldSeq, r.Seq)
	b = appendVarint(b, fieldTime, uint64(r.TimeMicros))
	b = appendProtoText(b, fieldTag, r.Tag)
	b = appendProtoText(b, fieldPlate, r.Plate)
	b = appendProtoFloat(b, fieldConfidence, r.Confidence)
	b = appendProtoText(b, fieldClass, r.Class)
	if r.Antenna.Present {
		b = appendVarint(b, fieldAntenna, uint64(r.Antenna.Value))
	}
	b = appendProtoFloat(b, fieldRSSI, r.RSSI)
	return appendProtoText(b, fieldImage, r.Image), nil
}

// All field numbers are below 16, so that a field's tag is one byte.
func fieldTagByte(field int) byte { return byte(field+1)<<3 | byte(wireTypes[field]) }

func appendProtoText(b []byte, field int, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(append(b, fieldTagByte(field)), s)
}

func appendVarint(b []byte, field int, v uint64) []byte {
	return protowire.AppendVarint(append(b, fieldTagByte(field)), v)
}

func appendProtoFloat(b []byte, field int, v Optional[float64]) []byte {
	if !v.Present {
		return b
	}
	return protowire.AppendFixed64(append(b, fieldTagByte(field)), math.Float64bits(v.Value))
}

// UnmarshalBinary reads a record's value, in the same normal form and with the
// same refusals as DecodeProto; after an error the read is not to be used. The texts share one allocation as long as data.
func (r *Read) UnmarshalBinary(data []byte) error {
	*r = Read{}
	return r.decodeProto(data, string(data), false)
}

// DecodeProto reads one freeflow.rsu.v1.Read and returns it in its normal form,
// or a RefusedError. A field given twice is refused; unknown fields are ignored
// unless strict.
func DecodeProto(data []byte, strict bool) (Read, error) {
	var r Read
	if err := r.decodeProto(data, string(data), strict); err != nil {
		return Read{}, err
	}
	return r, nil
}

// DecodeProtoBatch calls each, in order, with every read of a
// freeflow.rsu.v1.ReadBatch: the read's own bytes, and the read or the
// RefusedError. What is wrong inside one costs its neighbours nothing. A batch
// that does not parse gives an error, after each has been called with what
// stands before; the caller must not act on the reads until DecodeProtoBatch
// has returned nil. An error of each is returned at once.
//
// The texts of all reads share one allocation as long as data.
func DecodeProtoBatch(data []byte, strict bool, each func(raw string, r Read, err error) error) error {
	text := string(data)
	for at := 0; at < len(data); {
		number, kind, n := protowire.ConsumeTag(data[at:])
		if n < 0 {
			return protoFault(at, n)
		}
		at += n
		if number != 1 {
			if strict {
				return refuse(CodeUnknownField, "", fmt.Sprintf("not a ReadBatch: unknown field %d", number))
			}
			if n = protowire.ConsumeFieldValue(number, kind, data[at:]); n < 0 {
				return protoFault(at, n)
			}
			at += n
			continue
		}
		if kind != protowire.BytesType {
			return refuse(CodeNotProtobuf, "", "not a ReadBatch: field 1 has to hold reads")
		}
		raw, n := protowire.ConsumeBytes(data[at:])
		if n < 0 {
			return protoFault(at, n)
		}
		at += n
		var r Read
		rawText := text[at-len(raw) : at]
		err := r.decodeProto(raw, rawText, strict)
		if err := each(rawText, r, err); err != nil {
			return err
		}
	}
	return nil
}

// decodeProto reads one Read into r, which is zero; text is data once more, for substrings.
func (r *Read) decodeProto(data []byte, text string, strict bool) error {
	var given fieldSet
	for at := 0; at < len(data); {
		number, kind, n := protowire.ConsumeTag(data[at:])
		if n < 0 {
			return protoFault(at, n)
		}
		at += n
		field := int(number) - 1
		if field >= fieldCount {
			if strict {
				return refuse(CodeUnknownField, "", fmt.Sprintf("unknown field %d; leave it out or send without strict", number))
			}
			if n = protowire.ConsumeFieldValue(number, kind, data[at:]); n < 0 {
				return protoFault(at, n)
			}
			at += n
			continue
		}
		if kind != wireTypes[field] {
			return refuse(CodeIllTyped, fieldNames[field], "of another type than in the schema")
		}
		if !given.add(field) {
			return refuse(CodeDuplicateName, fieldNames[field], "given twice")
		}
		var err error
		switch kind {
		case protowire.VarintType:
			var v uint64
			if v, n = protowire.ConsumeVarint(data[at:]); n < 0 {
				return protoFault(at, n)
			}
			r.setVarint(field, v)
		case protowire.Fixed64Type:
			var v uint64
			if v, n = protowire.ConsumeFixed64(data[at:]); n < 0 {
				return protoFault(at, n)
			}
			err = r.setFloat(field, math.Float64frombits(v))
		default:
			var length uint64
			if length, n = protowire.ConsumeVarint(data[at:]); n < 0 {
				return protoFault(at, n)
			}
			at += n
			if length > uint64(len(data)-at) {
				return protoFault(at, protoCut)
			}
			n = int(length)
			s := text[at : at+n]
			if !utf8.ValidString(s) {
				return refuse(CodeIllTyped, fieldNames[field], "not UTF-8")
			}
			err = r.setText(field, s)
		}
		if err != nil {
			return err
		}
		at += n
	}
	return r.complete(given)
}

// protoCut is protowire's code for data that end too early.
const protoCut = -1

func (r *Read) setVarint(field int, v uint64) {
	switch field {
	case fieldSeq:
		r.Seq = v
	case fieldTime:
		r.TimeMicros = int64(v)
	case fieldAntenna:
		r.Antenna = Some(int64(v))
	}
}

func protoFault(at, code int) error {
	return refuse(CodeNotProtobuf, "", fmt.Sprintf("not protobuf: at byte %d: %v", at, protowire.ParseError(code)))
}
