package traffic

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// write gives the read as JSON in one of the many ways that mean the same:
// other zones, further digits of the second, plates as a camera may spell
// them, tags in lower case, null for absent, fields in any order, unknown ones
// beside them.
func (c *scene) write(r Read) string {
	if c.rng.IntN(3) == 0 {
		return string(r.AppendJSON(nil))
	}
	fields := []string{
		`"unit":` + c.text(r.Unit),
		`"seq":` + strconv.FormatUint(r.Seq, 10),
		`"time":"` + c.instant(r.TimeMicros) + `"`,
	}
	if r.Boot != "" {
		fields = append(fields, `"boot":`+c.text(r.Boot))
	}
	switch {
	case r.Tag != "" && c.rng.IntN(2) == 0:
		fields = append(fields, `"tag":`+c.text(strings.ToLower(r.Tag)))
	case r.Tag != "":
		fields = append(fields, `"tag":`+c.text(r.Tag))
	case c.rng.IntN(4) == 0:
		fields = append(fields, `"tag":null`)
	case c.rng.IntN(4) == 0:
		fields = append(fields, `"tag":""`)
	}
	switch {
	case r.Plate != "":
		fields = append(fields, `"plate":`+c.text(c.spell(r.Plate)))
	case c.rng.IntN(4) == 0:
		fields = append(fields, `"plate":null`)
	case c.rng.IntN(4) == 0:
		fields = append(fields, `"plate":""`)
	}
	if r.Confidence >= 0 {
		fields = append(fields, `"plate_confidence":`+strconv.FormatFloat(r.Confidence, 'f', -1, 64))
	}
	if r.Class != "" {
		fields = append(fields, `"class":`+c.text(r.Class))
	}
	if r.Antenna != 0 {
		fields = append(fields, `"antenna":`+strconv.Itoa(r.Antenna))
	}
	if r.RSSI != 0 {
		fields = append(fields, `"rssi":`+strconv.FormatFloat(r.RSSI, 'f', 2, 64))
	}
	if r.Image != "" {
		fields = append(fields, `"image":`+c.text(r.Image))
	}
	if c.rng.IntN(5) == 0 {
		fields = append(fields, pick(c.rng, []string{
			`"vendor":{"plate":"NOT1","seq":7}`, `"Plate":"NOT1"`, `"lane":[1,2]`, `"speed_kmh":71.5`, `"tid":null`,
		}))
	}
	c.rng.Shuffle(len(fields), func(i, k int) { fields[i], fields[k] = fields[k], fields[i] })
	space := pick(c.rng, []string{"", "", " ", "  "})
	return space + "{" + space + strings.Join(fields, ","+space) + space + "}" + space
}

// text writes a JSON string, at times with every character escaped.
func (c *scene) text(s string) string {
	if c.rng.IntN(6) == 0 {
		return escaped(s)
	}
	quoted, err := json.Marshal(s)
	if err != nil {
		return `""` // strings can always be written
	}
	return string(quoted)
}

// instant writes the time in one of several zones; digits beyond the
// microsecond are cut by the contract.
func (c *scene) instant(micros int64) string {
	zone := pick(c.rng, []*time.Location{time.UTC, hongKong, time.FixedZone("", -(3*60+30)*60), time.FixedZone("", 14*60*60)})
	at := time.UnixMicro(micros).In(zone)
	s := at.Format("2006-01-02T15:04:05")
	if fraction := micros % 1_000_000; fraction != 0 || c.rng.IntN(2) == 0 {
		digits := fmt.Sprintf("%06d", fraction)
		if c.rng.IntN(2) == 0 {
			if cut := strings.TrimRight(digits, "0"); cut != "" {
				digits = cut
			}
		} else {
			digits += pick(c.rng, []string{"", "9", "999", "000"})
		}
		s += "." + digits
	}
	return s + at.Format("Z07:00")
}

// spell writes a plate as a camera may: lower case, spaces, hyphens, full
// width.
func (c *scene) spell(plate string) string {
	switch c.rng.IntN(7) {
	case 0:
		return strings.ToLower(plate)
	case 1:
		return plate[:2] + " " + plate[2:]
	case 2:
		return plate[:2] + "-" + plate[2:] + " "
	case 3:
		return plate[:2] + "\u2011" + plate[2:4] + "\u2010" + plate[4:]
	case 4:
		wide := []rune(plate)
		for i := range wide {
			wide[i] += 0xFEE0
		}
		return string(wide)
	case 5:
		return "\u3000" + plate[:1] + "\u00a0" + plate[1:] + "\t"
	default:
		return plate
	}
}

// spoil makes a line that the contract refuses out of a read.
func (c *scene) spoil(r Read) string {
	fields := func(change func(map[string]any)) string {
		m := map[string]any{}
		if err := json.Unmarshal(r.AppendJSON(nil), &m); err != nil {
			return "{"
		}
		m["seq"] = json.Number(strconv.FormatUint(r.Seq, 10))
		change(m)
		line, err := json.Marshal(m)
		if err != nil {
			return "{"
		}
		return string(line)
	}
	set := func(name string, value any) string {
		return fields(func(m map[string]any) { m[name] = value })
	}
	without := func(names ...string) string {
		return fields(func(m map[string]any) {
			for _, name := range names {
				delete(m, name)
			}
		})
	}
	whole := string(r.AppendJSON(nil))
	return pick(c.rng, []func() string{
		func() string { return whole[:len(whole)-1] },
		func() string { return "not JSON" },
		func() string { return "[" + whole + "]" },
		func() string { return `"` + r.Unit + `"` },
		func() string { return whole + whole },
		func() string { return strings.Replace(whole, `"unit":`, `"unit":"CHT-N-1","unit":`, 1) },
		func() string { return strings.Replace(whole, r.Unit, r.Unit+"\xff", 1) },
		func() string { return without("unit") },
		func() string { return without("seq") },
		func() string { return without("time") },
		func() string { return without("tag", "plate") },
		func() string { return strings.Replace(whole, `"unit"`, `"Unit"`, 1) },
		func() string { return set("unit", "NONE-N-1") },
		func() string { return set("unit", 7) },
		func() string { return set("class", "spaceship") },
		func() string { return set("tag", "E2F") },
		func() string { return set("tag", "E2FG") },
		func() string { return set("tag", strings.Repeat("AB", 63)) },
		func() string { return set("plate_confidence", 1.01) },
		func() string { return set("plate_confidence", -0.1) },
		func() string { return set("plate_confidence", "high") },
		func() string { return set("seq", -1) },
		func() string { return set("seq", 1.5) },
		func() string { return set("seq", json.Number("18446744073709551616")) },
		func() string { return set("antenna", "one") },
		func() string { return set("time", "2019-12-31T23:59:59.999999Z") },
		func() string { return set("time", c.stream.Now.Add(5*time.Minute+time.Second).Format(time.RFC3339)) },
		func() string { return set("time", "2026-02-30T00:00:00Z") },
		func() string { return set("time", "2026-03-02 12:00:00") },
		func() string { return set("time", 1772424000) },
	})()
}
