// Package load drives a running freeflow with a city's traffic over HTTP, in
// an open loop, and then checks what came of it.
//
// Open loop: when a request is due is fixed by the traffic alone. A slow
// server makes requests wait; it never makes the generator send less, and the
// wait counts as latency, since it is measured from the scheduled time.
//
// Like a roadside unit's agent, a unit's requests are sent one after the
// other, at most so many reads each, and again until they are acknowledged.
//
// After the run the traffic is made once more from its seed, the oracle says
// what it must come to, and the charges of the operators' API are compared
// with that row by row. The time from acknowledgement to posted charge is
// measured from outside: for a sample of passes the API is asked until it
// shows the charge.
//
// Not promised: anything against a server that other traffic reaches in the
// same span of time; its charges would count as extra. Two runs with one seed
// within some minutes have the same vehicles come back too soon, so that passes
// of the two runs join, as they must. Loopback addresses only
// unless it is told otherwise.
package load

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/spf13/pflag"

	"freeflow/loadtest/traffic"
)

// Config is one run.
type Config struct {
	// Gateway and Operator are base URLs, their keys bearer keys.
	Gateway, Key, Operator, OperatorKey string
	// Duration is how long reads are made for.
	Duration time.Duration
	// Rate is reads a second; Vehicles how many different ones.
	Rate                float64
	Vehicles            int
	ReadsPerPass, Lanes int
	Seed                uint64
	// PerRequest is the most reads that one request carries; Linger how long
	// a unit waits for them.
	PerRequest int
	Linger     time.Duration
	// Connections bounds how many requests are on their way at once.
	Connections int
	// Encoding is json, ndjson or protobuf; Compress none, gzip or zstd.
	Encoding, Compress string
	// Probes is how many passes a second are followed to their charge.
	Probes float64
	// Settle bounds the wait for the last charges after the run.
	Settle time.Duration
	// Report is where the JSON report goes; empty for nowhere.
	Report string
	// PIDs are processes whose memory and CPU time are sampled.
	PIDs []int
	// KeepRegistry leaves the server's registry as it is.
	KeepRegistry bool
	// NotOnlyLoopback allows addresses of other machines.
	NotOnlyLoopback bool
}

// Bounds of a configuration.
const (
	mostPerRequest  = 100
	mostConnections = 256
	mostRate        = 500_000
	mostDuration    = 24 * time.Hour
)

// parse reads the flags and checks them.
func parse(args []string) (Config, error) {
	var c Config
	f := flags(&c)
	if err := f.Parse(args); err != nil {
		return c, err
	}
	if f.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	return c, c.check()
}

func flags(c *Config) *pflag.FlagSet {
	f := pflag.NewFlagSet("loadtest", pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {}
	f.StringVar(&c.Gateway, "gateway", "http://127.0.0.1:8082", "base URL of the roadside gateway")
	f.StringVar(&c.Key, "key", "", "bearer key at the gateway (unit_key of credentials.json)")
	f.StringVar(&c.Operator, "operator", "http://127.0.0.1:8081", "base URL of the operators' API; empty: only send, check nothing")
	f.StringVar(&c.OperatorKey, "operator-key", "", "bearer key at the operators' API (operator_key of credentials.json)")
	f.Float64Var(&c.Rate, "rate", 1000, "reads a second")
	f.DurationVar(&c.Duration, "duration", 30*time.Second, "how long to make reads for")
	f.IntVar(&c.Vehicles, "vehicles", 100_000, "how many different vehicles")
	f.IntVar(&c.ReadsPerPass, "reads-per-pass", 5, "how often a vehicle is read at a toll point")
	f.IntVar(&c.Lanes, "lanes", 2, "lanes, hence units, of each of the 18 toll points")
	f.Uint64Var(&c.Seed, "seed", 0, "seed of the traffic; 0 takes one from the clock and prints it")
	f.IntVar(&c.PerRequest, "per-request", mostPerRequest, "most reads of a request")
	f.DurationVar(&c.Linger, "linger", 100*time.Millisecond, "how long a unit waits to fill a request")
	f.IntVar(&c.Connections, "connections", 36, "most requests on their way at once")
	f.StringVar(&c.Encoding, "encoding", "json", "json, ndjson or protobuf")
	f.StringVar(&c.Compress, "compress", "none", "none, gzip or zstd")
	f.Float64Var(&c.Probes, "probes", 10, "passes a second that are followed to their charge")
	f.DurationVar(&c.Settle, "settle", time.Minute, "longest wait for the last charges after the run")
	f.StringVar(&c.Report, "report", "", "write the report to this file as JSON")
	f.IntSliceVar(&c.PIDs, "pid", nil, "processes whose memory and CPU time to sample")
	f.BoolVar(&c.KeepRegistry, "keep-registry", false, "do not put the traffic's registry in force first")
	f.BoolVar(&c.NotOnlyLoopback, "not-only-loopback", false, "allow addresses of other machines")
	return f
}

func (c Config) check() error {
	var errs []error
	refuse := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(c.Rate <= 0 || c.Rate > mostRate, "--rate %v: it must be above 0 and at most %d", c.Rate, mostRate)
	refuse(c.Duration <= 0 || c.Duration > mostDuration, "--duration %v: it must be above 0 and at most %v", c.Duration, mostDuration)
	refuse(c.PerRequest < 1 || c.PerRequest > mostPerRequest, "--per-request %d: a request carries 1 to %d reads", c.PerRequest, mostPerRequest)
	refuse(c.Linger < 0 || c.Linger > 10*time.Second, "--linger %v: it must be between 0 and 10s", c.Linger)
	refuse(c.Connections < 1 || c.Connections > mostConnections, "--connections %d: it must be 1 to %d", c.Connections, mostConnections)
	refuse(c.Encoding != "json" && c.Encoding != "ndjson" && c.Encoding != "protobuf", "--encoding %q: it must be json, ndjson or protobuf", c.Encoding)
	refuse(c.Compress != "none" && c.Compress != "gzip" && c.Compress != "zstd", "--compress %q: it must be none, gzip or zstd", c.Compress)
	refuse(c.Probes < 0 || c.Probes > 100, "--probes %v: it must be 0 to 100", c.Probes)
	refuse(c.Settle < 0 || c.Settle > time.Hour, "--settle %v: it must be between 0 and 1h", c.Settle)
	errs = append(errs, c.checkAddress("--gateway", c.Gateway))
	if c.Operator != "" {
		errs = append(errs, c.checkAddress("--operator", c.Operator))
	}
	if _, err := c.city(time.Unix(0, 0)).New(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// checkAddress refuses other machines: a load meant for this one must not
// reach somebody's server by a slip of the hand.
func (c Config) checkAddress(flag, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%s %q: it must be an address such as http://127.0.0.1:8082", flag, address)
	}
	ip := net.ParseIP(u.Hostname())
	if loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback(); !loopback && !c.NotOnlyLoopback {
		return fmt.Errorf("%s %q is not a loopback address; give --not-only-loopback if the load is really meant for another machine", flag, address)
	}
	return nil
}

// city is the traffic of the run. Units are booted anew at its start, so that
// two runs share no sequence number.
func (c Config) city(start time.Time) traffic.City {
	city := traffic.Typical(c.Seed, start)
	city.Boot = fmt.Sprintf("load-%d", start.UnixMicro())
	city.Rate, city.Vehicles, city.ReadsPerPass, city.Lanes = c.Rate, c.Vehicles, c.ReadsPerPass, c.Lanes
	return city
}
