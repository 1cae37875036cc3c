package matcher

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"freeflow/billing"
	"freeflow/tolling"
	"freeflow/tolling/passage"
)

// recordVersion leads every encoded record and every evidence, so that a later
// version of the matcher can tell what it reads.
const recordVersion = 1

// Flags of an encoded pass.
const (
	flagStrong = 1 << iota
	flagConflict
	flagSameCar
	flagExempt
)

// encoder appends in a compact binary form: numbers as varints, strings with
// their length in front.
type encoder struct{ b []byte }

func (e *encoder) uint(v uint64) { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) int(v int64)   { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) string(s string) {
	e.uint(uint64(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) strings(list []string) {
	e.uint(uint64(len(list)))
	for _, s := range list {
		e.string(s)
	}
}

var errTruncated = errors.New("record is cut short")

// decoder is the other half; the first fault sticks, and what follows is zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	return cutNumber(d, v, n)
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	return cutNumber(d, v, n)
}

func cutNumber[T int64 | uint64](d *decoder, v T, n int) T {
	if n <= 0 {
		d.b, d.err = nil, errTruncated
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) string() string {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.b, d.err = nil, errTruncated
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) strings() []string {
	n := d.uint()
	if n > uint64(len(d.b)) { // each takes a byte at least
		d.b, d.err = nil, errTruncated
		return nil
	}
	var list []string
	for range n {
		list = append(list, d.string())
	}
	return list
}

// version checks the leading version.
func (d *decoder) version() {
	if v := d.uint(); d.err == nil && v != recordVersion {
		d.err = fmt.Errorf("record has version %d, this program reads %d", v, recordVersion)
	}
}

// evidence appends what the rules know of a pass beyond the books' columns.
func (e *encoder) evidence(p *tolling.Pass) {
	var flags uint64
	for _, f := range []struct {
		set bool
		bit uint64
	}{{p.Strong, flagStrong}, {p.Conflict, flagConflict}, {p.SameCar, flagSameCar}, {p.Holder.Exempt, flagExempt}} {
		if f.set {
			flags |= f.bit
		}
	}
	e.uint(flags)
	e.string(p.Holder.Account)
	e.string(p.Holder.Class)
	e.string(p.Measured.Class)
	if p.Measured.Class != "" {
		e.int(p.Measured.Micros - p.First)
		e.string(p.Measured.Unit)
		e.string(p.Measured.Boot)
		e.uint(p.Measured.Seq)
	}
}

func (d *decoder) evidence(p *tolling.Pass) {
	flags := d.uint()
	p.Strong = flags&flagStrong != 0
	p.Conflict = flags&flagConflict != 0
	p.SameCar = flags&flagSameCar != 0
	p.Holder.Exempt = flags&flagExempt != 0
	p.Holder.Account = d.string()
	p.Holder.Class = d.string()
	if p.Measured.Class = d.string(); p.Measured.Class != "" {
		p.Measured.Micros = p.First + d.int()
		p.Measured.Unit = d.string()
		p.Measured.Boot = d.string()
		p.Measured.Seq = d.uint()
	}
}

// encodeRecord encodes the passes and carriers that are to be held.
func encodeRecord(passes []*held, carriers []carrier) ([]byte, error) {
	e := &encoder{b: make([]byte, 0, 192)}
	e.uint(recordVersion)
	e.uint(uint64(len(passes)))
	for _, h := range passes {
		id, err := hex.DecodeString(h.ID)
		if err != nil {
			return nil, fmt.Errorf("encoding pass %s: %w", h.ID, err)
		}
		e.string(string(id))
		e.string(h.Point)
		e.uint(uint64(h.First))
		e.uint(uint64(h.Last - h.First))
		e.evidence(h.Pass)
		e.strings(h.Marks)
		e.int(h.revision)
		e.verdict(h.verdict)
		var decision []byte
		if h.decision != nil {
			if decision, err = json.Marshal(h.decision); err != nil {
				return nil, fmt.Errorf("encoding the decision on pass %s: %w", h.ID, err)
			}
		}
		e.string(string(decision))
	}
	e.uint(uint64(len(carriers)))
	for _, c := range carriers {
		e.string(c.vehicle.Name)
		if c.vehicle.Registered {
			e.uint(1)
		} else {
			e.uint(0)
		}
		e.int(c.last)
	}
	return e.b, nil
}

func (e *encoder) verdict(v tolling.Verdict) {
	e.string(string(v.Status))
	e.string(v.Class)
	e.string(v.Account)
	e.int(v.Cents)
	e.string(v.Version)
	e.string(v.Rule)
	e.string(joinReasons(v.Reasons))
}

func (d *decoder) verdict() tolling.Verdict {
	return tolling.Verdict{
		Status: tolling.Status(d.string()), Class: d.string(), Account: d.string(), Cents: d.int(),
		Version: d.string(), Rule: d.string(), Reasons: splitReasons(d.string()),
	}
}

func decodeRecord(b []byte, k passage.Key) ([]*held, []carrier, error) {
	d := &decoder{b: b}
	d.version()
	var passes []*held
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		p := &tolling.Pass{ID: hex.EncodeToString([]byte(d.string())), Vehicle: vehicleOf(k), Point: d.string()}
		p.First = int64(d.uint())
		p.Last = p.First + int64(d.uint())
		d.evidence(p)
		p.Marks = d.strings()
		h := &held{Pass: p, revision: d.int(), verdict: d.verdict(), postedLast: p.Last}
		if decision := d.string(); decision != "" {
			h.decision = &billing.Decision{}
			if err := json.Unmarshal([]byte(decision), h.decision); err != nil {
				return nil, nil, fmt.Errorf("decoding the decision on pass %s: %w", p.ID, err)
			}
		}
		passes = append(passes, h)
	}
	var carriers []carrier
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		carriers = append(carriers, carrier{
			tolling.Vehicle{Name: d.string(), Registered: d.uint() == 1}, d.int(),
		})
	}
	return passes, carriers, d.err
}

// fromBooks makes a held pass of the books' row.
func fromBooks(p *billing.Pass) (*held, error) {
	pass := &tolling.Pass{
		ID: p.ID, Vehicle: tolling.Vehicle{Name: p.Vehicle, Registered: p.Registered},
		Point: p.TollPoint, First: p.FirstMicros, Last: p.LastMicros, Marks: p.Marks,
	}
	d := &decoder{b: p.Evidence}
	d.version()
	d.evidence(pass)
	if d.err != nil {
		return nil, fmt.Errorf("decoding the evidence of pass %s: %w", p.ID, d.err)
	}
	return &held{
		Pass: pass, revision: p.Revision, decision: p.Decision, postedLast: p.LastMicros,
		verdict: tolling.Verdict{
			Status: tolling.Status(p.Status), Class: p.Class, Account: p.Account, Cents: p.AmountCents,
			Version: p.TariffVersion, Rule: p.Rule, Reasons: splitReasons(p.Reasons),
		},
	}, nil
}

// toBooks makes the row of the next revision.
func toBooks(h *held, facility, currency string) billing.Pass {
	e := &encoder{b: make([]byte, 0, 64)}
	e.uint(recordVersion)
	e.evidence(h.Pass)
	p := billing.Pass{
		ID: h.ID, Facility: facility, TollPoint: h.Point, Vehicle: h.Vehicle.Name, Registered: h.Vehicle.Registered,
		FirstMicros: h.First, LastMicros: h.Last, Revision: h.revision,
		Status: string(h.verdict.Status), Class: h.verdict.Class, Account: h.verdict.Account,
		AmountCents: h.verdict.Cents, Currency: currency,
		Rule: h.verdict.Rule, TariffVersion: h.verdict.Version, Reasons: joinReasons(h.verdict.Reasons),
		Evidence: e.b, Marks: h.Marks, Decision: h.decision,
	}
	if h.mergedInto != nil {
		p.MergedInto = h.mergedInto.ID
	}
	return p
}

func joinReasons(reasons []tolling.Reason) string {
	if len(reasons) == 0 {
		return ""
	}
	words := make([]string, len(reasons))
	for i, r := range reasons {
		words[i] = string(r)
	}
	return strings.Join(words, ",")
}

func splitReasons(s string) []tolling.Reason {
	if s == "" {
		return nil
	}
	words := strings.Split(s, ",")
	reasons := make([]tolling.Reason, len(words))
	for i, w := range words {
		reasons[i] = tolling.Reason(w)
	}
	return reasons
}
