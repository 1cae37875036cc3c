package tariff

import (
	"bytes"
	"embed"
	"fmt"
	"strings"
)

//go:embed samples/*.json
var sampleFiles embed.FS

// Samples lists the embedded tariffs by name, sorted: car parks of Hong Kong
// after published figures, whose sources and open points each file names, and
// one invented multi-storey.
func Samples() []string {
	entries, err := sampleFiles.ReadDir("samples")
	if err != nil {
		return nil // cannot be: the folder is embedded
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ".json")
	}
	return names
}

// Sample reads an embedded tariff. The caller may change it.
func Sample(name string) (*Tariff, error) {
	data, err := sampleFiles.ReadFile("samples/" + name + ".json")
	if err != nil {
		return nil, fmt.Errorf("there is no sample tariff %.64q; there are %s", name, strings.Join(Samples(), ", "))
	}
	t, err := Parse(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("sample %s: %w", name, err)
	}
	return t, nil
}
