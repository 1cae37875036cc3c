package tariff_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"freeflow/tolling/tariff"
)

func TestDiffShowsWhatIsInForce(t *testing.T) {
	before, err := load(small())
	if err != nil {
		t.Fatal(err)
	}
	files := small()
	// v2 bears another name (no change of tolls by itself), and v3 puts the
	// car's toll of Mondays to Saturdays up by 1.00 outside the ramp.
	files["versions.csv"] = strings.Replace(files["versions.csv"], "v2", "v2b", 1) + "v3,2026-07-01T00:00:00+08:00,gazette\n"
	files["tolls.csv"] = strings.ReplaceAll(files["tolls.csv"], "v2,", "v2b,") +
		"v3,R1,car,mon_sat,00:00,12:00,17,,\nv3,R1,car,mon_sat,12:00,24:00,18,,\nv3,R1,car,sun_gh,00:00,24:00,5.50,,\n"
	files["holidays.csv"] = "date,name,source\n2026-01-01,New Year,gazette 2\n2026-07-01,Day,gazette\n"
	files["network.csv"] = strings.Replace(files["network.csv"], "gap_seconds,60", "gap_seconds,30", 1)
	files["toll_points.csv"] = strings.Replace(files["toll_points.csv"], "R1-S,R1,S,Road south,\n", "", 1)
	after, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	d := tariff.Diff(before, after)
	wantItems := []tariff.ItemChange{
		{Kind: "setting", Name: "gap_seconds", Old: "60", New: "30"},
		{Kind: "toll_point", Name: "R1-S", Old: "R1 S, Road south"},
		{Kind: "version", Name: "v2", Old: "begins 2026-02-01T05:00:00+08:00; gazette"},
		{Kind: "version", Name: "v2b", New: "begins 2026-02-01T05:00:00+08:00; gazette"},
		{Kind: "version", Name: "v3", New: "begins 2026-07-01T00:00:00+08:00; gazette"},
		{Kind: "holiday", Name: "2026-01-01", Old: "New Year; gazette", New: "New Year; gazette 2"},
		{Kind: "holiday", Name: "2026-07-01", New: "Day; gazette"},
	}
	if !reflect.DeepEqual(d.Items, wantItems) {
		t.Errorf("items\n%+v\nwant\n%+v", d.Items, wantItems)
	}
	wantTolls := []tariff.TollChange{{
		Facility: "R1", Class: "car", From: "2026-07-01T00:00:00+08:00", Days: "mon_sat",
		Minutes: []tariff.MinuteRange{
			{From: "00:00", Until: "07:00", Old: "10.00", New: "17.00"},
			{From: "07:00", Until: "07:02", Old: "11.00", New: "17.00"},
			{From: "07:02", Until: "07:04", Old: "13.00", New: "17.00"},
			{From: "07:04", Until: "07:06", Old: "15.00", New: "17.00"},
			{From: "12:00", Until: "24:00", Old: "17.00", New: "18.00"},
		},
	}}
	if !reflect.DeepEqual(d.Tolls, wantTolls) {
		t.Errorf("tolls\n%+v\nwant\n%+v", d.Tolls, wantTolls)
	}
	var text bytes.Buffer
	if err := d.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"  - R1-S: R1 S, Road south", "  + v3: begins", "  ~ gap_seconds: 60", "  R1 car, mon_sat, from 2026-07-01T00:00:00+08:00", "    12:00-24:00  17.00 -> 18.00"} {
		if !strings.Contains(text.String(), line+"\n") && !strings.Contains(text.String(), line) {
			t.Errorf("the text lacks %q:\n%s", line, text.String())
		}
	}
	// And backwards: what was added is removed.
	back := tariff.Diff(after, before)
	if len(back.Items) != len(d.Items) || back.Tolls[0].Minutes[4].New != "17.00" {
		t.Errorf("backwards: %+v", back)
	}
}

func TestDiffEndsWhereTheNetworksAgreeAgain(t *testing.T) {
	files := small()
	before, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	files["tolls.csv"] = strings.Replace(files["tolls.csv"], "v1,R1,car,all,00:00,24:00,10,,", "v1,R1,car,all,00:00,24:00,9.90,,", 1)
	after, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	d := tariff.Diff(before, after)
	want := []tariff.TollChange{{Facility: "R1", Class: "car", From: "2025-01-01T00:00:00+08:00", Until: "2026-02-01T05:00:00+08:00", Days: "all",
		Minutes: []tariff.MinuteRange{{From: "00:00", Until: "24:00", Old: "10.00", New: "9.90"}}}}
	if len(d.Items) != 0 || !reflect.DeepEqual(d.Tolls, want) {
		t.Errorf("%+v", d)
	}
}

func TestDiffOfUnlikeNetworks(t *testing.T) {
	hk, tw := open(t, "hongkong"), open(t, "taiwan")
	if d := tariff.Diff(hk, hk); !d.Empty() {
		t.Errorf("a network differs from itself: %+v", d)
	}
	d := tariff.Diff(hk, tw)
	var gone, come int
	for _, c := range d.Tolls {
		for _, m := range c.Minutes {
			if m.New == "none" {
				gone++
			}
			if m.Old == "none" {
				come++
			}
		}
	}
	if gone == 0 || come == 0 {
		t.Errorf("%d tolls gone, %d come", gone, come)
	}
	if _, err := json.Marshal(d); err != nil {
		t.Error(err)
	}
	empty, err := json.Marshal(tariff.Diff(tw, tw))
	if err != nil || string(empty) != `{"old":"taiwan","new":"taiwan","items":[],"tolls":[]}` {
		t.Errorf("%s, %v", empty, err)
	}
}
