package app

import "github.com/spf13/cobra"

func newSimulateCommand(env Env) *cobra.Command { return &cobra.Command{Use: "simulate"} }
