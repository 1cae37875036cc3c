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

// archiveVersion leads every archive; archives of version 1 do not say by which
// registry they were resolved.
const archiveVersion = 2

// archiver packs the reads of a batch, each with the vehicle it was resolved to.
type archiver struct {
	encoder *zstd.Encoder
	raw     []byte
}

func (a *archiver) pack(reads []reading, registry int64) (*billing.ReadArchive, error) {
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
	e.uint(archiveVersion)
	e.int(registry)
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

// Archived is one archived read.
type Archived struct {
	Read rsu.Read
	// Vehicle is what the read named when it was posted, by version Registry of
	// the registry; 0 where that is not known.
	Vehicle  tolling.Vehicle
	Registry int64
}

// Unpack calls each with the reads of an archived batch, until it fails.
func Unpack(blob []byte, each func(Archived) error) error {
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
	version := d.uint()
	var one Archived
	switch {
	case d.err != nil:
		return d.err
	case version == archiveVersion:
		one.Registry = d.int()
	case version != 1:
		return fmt.Errorf("an archive of reads has version %d, this program reads %d", version, archiveVersion)
	}
	for len(d.b) > 0 && d.err == nil {
		one.Vehicle = tolling.Vehicle{Name: d.string(), Registered: d.uint() == 1}
		text := d.string()
		if d.err != nil {
			break
		}
		if err := one.Read.UnmarshalBinary([]byte(text)); err != nil {
			return fmt.Errorf("decoding an archived read: %w", err)
		}
		if err := each(one); err != nil {
			return err
		}
	}
	return d.err
}
