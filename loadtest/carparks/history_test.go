package carparks

import (
	"fmt"
	"math/bits"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"pgregory.net/rapid"
)

// searchTime bounds one search for an order. There is one within milliseconds
// where the history has one; a search that does not end fails.
const searchTime = 10 * time.Second

// mostBays is how many bays the model of a whole car park has room for.
const mostBays = 64

// carPark is a car park of so many bays: the state is the set of those taken.
func carPark(bays int) porcupine.Model {
	full := uint64(1)<<bays - 1
	return porcupine.Model{
		Init: func() any { return uint64(0) },
		Step: func(state, input, _ any) (bool, any) {
			taken, o := state.(uint64), input.(operation)
			bay := uint64(1) << o.bay
			switch o.kind {
			case take:
				return taken&bay == 0, taken | bay
			case leave:
				return taken&bay != 0, taken &^ bay
			default:
				return taken == full, taken
			}
		},
		Hash:              func(state any) uint64 { return state.(uint64) },
		DescribeOperation: func(input, _ any) string { return input.(operation).String() },
		DescribeState:     func(state any) string { return fmt.Sprintf("%d taken", bits.OnesCount64(state.(uint64))) },
	}
}

// eachBay are the bays one by one: the state is the allocation that has it.
// Refusals are of no bay and are left out.
func eachBay() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byBay := map[int][]porcupine.Operation{}
			for _, o := range history {
				if in := o.Input.(operation); in.kind != refused {
					byBay[in.bay] = append(byBay[in.bay], o)
				}
			}
			var parts [][]porcupine.Operation
			for _, part := range byBay {
				parts = append(parts, part)
			}
			return parts
		},
		Init: func() any { return "" },
		Step: func(state, input, _ any) (bool, any) {
			o := input.(operation)
			if o.kind == take {
				return state == "", o.allocation
			}
			return state == o.allocation, ""
		},
	}
}

func asOperations(history []operation) []porcupine.Operation {
	all := make([]porcupine.Operation, len(history))
	for i, o := range history {
		all[i] = porcupine.Operation{ClientId: o.client, Input: o, Call: o.call, Return: o.ret}
	}
	return all
}

// judge says why a history of so many bays is not linearizable; empty if it is.
func judge(history []operation, bays int) string {
	if bays > mostBays || slices.ContainsFunc(history, func(o operation) bool { return o.bay < 0 || o.bay >= bays }) {
		return "a bay is none of the car park's"
	}
	narrow, err := narrowed(history)
	if err != nil {
		return err.Error()
	}
	guilty, err := contradictions(history, bays)
	if err != nil {
		return err.Error()
	}
	each := porcupine.CheckOperationsTimeout(eachBay(), asOperations(history), searchTime)
	whole := porcupine.Unknown
	// Where there is no order, looking for one takes all the time that there is.
	if each == porcupine.Ok && len(guilty) == 0 {
		whole = porcupine.CheckOperationsTimeout(carPark(bays), asOperations(narrow), searchTime)
	}
	if each == porcupine.Ok && whole == porcupine.Ok {
		return ""
	}
	text := fmt.Sprintf("of %d operations: bay by bay %s, the whole car park %s", len(history), each, whole)
	for i, line := range guilty {
		if i == 10 {
			return text + fmt.Sprintf("\n  and %d more", len(guilty)-i)
		}
		text += "\n  " + line
	}
	return text
}

// searched is what porcupine alone says of the narrowed history.
func searched(history []operation, bays int) bool {
	narrow, err := narrowed(history)
	return err == nil && porcupine.CheckOperations(eachBay(), asOperations(history)) && porcupine.CheckOperations(carPark(bays), asOperations(narrow))
}

// at makes an operation on a clock of milliseconds.
func at(k kind, bay int, allocation string, call, ret int64) operation {
	const ms = 1_000_000
	if ret != forever {
		ret *= ms
	}
	return operation{kind: k, bay: bay, allocation: allocation, call: call * ms, ret: ret}
}

// Violations of each kind are caught, and what only looks like one is not.
func TestPlantedViolations(t *testing.T) {
	for name, c := range map[string]struct {
		bays    int
		history []operation
		bad     bool
	}{
		"one after the other":                   {1, []operation{at(take, 0, "a", 0, 2), at(leave, 0, "a", 3, 4), at(take, 0, "b", 5, 6)}, false},
		"a bay given twice":                     {2, []operation{at(take, 0, "a", 0, 2), at(take, 0, "b", 1, 3)}, true},
		"given before it was left":              {1, []operation{at(take, 0, "a", 0, 2), at(take, 0, "b", 3, 5), at(leave, 0, "a", 6, 7)}, true},
		"given while it is left":                {1, []operation{at(take, 0, "a", 0, 2), at(leave, 0, "a", 3, 6), at(take, 0, "b", 4, 5)}, false},
		"refused with a bay free":               {2, []operation{at(take, 0, "a", 0, 1), at(refused, 0, "", 2, 3)}, true},
		"refused before the last bay was taken": {1, []operation{at(refused, 0, "", 0, 1), at(take, 0, "a", 2, 3)}, true},
		"refused beside the last taking":        {1, []operation{at(refused, 0, "", 0, 2), at(take, 0, "a", 1, 3)}, false},
		"refused from memory":                   {1, []operation{at(take, 0, "a", 0, 1), at(leave, 0, "a", 2, 3), at(refused, 0, "", 4, 5), at(take, 0, "b", 6, 7)}, true},
		"refused between two bays, never both taken": {2, []operation{
			at(take, 0, "a", 0, 1), at(leave, 0, "a", 2, 3), at(refused, 0, "", 2, 6), at(take, 1, "b", 5, 6)}, true},
		"refused between two that may have met": {2, []operation{
			at(take, 0, "a", 0, 1), at(leave, 0, "a", 2, 5), at(refused, 0, "", 2, 6), at(take, 1, "b", 4, 6)}, false},
		"left, and nobody knows when":     {1, []operation{at(take, 0, "a", 0, 1), at(leave, 0, "a", 2, forever), at(take, 0, "b", 7, 8)}, false},
		"left, and nobody knows whether":  {1, []operation{at(take, 0, "a", 0, 1), at(leave, 0, "a", 2, forever), at(refused, 0, "", 7, 8)}, false},
		"taken, and nobody was told":      {1, []operation{at(take, 0, "a", 0, forever), at(refused, 0, "", 7, 8)}, false},
		"taken untold, given again":       {1, []operation{at(take, 0, "a", 0, forever), at(take, 0, "b", 7, 8)}, true},
		"one allocation told to two":      {2, []operation{at(take, 0, "a", 0, 1), at(take, 1, "a", 0, 1)}, true},
		"left twice":                      {1, []operation{at(take, 0, "a", 0, 1), at(leave, 0, "a", 2, 3), at(leave, 0, "a", 4, 5)}, true},
		"a bay that the car park has not": {1, []operation{at(take, 1, "a", 0, 1)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			why := judge(c.history, c.bays)
			if (why != "") != c.bad {
				t.Errorf("judged %q, must be a violation: %v", why, c.bad)
			}
			if name == "a bay that the car park has not" {
				return
			}
			if searched(c.history, c.bays) == c.bad {
				t.Errorf("the search alone: must be a violation: %v", c.bad)
			}
			guilty, err := contradictions(c.history, c.bays)
			if (err != nil || len(guilty) > 0) != c.bad {
				t.Errorf("by arithmetic: %q, %v; must be a violation: %v", guilty, err, c.bad)
			}
		})
	}
}

// The search in narrowed windows and the arithmetic find what the search in the
// windows as they were finds, whether there is a violation or not.
func TestNarrowingKeepsTheVerdict(t *testing.T) {
	verdicts := map[bool]int{}
	rapid.Check(t, func(t *rapid.T) {
		bays := rapid.IntRange(1, 3).Draw(t, "bays")
		history := drawHistory(t, bays)
		want := porcupine.CheckOperations(carPark(bays), asOperations(history)) && porcupine.CheckOperations(eachBay(), asOperations(history))
		verdicts[want]++
		if searched(history, bays) != want {
			t.Fatalf("the plain search says linearizable: %v; the narrowed one says otherwise\n%v", want, history)
		}
		guilty, err := contradictions(history, bays)
		if err != nil || (len(guilty) == 0) != want {
			t.Fatalf("the plain search says linearizable: %v; the arithmetic: %q, %v\n%v", want, guilty, err, history)
		}
	})
	t.Logf("linearizable or not: %v", verdicts)
	if verdicts[true] == 0 || verdicts[false] == 0 {
		t.Errorf("only one verdict was seen: %v", verdicts)
	}
}

// drawHistory makes a history of a car park that works, with windows around the
// instants, and then perhaps moves some of the instants.
func drawHistory(t *rapid.T, bays int) []operation {
	const step = 10
	taken := map[int]operation{}
	var history []operation
	n := rapid.IntRange(1, 10).Draw(t, "operations")
	for i := range n {
		instant := int64(i * step)
		o := operation{client: i, kind: refused}
		if len(taken) < bays && rapid.Bool().Draw(t, "takes") {
			o.kind, o.allocation = take, fmt.Sprint("a", i)
			for _, there := taken[o.bay]; there; _, there = taken[o.bay] {
				o.bay++
			}
		} else if len(taken) == bays && rapid.Bool().Draw(t, "refused") {
			o.kind = refused
		} else if list := staying(taken, bays); len(list) > 0 {
			out := rapid.SampledFrom(list).Draw(t, "who")
			if earliest := out.ret + 1; earliest > instant {
				instant = earliest
			}
			o = operation{client: i, kind: leave, bay: out.bay, allocation: out.allocation}
		} else {
			continue
		}
		o.call = instant - rapid.Int64Range(0, 3*step).Draw(t, "before")
		o.ret = instant + rapid.Int64Range(0, 3*step).Draw(t, "after")
		shift := rapid.SampledFrom([]int64{0, 0, 0, 0, -2 * step, 2 * step, 4 * step}).Draw(t, "moved")
		o.call, o.ret = o.call+shift, o.ret+shift
		switch o.kind {
		case take:
			taken[o.bay] = o
		case leave:
			// Nobody leaves before being told that they may stay.
			o.call = max(o.call, taken[o.bay].ret+1)
			o.ret = max(o.ret, o.call)
			if rapid.IntRange(0, 9).Draw(t, "unknown") == 0 {
				o.ret = forever
			}
			delete(taken, o.bay)
		}
		history = append(history, o)
	}
	return history
}

func staying(taken map[int]operation, bays int) []operation {
	var list []operation
	for bay := range bays {
		if o, there := taken[bay]; there {
			list = append(list, o)
		}
	}
	return list
}
