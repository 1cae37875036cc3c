package payment

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// HeaderSignature carries a notice's signature: "t=SECONDS,k=EPOCH,v1=HEX",
// where HEX is HMAC-SHA256, with the key of that epoch, over the seconds since
// the Unix epoch as text, a point, and the body.
const HeaderSignature = "Freeflow-Signature"

// DefaultTolerance is how far a notice's time may lie from ours.
const DefaultTolerance = 5 * time.Minute

// Keys are the secrets by which notices are signed. While keys are changed both
// the old and the new epoch are there; an epoch that was taken out is refused.
type Keys struct {
	// ByEpoch holds secrets of at least 16 bytes by the epoch's name: letters,
	// digits and hyphens.
	ByEpoch map[string]string
	// Tolerance is how far a notice's time may lie from ours, either way; 0 is
	// DefaultTolerance.
	Tolerance time.Duration
}

// Check reports keys that would let anybody in, or nobody.
func (k Keys) Check() error {
	if len(k.ByEpoch) == 0 {
		return errors.New("keys of notices: there are none, so that none could be taken")
	}
	for epoch, secret := range k.ByEpoch {
		if epoch == "" || strings.ContainsAny(epoch, ",= ") {
			return fmt.Errorf("keys of notices: %q is no name of an epoch", epoch)
		}
		if len(secret) < 16 {
			return fmt.Errorf("keys of notices: the secret of epoch %s has fewer than 16 bytes; make a longer one", epoch)
		}
	}
	return nil
}

// Sign returns the header for a body that is sent at the instant.
func Sign(epoch, secret string, at time.Time, body []byte) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	return "t=" + seconds + ",k=" + epoch + ",v1=" + hex.EncodeToString(mac(secret, seconds, body))
}

func mac(secret, seconds string, body []byte) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(seconds + "."))
	h.Write(body)
	return h.Sum(nil)
}

// Verify checks a header against the body. ErrForged, which says nothing of
// what was wrong to whoever sent it.
func (k Keys) Verify(header string, body []byte, now time.Time) error {
	parts := map[string]string{}
	for part := range strings.SplitSeq(header, ",") {
		name, value, ok := strings.Cut(part, "=")
		if _, twice := parts[name]; !ok || twice || len(parts) > 3 {
			return fmt.Errorf("%w: the header %s is malformed", ErrForged, HeaderSignature)
		}
		parts[name] = value
	}
	seconds, err := strconv.ParseInt(parts["t"], 10, 64)
	if err != nil || parts["t"] != strconv.FormatInt(seconds, 10) {
		return fmt.Errorf("%w: the header %s has no time", ErrForged, HeaderSignature)
	}
	secret, known := k.ByEpoch[parts["k"]]
	sum, err := hex.DecodeString(parts["v1"])
	// The sum is compared for an unknown epoch too: the time taken says nothing.
	right := hmac.Equal(sum, mac(secret, parts["t"], body))
	if !known || err != nil || !right {
		return fmt.Errorf("%w: the signature does not fit", ErrForged)
	}
	tolerance := k.Tolerance
	if tolerance == 0 {
		tolerance = DefaultTolerance
	}
	if off := now.Sub(time.Unix(seconds, 0)); off > tolerance || off < -tolerance {
		return fmt.Errorf("%w: it was signed at another time than now", ErrForged)
	}
	return nil
}
