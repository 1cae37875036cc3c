package statement

import (
	"encoding/csv"
	"io"
	"strings"
	"time"

	"freeflow/billing"
)

// Columns of the CSV, each in both languages.
var columns = []Said{
	{"Posted", "入帳時間"}, {"Entry", "項目"}, {"Own time", "發生時間"}, {"Place", "地點"}, {"Vehicle", "車輛"}, {"Class", "車輛類別"},
	{"Description", "說明"}, {"Owed", "應繳"}, {"Held", "結存"}, {"Balance owed", "累計應繳"}, {"Balance held", "累計結存"},
	{"Currency", "貨幣"}, {"Reference", "參考編號"}, {"Transaction", "交易編號"},
}

// CSV writes lines as a table for spreadsheets: UTF-8 with a byte order mark,
// a header in both languages, first what was owed and held at the beginning,
// last at the end. The same lines give the same bytes.
type CSV struct {
	w        *csv.Writer
	zone     *time.Location
	currency string
	sides    Sides
	err      error
}

// NewCSV begins a table with what stood at the instant from.
func NewCSV(w io.Writer, currency string, opening Sides, from time.Time, zone *time.Location) *CSV {
	c := &CSV{w: csv.NewWriter(w), zone: zone, currency: currency, sides: opening}
	c.w.UseCRLF = true
	if _, c.err = io.WriteString(w, "\ufeff"); c.err != nil {
		return c
	}
	var header []string
	for _, one := range columns {
		header = append(header, one.Both())
	}
	c.row(header)
	c.balance(Said{"Opening balance", "承上結餘"}, from)
	return c
}

func (c *CSV) row(cells []string) {
	if c.err == nil {
		c.err = c.w.Write(cells)
	}
}

func (c *CSV) balance(what Said, at time.Time) {
	c.row([]string{c.time(at), what.Both(), "", "", "", "", "", "", "", billing.FormatCents(c.sides.OwedCents), billing.FormatCents(c.sides.HeldCents), c.currency, "", ""})
}

func (c *CSV) time(at time.Time) string { return at.In(c.zone).Format("2006-01-02 15:04:05") }

// Line adds a line; its error is that of the writer.
func (c *CSV) Line(l Line) error {
	c.sides = c.sides.Plus(l)
	own := ""
	if l.OccurredMicros != 0 {
		own = c.time(time.UnixMicro(l.OccurredMicros))
	}
	c.row([]string{
		c.time(l.PostedAt), Defused(l.Words().Both()), own, Defused(l.Place), Defused(l.Vehicle), Defused(l.Class), Defused(l.Text),
		billing.FormatCents(l.OwedCents), billing.FormatCents(l.HeldCents), billing.FormatCents(c.sides.OwedCents), billing.FormatCents(c.sides.HeldCents),
		Defused(c.currency), Defused(l.Item), Defused(l.Transaction),
	})
	return c.err
}

// End writes what stands at the instant to, and returns it.
func (c *CSV) End(to time.Time) (Sides, error) {
	c.balance(Said{"Closing balance", "結餘"}, to)
	c.w.Flush()
	if c.err == nil {
		c.err = c.w.Error()
	}
	return c.sides, c.err
}

// Defused returns a text that no spreadsheet takes for a formula: with an
// apostrophe before it if it begins as one might, in whatever width.
func Defused(text string) string {
	if text == "" {
		return ""
	}
	if strings.ContainsAny(text[:1], "=+-@\t\r\n|%") || strings.HasPrefix(text, "'") {
		return "'" + text
	}
	for _, wide := range []string{"＝", "＋", "－", "＠"} {
		if strings.HasPrefix(text, wide) {
			return "'" + text
		}
	}
	return text
}
