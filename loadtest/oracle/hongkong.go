package oracle

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The oracle's own copy of the tolls; testdata/SOURCES.md names the sources.
var (
	//go:embed testdata/hk_tolls.csv
	hongKongTolls []byte
	//go:embed testdata/hk_holidays.json
	hongKongHolidays []byte
)

// HongKongSince is the first instant for which HongKong's tolls are the ones
// in force: the table is the one that began on 21 September 2025. Reads before
// it must not be given to the oracle.
var HongKongSince = time.Date(2025, time.September, 21, 0, 0, 0, 0, hongKong)

// HongKongUntil is the end of what is published of the holidays. A network may
// well go on with holidays worked out by rule; the oracle does not, so reads
// from then on must not be given to it, but for those of a year so far off
// that nobody knows its holidays.
var HongKongUntil = time.Date(2027, time.January, 1, 0, 0, 0, 0, hongKong)

// hongKong is Asia/Hong_Kong: UTC+8 without daylight saving since 1979, long
// before any read.
var hongKong = time.FixedZone("HKT", 8*60*60)

// Classes are the vehicle classes of the toll table.
var Classes = []string{
	"motorcycle", "private_car", "taxi", "public_light_bus", "private_light_bus",
	"lgv", "mgv", "hgv", "bus_single", "bus_double",
}

// HongKong returns the network of the nine HKeToll facilities: toll points
// <facility>-N and <facility>-S, gap 60 s, turn-round 120 s, the tolls of
// testdata/hk_tolls.csv, and no tariff in a year whose holidays are not in
// testdata/hk_holidays.json.
func HongKong() (Network, error) {
	net := Network{
		GapMicros:       60_000_000,
		TurnRoundMicros: 120_000_000,
		Currency:        "HKD",
		Zone:            hongKong,
	}
	for _, facility := range []string{"CHT", "EHC", "WHC", "TLT", "TCT", "ABT", "SMT", "LRT", "TSCA"} {
		for _, direction := range []string{"N", "S"} {
			net.TollPoints = append(net.TollPoints, TollPoint{facility + "-" + direction, facility, direction})
		}
	}
	slots, err := parseTolls(hongKongTolls)
	if err != nil {
		return Network{}, fmt.Errorf("reading the tolls: %w", err)
	}
	days, years, err := parseHolidays(hongKongHolidays)
	if err != nil {
		return Network{}, fmt.Errorf("reading the holidays: %w", err)
	}
	net.Toll = func(facility, class string, minute time.Time) (int64, bool) {
		minute = minute.In(hongKong)
		if !years[minute.Year()] {
			return 0, false
		}
		dayType := "mon_sat"
		if minute.Weekday() == time.Sunday || days[minute.Format("20060102")] {
			dayType = "sun_gh"
		}
		ofDay := minute.Hour()*60 + minute.Minute()
		for _, s := range slots[question{facility, class, dayType}] {
			if s.start <= ofDay && ofDay < s.end {
				return s.cents, true
			}
		}
		return 0, false
	}
	return net, nil
}

type question struct{ facility, class, dayType string }

// slot is a toll over the minutes of the day [start, end).
type slot struct {
	start, end int
	cents      int64
}

func parseTolls(text []byte) (map[question][]slot, error) {
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		return nil, err
	}
	slots := map[question][]slot{}
	for i, row := range rows[1:] {
		start, err1 := parseMinute(row[3])
		end, err2 := parseMinute(row[4])
		cents, err3 := parseCents(row[5])
		for _, err := range []error{err1, err2, err3} {
			if err != nil {
				return nil, fmt.Errorf("row %d: %w", i+2, err)
			}
		}
		q := question{row[0], row[1], row[2]}
		slots[q] = append(slots[q], slot{start, end, cents})
	}
	return slots, nil
}

// parseMinute reads "07:30" as minutes since midnight; "24:00" is allowed.
func parseMinute(s string) (int, error) {
	hours, minutes, ok := strings.Cut(s, ":")
	h, err1 := strconv.Atoi(hours)
	m, err2 := strconv.Atoi(minutes)
	if !ok || err1 != nil || err2 != nil {
		return 0, fmt.Errorf("%q is not a time of day", s)
	}
	return h*60 + m, nil
}

// parseCents reads "20", "8.8" or "8.80" as hundredths, without floats.
func parseCents(s string) (int64, error) {
	whole, fraction, _ := strings.Cut(s, ".")
	if len(fraction) > 2 {
		return 0, fmt.Errorf("amount %q has more than two decimals", s)
	}
	fraction += strings.Repeat("0", 2-len(fraction))
	cents, err := strconv.ParseInt(whole+fraction, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not an amount", s)
	}
	return cents, nil
}

// parseHolidays reads the 1823 calendar: the general holidays as "20261225",
// and the years that it covers.
func parseHolidays(text []byte) (days map[string]bool, years map[int]bool, err error) {
	var file struct {
		Calendar []struct {
			Events []struct {
				Start []any `json:"dtstart"`
			} `json:"vevent"`
		} `json:"vcalendar"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), &file); err != nil {
		return nil, nil, err
	}
	days, years = map[string]bool{}, map[int]bool{}
	for _, calendar := range file.Calendar {
		for _, event := range calendar.Events {
			if len(event.Start) == 0 {
				return nil, nil, fmt.Errorf("a holiday has no date")
			}
			day := fmt.Sprint(event.Start[0])
			at, err := time.Parse("20060102", day)
			if err != nil {
				return nil, nil, fmt.Errorf("reading a holiday's date: %w", err)
			}
			days[day] = true
			years[at.Year()] = true
		}
	}
	return days, years, nil
}
