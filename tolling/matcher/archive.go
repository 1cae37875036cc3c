package matcher

import (
	"fmt"

	"github.com/klauspost/compress/zstd"

	"freeflow/billing"
	"freeflow/rsu"
	"freeflow/tolling"
)

// maxArchive bounds what one archived batch unpacks to: a thousand reads of
// the longest kind.
const maxArchive = 64 << 20

// archiver packs the reads of a batch, each with the vehicle it was resolved to.
type archiver struct {
	encoder *zstd.Encoder
	raw     []byte
}

func (a *archiver) pack(reads []reading) (*billing.ReadArchive, error) {
	if len(reads) == 0 {
		return nil, nil
	}
	if a.encoder == nil {
		var err error
		if a.encoder, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1)); err != nil {
			return nil, err
		}
	}
	archive := &billing.ReadArchive{Count: len(reads), MinMicros: never}
	e := &encoder{b: a.raw[:0]}
	e.uint(recordVersion)
	var one []byte
	for i := range reads {
		r := &reads[i]
		archive.MinMicros = min(archive.MinMicros, r.read.TimeMicros)
		archive.MaxMicros = max(archive.MaxMicros, r.read.TimeMicros)
		e.string(r.sighting.Vehicle.Name)
		if r.sighting.Vehicle.Registered {
			e.uint(1)
		} else {
			e.uint(0)
		}
		var err error
		if one, err = r.read.AppendBinary(one[:0]); err != nil {
			return nil, err
		}
		e.uint(uint64(len(one)))
		e.b = append(e.b, one...)
	}
	a.raw = e.b
	archive.Blob = a.encoder.EncodeAll(e.b, nil)
	return archive, nil
}

// unpack calls each with the reads of an archived batch.
func unpack(blob []byte, each func(v tolling.Vehicle, r rsu.Read)) error {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxArchive))
	if err != nil {
		return err
	}
	defer z.Close()
	raw, err := z.DecodeAll(blob, nil)
	if err != nil {
		return fmt.Errorf("unpacking archived reads: %w", err)
	}
	d := &decoder{b: raw}
	d.version()
	for len(d.b) > 0 && d.err == nil {
		v := tolling.Vehicle{Name: d.string(), Registered: d.uint() == 1}
		var read rsu.Read
		if one := d.string(); d.err == nil {
			if err := read.UnmarshalBinary([]byte(one)); err != nil {
				return fmt.Errorf("decoding an archived read: %w", err)
			}
			each(v, read)
		}
	}
	return d.err
}
