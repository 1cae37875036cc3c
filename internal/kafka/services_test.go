//go:build services

package kafka_test

import (
	"os"
	"testing"

	"freeflow/internal/kafka/kafkatest"
)

// TestApacheKafka runs the suite over the broker of FREEFLOW_TEST_KAFKA
// (host:port), as deploy/local/services starts it.
func TestApacheKafka(t *testing.T) {
	broker := os.Getenv("FREEFLOW_TEST_KAFKA")
	if broker == "" {
		t.Fatal("FREEFLOW_TEST_KAFKA does not name a broker; run this by make test-services")
	}
	kafkatest.Run(t, []string{broker})
}
