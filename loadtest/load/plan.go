package load

import (
	"time"

	"freeflow/loadtest/traffic"
)

// request is one POST of one unit's reads.
type request struct {
	unit int
	// due is the scheduled time, microseconds since the Unix epoch: when the
	// unit has its reads together, or will wait no longer.
	due                 int64
	firstSeq            uint64
	reads               int
	firstTime, lastTime int64
	raw, body           []byte
	// probes are the passes of this request that are followed.
	probes []probe
}

// probe is a pass to be followed to its charge: what the charge will be called.
type probe struct {
	vehicle, tollPoint string
	first              int64
}

// planner turns the traffic into requests in order of their due time. It
// follows the traffic only; it knows no clock.
type planner struct {
	traffic  *traffic.CityTraffic
	encoder  *encoder
	end      int64
	linger   int64
	most     int
	open     []*request // by unit, nil if none is under way
	order    []int      // units of open requests, by the time of their first read
	next     traffic.Event
	ended    bool
	free     chan *request
	reads    int64
	probing  func(*traffic.Event) (probe, bool)
	finished []*request
}

func newPlanner(t *traffic.CityTraffic, e *encoder, c Config, start time.Time, free chan *request,
	probing func(*traffic.Event) (probe, bool)) *planner {
	p := &planner{
		traffic: t, encoder: e, end: start.Add(c.Duration).UnixMicro(),
		linger: c.Linger.Microseconds(), most: c.PerRequest,
		open: make([]*request, len(t.Units())), free: free, probing: probing,
	}
	p.advance()
	return p
}

func (p *planner) advance() {
	p.next = p.traffic.Next()
	p.ended = p.next.TimeMicros >= p.end
}

// following returns the next request, nil at the end. Requests come in order
// of their due time.
func (p *planner) following() (*request, error) {
	for len(p.finished) == 0 {
		// What has waited long enough goes before what is yet to be read.
		if len(p.order) > 0 {
			oldest := p.open[p.order[0]]
			if waited := oldest.firstTime + p.linger; p.ended || waited <= p.next.TimeMicros {
				if err := p.close(p.order[0], waited); err != nil {
					return nil, err
				}
				continue
			}
		}
		if p.ended {
			return nil, nil
		}
		if err := p.take(); err != nil {
			return nil, err
		}
	}
	r := p.finished[0]
	p.finished = p.finished[:0]
	return r, nil
}

// take puts the next read into its unit's request.
func (p *planner) take() error {
	e := &p.next
	r := p.open[e.UnitIndex]
	if r == nil {
		r = p.blank()
		r.unit, r.firstSeq, r.firstTime = e.UnitIndex, e.Seq, e.TimeMicros
		p.open[e.UnitIndex] = r
		p.order = append(p.order, e.UnitIndex)
	}
	r.raw = p.encoder.add(r.raw, &e.Read)
	r.reads++
	r.lastTime = e.TimeMicros
	if probe, ok := p.probing(e); ok {
		r.probes = append(r.probes, probe)
	}
	p.reads++
	var err error
	if r.reads == p.most {
		err = p.close(e.UnitIndex, e.TimeMicros)
	}
	p.advance()
	return err
}

// close ends the unit's request.
func (p *planner) close(unit int, due int64) error {
	r := p.open[unit]
	p.open[unit] = nil
	for i, u := range p.order {
		if u == unit {
			p.order = append(p.order[:i], p.order[i+1:]...)
			break
		}
	}
	r.due = due
	var err error
	if r.body, err = p.encoder.finish(r.raw, r.body[:0]); err != nil {
		return err
	}
	p.finished = append(p.finished, r)
	return nil
}

// blank returns an empty request, a used one if there is one.
func (p *planner) blank() *request {
	select {
	case r := <-p.free:
		*r = request{raw: r.raw[:0], body: r.body[:0], probes: r.probes[:0]}
		return r
	default:
		return &request{}
	}
}
