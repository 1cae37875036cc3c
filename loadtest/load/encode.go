package load

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"

	"freeflow/loadtest/traffic"
)

// encoder writes bodies of POST /v1/reads. It is used by one goroutine.
type encoder struct {
	form, compress string
	one            []byte
	packed         bytes.Buffer
	gzip           *gzip.Writer
	zstd           *zstd.Encoder
}

func newEncoder(form, compress string) (*encoder, error) {
	e := &encoder{form: form, compress: compress}
	var err error
	switch compress {
	case "gzip":
		e.gzip, err = gzip.NewWriterLevel(&e.packed, gzip.BestSpeed)
	case "zstd":
		e.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	}
	if err != nil {
		return nil, fmt.Errorf("preparing %s: %w", compress, err)
	}
	return e, nil
}

// contentType and contentEncoding are the request's headers.
func (e *encoder) contentType() string {
	return map[string]string{
		"json": "application/json", "ndjson": "application/x-ndjson", "protobuf": "application/x-protobuf",
	}[e.form]
}

func (e *encoder) contentEncoding() string {
	if e.compress == "none" {
		return ""
	}
	return e.compress
}

// add appends one read to a body under way.
func (e *encoder) add(body []byte, r *traffic.Read) []byte {
	switch e.form {
	case "json":
		if len(body) == 0 {
			body = append(body, '[')
		} else {
			body = append(body, ',')
		}
		return r.AppendJSON(body)
	case "ndjson":
		return append(r.AppendJSON(body), '\n')
	default:
		// ReadBatch: field 1, one message a read.
		e.one = appendProto(e.one[:0], r)
		body = protowire.AppendTag(body, 1, protowire.BytesType)
		return protowire.AppendBytes(body, e.one)
	}
}

// finish ends a body and packs it into the buffer into.
func (e *encoder) finish(body, into []byte) ([]byte, error) {
	if e.form == "json" {
		body = append(body, ']')
	}
	switch e.compress {
	case "gzip":
		e.packed.Reset()
		e.gzip.Reset(&e.packed)
		if _, err := e.gzip.Write(body); err != nil {
			return nil, fmt.Errorf("packing a body: %w", err)
		}
		if err := e.gzip.Close(); err != nil {
			return nil, fmt.Errorf("packing a body: %w", err)
		}
		return append(into, e.packed.Bytes()...), nil
	case "zstd":
		return e.zstd.EncodeAll(body, into), nil
	default:
		return append(into, body...), nil
	}
}

// appendProto writes freeflow.rsu.v1.Read, whose schema the gateway gives at
// /v1/reads.proto.
func appendProto(b []byte, r *traffic.Read) []byte {
	text := func(field protowire.Number, s string) {
		if s != "" {
			b = protowire.AppendTag(b, field, protowire.BytesType)
			b = protowire.AppendString(b, s)
		}
	}
	whole := func(field protowire.Number, n uint64) {
		b = protowire.AppendTag(b, field, protowire.VarintType)
		b = protowire.AppendVarint(b, n)
	}
	number := func(field protowire.Number, x float64) {
		b = protowire.AppendTag(b, field, protowire.Fixed64Type)
		b = protowire.AppendFixed64(b, math.Float64bits(x))
	}
	text(1, r.Unit)
	text(2, r.Boot)
	whole(3, r.Seq)
	whole(4, uint64(r.TimeMicros))
	text(5, r.Tag)
	text(6, r.Plate)
	if r.Confidence >= 0 {
		number(7, r.Confidence)
	}
	text(8, r.Class)
	if r.Antenna != 0 {
		whole(9, uint64(r.Antenna))
	}
	if r.RSSI != 0 {
		number(10, r.RSSI)
	}
	text(11, r.Image)
	return b
}
