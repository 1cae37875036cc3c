package app

import (
	"fmt"
	"net"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"freeflow/internal/observe"
	"freeflow/internal/web"
)

func newBankCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bank",
		Short: "A local payment provider for development and tests",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var addr, keysPath, notices, logFormat, logLevel string
	emulate := &cobra.Command{
		Use:   "emulate",
		Short: "Run a payment provider over HTTP that can be told to misbehave",
		Long: `Run a payment provider that takes charges, refunds and pay-outs by the protocol
of docs/payments.md, with accounts behind tokens, and sends signed notices.
POST /admin/rules tells it to misbehave: time out after having taken the money,
answer 500, send notices twice, late, early or forged, decline, be slow, be out
of order. It forgets everything when it ends.`,
		Example: `  freeflow bank emulate --addr 127.0.0.1:8090 --keys keys.json --notices http://127.0.0.1:8080
  freeflow run --payment-provider http://127.0.0.1:8090 --payment-keys keys.json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if keysPath == "" {
				return usagef("--keys is missing: a file with the provider's keys; one that is not there is made")
			}
			log, err := observe.NewLogger(env.Stderr, logFormat, logLevel)
			if err != nil {
				return usageError{err}
			}
			keys, err := loadPaymentKeys(keysPath, true)
			if err != nil {
				return err
			}
			to := ""
			if notices != "" {
				to = strings.TrimSuffix(notices, "/") + "/v1/payment-providers/" + keys.Name + "/notices"
			}
			server, emulator, err := newBank(env.Clock, log, keys, to)
			if err != nil {
				return err
			}
			listener, err := net.Listen("tcp", addr)
			if err != nil {
				return fmt.Errorf("opening the provider's address: %w; free it, or choose another with --addr", err)
			}
			fmt.Fprintf(env.Stderr, "The local payment provider runs at http://%s. Its keys are in %s. Stop with Ctrl-C.\n", listener.Addr(), keysPath)
			g, ctx := errgroup.WithContext(cmd.Context())
			g.Go(func() error { return web.Serve(ctx, listener, server, log) })
			g.Go(func() error { return emulator.Run(ctx) })
			return g.Wait()
		},
	}
	flags := emulate.Flags()
	flags.StringVar(&addr, "addr", "127.0.0.1:8090", "address to listen at")
	flags.StringVar(&keysPath, "keys", "", "file with the provider's keys; one that is not there is made")
	flags.StringVar(&notices, "notices", "", "address of the portal, http://HOST[:PORT], to which notices are sent; empty sends none")
	flags.StringVar(&logFormat, "log-format", "text", "text or json")
	flags.StringVar(&logLevel, "log-level", "info", "debug, info, warn or error")
	cmd.AddCommand(emulate)
	return cmd
}
