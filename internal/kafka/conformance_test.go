package kafka_test

import (
	"log/slog"
	"testing"

	"freeflow/internal/embedded"
	"freeflow/internal/kafka/kafkatest"
)

func startEmbedded(t testing.TB, cfg embedded.Config) *embedded.Parts {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	parts, err := embedded.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := parts.Close(); err != nil {
			t.Errorf("closing the embedded parts: %v", err)
		}
	})
	return parts
}

func TestEmbedded(t *testing.T) {
	kafkatest.Run(t, startEmbedded(t, embedded.Config{}).KafkaBrokers)
}
