package sites

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"freeflow/parking"
)

// The samples hold as many bays as was published.
func TestSamples(t *testing.T) {
	for name, want := range map[string]struct {
		id                       string
		bays, automated, private int
	}{
		"hoi-shing-road":   {"tdstt46", 78, 78, 78},
		"tung-chau-street": {"tdstt90", 52, 52, 52},
		"tseung-kwan-o":    {"tdc335p1", 388, 225, 249},
		"rumsey-street":    {"tdcp2", 983, 0, 835},
	} {
		site, text, err := Sample(name)
		if err != nil {
			t.Fatal(err)
		}
		automated, private := 0, 0
		for _, bay := range site.Bays {
			if bay.Machine != "" {
				automated++
			}
			for _, class := range bay.Classes {
				if class == "private_car" {
					private++
				}
			}
		}
		if site.ID != want.id || len(site.Bays) != want.bays || automated != want.automated || private != want.private {
			t.Errorf("%s: %s with %d bays, %d in machines, %d for cars", name, site.ID, len(site.Bays), automated, private)
		}
		again, err := Read(bytes.NewReader(text))
		if err != nil || len(again.Bays) != len(site.Bays) {
			t.Errorf("%s read again: %v", name, err)
		}
	}
	if len(Samples()) != 4 {
		t.Errorf("samples: %v", Samples())
	}
	if _, _, err := Sample("nowhere"); err == nil || !strings.Contains(err.Error(), "hoi-shing-road") {
		t.Errorf("a sample that is not there: %v", err)
	}
}

// The real limits of Hoi Shing Road hold, each to the millimetre.
func TestHoiShingRoadLimits(t *testing.T) {
	site, _, err := Sample("hoi-shing-road")
	if err != nil {
		t.Fatal(err)
	}
	fits := parking.Vehicle{Class: "private_car", LengthMM: 5200, WidthMM: 2200, HeightMM: 2000, WeightKG: 2500}
	for _, one := range []struct {
		limit string
		make  func(*parking.Vehicle)
	}{
		{"", func(*parking.Vehicle) {}},
		{"length_mm", func(v *parking.Vehicle) { v.LengthMM++ }},
		{"width_mm", func(v *parking.Vehicle) { v.WidthMM++ }},
		{"height_mm", func(v *parking.Vehicle) { v.HeightMM++ }},
		{"weight_kg", func(v *parking.Vehicle) { v.WeightKG++ }},
		{"height_mm", func(v *parking.Vehicle) { v.HeightMM = 0 }}, // not measured
		{"class", func(v *parking.Vehicle) { v.Class = "lgv" }},
	} {
		v := fits
		one.make(&v)
		for i := range site.Bays {
			bay := &site.Bays[i]
			obstacles := bay.Obstacles(v, "")
			if bay.Fits(v, "") != (len(obstacles) == 0) {
				t.Fatalf("%+v: fits %v with %v", v, bay.Fits(v, ""), obstacles)
			}
			if one.limit == "" && len(obstacles) != 0 || one.limit != "" && (len(obstacles) != 1 || obstacles[0].Limit != one.limit) {
				t.Fatalf("%+v in %s: %v, want %q", v, bay.ID, obstacles, one.limit)
			}
		}
	}
}

// small is a site file with one rack and four ordinary bays.
func small() map[string]any {
	timing := map[string]any{"gate_seconds": 10, "user_seconds": 45, "pitch_mm": 2500, "tier_mm": 2100, "slide_mm_per_minute": 7000, "lift_mm_per_minute": 4500}
	return map[string]any{
		"id": "p1", "code": "PAA", "name": map[string]any{"en": "P"}, "zone": "Asia/Hong_Kong", "source": "made up", "tariff": "t",
		"clock_start": "entry", "clock_stop": "exit", "tag_limit": "200.50",
		"machines": []any{map[string]any{"id": "R1", "level": "G", "mechanism": "puzzle", "tiers": 2, "columns": 3, "timing": timing}},
		"groups": []any{
			map[string]any{"machine": "R1", "level": "G", "classes": []any{"private_car"}, "ev_tiers": []any{1}},
			map[string]any{"prefix": "A-", "count": 4, "digits": 2, "first": 7, "level": "1", "classes": []any{"private_car", "taxi"}, "walk_metres": 10, "walk_step_decimetres": 25, "pool": "day"},
		},
		"lanes":     []any{map[string]any{"unit": "PAA-IN-1", "direction": "in"}},
		"pools":     []any{map[string]any{"id": "day", "name": map[string]any{"en": "Day"}, "bookable": true, "no_show_after_minutes": 30, "hold_seconds": 600}},
		"published": map[string]any{"address": map[string]any{"en": "A"}, "district": map[string]any{"en": "D"}, "latitude": 22.3, "longitude": 114.1},
	}
}

func parse(t testing.TB, file map[string]any) (*parking.CarPark, error) {
	t.Helper()
	text, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return Parse(text)
}

func TestBaysAreSpelledOut(t *testing.T) {
	site, err := parse(t, small())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, bay := range site.Bays {
		ids = append(ids, fmt.Sprintf("%s:%v:%d", bay.ID, bay.EV, bay.WalkMetres))
	}
	want := "R1-1-1:true:0 R1-1-2:true:0 R1-2-1:false:0 R1-2-2:false:0 R1-2-3:false:0 A-07:false:10 A-08:false:12 A-09:false:15 A-10:false:17"
	if got := strings.Join(ids, " "); got != want {
		t.Errorf("bays\n%s, want\n%s", got, want)
	}
	if site.TagLimitCents != 200_50 {
		t.Errorf("limit %d", site.TagLimitCents)
	}
}

// Each fault is refused, and told with its place.
func TestFaults(t *testing.T) {
	at := func(file map[string]any, list string, i int) map[string]any {
		return file[list].([]any)[i].(map[string]any)
	}
	for name, one := range map[string]struct {
		break_ func(map[string]any)
		says   string
	}{
		"no id":             {func(f map[string]any) { f["id"] = "" }, "/id"},
		"small code":        {func(f map[string]any) { f["code"] = "paa" }, "/code"},
		"no name":           {func(f map[string]any) { f["name"] = map[string]any{"en": ""} }, "/name/en"},
		"no zone":           {func(f map[string]any) { f["zone"] = "Mars/Olympus" }, "/zone"},
		"no source":         {func(f map[string]any) { f["source"] = "" }, "/source"},
		"clock":             {func(f map[string]any) { f["clock_start"] = "whenever" }, "/clock_start"},
		"waits too long":    {func(f map[string]any) { f["come_within_minutes"] = 1441 }, "/come_within_minutes"},
		"waits never":       {func(f map[string]any) { f["come_within_minutes"] = -1 }, "/come_within_minutes"},
		"limit as a number": {func(f map[string]any) { f["tag_limit"] = "1.234" }, "/tag_limit"},
		"bays by hand": {func(f map[string]any) {
			f["bays"] = []any{map[string]any{"id": "x", "level": "1", "classes": []any{"taxi"}}}
		}, "/bays"},
		"misspelt member":     {func(f map[string]any) { at(f, "groups", 1)["hight_mm"] = 1 }, "hight_mm"},
		"mechanism":           {func(f map[string]any) { at(f, "machines", 0)["mechanism"] = "crane" }, "/machines/0/mechanism"},
		"one column":          {func(f map[string]any) { at(f, "machines", 0)["columns"] = 1 }, "/machines/0/columns"},
		"no speed":            {func(f map[string]any) { at(f, "machines", 0)["timing"] = map[string]any{} }, "/machines/0/timing"},
		"deep rack":           {func(f map[string]any) { at(f, "machines", 0)["depth"] = 2 }, "/machines/0"},
		"machine twice":       {func(f map[string]any) { f["groups"] = append(f["groups"].([]any), at(f, "groups", 0)) }, "/groups/2/machine"},
		"unknown machine":     {func(f map[string]any) { at(f, "groups", 0)["machine"] = "R9" }, "/groups/0/machine"},
		"tier that is not":    {func(f map[string]any) { at(f, "groups", 0)["ev_tiers"] = []any{3} }, "/groups/0/ev_tiers"},
		"no classes":          {func(f map[string]any) { at(f, "groups", 1)["classes"] = []any{} }, "/groups/1/classes"},
		"no count":            {func(f map[string]any) { delete(at(f, "groups", 1), "count") }, "/groups/1/count"},
		"too many":            {func(f map[string]any) { at(f, "groups", 1)["count"] = 1_000_000 }, "/groups/1/count"},
		"same bays":           {func(f map[string]any) { f["groups"] = append(f["groups"].([]any), at(f, "groups", 1)) }, "/groups/2"},
		"unknown pool":        {func(f map[string]any) { at(f, "groups", 1)["pool"] = "night" }, "/groups/1/pool"},
		"pool without holds":  {func(f map[string]any) { delete(at(f, "pools", 0), "hold_seconds") }, "/pools/0"},
		"lane of another":     {func(f map[string]any) { at(f, "lanes", 0)["unit"] = "TKO-IN-1" }, "/lanes/0/unit"},
		"lane the other way":  {func(f map[string]any) { at(f, "lanes", 0)["direction"] = "out" }, "/lanes/0/unit"},
		"negative limit":      {func(f map[string]any) { at(f, "groups", 1)["limits"] = map[string]any{"height_mm": -1} }, "/groups/1/limits"},
		"machine not grouped": {func(f map[string]any) { f["groups"] = f["groups"].([]any)[1:] }, "/machines/0"},
	} {
		file := small()
		one.break_(file)
		_, err := parse(t, file)
		if !errors.Is(err, parking.ErrInvalid) || !strings.Contains(err.Error(), one.says) {
			t.Errorf("%s: %v, want %s named", name, err, one.says)
		}
	}
	// All at once; the lanes follow the code.
	file := small()
	file["id"], file["code"], file["source"] = "", "", ""
	if _, err := parse(t, file); err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("three faults: %v", err)
	}
	if _, err := Read(strings.NewReader(strings.Repeat(" ", maxFile+1))); !errors.Is(err, parking.ErrInvalid) {
		t.Errorf("a file that is too long: %v", err)
	}
	if _, err := Parse([]byte(`{"id":"a","id":"b"}`)); !errors.Is(err, parking.ErrInvalid) {
		t.Errorf("a member given twice: %v", err)
	}
}

// Whatever is in a file, it is refused or makes a sound car park.
func FuzzParse(f *testing.F) {
	for _, name := range Samples() {
		_, text, err := Sample(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		site, err := Parse(text)
		if err != nil {
			if !errors.Is(err, parking.ErrInvalid) {
				t.Errorf("another error: %v", err)
			}
			return
		}
		seen := map[string]bool{}
		for _, bay := range site.Bays {
			if seen[bay.ID] || bay.ID == "" || len(bay.Classes) == 0 {
				t.Errorf("bay %+v", bay)
			}
			seen[bay.ID] = true
		}
	})
}
