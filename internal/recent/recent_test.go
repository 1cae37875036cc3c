package recent

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestMapIsBounded(t *testing.T) {
	var gone []int
	m := New[int](3, func(v int) { gone = append(gone, v) })
	for n := range 5 {
		m.Put(n, n)
		m.Get(0)
	}
	if _, ok := m.Get(0); !ok || m.Len() != 3 || m.order.Len() != 3 || fmt.Sprint(gone) != "[1 2]" {
		t.Errorf("%v, gone %v", m.at, gone)
	}
	m.Put(0, 9)
	if v, _ := m.Get(0); v != 9 || m.Len() != 3 || len(gone) != 2 {
		t.Errorf("%d of %d, gone %v", v, m.Len(), gone)
	}
	m.Remove(7)
	m.Remove(0)
	if _, ok := m.Get(0); ok || m.Len() != 2 || gone[2] != 9 {
		t.Errorf("still there, of %d, gone %v", m.Len(), gone)
	}
}

// TestMapIsAList holds the map against a list that is searched from end to end.
func TestMapIsAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type pair struct{ key, value int }
		most := rapid.IntRange(1, 5).Draw(t, "most")
		m, list := New[int, int](most, nil), []pair{}
		find := func(key int) int { return slices.IndexFunc(list, func(p pair) bool { return p.key == key }) }
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			key, value := rapid.IntRange(0, 7).Draw(t, "key"), rapid.Int().Draw(t, "value")
			i := find(key)
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				v, ok := m.Get(key)
				if ok != (i >= 0) || ok && v != list[i].value {
					t.Fatalf("key %d is %d, %v; list %v", key, v, ok, list)
				}
				if ok {
					p := list[i]
					list = append(slices.Delete(list, i, i+1), p)
				}
			case 1:
				m.Put(key, value)
				if i >= 0 {
					list = slices.Delete(list, i, i+1)
				} else if len(list) == most {
					list = list[1:]
				}
				list = append(list, pair{key, value})
			default:
				m.Remove(key)
				if i >= 0 {
					list = slices.Delete(list, i, i+1)
				}
			}
			if m.Len() != len(list) {
				t.Fatalf("%d entries, want %d", m.Len(), len(list))
			}
		}
	})
}
