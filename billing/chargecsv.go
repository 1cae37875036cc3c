package billing

import "time"

// passTimeLayout is RFC 3339 with always six decimals.
const passTimeLayout = "2006-01-02T15:04:05.000000-07:00"

// ChargeColumns returns the header of charges.csv, contract section 5.
func ChargeColumns() []string {
	return []string{"pass_time", "toll_point", "vehicle", "account", "class", "amount", "currency", "status"}
}

// ChargeRow returns the cells of one standing pass under ChargeColumns. The
// zone is the network's. The amount is empty under review: nothing is known to
// be owed then.
//
// The contract fixes the cells to the letter, so none is altered against
// spreadsheets that take a leading "=" or "+" for a formula.
func ChargeRow(p Pass, zone *time.Location) []string {
	amount := ""
	if p.Status != StatusReview {
		amount = FormatCents(p.AmountCents)
	}
	return []string{
		FormatPassTime(p.FirstMicros, zone), p.TollPoint, p.Vehicle, p.Account, p.Class, amount, p.Currency, p.Status,
	}
}

// FormatPassTime returns an instant, microseconds since the Unix epoch, as
// charges.csv has it: "2026-11-23T08:00:00.123456+08:00".
func FormatPassTime(micros int64, zone *time.Location) string {
	return time.UnixMicro(micros).In(zone).Format(passTimeLayout)
}
