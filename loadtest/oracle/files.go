package oracle

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// maxLine bounds a line of reads, as contract section 5 does.
const maxLine = 1 << 20

// ParseReads reads NDJSON of acceptable reads into their normal form (contract
// section 3). Blank lines count for nothing. It is no judge of what is to be
// refused: a line that cannot be read is an error.
func ParseReads(r io.Reader) ([]Read, error) {
	var reads []Read
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		read, err := ParseRead(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		reads = append(reads, read)
	}
	return reads, lines.Err()
}

// ParseRead reads one acceptable read. It looks fields up by their exact
// names, as the contract does; encoding/json alone would also take "Plate".
func ParseRead(line []byte) (Read, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return Read{}, err
	}
	var read Read
	var at time.Time
	for name, into := range map[string]any{
		"unit": &read.Unit, "boot": &read.Boot, "seq": &read.Seq, "time": &at,
		"tag": &read.Tag, "plate": &read.Plate, "class": &read.Class, "image": &read.Image,
		"plate_confidence": &read.Confidence, "antenna": &read.Antenna, "rssi": &read.RSSI,
	} {
		if text, ok := fields[name]; ok {
			if err := json.Unmarshal(text, into); err != nil {
				return Read{}, fmt.Errorf("field %s: %w", name, err)
			}
		}
	}
	read.TimeMicros = at.UnixMicro() // "further digits are cut"
	read.Tag = strings.ToUpper(read.Tag)
	read.Plate = NormalPlate(read.Plate)
	if read.Unit == "" || at.IsZero() || read.Tag == "" && read.Plate == "" {
		return Read{}, fmt.Errorf("a read without unit, time or mark can not have been accepted")
	}
	return read, nil
}

// UnmarshalJSON makes a present number.
func (n *Number) UnmarshalJSON(text []byte) error {
	n.Present = true
	return json.Unmarshal(text, &n.Value)
}

// NormalPlate gives the compared form of a plate: NFKC, white space and
// hyphens (U+002D, U+2010, U+2011) removed, upper case.
func NormalPlate(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '-' || r == '\u2010' || r == '\u2011' {
			return -1
		}
		return r
	}, norm.NFKC.String(s))
	return strings.ToUpper(s)
}

// ParseRegistry reads registry.csv (contract section 5).
func ParseRegistry(r io.Reader) ([]Assignment, error) {
	table, err := readTable(r, "account", "plate", "class", "tag", "from", "to", "exempt")
	if err != nil {
		return nil, err
	}
	rows := make([]Assignment, 0, len(table))
	for i, row := range table {
		a := Assignment{
			Account: row["account"],
			Plate:   NormalPlate(row["plate"]),
			Class:   row["class"],
			Tag:     strings.ToUpper(row["tag"]),
			Exempt:  row["exempt"] == "true",
		}
		from, err := time.Parse(time.RFC3339, row["from"])
		if err != nil {
			return nil, fmt.Errorf("row %d: from: %w", i+1, err)
		}
		a.FromMicros = from.UnixMicro()
		if row["to"] != "" {
			to, err := time.Parse(time.RFC3339, row["to"])
			if err != nil {
				return nil, fmt.Errorf("row %d: to: %w", i+1, err)
			}
			a.ToMicros = to.UnixMicro()
		}
		rows = append(rows, a)
	}
	return rows, nil
}

// chargesColumns are the columns of charges.csv, in the contract's order.
var chargesColumns = []string{"pass_time", "toll_point", "vehicle", "account", "class", "amount", "currency", "status"}

// PassTime writes an instant as charges.csv does: Hong Kong's offset, always
// six decimals.
func PassTime(micros int64) string {
	return time.UnixMicro(micros).In(hongKong).Format("2006-01-02T15:04:05.000000-07:00")
}

// Amount writes the row's amount as charges.csv does: two decimals, empty
// under review.
func (r Row) Amount() string {
	if r.Status == Review {
		return ""
	}
	return fmt.Sprintf("%d.%02d", r.Cents/100, r.Cents%100)
}

// Cells are the row's cells in charges.csv, in the contract's order.
func (r Row) Cells() []string {
	return []string{PassTime(r.FirstMicros), r.TollPoint, r.Vehicle, r.Account, r.Class, r.Amount(), r.Currency, r.Status}
}

// ChargesLines gives the rows of charges.csv as lines without a header, in the
// file's order: by the bytes of pass time, toll point and vehicle.
func ChargesLines(rows []Row) []string {
	cells := make([][]string, len(rows))
	for i, row := range rows {
		cells[i] = row.Cells()
	}
	slices.SortStableFunc(cells, func(a, b []string) int { return slices.Compare(a[:3], b[:3]) })
	lines := make([]string, len(cells))
	for i, c := range cells {
		lines[i] = strings.Join(c, ",")
	}
	return lines
}

// ParseCharges reads a charges.csv, which may have further columns, into lines
// as ChargesLines gives them, in the file's own order.
func ParseCharges(r io.Reader) ([]string, error) {
	table, err := readTable(r, chargesColumns...)
	if err != nil {
		return nil, err
	}
	lines := make([]string, len(table))
	for i, row := range table {
		cells := make([]string, len(chargesColumns))
		for k, column := range chargesColumns {
			cells[k] = row[column]
		}
		lines[i] = strings.Join(cells, ",")
	}
	return lines, nil
}

// Difference returns what only the one and what only the other of two lists
// has, counting repetitions.
func Difference(want, got []string) (missing, extra []string) {
	count := map[string]int{}
	for _, line := range got {
		count[line]++
	}
	for _, line := range want {
		if count[line] == 0 {
			missing = append(missing, line)
			continue
		}
		count[line]--
	}
	for _, line := range got {
		if count[line] > 0 {
			count[line]--
			extra = append(extra, line)
		}
	}
	return missing, extra
}

// readTable reads a CSV file by column names.
func readTable(r io.Reader, need ...string) ([]map[string]string, error) {
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("the file has no header")
	}
	for _, column := range need {
		if !slices.Contains(rows[0], column) {
			return nil, fmt.Errorf("the header has no column %s", strconv.Quote(column))
		}
	}
	table := make([]map[string]string, 0, len(rows)-1)
	for _, row := range rows[1:] {
		cells := map[string]string{}
		for i, column := range rows[0] {
			cells[column] = row[i]
		}
		table = append(table, cells)
	}
	return table, nil
}
