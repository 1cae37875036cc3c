package cashier

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"freeflow/parking"
	"freeflow/parking/tariff"
)

// NoShowChargeID is the ledger's charge of a reservation whose driver never came.
func NoShowChargeID(reservation string) string { return "parking/no-show/" + reservation }

// SettleNoShows looks at reservations that have lapsed, at most limit of the
// oldest, and says how many. Where the tariff in force when the driver should
// have come has a no-show fee for the class, it is ordered of the ledger, with
// its receipt, in the transaction that settles the reservation: once, however
// many processes do this. It is charged to the reservation's account, else to
// that of its tag or plate, as a stay would be; where no account pays, to
// nobody's, for payments to pay. The error is a fault of the store.
func (c *Cashier) SettleNoShows(ctx context.Context, limit int) (int, error) {
	var waiting []parking.NoShowFee
	err := c.p.Keeping.View(ctx, func(tx parking.Tx) (err error) {
		waiting, err = tx.UnsettledNoShows(ctx, limit)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("reading reservations that lapsed: %w", err)
	}
	for i := range waiting {
		_, err := do(ctx, c, Keep[struct{}]{}, func(tx parking.Tx) (none struct{}, err error) {
			return none, c.settleNoShow(ctx, tx, waiting[i].Reservation)
		})
		if err != nil {
			return i, fmt.Errorf("settling the no-show of reservation %s: %w", waiting[i].Reservation, err)
		}
	}
	return len(waiting), nil
}

func (c *Cashier) settleNoShow(ctx context.Context, tx parking.Tx, reservation string) error {
	fee, err := tx.NoShowFee(ctx, reservation)
	if err != nil || !fee.SettledAt.IsZero() {
		return err // another process was quicker
	}
	booked, err := tx.Reservation(ctx, reservation)
	if err != nil {
		return err
	}
	fee.SettledAt = c.p.Clock.Now().UTC().Truncate(time.Microsecond)
	s, err := c.newScope(tx, booked.CarPark, true)
	if errors.Is(err, parking.ErrNotFound) {
		fee.Problem = "The car park is not in force here."
		return tx.SettleNoShow(ctx, fee)
	}
	if err != nil {
		return err
	}
	receipt, err := s.noShowReceipt(&booked)
	if err != nil {
		fee.Problem = cut(err.Error(), 500)
		alarm := parking.Alarm{
			ID: "no-show/" + reservation, CarPark: booked.CarPark, Kind: "no-show-without-price", Subject: reservation, Raised: s.now,
			Detail: cut("The tariff cannot say what a reservation costs whose driver did not come; nothing is charged: "+err.Error(), 500),
		}
		if err := tx.Raise(ctx, alarm); err != nil {
			return fmt.Errorf("raising an alarm: %w", err)
		}
		return tx.SettleNoShow(ctx, fee)
	}
	if receipt == nil {
		return tx.SettleNoShow(ctx, fee)
	}
	if fee.Receipt, err = json.Marshal(receipt, json.Deterministic(true)); err != nil {
		return fmt.Errorf("writing a receipt: %w", err)
	}
	fee.AmountCents, fee.Currency = receipt.TotalCents, receipt.Currency
	if err := s.orderNoShow(ctx, &booked, &fee, receipt); err != nil {
		return err
	}
	return tx.SettleNoShow(ctx, fee)
}

// noShowReceipt prices the reservation; nil where the tariff has no such fee. The
// error says why a tariff that has one cannot say how much it is.
func (s *scope) noShowReceipt(booked *parking.Reservation) (*tariff.Receipt, error) {
	version := versionAt(s.book, "", booked.Start)
	if version == nil || !hasNoShowFee(version) {
		return nil, nil
	}
	rules := version.Classes[booked.Vehicle.Class]
	if rules == nil {
		return nil, fmt.Errorf("tariff %s has no class %.64q", version.ID, booked.Vehicle.Class)
	}
	if rules.NoShow == nil {
		return nil, nil
	}
	r, err := s.book.Rate(tariff.Stay{
		ID: booked.ID, Class: booked.Vehicle.Class, Entry: booked.Start, NoShow: true, Reserved: rules.Reservation != nil, Version: version.Version,
	})
	if err != nil {
		return nil, err
	}
	if r.TotalCents == 0 {
		return nil, nil
	}
	return &r, nil
}

func hasNoShowFee(t *tariff.Tariff) bool {
	for _, rules := range t.Classes {
		if rules.NoShow != nil {
			return true
		}
	}
	return false
}

// orderNoShow orders the fee of the ledger and says whose account is charged.
func (s *scope) orderNoShow(ctx context.Context, booked *parking.Reservation, fee *parking.NoShowFee, receipt *tariff.Receipt) error {
	account, business := booked.Account, false
	if account == "" {
		id, err := s.c.identify(ctx, booked.Vehicle.Tag, booked.Vehicle.Plate, booked.Start)
		if err != nil {
			return err
		}
		if !id.Conflict && !id.Exempt {
			account, business = id.Account, id.Business
		}
	}
	means, kind := parking.PaysAccount, ChargeParking
	if account != "" {
		p, err := s.tx.Preference(ctx, account)
		if err != nil {
			return fmt.Errorf("reading an account's preference: %w", err)
		}
		p.Business = p.Business || business
		if s.site.TagLimitCents <= 0 || !p.PaysParking() {
			account = ""
		}
	}
	switch {
	case account == "":
		means = parking.PaysTicket
	case fee.AmountCents >= s.site.TagLimitCents:
		means, kind = parking.PaysCard, ChargeParkingCard
	}
	fee.Account = account
	// The charge's detail is made as a stay's is.
	r := record{Stay: parking.Stay{
		ID: "no-show/" + booked.ID, CarPark: booked.CarPark, State: parking.Closed, Vehicle: booked.Vehicle.Plate, Means: means, Account: account,
		Entry: booked.Start, AmountCents: fee.AmountCents, Currency: fee.Currency, Receipt: fee.Receipt, TariffVersion: receipt.TariffVersion, ChargeRevision: 1,
	}}
	step1, err := s.charge(&r, NoShowChargeID(booked.ID), kind, account, fee.AmountCents)
	if err != nil {
		return err
	}
	zone := s.zone()
	step1.Description = cut(s.site.Name.En, 200) + ": reservation from " + booked.Start.In(zone).Format("2006-01-02 15:04") + " to " +
		booked.End.In(zone).Format("2006-01-02 15:04") + ", not come"
	return s.place(ctx, &ledgerOrder{stay: r.ID, carPark: r.CarPark, revision: 1, charges: []step{{Charge: step1}}})
}
