package app

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"freeflow/internal/observe"
)

func newAuditPseudonym(env Env) *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "pseudonym MARK",
		Short: "Print the names that a plate or tag has in the logs",
		Long: `Print the pseudonyms of a plate or a tag, one a line, of every epoch whose key is
kept in the data folder, the present one last. There is no way back from a
pseudonym but to try marks.`,
		Example: "  freeflow audit pseudonym --data ./data AB1234",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("give one plate or tag")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if _, err := os.Stat(data); err != nil {
				return fmt.Errorf("there is no data folder %s: %w", data, err)
			}
			p, err := observe.LoadPseudonyms(data, env.Clock.Now())
			if err != nil {
				return err
			}
			for _, name := range p.All(args[0]) {
				fmt.Fprintln(env.Stdout, name)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&data, "data", "./data", "data folder")
	return cmd
}
