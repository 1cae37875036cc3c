package simulate

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
)

//go:embed data/hk_aps_vacancy_2026-01-29_2026-03-04.csv
var hongKong []byte

// Sample is how many bays a site had free at an instant.
type Sample struct {
	At   time.Time
	Free int
}

// maxSamples bounds one site's series: two years, every quarter of an hour.
const maxSamples = 70_000

// HongKong returns the shipped series of a car park of Hong Kong by its id in
// the Transport Department's data: "tdstt46", "tdstt90", "tdstt117" or
// "tdc335p1", 2026-01-29 to 03-04.
func HongKong(park string) ([]Sample, error) {
	return ReadVacancies(bytes.NewReader(hongKong), park)
}

// ReadVacancies reads one car park's free bays for private cars out of a table
// with the columns scraped_at, park_id, private_car_vacancy and last_update, in
// order of time. A number counts for the time of last_update (Hong Kong's local
// time) where that is not later than scraped_at; repetitions of the same are
// left out, and so are rows without a number or with -1, which means no data. A
// row that cannot be read is an error with its line.
func ReadVacancies(r io.Reader, park string) ([]Sample, error) {
	table := csv.NewReader(r)
	table.ReuseRecord = true
	head, err := table.Read()
	if err != nil {
		return nil, fmt.Errorf("reading vacancies: the first line: %w", err)
	}
	var column [4]int
	for i, name := range [...]string{"scraped_at", "park_id", "private_car_vacancy", "last_update"} {
		if column[i] = slices.Index(head, name); column[i] < 0 {
			return nil, fmt.Errorf("reading vacancies: the first line has no column %q", name)
		}
	}
	zone, err := time.LoadLocation("Asia/Hong_Kong")
	if err != nil {
		return nil, fmt.Errorf("reading vacancies: %w", err)
	}
	var samples []Sample
	for {
		row, err := table.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading vacancies: %w", err)
		}
		line, _ := table.FieldPos(0)
		if row[column[1]] != park || row[column[2]] == "" {
			continue
		}
		free, err := strconv.Atoi(row[column[2]])
		if err != nil || free < -1 || free > 100_000 {
			return nil, fmt.Errorf("reading vacancies: line %d: %q is no number of free bays", line, row[column[2]])
		}
		at, err := time.Parse(time.RFC3339Nano, row[column[0]])
		if err != nil {
			return nil, fmt.Errorf("reading vacancies: line %d: scraped_at: %w", line, err)
		}
		if updated, err := time.ParseInLocation(time.DateTime, row[column[3]], zone); err == nil && !updated.After(at) {
			at = updated
		}
		if free < 0 {
			continue
		}
		if len(samples) == maxSamples {
			return nil, fmt.Errorf("reading vacancies: line %d: more than %d of car park %q", line, maxSamples, park)
		}
		samples = append(samples, Sample{at, free})
	}
	if len(samples) == 0 {
		return nil, fmt.Errorf("reading vacancies: none of car park %q", park)
	}
	slices.SortStableFunc(samples, func(a, b Sample) int { return a.At.Compare(b.At) })
	return slices.CompactFunc(samples, func(a, b Sample) bool { return a.At.Equal(b.At) }), nil
}
