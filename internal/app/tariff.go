package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"freeflow/tolling/tariff"
)

func newTariffCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tariff",
		Short: "Rate passes, check and compare networks, change tolls",
		Long: `Rate passes, check and compare networks, and change tolls: draft, dry-run, approve
(by a second person), publish (docs/tariff-governance.md).

A network is the name of an embedded one (` + strings.Join(tariff.Names(), ", ") + `) or the path of a folder
of CSV files; docs/networks.md describes them.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("there is no command %q under tariff; there are rate, check, diff, draft, dry-run, approve, publish and others, see --help", args[0])
			}
			return usagef("name what to do: rate, check or diff, draft, dry-run, approve, publish or another, see --help")
		},
	}
	cmd.AddCommand(newTariffRateCommand(env), newTariffCheckCommand(env), newTariffDiffCommand(env))
	cmd.AddCommand(newTariffDraftCommand(env), newTariffShowCommand(env), newTariffDryRunCommand(env), newTariffApproveCommand(env),
		newTariffPublishCommand(env), newTariffWithdrawCommand(env), newTariffDiscardCommand(env), newTariffStatementCommand(env),
		newTariffSignCommand(env), newTariffKeyCommand(env), newTariffVerifyCommand(env))
	return cmd
}

type rateFlags struct {
	network, facility, class, at, csv string
	json                              bool
	// parts and trust say where published tolls are, published whether they are
	// asked for.
	parts     partsFlags
	trust     string
	published bool
}

// open returns the network that rates: published tolls, or files. The network
// that is told of is that of the instant.
func (f *rateFlags) open(ctx context.Context, env Env) (rating, func(at time.Time) *tariff.Network, error) {
	if !f.published {
		n, err := tariff.Open(f.network)
		return n, func(time.Time) *tariff.Network { return n }, err
	}
	live, err := publishedNetwork(ctx, env, f.parts, f.network, f.trust)
	if err != nil {
		return nil, nil, err
	}
	return live, live.NetworkAt, nil
}

func newTariffRateCommand(env Env) *cobra.Command {
	var f rateFlags
	cmd := &cobra.Command{
		Use:   "rate --network NETWORK {--facility PLACE --class C --at TIME [--json] | --csv FILE}",
		Short: "Say what passes cost, and why",
		Long: `Say what a pass costs, and why, or what every pass of a CSV file costs.

A facility may be named by its code, or by one of its toll points: CHT or CHT-N.
Where the toll points of a facility differ in toll, only a toll point can be
rated; the answer to the facility's code names them. The column facility of a
file may hold either.

With --data or --books the tolls are those that are published there, each pass by
the network published for its time; without, those of the files of --network.

The file has a header with the columns facility, class and at (further ones are
passed over) and gives facility,class,at,amount,currency,rule in the same order,
with the cells as given. A row that cannot be rated has an empty amount and
currency and the reason in rule; the others are rated all the same, and the exit
status is then 1. Times are RFC 3339 with offset.`,
		Example: `  freeflow tariff rate --network hongkong --facility CHT --class private_car --at 2026-03-06T20:03:00+08:00
  freeflow tariff rate --network hongkong --csv passes.csv`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			changed := cmd.Flags().Changed
			single := changed("facility") || changed("class") || changed("at")
			switch {
			case single && changed("csv"):
				return usagef("--csv rates a file; leave --facility, --class and --at out")
			case changed("csv") && f.json:
				return usagef("--json goes with --facility, --class and --at; --csv gives CSV")
			case !single && !changed("csv"):
				return usagef("give --facility, --class and --at, or --csv FILE")
			case single && !(changed("facility") && changed("class") && changed("at")):
				return usagef("--facility, --class and --at go together")
			case changed("csv") && f.csv == "":
				return usagef("--csv needs a file, or - for standard input")
			}
			f.published = changed("data") || changed("books")
			if f.published && !changed("network") {
				f.network = "" // the one that is published there
			}
			if single {
				return rateOne(cmd.Context(), env, f)
			}
			n, _, err := f.open(cmd.Context(), env)
			if err != nil {
				return err
			}
			in, done, err := openInput(env, f.csv)
			if err != nil {
				return err
			}
			defer done()
			return rateCSV(cmd.Context(), n, in, env.Stdout, env.Stderr)
		},
	}
	cmd.Flags().StringVar(&f.network, "network", "hongkong", "name or folder of the network")
	cmd.Flags().StringVar(&f.facility, "facility", "", "facility or toll point, for instance CHT or CHT-N")
	cmd.Flags().StringVar(&f.class, "class", "", "vehicle class, for instance private_car")
	cmd.Flags().StringVar(&f.at, "at", "", "instant of the pass, RFC 3339 with offset")
	cmd.Flags().StringVar(&f.csv, "csv", "", "file of passes, - for standard input")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object")
	f.parts.addBooks(cmd.Flags())
	cmd.Flags().StringVar(&f.trust, "tariff-trust", "", "file of the public keys that are believed; empty is "+tariffTrustFile+" in the data folder")
	return cmd
}

func rateOne(ctx context.Context, env Env, f rateFlags) error {
	at, err := tariff.ParseInstant(f.at)
	if err != nil {
		return usagef("--at: %w", err)
	}
	rates, told, err := f.open(ctx, env)
	if err != nil {
		return err
	}
	toll, err := rates.Rate(f.facility, f.class, at)
	if err != nil {
		return err
	}
	n := told(at)
	local := at.In(n.Zone())
	if f.json {
		return printJSON(env.Stdout, struct {
			Facility string `json:"facility"`
			Class    string `json:"class"`
			At       string `json:"at"`
			Amount   string `json:"amount"`
			Currency string `json:"currency"`
			Network  string `json:"network"`
			Version  string `json:"version"`
			DayType  string `json:"day_type"`
			Rule     string `json:"rule"`
		}{f.facility, f.class, f.at, tariff.FormatAmount(toll.Cents), n.Currency(), n.Name(), toll.Version, toll.DayType, toll.Rule})
	}
	version := toll.Version
	for _, v := range n.Versions() {
		if v.Name == toll.Version {
			version += ", begun " + v.Begins.Format(time.RFC3339) + " (" + v.Source + ")"
		}
	}
	day := local.Format("Monday 2006-01-02 15:04 -07:00")
	for _, h := range n.Holidays() {
		if h.Date == local.Format(time.DateOnly) {
			day += ", " + h.Name
		}
	}
	_, err = fmt.Fprintf(env.Stdout, "%s %s\n  at       %s\n  version  %s\n  days     %s\n  rule     %s\n",
		tariff.FormatAmount(toll.Cents), n.Currency(), day, version, toll.DayType, toll.Rule)
	return err
}

// checkReport is what tariff check says of one network.
type checkReport struct {
	Network      string           `json:"network"`
	OK           bool             `json:"ok"`
	Title        string           `json:"title,omitempty"`
	Zone         string           `json:"zone,omitempty"`
	Currency     string           `json:"currency,omitempty"`
	Facilities   int              `json:"facilities"`
	TollPoints   int              `json:"toll_points"`
	Units        int              `json:"units"`
	Classes      int              `json:"classes"`
	Versions     int              `json:"versions"`
	TollRows     int              `json:"toll_rows"`
	Holidays     int              `json:"holidays"`
	KnownFrom    string           `json:"holidays_from,omitempty"`
	KnownUntil   string           `json:"holidays_until,omitempty"`
	WithoutTolls []string         `json:"without_tolls"`
	Attribution  string           `json:"attribution,omitempty"`
	Notes        string           `json:"notes,omitempty"`
	Problems     []tariff.Problem `json:"problems"`
	More         int              `json:"more_problems,omitempty"`
}

func newTariffCheckCommand(env Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [NETWORK|FOLDER]",
		Short: "Check a network's files and say every mistake (without a name: the embedded networks)",
		Args:  atMostArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			names := tariff.Names()
			if len(args) == 1 {
				names = args
			}
			reports := make([]checkReport, 0, len(names))
			failed := false
			for _, name := range names {
				report, err := checkNetwork(name)
				if err != nil {
					return err
				}
				failed = failed || !report.OK
				reports = append(reports, report)
			}
			var err error
			if asJSON {
				err = printJSON(env.Stdout, reports)
			} else {
				for _, r := range reports {
					if err == nil {
						err = r.writeText(env.Stdout)
					}
				}
			}
			if err == nil && failed {
				return errQuiet
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array of reports")
	return cmd
}

func checkNetwork(name string) (checkReport, error) {
	n, err := tariff.Open(name)
	var bad *tariff.BadNetworkError
	if errors.As(err, &bad) {
		return checkReport{Network: name, Problems: bad.Problems, More: bad.More, WithoutTolls: []string{}}, nil
	}
	if err != nil {
		return checkReport{}, err
	}
	from, until := n.HolidaysKnown()
	return checkReport{
		Network: name, OK: true, Title: n.Title(), Zone: n.Zone().String(), Currency: n.Currency(),
		Facilities: len(n.Facilities()), TollPoints: len(n.Points()), Units: len(n.Units()), Classes: len(n.Classes()),
		Versions: len(n.Versions()), TollRows: n.TollRows(), Holidays: len(n.Holidays()), KnownFrom: from, KnownUntil: until,
		WithoutTolls: append([]string{}, n.WithoutTolls()...), Problems: []tariff.Problem{},
		Attribution: n.Attribution(), Notes: n.Notes(),
	}, nil
}

func (r checkReport) writeText(w io.Writer) error {
	var b strings.Builder
	if !r.OK {
		fmt.Fprintf(&b, "%s: %d problems\n", r.Network, len(r.Problems)+r.More)
		for _, p := range r.Problems {
			fmt.Fprintf(&b, "%s\n", p)
		}
		if r.More > 0 {
			fmt.Fprintf(&b, "and %d more\n", r.More)
		}
		_, err := io.WriteString(w, b.String())
		return err
	}
	fmt.Fprintf(&b, "%s: good (%s)\n", r.Network, r.Title)
	fmt.Fprintf(&b, "  %d facilities, %d toll points, %d units, %d classes, zone %s, currency %s\n", r.Facilities, r.TollPoints, r.Units, r.Classes, r.Zone, r.Currency)
	fmt.Fprintf(&b, "  %d versions, %d toll rows: every minute of every day has one toll wherever a version gives any\n", r.Versions, r.TollRows)
	if r.KnownFrom == "" {
		b.WriteString("  no day types, so no general holidays are needed\n")
	} else {
		fmt.Fprintf(&b, "  %d general holidays, known from %s until %s; after that nothing is rated\n", r.Holidays, r.KnownFrom, r.KnownUntil)
	}
	if len(r.WithoutTolls) > 0 {
		fmt.Fprintf(&b, "  without any toll: %s\n", strings.Join(r.WithoutTolls, " "))
	}
	if r.Attribution != "" {
		fmt.Fprintf(&b, "  data: %s\n", r.Attribution)
	}
	if r.Notes != "" {
		fmt.Fprintf(&b, "  note: %s\n", r.Notes)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func newTariffDiffCommand(env Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Say what changes if one network takes the place of another",
		Long: `Say what changes if one network takes the place of another: settings,
facilities, classes, toll points, versions and holidays, and which tolls in force
differ from when on. The exit status is 0 whether or not they differ.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("give two networks, the old one and the new one")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			before, err := tariff.Open(args[0])
			if err != nil {
				return err
			}
			after, err := tariff.Open(args[1])
			if err != nil {
				return err
			}
			d := tariff.Diff(before, after)
			if asJSON {
				return printJSON(env.Stdout, d)
			}
			return d.WriteText(env.Stdout)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// atMostArgs refuses more arguments than most.
func atMostArgs(most int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > most {
			return usagef("unexpected argument %q", args[most])
		}
		return nil
	}
}

// printJSON prints v as one line.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
