package dispute

import (
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// hongKongJourneys are the least times between Hong Kong's facilities.
//
//go:embed journeys_hongkong.csv
var hongKongJourneys string

// Journey is the way between two facilities.
type Journey struct {
	// Metres is its length, or a bound that it is no shorter than.
	Metres int64
	// Least is the time in which nobody can have driven it.
	Least time.Duration
	// Source is where both come from.
	Source string
}

// Journeys are known ways, in either direction.
type Journeys map[[2]string]Journey

// Between returns the way between two facilities.
func (j Journeys) Between(from, to string) (Journey, bool) {
	one, ok := j[way(from, to)]
	return one, ok
}

// Add adds a way.
func (j Journeys) Add(from, to string, one Journey) { j[way(from, to)] = one }

func way(from, to string) [2]string {
	if from > to {
		from, to = to, from
	}
	return [2]string{from, to}
}

// LeastTime is how long a way takes at a speed in km/h that nobody keeps up on
// it, rounded down to the second.
func LeastTime(metres, kmh int64) time.Duration {
	return time.Duration(metres*36/(kmh*10)) * time.Second
}

// HongKongJourneys returns the ways between Hong Kong's facilities.
func HongKongJourneys() (Journeys, error) { return ParseJourneys(strings.NewReader(hongKongJourneys)) }

// maxJourneys bounds a file of journeys.
const maxJourneys = 100_000

// ParseJourneys reads a CSV with the columns from, to, metres, least_seconds,
// source.
func ParseJourneys(r io.Reader) (Journeys, error) {
	read := csv.NewReader(r)
	read.FieldsPerRecord = 5
	head, err := read.Read()
	if err == nil && !slices.Equal(head, []string{"from", "to", "metres", "least_seconds", "source"}) {
		err = errors.New("the columns are from, to, metres, least_seconds, source")
	}
	j := Journeys{}
	for err == nil {
		var row []string
		if row, err = read.Read(); errors.Is(err, io.EOF) {
			return j, nil
		}
		if err == nil {
			err = j.parse(row)
		}
		if err != nil {
			line, _ := read.FieldPos(0)
			err = fmt.Errorf("line %d: %w", line, err)
		}
		if len(j) > maxJourneys {
			err = fmt.Errorf("there are more than %d", maxJourneys)
		}
	}
	return nil, fmt.Errorf("reading journeys: %w", err)
}

func (j Journeys) parse(row []string) error {
	metres, err := strconv.ParseInt(row[2], 10, 32)
	if err != nil {
		return fmt.Errorf("metres: %w", err)
	}
	least, err := strconv.ParseInt(row[3], 10, 32)
	if err != nil {
		return fmt.Errorf("least_seconds: %w", err)
	}
	_, twice := j.Between(row[0], row[1])
	switch {
	case row[0] == "" || row[1] == "" || row[0] == row[1]:
		return errors.New("a journey is between two facilities")
	case metres < 0 || least < 0 || row[4] == "":
		return errors.New("metres and least_seconds are not negative, and the source is named")
	case twice:
		return fmt.Errorf("%s and %s stand twice", row[0], row[1])
	}
	j.Add(row[0], row[1], Journey{Metres: metres, Least: time.Duration(least) * time.Second, Source: row[4]})
	return nil
}
