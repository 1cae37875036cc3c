package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"freeflow/internal/kafka"
	"freeflow/rsu"
	"freeflow/rsu/gateway"
	"freeflow/tolling/tariff"
)

// redriveShown bounds how many reasons are listed for people.
const redriveShown = 20

func newRedriveCommand(env Env) *cobra.Command {
	var network, brokers string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "redrive --kafka HOST:PORT",
		Short: "Offer the rejected reads once more, after their cause was mended",
		Long: `Offer every read on the topic of rejected reads to the gateway's checks once
more, as if it arrived now; what is accepted goes to the log like any other. Doing
it twice changes nothing. What is still refused stays on its topic.

On the embedded log, give the address that 'freeflow run' prints at its start.`,
		Example: "  freeflow redrive --kafka kafka:9092 --network hongkong",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if brokers == "" {
				return usagef("--kafka is missing; name the log's brokers")
			}
			total, err := redrive(cmd.Context(), env, network, strings.Split(brokers, ","))
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(env.Stdout).Encode(total)
			}
			for i, r := range total.Rejected {
				if i == redriveShown {
					fmt.Fprintf(env.Stderr, "... and %d more\n", len(total.Rejected)-i)
					break
				}
				fmt.Fprintf(env.Stderr, "still refused: %s\n", r.Reason)
			}
			_, err = fmt.Fprintf(env.Stdout, "offered   %d\naccepted  %d\nrefused   %d\n", total.Offered, total.Accepted, len(total.Rejected))
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&network, "network", "hongkong", "road network: a name or a folder of network files")
	flags.StringVar(&brokers, "kafka", "", "brokers of the log, host:port[,host:port...] (required)")
	flags.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

func redrive(ctx context.Context, env Env, network string, brokers []string) (total gateway.Redriven, err error) {
	log := slog.New(slog.NewTextHandler(env.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	n, err := tariff.Open(network)
	if err != nil {
		return total, err
	}
	publisher := kafka.NewPublisher(kafka.Config{Brokers: brokers, Log: log})
	defer func() { err = errors.Join(err, publisher.Close()) }()
	intake, err := gateway.NewIntake(gateway.Config{
		Roadside: n, Clock: env.Clock, Publisher: publisher, Source: rsu.SourceGateway, Log: log,
	})
	if err != nil {
		return total, err
	}
	total.Rejected = []gateway.Rejection{}
	err = kafka.Scan(ctx, kafka.FollowConfig{Brokers: brokers, Topic: kafka.TopicRejected, Log: log},
		func(_ int, records []kafka.Record) error {
			envelopes := make([][]byte, len(records))
			for i, r := range records {
				envelopes[i] = r.Value
			}
			some, err := intake.Redrive(ctx, envelopes)
			if err != nil {
				return err
			}
			for _, r := range some.Rejected {
				r.Index += total.Offered
				total.Rejected = append(total.Rejected, r)
			}
			total.Offered += some.Offered
			total.Accepted += some.Accepted
			total.Duplicate += some.Duplicate
			return nil
		})
	return total, err
}
