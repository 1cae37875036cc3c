package carparks

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// forever is the end of an operation whose outcome nobody learnt: it may have
// had its effect at any time after it began.
const forever = math.MaxInt64

// kind is what a client asked for.
type kind int

const (
	// take asks for a bay, and got one.
	take kind = iota
	// refused asks for a bay, and was told that there is none.
	refused
	// leave gives a bay back.
	leave
)

// operation is one request of a client with its repetitions, from the first
// time it was sent to the answer, in nanoseconds of one clock. A take whose
// outcome is unknown and that the books do not hold at the end never happened
// and is left out.
type operation struct {
	client int
	kind   kind
	// bay counts from 0; allocation pairs a take with its leave. Both are
	// empty for a refusal.
	bay        int
	allocation string
	call, ret  int64
}

func (o operation) String() string {
	window := fmt.Sprintf("[%.3f ms, ", float64(o.call)/1e6)
	if o.ret == forever {
		window += "unknown]"
	} else {
		window += fmt.Sprintf("%.3f ms]", float64(o.ret)/1e6)
	}
	if o.kind == refused {
		return fmt.Sprintf("client %d was refused %s", o.client, window)
	}
	return fmt.Sprintf("client %d %s bay %d for %s %s", o.client, map[kind]string{take: "took", leave: "left"}[o.kind], o.bay, o.allocation, window)
}

// stint is one allocation: its take and, if it was given back, its leave, as
// positions in the history.
type stint struct {
	take, leave int
	left        bool
}

// stints are the allocations of each bay, in the only order in which they can
// have been. A client leaves only after it has learnt that it may stay, so that
// if one allocation came before another its answer came before the other's too.
func stints(history []operation) (map[int][]stint, error) {
	byAllocation := map[string]*stint{}
	for i, o := range history {
		if o.kind == take {
			if _, twice := byAllocation[o.allocation]; twice {
				return nil, fmt.Errorf("allocation %s was answered to two requests", o.allocation)
			}
			byAllocation[o.allocation] = &stint{take: i}
		}
	}
	for i, o := range history {
		if o.kind != leave {
			continue
		}
		s := byAllocation[o.allocation]
		if s == nil || s.left || history[s.take].bay != o.bay || history[s.take].ret >= o.call {
			return nil, fmt.Errorf("%v: there is no such allocation to leave", o)
		}
		s.leave, s.left = i, true
	}
	bays := map[int][]stint{}
	for _, s := range byAllocation {
		bay := history[s.take].bay
		bays[bay] = append(bays[bay], *s)
	}
	for _, list := range bays {
		slices.SortFunc(list, func(a, b stint) int {
			return cmp.Or(cmp.Compare(history[a.take].ret, history[b.take].ret), cmp.Compare(history[a.take].call, history[b.take].call))
		})
	}
	return bays, nil
}

// narrowed gives every take and leave one instant within its window, so that
// each bay is free for as short as it can have been: a departure and the take
// after it fall together where their windows meet, and are as near as they can
// be where not. What linearizes the narrowed history linearizes the history,
// since instants within a window are within it. The converse holds because the
// bays do not hinder each other and a refusal asks of each only that it was
// taken: whatever order fits the history still fits when a bay is free for a
// shorter time.
func narrowed(history []operation) ([]operation, error) {
	bays, err := stints(history)
	if err != nil {
		return nil, err
	}
	narrow := slices.Clone(history)
	at := func(i int, instant int64) { narrow[i].call, narrow[i].ret = instant, instant }
	for _, list := range bays {
		at(list[0].take, history[list[0].take].call)
		for n, s := range list {
			if !s.left {
				continue
			}
			if n+1 == len(list) {
				at(s.leave, history[s.leave].ret)
				continue
			}
			out, in := history[s.leave], history[list[n+1].take]
			if meet := max(out.call, in.call); meet <= min(out.ret, in.ret) {
				at(s.leave, meet)
				at(list[n+1].take, meet)
			} else {
				at(s.leave, min(out.ret, max(out.call, in.call)))
				at(list[n+1].take, max(in.call, min(in.ret, out.ret)))
			}
		}
	}
	return narrow, nil
}

// gap is a time in which a bay was certainly free, its ends left out.
type gap struct {
	bay      int
	from, to int64
}

// contradictions says in words what cannot have been, by arithmetic on the
// windows alone: bays given while they were taken, and clients refused while
// at every instant of their waiting some bay was certainly free. Empty: the
// history of so many bays is linearizable. It judges as the search does, and
// says which operations are at fault.
func contradictions(history []operation, bays int) ([]string, error) {
	held, err := stints(history)
	if err != nil {
		return nil, err
	}
	var found []string
	var gaps []gap
	for bay := range bays {
		free := int64(math.MinInt64)
		for n, s := range held[bay] {
			in := history[s.take]
			if free < in.call {
				gaps = append(gaps, gap{bay, free, in.call})
			}
			if n+1 < len(held[bay]) && (!s.left || history[s.leave].call > history[held[bay][n+1].take].ret) {
				found = append(found, fmt.Sprintf("%v, while %v", history[held[bay][n+1].take], in))
			}
			free = forever
			if s.left {
				free = history[s.leave].ret
			}
		}
		if free < forever {
			gaps = append(gaps, gap{bay, free, forever})
		}
	}
	slices.SortFunc(gaps, func(a, b gap) int { return cmp.Compare(a.from, b.from) })
	for _, o := range history {
		if o.kind != refused {
			continue
		}
		// The first instant of the window that no gap covers, going from gap
		// to gap.
		instant, last := o.call, gap{}
		for _, g := range gaps {
			if g.from < instant && instant < g.to {
				instant, last = g.to, g
			}
		}
		if instant > o.ret {
			found = append(found, fmt.Sprintf("%v, while bay %d was free from %.3f ms to %.3f ms", o, last.bay, float64(last.from)/1e6, float64(last.to)/1e6))
		}
	}
	return found, nil
}
