package rsu

import (
	"fmt"
	"math"
	"strings"
)

// Bounds of the texts of a read, in bytes of UTF-8. They are far beyond what
// units send and keep a read within what a database can index.
const (
	// MaxName bounds unit, boot and class, and the plate before and after
	// normalising.
	MaxName = 256
	// MaxImage bounds the reference to an image.
	MaxImage = 1024
	// MaxTag bounds a tag, in bytes of the EPC (two hex digits each).
	MaxTag = 62
)

// The fields' names, in JSON as in messages; their order is that of the bits
// in fieldSet.
const (
	fieldUnit = iota
	fieldBoot
	fieldSeq
	fieldTime
	fieldTag
	fieldPlate
	fieldConfidence
	fieldClass
	fieldAntenna
	fieldRSSI
	fieldImage
	fieldCount
)

var fieldNames = [fieldCount]string{
	"unit", "boot", "seq", "time", "tag", "plate", "plate_confidence", "class", "antenna", "rssi", "image",
}

// fieldByName returns the field's number, or fieldCount if there is none.
func fieldByName(name string) int {
	switch name {
	case "unit":
		return fieldUnit
	case "boot":
		return fieldBoot
	case "seq":
		return fieldSeq
	case "time":
		return fieldTime
	case "tag":
		return fieldTag
	case "plate":
		return fieldPlate
	case "plate_confidence":
		return fieldConfidence
	case "class":
		return fieldClass
	case "antenna":
		return fieldAntenna
	case "rssi":
		return fieldRSSI
	case "image":
		return fieldImage
	}
	return fieldCount
}

// fieldSet remembers which fields have been given.
type fieldSet uint16

// add notes that the field was given; false if it had been given before.
func (f *fieldSet) add(field int) bool {
	bit := fieldSet(1) << field
	if *f&bit != 0 {
		return false
	}
	*f |= bit
	return true
}

func (f fieldSet) has(field int) bool { return f&(1<<field) != 0 }

// setText puts a text, valid UTF-8, into the read in its normal form.
func (r *Read) setText(field int, s string) error {
	most := MaxName
	if field == fieldImage {
		most = MaxImage
	}
	if len(s) > most && field != fieldTag {
		return refuse(CodeTooLong, fieldNames[field], fmt.Sprintf("%d bytes came, at most %d are taken", len(s), most))
	}
	// U+0000 is legal JSON, but no database takes it in a text: let through,
	// one such read would block its partition for good.
	if strings.IndexByte(s, 0) >= 0 {
		return refuse(CodeIllTyped, fieldNames[field], "contains the character U+0000, which is not text; leave it out")
	}
	switch field {
	case fieldUnit:
		r.Unit = s
	case fieldBoot:
		r.Boot = s
	case fieldClass:
		if s == "" {
			return refuse(CodeUnknownClass, "class", "is empty; leave the field out if no class was measured")
		}
		r.Class = s
	case fieldImage:
		r.Image = s
	case fieldTag:
		tag, err := NormalizeTag(s)
		if err != nil {
			return err
		}
		r.Tag = tag
	case fieldPlate:
		plate := NormalizePlate(s)
		if len(plate) > MaxName {
			return refuse(CodeTooLong, "plate", fmt.Sprintf("%d bytes after normalising, at most %d are taken", len(plate), MaxName))
		}
		r.Plate = plate
	}
	return nil
}

// setFloat puts a number into the read.
func (r *Read) setFloat(field int, v float64) error {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return refuse(CodeIllTyped, fieldNames[field], "not a finite number")
	}
	if v == 0 {
		v = 0 // minus zero is zero, so that equal reads have equal bytes
	}
	switch field {
	case fieldConfidence:
		r.Confidence = Some(v)
	case fieldRSSI:
		r.RSSI = Some(v)
	}
	return nil
}

// complete refuses a read without the fields that every read has.
func (r *Read) complete(given fieldSet) error {
	switch {
	case r.Unit == "":
		return refuse(CodeMissingField, "unit", "missing or empty; expected the roadside unit's name")
	case !given.has(fieldSeq):
		return refuse(CodeMissingField, "seq", "missing; expected the unit's counter, a whole number from 0")
	case !given.has(fieldTime):
		return refuse(CodeMissingField, "time", "missing; expected the instant of the read")
	}
	return nil
}
