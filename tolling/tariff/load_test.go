package tariff_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"pgregory.net/rapid"

	"freeflow/tolling/tariff"
)

// small is a valid network of one road, as the operators' documentation
// would begin.
func small() map[string]string {
	return map[string]string{
		"network.csv":     "key,value\nname,small\ntitle,A road\nzone,Asia/Hong_Kong\ncurrency,HKD\ngap_seconds,60\nturn_round_seconds,120\nlanes,2\nholidays_from,2026-01-01\nholidays_until,2026-12-31\n",
		"classes.csv":     "class,name_en,name_zh\ncar,Car,車\ncycle,Cycle,\n",
		"facilities.csv":  "facility,name_en,name_zh,lat,lon\nR1,Road,路,22.5,114.1\n",
		"toll_points.csv": "toll_point,facility,direction,name_en,name_zh\nR1-N,R1,N,Road north,\nR1-S,R1,S,Road south,\n",
		"holidays.csv":    "date,name,source\n2026-01-01,New Year,gazette\n",
		"versions.csv":    "version,begins,source\nv1,2025-01-01T00:00:00+08:00,gazette\nv2,2026-02-01T05:00:00+08:00,gazette\n",
		"tolls.csv": "version,facility,class,days,from,until,toll,step,every_minutes\n" +
			"v1,R1,car,all,00:00,24:00,10,,\n" +
			"v2,R1,car,mon_sat,00:00,07:00,10,,\n" +
			"v2,R1,car,mon_sat,07:00,07:06,11,2,2\n" +
			"v2,R1,car,mon_sat,07:06,24:00,17,,\n" +
			"v2,R1,car,sun_gh,00:00,24:00,5.50,,\n" +
			"v2,R1,cycle,all,00:00,24:00,40% of car,,\n",
	}
}

func load(files map[string]string) (*tariff.Network, error) {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return tariff.Load("test", m)
}

func TestAFolderStandsInForAnEmbeddedNetwork(t *testing.T) {
	dir := t.TempDir()
	for name, text := range small() {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n, err := tariff.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for when, cents := range map[string]int64{
		"2026-01-31T12:00:00+08:00":        1000, // v1
		"2026-02-02T07:00:00+08:00":        1100,
		"2026-02-02T07:05:59.999999+08:00": 1500,
		"2026-02-02T07:06:00+08:00":        1700,
		"2026-02-08T12:00:00+08:00":        550, // Sunday
	} {
		if toll, err := n.Rate("R1", "car", at(t, when)); err != nil || toll.Cents != cents {
			t.Errorf("car at %s: %+v, %v, want %d", when, toll, err, cents)
		}
	}
	if toll, err := n.Rate("R1", "cycle", at(t, "2026-02-08T12:00:00+08:00")); err != nil || toll.Cents != 220 || toll.DayType != "sun_gh" {
		t.Errorf("cycle: %+v, %v", toll, err)
	}
	// Flat tolls hold before the known days, day-typed ones do not.
	if toll, err := n.Rate("R1", "car", at(t, "2025-06-01T12:00:00+08:00")); err != nil || toll.Cents != 1000 {
		t.Errorf("flat toll before the known days: %+v, %v", toll, err)
	}
	var unknown *tariff.UnknownNetworkError
	if _, err := tariff.Open(filepath.Join(dir, "nowhere")); !errors.As(err, &unknown) || len(unknown.Known) != 2 {
		t.Errorf("a folder that is not there: %v", err)
	}
	if _, err := tariff.Open(""); !errors.As(err, &unknown) {
		t.Errorf("no name: %v", err)
	}
	if _, err := tariff.Open(filepath.Join(dir, "tolls.csv")); err == nil || !strings.Contains(err.Error(), "not a folder") {
		t.Errorf("a file: %v", err)
	}
	var bad *tariff.BadNetworkError
	if _, err := tariff.Open(t.TempDir()); !errors.As(err, &bad) || len(bad.Problems) != 7 {
		t.Errorf("an empty folder must name its seven missing files: %v", err)
	}
}

func TestSaturdaysMayDiffer(t *testing.T) {
	files := small()
	files["holidays.csv"] += "2026-07-04,A Saturday,gazette\n"
	files["tolls.csv"] = "version,facility,class,days,from,until,toll,step,every_minutes\n" +
		"v1,R1,car,mon_fri,00:00,24:00,1,,\nv1,R1,car,sat,00:00,12:00,2,,\nv1,R1,car,sat_sun_gh,12:00,24:00,3,,\nv1,R1,car,sun_gh,00:00,12:00,4,,\n" +
		"v2,R1,cycle,all,00:00,24:00,0,,\n"
	n, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	for when, cents := range map[string]int64{
		"2026-07-03T09:00:00+08:00": 100, // Friday
		"2026-07-11T09:00:00+08:00": 200, // Saturday
		"2026-07-11T12:00:00+08:00": 300,
		"2026-07-04T09:00:00+08:00": 400, // a holiday on a Saturday
		"2026-07-05T09:00:00+08:00": 400, // Sunday
		"2026-07-05T12:00:00+08:00": 300,
	} {
		if toll, err := n.Rate("R1", "car", at(t, when)); err != nil || toll.Cents != cents {
			t.Errorf("at %s: %+v, %v, want %d", when, toll, err, cents)
		}
	}
}

func TestDayTypedTollsNeedKnownHolidays(t *testing.T) {
	files := small()
	files["versions.csv"] = "version,begins,source\nv1,2024-01-01T00:00:00+08:00,x\nv2,2025-12-01T05:00:00+08:00,x\n"
	n, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	var no *tariff.NoTariffError
	for _, class := range []string{"car", "cycle"} { // 40 % of a day-typed toll is day-typed
		if _, err := n.Rate("R1", class, at(t, "2025-12-31T23:59:59+08:00")); !errors.As(err, &no) || !strings.Contains(no.Reason, "2026-01-01") {
			t.Errorf("%s the day before the first known day: %v", class, err)
		}
		if toll, err := n.Rate("R1", class, at(t, "2026-01-01T00:00:00+08:00")); err != nil || toll.DayType != "sun_gh" {
			t.Errorf("%s on the first known day: %+v, %v", class, toll, err)
		}
	}
	if _, err := n.Rate("R1", "car", at(t, "2025-11-30T12:00:00+08:00")); err != nil {
		t.Errorf("a flat toll before the known days: %v", err)
	}
}

func TestByteOrderMarkAndCRLFAreTolerated(t *testing.T) {
	files := small()
	for name, text := range files {
		files[name] = "\ufeff" + strings.ReplaceAll(text, "\n", "\r\n")
	}
	n, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	if label, _ := n.ClassLabel("car"); label.Zh != "車" {
		t.Errorf("label %+v", label)
	}
}

// Every mistake is met with its file, its line and what is wrong.
func TestMistakesAreNamed(t *testing.T) {
	replace := func(file, old, new string) func(map[string]string) {
		return func(files map[string]string) {
			if !strings.Contains(files[file], old) {
				panic("the test replaces nothing: " + old)
			}
			files[file] = strings.Replace(files[file], old, new, 1)
		}
	}
	add := func(fileAndRows ...string) func(map[string]string) {
		return func(files map[string]string) {
			for i := 0; i < len(fileAndRows); i += 2 {
				files[fileAndRows[i]] += fileAndRows[i+1]
			}
		}
	}
	const flat = "v1,R1,car,all,00:00,24:00,10,,\n"
	for name, c := range map[string]struct {
		change func(map[string]string)
		want   string // file:line... of the only problem
	}{
		"unknown facility":    {add("tolls.csv", "v1,R9,car,all,00:00,24:00,10,,\n"), `tolls.csv:8: unknown facility or toll point "R9"`},
		"unknown toll point":  {add("tolls.csv", "v1,R1-W,car,all,00:00,24:00,10,,\n"), `tolls.csv:8: unknown facility or toll point "R1-W"`},
		"whole and part":      {add("tolls.csv", "v1,R1-S,car,all,00:00,24:00,10,,\nv1,R1-N,car,all,00:00,24:00,10,,\n"), "tolls.csv:8: v1 R1-S car is of one toll point, and line 2 gives car for the whole of R1"},
		"base by toll point":  {add("tolls.csv", "v1,R1-S,cycle,all,00:00,24:00,1,,\n"+"v3,R1-N,car,all,00:00,24:00,10,,\nv3,R1,cycle,all,00:00,24:00,50% of car,,\n", "versions.csv", "v3,2026-07-01T00:00:00+08:00,x\n"), "tolls.csv:10: 50% of car: version v3 gives car by toll point at R1 (line 9)"},
		"base at another":     {add("tolls.csv", "v3,R1-N,car,all,00:00,24:00,10,,\nv3,R1-S,cycle,all,00:00,24:00,50% of car,,\n", "versions.csv", "v3,2026-07-01T00:00:00+08:00,x\n"), "tolls.csv:9: 50% of car: version v3 has no toll for car at R1-S"},
		"unknown class":       {add("tolls.csv", "v1,R1,tram,all,00:00,24:00,10,,\n"), `tolls.csv:8: unknown class "tram"`},
		"unknown version":     {add("tolls.csv", "v9,R1,car,all,00:00,24:00,10,,\n"), `tolls.csv:8: unknown version "v9"`},
		"unknown base":        {replace("tolls.csv", "of car", "of tram"), `tolls.csv:7: unknown class "tram"`},
		"base without tolls":  {add("tolls.csv", "v1,R1,cycle,all,00:00,24:00,40% of cycle,,\n"), "tolls.csv:8: 40% of cycle: that is itself a percentage"},
		"base elsewhere":      {replace("tolls.csv", flat, "v1,R1,cycle,all,00:00,24:00,40% of car,,\n"), "tolls.csv:2: 40% of car: version v1 has no toll for car at R1"},
		"duplicate row":       {add("tolls.csv", flat), "tolls.csv:8: v1 R1 car all 00:00-24:00 is already on line 2"},
		"overlap":             {add("tolls.csv", "v2,R1,car,all,23:00,24:00,9,,\n"), "tolls.csv:8: v2 R1 car all 23:00-24:00 overlaps mon_sat 07:06-24:00 on line 5"},
		"gap":                 {replace("tolls.csv", "mon_sat,07:06,24:00", "mon_sat,07:06,23:59"), "tolls.csv:3: v2 R1 car has no toll on mon_sat from 23:59 to 24:00"},
		"gap at the start":    {replace("tolls.csv", "sun_gh,00:00", "sun_gh,00:01"), "tolls.csv:3: v2 R1 car has no toll on sun_gh from 00:00 to 00:01"},
		"missing day type":    {replace("tolls.csv", "v2,R1,car,sun_gh,00:00,24:00,5.50,,\n", ""), "tolls.csv:3: v2 R1 car has no toll on sun_gh from 00:00 to 24:00"},
		"seconds":             {replace("tolls.csv", "mon_sat,00:00,07:00", "mon_sat,00:00,07:00:30"), `tolls.csv:3: until: "07:00:30" is not a whole minute`},
		"past the day":        {replace("tolls.csv", flat, "v1,R1,car,all,00:00,24:01,10,,\n"), "tolls.csv:2: until: 24:01 is past the end"},
		"backwards":           {replace("tolls.csv", flat, "v1,R1,car,all,24:00,00:00,10,,\n"), "tolls.csv:2: until, 00:00, is not after from"},
		"ramp too long":       {replace("tolls.csv", "24:00,17", "24:00,15"), "tolls.csv:4: the ramp 07:00-07:06 does not land"},
		"ramp too short":      {replace("tolls.csv", "24:00,17", "24:00,17.01"), "tolls.csv:4: the ramp 07:00-07:06 does not land"},
		"ramp starts off":     {replace("tolls.csv", "07:00,10,,", "07:00,8,,"), "tolls.csv:4: the ramp 07:00-07:06 begins with 11.00 after 8.00"},
		"ramp to midnight":    {replace("tolls.csv", flat, "v1,R1,car,all,00:00,24:00,10,1,60\n"), "tolls.csv:2: the ramp 00:00-24:00 lasts until the day's end"},
		"ramp cut short":      {replace("tolls.csv", "11,2,2", "11,2,4"), "tolls.csv:4: the ramp's 6 minutes are not a multiple of every_minutes, 4"},
		"ramp below zero":     {replace("tolls.csv", "11,2,2", "3,-2,2"), "tolls.csv:4: the ramp falls below 0, to -1.00"},
		"ramp of nothing":     {replace("tolls.csv", "11,2,2", "11,0,2"), "tolls.csv:4: step: a ramp that moves by 0"},
		"step alone":          {replace("tolls.csv", "11,2,2", "11,2,"), "tolls.csv:4: step and every_minutes go together"},
		"step on percentage":  {replace("tolls.csv", "of car,,", "of car,1,1"), "tolls.csv:7: a percentage follows the ramps of car by itself"},
		"bad every":           {replace("tolls.csv", "11,2,2", "11,2,0"), `tolls.csv:4: every_minutes: "0"`},
		"negative":            {replace("tolls.csv", flat, "v1,R1,car,all,00:00,24:00,-10,,\n"), "tolls.csv:2: toll: -10 is negative"},
		"three decimals":      {replace("tolls.csv", "5.50", "5.505"), "tolls.csv:6: toll: 5.505 has more than two decimals"},
		"no number":           {replace("tolls.csv", "5.50", "1e2"), `tolls.csv:6: toll: "1e2" is not an amount`},
		"unicode minus":       {replace("tolls.csv", "5.50", "−5"), `tolls.csv:6: toll: "−5" is not an amount`},
		"empty toll":          {replace("tolls.csv", "5.50", ""), `tolls.csv:6: toll: "" is not an amount`},
		"inexact percentage":  {replace("tolls.csv", "5.50", "5.51"), "tolls.csv:7: 40% of 5.51, the toll of car from 00:00, is not a whole number"},
		"odd percentage":      {replace("tolls.csv", "40% of", "40.5% of"), `tolls.csv:7: "40.5% of car" is not a percentage`},
		"bad day type":        {replace("tolls.csv", "v1,R1,car,all", "v1,R1,car,daily"), `tolls.csv:2: unknown day type "daily"`},
		"missing column":      {replace("tolls.csv", ",every_minutes", ",every"), `tolls.csv:1: column "every_minutes" is missing`},
		"column twice":        {replace("classes.csv", "name_zh", "name_en"), `classes.csv:1: column "name_en" is there twice`},
		"cells missing":       {add("tolls.csv", "v1,R1,car\n"), "tolls.csv:8: has 3 cells where the header has 9"},
		"white space":         {replace("classes.csv", "car,Car", "car ,Car"), `classes.csv:2:1: white space around "car"`},
		"broken quotes":       {replace("classes.csv", "cycle,Cycle", "cycle,\"Cyc\"le"), "classes.csv:3:11: is not CSV"},
		"invalid UTF-8":       {replace("classes.csv", "車", "\xa8\xae"), "classes.csv:2: is not UTF-8 (byte 0xa8)"},
		"empty file":          {func(f map[string]string) { f["classes.csv"] = "" }, "classes.csv: is empty"},
		"missing file":        {func(f map[string]string) { delete(f, "holidays.csv") }, "holidays.csv: is missing"},
		"too large":           {add("holidays.csv", strings.Repeat("x", 8<<20)), "holidays.csv: is larger than 8 MiB"},
		"version order":       {replace("versions.csv", "2026-02-01T05:00:00", "2024-02-01T05:00:00"), "versions.csv:3: version v2 does not begin after"},
		"version same time":   {replace("versions.csv", "2026-02-01T05:00:00+08:00", "2024-12-31T16:00:00Z"), "versions.csv:3: version v2 does not begin after"},
		"version twice":       {add("versions.csv", "v2,2026-03-01T05:00:00+08:00,x\n"), "versions.csv:4: v2 is already"},
		"version in a minute": {replace("versions.csv", "05:00:00", "05:00:01"), "versions.csv:3: version v2 begins within a minute"},
		"version local time":  {replace("versions.csv", "05:00:00+08:00", "05:00:00"), "versions.csv:3: version v2 begins: "},
		"version lower case":  {replace("versions.csv", "01T05:00:00+08:00", "01t05:00:00z"), "versions.csv:3: version v2 begins: "},
		"version no source":   {replace("versions.csv", "05:00:00+08:00,gazette", "05:00:00+08:00,"), "versions.csv:3: version v2 needs a source"},
		"version unused":      {add("versions.csv", "v3,2026-03-01T05:00:00+08:00,x\n"), "versions.csv: version v3 has no row"},
		"holiday outside":     {add("holidays.csv", "2027-01-01,New Year,x\n"), "holidays.csv:3: 2027-01-01 is outside the known days"},
		"holiday twice":       {add("holidays.csv", "2026-01-01,New Year,x\n"), "holidays.csv:3: 2026-01-01 is already on line 2"},
		"holiday no date":     {add("holidays.csv", "2026-02-30,New Year,x\n"), `holidays.csv:3: "2026-02-30" is not a date`},
		"holiday no source":   {add("holidays.csv", "2026-02-03,New Year,\n"), "holidays.csv:3: 2026-02-03 needs a name and a source"},
		"forgotten year":      {replace("network.csv", "2026-12-31", "2027-12-31"), "holidays.csv: has no holiday in 2027"},
		"half known":          {replace("network.csv", "holidays_until,2026-12-31\n", ""), `network.csv: holidays_until: "" is not a date`},
		"point of nowhere":    {replace("toll_points.csv", "R1-S,R1", "R1-S,R2"), `toll_points.csv:3: toll point R1-S is at facility "R2"`},
		"point is facility":   {replace("toll_points.csv", "R1-S,", "R1,"), "toll_points.csv:3: R1 is a facility too"},
		"point twice":         {replace("toll_points.csv", "R1-S", "R1-N"), "toll_points.csv:3: R1-N is already"},
		"bad name":            {replace("classes.csv", "cycle,", "a b,"), `classes.csv:3: "a b" is not a name`},
		"bad degrees":         {replace("facilities.csv", "22.5", "122.5"), "facilities.csv:2: lat \"122.5\""},
		"bad zone":            {replace("network.csv", "Asia/Hong_Kong", "Asia/Kowloon"), `network.csv:4: zone: "Asia/Kowloon"`},
		"local zone":          {replace("network.csv", "Asia/Hong_Kong", "Local"), `network.csv:4: zone: "Local"`},
		"bad currency":        {replace("network.csv", "HKD", "HK$"), `network.csv:5: currency: "HK$"`},
		"bad gap":             {replace("network.csv", "gap_seconds,60", "gap_seconds,0"), `network.csv:6: gap_seconds: "0"`},
		"bad first time":      {add("network.csv", "earliest_read,2019-01-01\n"), `network.csv:11: earliest_read: "2019-01-01" is not a time`},
		"unknown key":         {add("network.csv", "gap,60\n"), `network.csv:11: key "gap" is not known`},
		"key twice":           {add("network.csv", "lanes,2\n"), `network.csv:11: key "lanes" is already on line 8`},
		"missing key":         {replace("network.csv", "lanes,2\n", ""), `network.csv: key "lanes" needs a value`},
	} {
		t.Run(name, func(t *testing.T) {
			files := small()
			c.change(files)
			n, err := load(files)
			var bad *tariff.BadNetworkError
			if n != nil || !errors.As(err, &bad) {
				t.Fatalf("got %v, %v; want a *BadNetworkError", n, err)
			}
			text := make([]string, len(bad.Problems))
			matched := 0
			for i, p := range bad.Problems {
				text[i] = p.String()
				if strings.HasPrefix(p.String(), c.want) {
					matched++
				}
			}
			if matched != 1 {
				t.Errorf("problems:\n%s\nwant one that begins with\n%s", strings.Join(text, "\n"), c.want)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("the message does not hold the problem: %v", err)
			}
			// A mistake is not followed by complaints about what it caused.
			// A column under another name is both missing and unknown, a class
			// or version that could not be read is missed by its tolls.
			if len(bad.Problems) > 2 {
				t.Errorf("one mistake gave %d problems:\n%s", len(bad.Problems), strings.Join(text, "\n"))
			}
		})
	}
}

func TestAllMistakesAreGivenAtOnce(t *testing.T) {
	files := small()
	files["network.csv"] = strings.Replace(files["network.csv"], "HKD", "dollars", 1)
	files["holidays.csv"] += "tomorrow,x,y\n"
	files["toll_points.csv"] = strings.Replace(files["toll_points.csv"], "R1-S,R1", "R1-S,R2", 1)
	files["tolls.csv"] = strings.Replace(files["tolls.csv"], "24:00,10", "24:00,-10", 1) + "v1,R1,cycle,all,01:00,24:00,1.234,,\nv2,R1,tram,all,00:00,24:00,1,,\n"
	_, err := load(files)
	var bad *tariff.BadNetworkError
	if !errors.As(err, &bad) || len(bad.Problems) != 6 {
		t.Fatalf("want six problems: %v", err)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	files := small()
	files["tolls.csv"] += strings.Repeat("v9,R1,car,all,00:00,24:00,1,,\n", 5000)
	_, err := load(files)
	var bad *tariff.BadNetworkError
	if !errors.As(err, &bad) || len(bad.Problems) != 200 || bad.More != 4800 {
		t.Fatalf("got %d and %d more", len(bad.Problems), bad.More)
	}
}

// Whatever the chain of plateaus and ramps, rating gives what walking the
// chain minute by minute gives.
func TestRampsAreWalkedMinuteByMinute(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var rows strings.Builder
		var want []int64
		minute, toll := 0, rapid.Int64Range(0, 5000).Draw(t, "first")
		plateau := func(until int) {
			fmt.Fprintf(&rows, "v1,R1,car,all,%02d:%02d,%02d:%02d,%s,,\n", minute/60, minute%60, until/60, until%60, tariff.FormatAmount(toll))
			for ; minute < until; minute++ {
				want = append(want, toll)
			}
		}
		for range rapid.IntRange(0, 6).Draw(t, "ramps") {
			step := rapid.Int64Range(1, 300).Draw(t, "step")
			levels := rapid.IntRange(1, 12).Draw(t, "levels")
			every := rapid.IntRange(1, 5).Draw(t, "every")
			down := toll > step*int64(levels+1) && rapid.Bool().Draw(t, "down")
			if down {
				step = -step
			}
			start := minute + rapid.IntRange(1, 100).Draw(t, "plateau")
			if start+levels*every >= 1440 {
				break
			}
			plateau(start)
			// The first and the last step may be shorter than the others.
			short := rapid.Int64Range(1, max(step, -step)).Draw(t, "short")
			if down {
				short = -short
			}
			toll += short
			fmt.Fprintf(&rows, "v1,R1,car,all,%02d:%02d,%02d:%02d,%s,%s,%d\n", minute/60, minute%60, (minute+levels*every)/60, (minute+levels*every)%60,
				tariff.FormatAmount(toll), tariff.FormatAmount(step), every)
			for i := range levels {
				if i > 0 {
					toll += step
				}
				for range every {
					want = append(want, toll)
					minute++
				}
			}
			toll += short
		}
		plateau(1440)
		files := small()
		files["versions.csv"] = "version,begins,source\nv1,2025-01-01T00:00:00+08:00,gazette\n"
		files["tolls.csv"] = "version,facility,class,days,from,until,toll,step,every_minutes\n" + rows.String()
		n, err := load(files)
		if err != nil {
			t.Fatalf("%v\n%s", err, rows.String())
		}
		midnight := time.Date(2026, 3, 2, 0, 0, 0, 0, n.Zone())
		for m, cents := range want {
			toll, err := n.Rate("R1", "car", midnight.Add(time.Duration(m)*time.Minute))
			if err != nil || toll.Cents != cents {
				t.Fatalf("minute %d: %+v, %v, want %d\n%s", m, toll, err, cents, rows.String())
			}
		}
	})
}

func TestInstantsAreStrict(t *testing.T) {
	for _, good := range []string{"2026-03-06T20:03:00+08:00", "2026-03-06T12:03:00Z", "2026-03-06T12:03:00.1234567890123Z", "2026-03-06T12:03:00-00:00"} {
		if _, err := tariff.ParseInstant(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "2026-03-06", "2026-03-06T20:03:00", "2026-03-06t20:03:00Z", "2026-03-06T20:03:00z", "2026-03-06 20:03:00Z",
		"2026-03-06T20:03Z", "2026-03-06T2:03:00Z", "2026-03-06T20:03:00,5Z", "2026-02-30T20:03:00Z", "2026-03-06T24:00:00Z", "2026-03-06T20:03:60Z",
		"2026-03-06T20:03:00+24:00", "2026-03-06T20:03:00+0800", "+2026-03-06T20:03:00Z", "2026-03-06T20:03:00.Z", " 2026-03-06T20:03:00Z", "2026-03-06T20:03:00Z\n"} {
		if v, err := tariff.ParseInstant(bad); err == nil {
			t.Errorf("%q was read as %s", bad, v)
		}
	}
}

// Whatever stands in the files, loading ends with a network that rates every
// minute of its plans, or with problems that name their file.
func FuzzLoad(f *testing.F) {
	names := []string{"network.csv", "classes.csv", "facilities.csv", "toll_points.csv", "holidays.csv", "versions.csv", "tolls.csv"}
	s := small()
	f.Add(s[names[0]], s[names[1]], s[names[2]], s[names[3]], s[names[4]], s[names[5]], s[names[6]])
	f.Add(s[names[0]], s[names[1]], s[names[2]], s[names[3]], s[names[4]], s[names[5]], strings.NewReplacer("v2,R1,", "v2,R1-S,").Replace(s[names[6]]))
	f.Add("\ufeffkey,value\r\n", "", "facility,name_en,name_zh,lat,lon\n\"", "\xff", "date\n2026-01-01", "version,begins,source\na,b", "toll\n40% of car")
	var texts []string
	for _, file := range names {
		data, err := fs.ReadFile(os.DirFS("networks/hongkong"), file)
		if err != nil {
			f.Fatal(err)
		}
		texts = append(texts, string(data))
	}
	f.Add(texts[0], texts[1], texts[2], texts[3], texts[4], texts[5], texts[6])
	f.Fuzz(func(t *testing.T, a, b, c, d, e, g, h string) {
		files := map[string]string{}
		for i, text := range []string{a, b, c, d, e, g, h} {
			files[names[i]] = text
		}
		n, err := load(files)
		if err != nil {
			var bad *tariff.BadNetworkError
			if n != nil || !errors.As(err, &bad) || len(bad.Problems) == 0 {
				t.Fatalf("%v, %v", n, err)
			}
			for _, p := range bad.Problems {
				if _, ok := files[p.File]; !ok || p.Text == "" || p.Line < 0 {
					t.Fatalf("problem %+v", p)
				}
			}
			return
		}
		var no *tariff.NoTariffError
		var places []string
		for _, facility := range n.Facilities() {
			places = append(places, facility.Code)
		}
		for _, point := range n.Points() {
			places = append(places, point.Name)
		}
		for _, place := range places {
			for _, class := range n.Classes() {
				for _, v := range n.Versions() {
					for _, shift := range []time.Duration{-time.Microsecond, 0, 11*time.Hour + 31*time.Minute, 60 * time.Hour} {
						toll, err := n.Rate(place, class, v.Begins.Add(shift))
						if err != nil && !errors.As(err, &no) {
							t.Fatal(err)
						}
						if err == nil && (toll.Cents < 0 || toll.Version == "" || toll.DayType == "" || toll.Rule == "") {
							t.Fatalf("toll %+v", toll)
						}
					}
				}
			}
		}
		for _, u := range n.Units() {
			if _, _, ok := n.TollPoint(u); !ok {
				t.Fatalf("unit %s stands nowhere", u)
			}
		}
		if d := tariff.Diff(n, n); !d.Empty() {
			t.Fatalf("a network differs from itself: %+v", d)
		}
	})
}
