package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"

	"freeflow/internal/web"
)

// errBusy: too much is under way already.
var errBusy = errors.New("too much under way")

// budget bounds the memory of all requests under way. Nobody waits for room:
// while the log is slow, those who wait would hold the memory.
type budget struct {
	limit int64
	held  atomic.Int64
	gauge prometheus.Gauge
}

// share is what one request holds of the budget; for one goroutine.
type share struct {
	budget *budget
	held   int64
}

// take reserves n bytes more, or gives errBusy.
func (s *share) take(n int64) error {
	if s.budget.held.Add(n) > s.budget.limit {
		s.budget.held.Add(-n)
		return errBusy
	}
	s.held += n
	s.budget.gauge.Set(float64(s.budget.held.Load()))
	return nil
}

// give returns n bytes that are not used any more.
func (s *share) give(n int64) {
	s.held -= n
	s.budget.gauge.Set(float64(s.budget.held.Add(-n)))
}

// release gives everything back.
func (s *share) release() { s.give(s.held) }

// unpacker decompresses bodies. It is safe for concurrent use.
type unpacker struct {
	limit int64
	zstd  *zstd.Decoder
	gzips sync.Pool
}

// encodings is what a 415 offers.
const encodings = "gzip, zstd, identity"

func newUnpacker(limit int64) (*unpacker, error) {
	// Whole bodies are decompressed at once, so that the decoder needs no
	// window of its own; no more than two at a time bound what is not yet
	// taken from the budget.
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(uint64(limit)))
	if err != nil {
		return nil, fmt.Errorf("making the zstd decoder: %w", err)
	}
	return &unpacker{limit: limit, zstd: d}, nil
}

// encoding returns the one content coding of the header ("" for none), or the
// problem of one that is not known or of several.
func encoding(header http.Header) (string, error) {
	found := ""
	for _, value := range header.Values("Content-Encoding") {
		for name := range strings.SplitSeq(value, ",") {
			name = strings.ToLower(strings.TrimSpace(name))
			switch {
			case name == "" || name == "identity":
				continue
			case name == "x-gzip":
				name = "gzip"
			}
			if found != "" || name != "gzip" && name != "zstd" {
				p := web.NewProblem(http.StatusUnsupportedMediaType, "unsupported-encoding", "Content-Encoding is not supported",
					"send the body with at most one of: "+encodings)
				p.Header = http.Header{"Accept-Encoding": {encodings}}
				return "", p
			}
			found = name
		}
	}
	return found, nil
}

// readBody reads the body as it comes; it fails beyond limit by itself
// (http.MaxBytesReader). Length is what the request says, -1 if it does not.
func readBody(body io.Reader, length, limit int64, held *share) ([]byte, error) {
	data, err := readAll(body, length, limit, held)
	if err != nil && !errors.Is(err, errBusy) {
		return nil, web.ReadingBody(err)
	}
	return data, err
}

// unpack undoes the content coding; data, which were read by readBody, are not
// used any more. Data that are broken or cut short give a
// problem, and nothing of them is used.
func (u *unpacker) unpack(coding string, data []byte, held *share) ([]byte, error) {
	var out []byte
	var err error
	switch coding {
	case "":
		return data, nil
	case "gzip":
		out, err = u.gunzip(data, held)
	case "zstd":
		if len(data) == 0 {
			err = io.ErrUnexpectedEOF
			break
		}
		if out, err = u.zstd.DecodeAll(data, nil); err == nil {
			err = held.take(int64(len(out)))
		}
	}
	held.give(int64(cap(data)))
	switch {
	case err == nil && int64(len(out)) <= u.limit:
		return out, nil
	case errors.Is(err, errBusy):
		return nil, err
	case err == nil || errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded):
		return nil, tooLarge(fmt.Sprintf("the body has more than %d bytes when decompressed; send fewer reads at a time", u.limit))
	}
	return nil, web.NewProblem(http.StatusBadRequest, "broken-body", "The body broke off",
		"the body is not whole "+coding+" data; nothing of it was taken, send it again")
}

func (u *unpacker) gunzip(data []byte, held *share) ([]byte, error) {
	r, ok := u.gzips.Get().(*gzip.Reader)
	if !ok {
		r = new(gzip.Reader)
	}
	defer u.gzips.Put(r)
	if err := r.Reset(bytes.NewReader(data)); err != nil {
		return nil, err
	}
	return readAll(io.LimitReader(r, u.limit+1), 4*int64(len(data)), u.limit, held)
}

// readAll reads to the end into memory that it takes from the budget first: as
// many bytes as the result has capacity. The reader ends or fails soon beyond
// limit.
func readAll(r io.Reader, guess, limit int64, held *share) ([]byte, error) {
	// A guess is somebody's word: it is believed up to what requests usually
	// have, or idle connections could hold the whole budget. One byte more lets
	// the end be seen without growing.
	size := min(max(guess, 4<<10), 64<<10, limit) + 1
	if err := held.take(size); err != nil {
		return nil, err
	}
	buf := make([]byte, 0, size)
	for {
		if len(buf) == cap(buf) {
			size = max(min(2*size, limit+2), size+512)
			if err := held.take(size); err != nil {
				return nil, err
			}
			grown := make([]byte, len(buf), size)
			copy(grown, buf)
			held.give(int64(cap(buf)))
			buf = grown
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func tooLarge(detail string) *web.Problem {
	return web.NewProblem(http.StatusRequestEntityTooLarge, "too-large", "", detail)
}
