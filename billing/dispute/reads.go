package dispute

// ReadFacts is one read at the roadside.
type ReadFacts struct {
	Time  string `json:"time"`
	Unit  string `json:"unit"`
	Boot  string `json:"boot,omitempty"`
	Seq   uint64 `json:"seq"`
	Tag   string `json:"tag,omitempty"`
	Plate string `json:"plate,omitempty"`
	// Confidence is how sure the camera is of the plate, RSSI the signal in dBm:
	// what was measured, as the read has it (contract section 3).
	Confidence *float64 `json:"confidence,omitempty"`
	Class      string   `json:"class,omitempty"`
	Antenna    *int64   `json:"antenna,omitempty"`
	RSSI       *float64 `json:"rssi,omitempty"`
	// Image is a reference to a picture kept elsewhere.
	Image string `json:"image,omitempty"`
	// Signature is the roadside unit's, in hex, where reads carry one and it is
	// kept.
	Signature string `json:"signature,omitempty"`
}
