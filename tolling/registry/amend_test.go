package registry

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"freeflow/rsu"
)

// someRow draws a row of few marks and instants, so that they meet.
func someRow(t *rapid.T) Assignment {
	a := Assignment{
		Account: rapid.SampledFrom([]string{"", "A", "B"}).Draw(t, "account"), Class: rapid.SampledFrom([]string{"", "taxi"}).Draw(t, "class"),
		Plate: rapid.SampledFrom([]string{"", "P1", "P2"}).Draw(t, "plate"), Tag: rapid.SampledFrom([]string{"", "T1", "T2"}).Draw(t, "tag"),
		FromMicros: rapid.Int64Range(1, 12).Draw(t, "from"), Exempt: rapid.Bool().Draw(t, "exempt"),
	}
	if to := rapid.Int64Range(0, 12).Draw(t, "to"); to > a.FromMicros {
		a.ToMicros = to
	}
	return a
}

// consistent drops rows that contradict earlier ones, as the books do.
func consistent(rows []Assignment) []Assignment {
	var kept []Assignment
	for _, a := range rows {
		clash := a.Plate == "" && a.Tag == "" || slices.ContainsFunc(kept, func(b Assignment) bool {
			apart := a.ends(b.FromMicros) || b.ends(a.FromMicros)
			return b == a || !apart && (a.Tag != "" && a.Tag == b.Tag || a.Plate != "" && a.Plate == b.Plate && a.holder() != b.holder())
		})
		if !clash {
			kept = append(kept, a)
		}
	}
	return kept
}

// history draws versions of a registry, one after the other, and the changes
// between the first and the last as the books give them.
func history(t *rapid.T) (versions [][]Assignment, changes []Change) {
	rows := consistent(rapid.SliceOfN(rapid.Custom(someRow), 0, 5).Draw(t, "rows"))
	versions = append(versions, rows)
	open := map[Assignment]int{}
	for n := range rapid.IntRange(1, 4).Draw(t, "versions") {
		version := int64(n + 2)
		next := slices.DeleteFunc(slices.Clone(rows), func(Assignment) bool { return rapid.Bool().Draw(t, "gone") })
		next = consistent(append(next, rapid.SliceOfN(rapid.Custom(someRow), 0, 3).Draw(t, "new")...))
		for _, a := range rows {
			if slices.Contains(next, a) {
				continue
			}
			if i, born := open[a]; born {
				changes[i].Until = version
				delete(open, a)
			} else {
				changes = append(changes, Change{Assignment: a, Since: 1, Until: version})
			}
		}
		for _, a := range next {
			if !slices.Contains(rows, a) {
				open[a] = len(changes)
				changes = append(changes, Change{Assignment: a, Since: version})
			}
		}
		rows = next
		versions = append(versions, rows)
	}
	return versions, changes
}

// meanings are what all reads of the marks mean at all instants.
func meanings(r *Registry) []string {
	var all []string
	for at := int64(0); at <= 13; at++ {
		for _, tag := range []string{"", "T1", "T2"} {
			for _, plate := range []string{"", "P1", "P2"} {
				if tag+plate != "" {
					all = append(all, fmt.Sprintf("%+v", r.Resolve(rsu.Read{TimeMicros: at, Tag: tag, Plate: plate}, "X")))
				}
			}
		}
	}
	return all
}

// A registry that was amended answers as one made of the rows; undoing gives
// every version back.
func TestAmendedRegistriesAnswerAsFreshOnes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		versions, changes := history(t)
		last := int64(len(versions))
		first := New(slices.Clone(versions[0])).WithVersion(1)
		amended := first.Apply(changes, last)
		if want := New(versions[last-1]); !slices.Equal(meanings(amended), meanings(want)) || amended.Len() != want.Len() || amended.Version() != last {
			t.Fatalf("applied %+v to %+v: %d rows, want %+v", changes, versions[0], amended.Len(), versions[last-1])
		}
		for v := int64(1); v <= last; v++ {
			if back := amended.Undo(changes, v); !slices.Equal(meanings(back), meanings(New(slices.Clone(versions[v-1])))) {
				t.Fatalf("undone to version %d: not %+v", v, versions[v-1])
			}
		}
		if !slices.Equal(meanings(first), meanings(New(slices.Clone(versions[0])))) {
			t.Fatal("the registry before was changed")
		}
	})
}

// What differs between any two neighbouring versions is touched, and nothing
// else.
func TestTouchedIsWhatDiffers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		versions, changes := history(t)
		touched := New(slices.Clone(versions[0])).WithVersion(1).TouchedBy(changes)
		registries := make([]*Registry, len(versions))
		for i := range versions {
			registries[i] = New(slices.Clone(versions[i]))
		}
		low, high := int64(-1), int64(-1)
		for at := int64(0); at <= 13; at++ {
			for _, mark := range []struct{ tag, plate string }{{"T1", ""}, {"T2", ""}, {"", "P1"}, {"", "P2"}} {
				differs := false
				for i := 1; i < len(registries); i++ {
					read := rsu.Read{TimeMicros: at, Tag: mark.tag, Plate: mark.plate}
					differs = differs || registries[i-1].Resolve(read, "X") != registries[i].Resolve(read, "X")
				}
				if is := touched.Touches(mark.tag, mark.plate, at); is != differs {
					t.Fatalf("%+v at %d: touched %t, differs %t; versions %+v", mark, at, is, differs, versions)
				}
				if differs && low < 0 {
					low = at
				}
				if differs {
					high = at
				}
			}
		}
		from, to, ok := touched.Bounds(13)
		if ok != (low >= 0) || ok && (from != low || to != high) {
			t.Fatalf("bounds %d to %d, %t; want %d to %d", from, to, ok, low, high)
		}
	})
}

// Marks beyond the fold are found as before.
func TestManyAmendmentsFold(t *testing.T) {
	r := New([]Assignment{{Plate: "FIRST", Account: "A", FromMicros: 1}})
	for n := 0; n < 3*foldAbove; n += 256 {
		var added []Assignment
		for k := range 256 {
			added = append(added, Assignment{Plate: fmt.Sprint("P", n+k), Tag: fmt.Sprint("T", n+k), Account: "A", FromMicros: 1})
		}
		first := []Assignment{{Plate: "FIRST", Account: "A", FromMicros: 1}}
		r = r.Amend(nil, added, int64(n)).Amend(first, first, int64(n))
		if len(r.tags.over) > foldAbove {
			t.Fatalf("%d marks lie on top", len(r.tags.over))
		}
	}
	for _, plate := range []string{"FIRST", "P0", fmt.Sprint("P", 3*foldAbove-1)} {
		if s := r.Resolve(rsu.Read{TimeMicros: 5, Plate: plate}, "X"); !s.Vehicle.Registered {
			t.Errorf("%s is lost", plate)
		}
	}
	if r.Len() != 3*foldAbove+1 {
		t.Errorf("%d rows", r.Len())
	}
}
