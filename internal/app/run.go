package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	billingoperator "freeflow/billing/operator"
	"freeflow/billing/portal"
	"freeflow/billing/public"
	"freeflow/internal/observe"
	"freeflow/internal/web"
	parkoperator "freeflow/parking/operator"
	parkstore "freeflow/parking/store"
	"freeflow/rsu"
	"freeflow/rsu/gateway"
	"freeflow/tolling/operator"
)

// targets are the parts that a process can run.
var targets = []string{"gateway", "matcher", "operator", "parking", "portal"}

// runFlags are the flags of run.
type runFlags struct {
	parts                                 partsFlags
	target                                []string
	demo                                  bool
	demoRate                              float64
	portalAddr, operatorAddr, gatewayAddr string
	adminAddr, logFormat, logLevel        string
	https                                 bool
	session, keepReads                    time.Duration
	parkingTariffs                        string
	payments                              paymentFlags
	disputes                              disputeFlags
	noSamples                             bool
	auditCheckpoints                      string
	needReason                            bool
	staff, tariffTrust                    string
	notices                               string
	cityRound                             time.Duration
}

func newRunCommand(env Env) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the system: gateway, matcher, car parks, operators' API and portal",
		Long: `Run the system, by default all of it in one process on embedded parts, with
durable data in the data folder. The first start writes random credentials to
credentials.json there, and sets up the sample car parks unless told not to.

With --kafka, --redis and --books the same runs on Apache Kafka, Redis and
PostgreSQL; several processes may then share the work, each with its --target.`,
		Example: `  freeflow run --demo
  freeflow run --kafka kafka:9092 --redis redis:6379 --books postgres://freeflow@db/freeflow --target gateway,matcher`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			log, err := observe.NewLogger(env.Stderr, f.logFormat, f.logLevel)
			if err != nil {
				return usageError{err}
			}
			return run(cmd.Context(), env, f, log)
		},
	}
	flags := cmd.Flags()
	f.parts.add(flags)
	f.parts.addBooks(flags)
	f.payments.add(flags)
	f.disputes.add(flags)
	flags.StringSliceVar(&f.target, "target", targets, "parts to run in this process")
	flags.BoolVar(&f.demo, "demo", false, "send a city's traffic through the gateway")
	flags.Float64Var(&f.demoRate, "demo-rate", 25, "reads a second of the demo traffic")
	flags.StringVar(&f.portalAddr, "portal-addr", "127.0.0.1:8080", "address of the motorists' portal")
	flags.StringVar(&f.operatorAddr, "operator-addr", "127.0.0.1:8081", "address of the operators' API")
	flags.StringVar(&f.gatewayAddr, "gateway-addr", "127.0.0.1:8082", "address of the roadside gateway")
	flags.StringVar(&f.adminAddr, "admin-addr", "127.0.0.1:9090", "address of metrics, health and profiles; keep it private")
	flags.BoolVar(&f.https, "https", false, "browsers reach the portal by https, through a proxy that ends TLS")
	flags.DurationVar(&f.session, "session-timeout", sessionTimeout, "how long a matcher that has fallen silent keeps its partitions")
	flags.DurationVar(&f.keepReads, "keep-reads", 35*24*time.Hour, "how long the reads behind the passes are kept as evidence")
	flags.StringVar(&f.parkingTariffs, "parking-tariffs", "", "folder of parking tariffs (*.json) beside the sample ones")
	flags.StringVar(&f.auditCheckpoints, "audit-checkpoints", "", "folder for signed checkpoints of the audit trail, best outside this machine; empty is audit-checkpoints in the data folder")
	flags.BoolVar(&f.needReason, "need-reason", false, "operators must say why they look at a person's movements")
	flags.BoolVar(&f.noSamples, "no-sample-carparks", false, "do not set up the sample car parks where there are none")
	flags.DurationVar(&f.cityRound, "city-round", 5*time.Second, "how long drivers who look for a space are collected before they are decided on together")
	flags.StringVar(&f.notices, "notices", "", "folder into which notices to motorists are written for those who carry them; empty is notices in the data folder")
	flags.StringVar(&f.staff, "staff", "", "file of the people who may use the operators' API; empty is "+staffFile+" in the data folder")
	flags.StringVar(&f.tariffTrust, "tariff-trust", "", "file of the public keys whose signatures on tolls are believed; empty is "+tariffTrustFile+" in the data folder, made at the first start")
	flags.StringVar(&f.logFormat, "log-format", "text", "text or json")
	flags.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	return cmd
}

func (f *runFlags) check() error {
	if err := f.parts.check(); err != nil {
		return err
	}
	if err := f.payments.check(); err != nil {
		return err
	}
	if err := f.disputes.check(); err != nil {
		return err
	}
	for _, t := range f.target {
		if !slices.Contains(targets, t) {
			return usagef("--target: there is no %q; the targets are %s", t, strings.Join(targets, ", "))
		}
	}
	if len(f.target) == 0 {
		return usagef("--target is empty; the targets are %s", strings.Join(targets, ", "))
	}
	if f.session < time.Second || f.session > 5*time.Minute {
		return usagef("--session-timeout is %s; it must be 1s to 5m", f.session)
	}
	if f.cityRound < 100*time.Millisecond || f.cityRound > time.Minute {
		return usagef("--city-round is %s; it must be 100ms to 1m", f.cityRound)
	}
	if f.keepReads < time.Hour {
		return usagef("--keep-reads is %s; it must be at least 1h", f.keepReads)
	}
	if f.demo && !f.runs("gateway") {
		return usagef("--demo sends its traffic to this process's gateway; add gateway to --target")
	}
	if f.demo && (f.demoRate <= 0 || f.demoRate > 10_000) {
		return usagef("--demo-rate is %v; it must be above 0 and at most 10000", f.demoRate)
	}
	return nil
}

// staffPath is where the staff file is.
func (f *runFlags) staffPath() string {
	return (&staffFlags{data: f.parts.data, file: f.staff}).path()
}

func (f *runFlags) runs(target string) bool { return slices.Contains(f.target, target) }

// opens reports whether the target's address is opened: car parks are asked at
// the operators' address and at the portal's.
func (f *runFlags) opens(target string) bool {
	return f.runs(target) || f.runs("parking") && (target == "operator" || target == "portal")
}

// system is a running process: the parts, and what is built on them.
type system struct {
	env     Env
	flags   runFlags
	log     *slog.Logger
	parts   *parts
	secrets credentials
	metrics *prometheus.Registry
	http    func(surface string) echo.MiddlewareFunc
	health  *observe.Health
	keeper  *keeper
	// staff is who may use the operators' API; tariffs is the network in force,
	// which stands in parts.network too.
	staff   *staff
	tariffs *tariffs
	// carParks is the store of car parks; in the same database as the books.
	carParks *parkstore.Store
	sites    *siteKeeper
	// roadside are the network's units and the lanes of car parks.
	roadside roadside
	parking  *parkingParts   // nil without the target parking
	payments *payments       // nil where this process makes none
	intake   *gateway.Intake // nil without the gateway
	feed     *portal.Feed
	group    *errgroup.Group
	// listeners are the open addresses, by target and "admin".
	listeners map[string]net.Listener
}

func run(ctx context.Context, env Env, f runFlags, log *slog.Logger) error {
	// Addresses first: a taken port should be told before anything starts.
	listeners, err := f.listen()
	if err != nil {
		return err
	}
	defer func() {
		for _, l := range listeners {
			_ = l.Close() // closed already by its server, if that has run
		}
	}()
	pseudonyms, err := observe.LoadPseudonyms(f.parts.data, env.Clock.Now())
	if err != nil {
		return err
	}
	log = observe.Veil(log, pseudonyms)
	p, err := openParts(ctx, env, f.parts, log)
	if err != nil {
		return err
	}
	defer p.close(log)
	s := &system{listeners: listeners, env: env, flags: f, log: log, parts: p, metrics: observe.NewRegistry(version()), health: observe.NewHealth(), feed: portal.NewFeed()}
	if s.http, err = observe.NewHTTPMetrics(s.metrics, env.Clock); err != nil {
		return err
	}
	if s.secrets, err = loadCredentials(ctx, f.parts.data, p.books); err != nil {
		return err
	}
	if s.staff, err = openStaff(f.staffPath(), web.Key{Name: "operator", Secret: s.secrets.OperatorKey}); err != nil {
		return err
	}
	s.tariffs, err = openTariffs(ctx, tariffOptions{
		network: f.parts.network, dir: f.parts.data, url: f.parts.booksURL(), trust: f.tariffTrust, booksID: p.books.ID(),
		publishes: f.runs("operator"), passes: bookedPasses{p.books}, clock: env.Clock, log: log, metrics: s.metrics,
	})
	if err != nil {
		return fmt.Errorf("putting the tolls in force: %w", err)
	}
	defer func() {
		if err := s.tariffs.close(); err != nil {
			log.Error("a part did not close", "part", "the tariffs", "err", err)
		}
	}()
	p.network = s.tariffs.live
	s.staff.tell = s.tariffs.tellStaff
	s.keeper = newKeeper(p.books, p.network, env.Clock)
	if err := s.keeper.load(ctx); err != nil {
		return err
	}
	s.carParks, err = parkstore.Open(ctx, f.parts.booksURL(), parkstore.Options{Migrate: true, Clock: env.Clock, Logger: log})
	if err != nil {
		return fmt.Errorf("opening the car parks: %w", err)
	}
	defer func() {
		if err := s.carParks.Close(); err != nil {
			log.Error("a part did not close", "part", "the car parks", "err", err)
		}
	}()
	if err := s.openSites(ctx); err != nil {
		return err
	}
	// The group's context ends with the first failure, so that a process
	// never lives on with a part of it dead.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.group, ctx = errgroup.WithContext(ctx)
	if err := s.start(ctx); err != nil {
		// What has been started already still uses the parts.
		cancel()
		return errors.Join(err, s.group.Wait())
	}
	s.health.Ready()
	s.greet()
	<-ctx.Done()
	s.health.Stop()
	return s.group.Wait()
}

// listen opens the addresses of the targets.
func (f *runFlags) listen() (map[string]net.Listener, error) {
	listeners := map[string]net.Listener{}
	for _, one := range []struct{ target, flag, addr string }{
		{"portal", "portal-addr", f.portalAddr}, {"operator", "operator-addr", f.operatorAddr},
		{"gateway", "gateway-addr", f.gatewayAddr}, {"admin", "admin-addr", f.adminAddr},
	} {
		if one.target != "admin" && !f.opens(one.target) {
			continue
		}
		l, err := net.Listen("tcp", one.addr)
		if err != nil {
			for _, open := range listeners {
				_ = open.Close()
			}
			return nil, fmt.Errorf("opening the %s's address: %w; free it, or choose another with --%s", one.target, err, one.flag)
		}
		listeners[one.target] = l
	}
	return listeners, nil
}

// start starts everything that the targets name.
func (s *system) start(ctx context.Context) error {
	if err := s.startAudit(ctx); err != nil {
		return err
	}
	s.group.Go(func() error { return s.keeper.watch(ctx, s.log) })
	s.group.Go(func() error { return s.sites.watch(ctx, s.log) })
	s.group.Go(func() error { return s.staff.watch(ctx, s.log) })
	s.group.Go(func() error { return s.tariffs.watch(ctx) })
	if s.flags.runs("operator") {
		s.group.Go(func() error { return s.tariffs.compare(ctx) })
	}
	s.health.Add("tolls", observe.Helpful, s.tariffs.healthy)
	s.group.Go(func() error {
		return web.Serve(ctx, s.listeners["admin"], observe.Handler(s.metrics, s.health), s.log)
	})
	s.health.Add("books", observe.Needed, func(ctx context.Context) error {
		_, err := s.parts.books.RegistryVersion(ctx)
		return err
	})
	s.health.Add("car parks' definitions", observe.Helpful, func(context.Context) error { return s.sites.now.Load().err() })
	s.health.Add("open passes", observe.Helpful, func(ctx context.Context) error { return s.parts.redis.Ping(ctx).Err() })
	s.health.Add("log", observe.Needed, func(ctx context.Context) error {
		_, err := s.parts.ends(ctx)
		return err
	})
	if s.flags.runs("parking") {
		var err error
		if s.parking, err = s.newParking(); err != nil {
			return fmt.Errorf("building the car parks' part: %w", err)
		}
		s.startParking(ctx)
	}
	if err := s.startPayments(ctx); err != nil {
		return fmt.Errorf("building the payments: %w", err)
	}
	// The operators' API shows the gateway's alarms, so the gateway comes first.
	for _, one := range []struct {
		target string
		build  func(context.Context) (*echo.Echo, error)
	}{{"gateway", s.gateway}, {"operator", s.operator}, {"portal", s.portal}} {
		if !s.flags.opens(one.target) {
			continue
		}
		if err := s.serve(ctx, one.target, one.build); err != nil {
			return err
		}
	}
	if s.flags.runs("matcher") {
		s.matcher(ctx)
		if err := s.startRecovery(ctx); err != nil {
			return err
		}
		if err := s.startCollecting(ctx); err != nil {
			return err
		}
		s.startStatements(ctx)
		if err := s.startDisputes(ctx); err != nil {
			return err
		}
	}
	if !s.flags.demo {
		return nil
	}
	if err := s.demo(ctx, s.address("gateway")); err != nil {
		return err
	}
	if s.parking == nil {
		return nil
	}
	return s.demoParking(ctx)
}

func (s *system) serve(ctx context.Context, target string, build func(context.Context) (*echo.Echo, error)) error {
	e, err := build(ctx)
	if err != nil {
		return fmt.Errorf("building the %s: %w", target, err)
	}
	e.Pre(s.http(target))
	s.group.Go(func() error { return web.Serve(ctx, s.listeners[target], e, s.log) })
	return nil
}

func (s *system) matcher(ctx context.Context) {
	m := newMatcher(s.parts, s.keeper, s.env.Clock, s.metrics, s.log)
	s.group.Go(func() error {
		r := startRun(ctx, s.parts, m, s.flags.session, s.log)
		<-ctx.Done()
		return r.stop()
	})
	s.group.Go(func() error { return relay(ctx, s.parts.books, s.parts.publisher, s.log) })
	s.group.Go(func() error { return prune(ctx, s.parts.books, s.flags.keepReads, s.env.Clock, s.log) })
	s.group.Go(func() error { return s.rejudge(ctx) })
	s.group.Go(func() error { return s.rerate(ctx) })
	s.group.Go(func() error { return s.tellCorrections(ctx) })
}

func (s *system) gateway(context.Context) (*echo.Echo, error) {
	var err error
	s.intake, err = gateway.NewIntake(gateway.Config{
		Roadside: s.roadside, Topic: s.roadside.topic, Clock: s.env.Clock, Publisher: s.parts.publisher, Rejects: s.parts.publisher,
		Source: rsu.SourceGateway, Log: s.log, Metrics: s.metrics,
	})
	if err != nil {
		return nil, err
	}
	keys, err := web.Bearer(web.Key{Name: "unit", Secret: s.secrets.UnitKey})
	if err != nil {
		return nil, err
	}
	return gateway.New(s.intake, keys, s.log, s.env.Clock, gateway.Limits{})
}

// operator is what operators' keys open: tolls and car parks, as far as this
// process runs them.
func (s *system) operator(ctx context.Context) (*echo.Echo, error) {
	keys := web.BearerOf(s.staff.holders)
	e := web.NewEcho(s.log, s.env.Clock)
	var docs [][]byte
	if s.flags.runs("operator") {
		api, err := operator.New(operator.Parts{
			Books: s.parts.books, Registry: s.keeper, Explainer: explainer{s.parts.books, s.parts.network, s.keeper.current},
			Basis: basis{}, Network: s.parts.network, Alarms: alarms{s.intake, s.tariffs}, Clock: s.env.Clock,
			NeedReason: s.flags.needReason,
		})
		if err != nil {
			return nil, err
		}
		api.Routes(e, keys)
		docs = append(docs, operator.OpenAPI())
		tolls, err := s.tariffs.api()
		if err != nil {
			return nil, err
		}
		tolls.Routes(e, keys)
		docs = append(docs, operator.TariffsOpenAPI())
		doc, err := s.corrections(e, keys)
		if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
		topics := s.billingTopics()
		billingoperator.Mount(e, keys, topics...)
		docs = append(docs, billingoperator.OpenAPI(topics...)...)
		s.group.Go(func() error { return s.pruneBillingOnce(ctx) })
	}
	if s.parking != nil {
		s.parking.api.Routes(e, keys)
		docs = append(docs, parkoperator.OpenAPI())
	}
	doc, err := web.MergeOpenAPI(docs...)
	if err != nil {
		return nil, err
	}
	web.ServeOpenAPI(e, doc)
	return e, nil
}

// portal is what motorists and the public see.
func (s *system) portal(ctx context.Context) (*echo.Echo, error) {
	e := web.NewEcho(s.log, s.env.Clock)
	var own []byte
	if s.flags.runs("portal") {
		p, err := portal.New(portal.Parts{
			Books: s.parts.books, Views: views{s.parts.books}, Logins: s.parts.books, Names: names{s.parts.network}, Feed: s.feed,
			Zone: s.parts.network.Zone(), Clock: s.env.Clock, Log: s.log, Secure: s.flags.https,
		})
		if err != nil {
			return nil, err
		}
		p.Routes(e)
		s.group.Go(func() error { return followCharges(ctx, s.parts.brokers, s.feed, s.log) })
		if s.payments != nil {
			if own, err = s.motorists(e, p); err != nil {
				return nil, err
			}
			if !s.flags.runs("operator") {
				s.group.Go(func() error { return s.pruneBillingOnce(ctx) })
			}
		}
	}
	var docs [][]byte
	if s.parking != nil {
		docs = s.parking.public(e)
	}
	if s.payments != nil && s.flags.runs("portal") {
		s.payments.public.Routes(e)
		s.payments.public.DisputeRoutes(e, public.Disputing{Service: s.disputes(), View: s.parts.books.View})
		docs = append(docs, public.OpenAPI(), public.DisputesOpenAPI(), own)
	}
	if len(docs) == 0 {
		return e, nil
	}
	doc, err := web.MergeOpenAPI(docs...)
	if err != nil {
		return nil, fmt.Errorf("describing the public API: %w", err)
	}
	web.ServeOpenAPI(e, doc)
	return e, nil
}

// alarms shows the gateway's alarms, where this process has one, and those of
// the tolls.
type alarms struct {
	intake  *gateway.Intake
	tariffs *tariffs
}

func (a alarms) Alarms(ctx context.Context) ([]operator.Alarm, error) {
	shown, err := a.tariffs.Alarms(ctx)
	if err != nil || a.intake == nil {
		return shown, err
	}
	for _, one := range a.intake.Alarms() {
		shown = append(shown, operator.Alarm(one))
	}
	slices.SortStableFunc(shown, func(a, b operator.Alarm) int { return b.Last.Compare(a.Last) })
	return shown, nil
}

// names are what the network's files call things.
type names struct{ network roads }

func (n names) TollPoint(name string) (en, zh string) {
	label, _ := n.network.PointLabel(name)
	return label.En, label.Zh
}

func (n names) Class(class string) (en, zh string) {
	label, _ := n.network.ClassLabel(class)
	return label.En, label.Zh
}

// address is where a target listens.
func (s *system) address(target string) string { return s.listeners[target].Addr().String() }

// greet tells a person where to look.
func (s *system) greet() {
	var b strings.Builder
	b.WriteString("\nfreeflow runs.\n")
	if s.flags.opens("portal") {
		fmt.Fprintf(&b, "  portal      http://%s  (sign in as %s)\n", s.address("portal"), s.secrets.Motorist.Email)
	}
	if s.flags.opens("operator") {
		fmt.Fprintf(&b, "  operators   http://%s\n", s.address("operator"))
	}
	if s.flags.runs("gateway") {
		fmt.Fprintf(&b, "  gateway     http://%s\n", s.address("gateway"))
	}
	if s.payments != nil && s.payments.bank != "" {
		fmt.Fprintf(&b, "  bank        http://%s  (local payment provider; keys in %s)\n", s.payments.bank, paymentKeysFile)
	}
	fmt.Fprintf(&b, "  metrics     http://%s/metrics\n", s.address("admin"))
	fmt.Fprintf(&b, "Passwords and keys are in %s/%s. Stop with Ctrl-C.\n\n", strings.TrimSuffix(s.flags.parts.data, "/"), credentialsFile)
	fmt.Fprint(s.env.Stderr, b.String())
}

// errDemoNetwork refuses demo traffic where there is none.
var errDemoNetwork = errors.New("demo traffic is made for the network hongkong only; leave out --demo")
