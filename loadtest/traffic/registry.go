package traffic

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// standing is what a vehicle is over one span of time.
type standing struct {
	account, class string
	exempt         bool
}

// row is one row of registry.csv before it is written.
type row struct {
	standing
	plate, tag string
	from, to   int64 // to 0: without end
}

// registry makes the scene's rows: over each span between two cuts every plate
// is assigned or not and every tag is a vehicle's, a class tag or nobody's.
// Rows of one plate agree, and no tag stands twice, by construction.
func (c *scene) registry() []string {
	bounds := append([]int64{c.start - 3600*second}, c.cuts...)
	end := c.start + 3600*second
	if c.rng.IntN(2) == 0 {
		end = 0
	}
	plates := make([]standing, len(c.plates))
	present := make([]bool, len(c.plates))
	tagOf := make([]int, len(c.tags)) // index of a plate, or one of the two below
	const nobody, classTag = -1, -2
	tagStanding := make([]standing, len(c.tags))
	for i := range plates {
		plates[i] = c.standing(i)
		present[i] = c.rng.IntN(6) > 0
	}
	for i := range c.tags {
		tagOf[i] = i
		tagStanding[i] = c.standing(10 + i)
	}
	tagOf[len(c.tags)-1] = pick(c.rng, []int{classTag, classTag, 0, nobody})

	var rows []row
	for k, from := range bounds {
		to := end
		if k+1 < len(bounds) {
			to = bounds[k+1]
		}
		if k > 0 {
			for i := range plates {
				if c.rng.IntN(4) == 0 {
					plates[i] = c.standing(i + 20*k)
				}
				if c.rng.IntN(4) == 0 {
					present[i] = !present[i]
				}
			}
			for i := range c.tags {
				if c.rng.IntN(3) == 0 {
					tagOf[i] = pick(c.rng, []int{nobody, nobody, classTag, 0, 1, 2})
				}
			}
			if last := len(c.tags) - 1; c.rng.IntN(2) == 0 {
				// One name, registered and not.
				tagOf[last] = classTag + nobody - min(max(tagOf[last], classTag), nobody)
			}
		}
		tagged := make([]bool, len(plates))
		for i, tag := range c.tags {
			switch owner := tagOf[i]; owner {
			case nobody:
			case classTag:
				rows = append(rows, row{tagStanding[i], "", tag, from, to})
			default:
				rows = append(rows, row{plates[owner], c.plates[owner], tag, from, to})
				tagged[owner] = true
			}
		}
		for i := range plates {
			if present[i] && (!tagged[i] || c.rng.IntN(4) == 0) {
				rows = append(rows, row{plates[i], c.plates[i], "", from, to})
			}
		}
	}
	rows = c.merge(rows)
	c.countRows(rows)
	var lines []string
	for _, r := range rows {
		lines = append(lines, r.line(c))
	}
	c.rng.Shuffle(len(lines), func(i, k int) { lines[i], lines[k] = lines[k], lines[i] })
	return lines
}

// standing makes an account, a class and an exemption, each at times absent.
func (c *scene) standing(i int) standing {
	s := standing{account: fmt.Sprintf("acc-%s-%d", c.plates[0], i), class: pick(c.rng, c.classes)}
	if c.rng.IntN(6) == 0 {
		s.account = ""
	}
	if c.rng.IntN(3) == 0 {
		s.class = ""
	}
	s.exempt = c.rng.IntN(7) == 0
	return s
}

// merge joins most adjacent rows that say the same; the others stay two rows
// that end and begin at one instant.
func (c *scene) merge(rows []row) []row {
	var merged []row
	for _, r := range rows {
		i := slices.IndexFunc(merged, func(m row) bool {
			return m.standing == r.standing && m.plate == r.plate && m.tag == r.tag && m.to == r.from
		})
		if i >= 0 && c.rng.IntN(4) > 0 {
			merged[i].to = r.to
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

func (c *scene) countRows(rows []row) {
	count := func(name string, is bool) {
		if is {
			c.stream.Cases[name]++
		}
	}
	for i, a := range rows {
		count("open-ended row", a.to == 0)
		count("row nobody pays for", a.account == "")
		count("exempt row", a.exempt)
		count("row without a class", a.class == "")
		count("class tag row", a.plate == "")
		for _, b := range rows[:i] {
			overlap := (b.to == 0 || a.from < b.to) && (a.to == 0 || b.from < a.to)
			count("overlapping rows of one plate", a.plate != "" && a.plate == b.plate && overlap)
			count("adjacent rows of one mark", b.to == a.from && (a.tag != "" && a.tag == b.tag || a.plate != "" && a.plate == b.plate))
		}
	}
}

// line writes the row; marks and instants in any of their writings.
func (r row) line(c *scene) string {
	plate, tag, to, exempt := r.plate, r.tag, "", ""
	if plate != "" && c.rng.IntN(3) == 0 {
		plate = strings.ToLower(plate[:2]) + " " + plate[2:]
	}
	if c.rng.IntN(3) == 0 {
		tag = strings.ToLower(tag)
	}
	if r.to != 0 {
		to = c.date(r.to)
	}
	if r.exempt {
		exempt = "true"
	} else if c.rng.IntN(2) == 0 {
		exempt = "false"
	}
	return strings.Join([]string{r.account, plate, r.class, tag, c.date(r.from), to, exempt}, ",")
}

func (c *scene) date(micros int64) string {
	return time.UnixMicro(micros).In(pick(c.rng, []*time.Location{time.UTC, hongKong})).Format(time.RFC3339Nano)
}
