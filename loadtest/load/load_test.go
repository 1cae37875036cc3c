package load

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"

	"freeflow/internal/clock"
	"freeflow/loadtest/oracle"
	"freeflow/loadtest/traffic"
)

// server plays gateway and operators' API: it keeps the reads that it took and
// lets the oracle make the charges of them. Its mistakes are the test's.
type server struct {
	t *testing.T
	// before is called with the number of each request at the gateway, from
	// 1; it returns false if it has answered itself.
	before func(w http.ResponseWriter, n int) bool
	// spoil alters the charges.
	spoil func([]oracle.Row) []oracle.Row
	// gaps: sequence numbers may be missing.
	gaps bool

	mu       sync.Mutex
	requests int
	registry []oracle.Assignment
	reads    []oracle.Read
	lastSeq  map[string]uint64
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/reads", s.postReads)
	mux.HandleFunc("PUT /v1/registry", s.putRegistry)
	mux.HandleFunc("GET /v1/charges", s.getCharges)
	return mux
}

func (s *server) postReads(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer unit" {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	s.mu.Lock()
	s.requests++
	n := s.requests
	s.mu.Unlock()
	if s.before != nil && !s.before(w, n) {
		return
	}
	reads, err := decodeBody(r)
	if err != nil || len(reads) == 0 || len(reads) > 100 {
		http.Error(w, fmt.Sprint(len(reads), " reads ", err), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, read := range reads {
		if read.Unit != reads[0].Unit {
			s.t.Errorf("one request with reads of %s and %s", reads[0].Unit, read.Unit)
		}
		if read.Seq != s.lastSeq[read.Unit]+1 && !s.gaps {
			s.t.Errorf("unit %s: sequence number %d after %d", read.Unit, read.Seq, s.lastSeq[read.Unit])
		}
		s.lastSeq[read.Unit] = read.Seq
	}
	s.reads = append(s.reads, reads...)
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintf(w, `{"accepted":%d,"duplicate":0,"rejected":[]}`, len(reads))
}

func decodeBody(r *http.Request) ([]oracle.Read, error) {
	body := io.Reader(r.Body)
	switch r.Header.Get("Content-Encoding") {
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		body = z
	case "zstd":
		z, err := zstd.NewReader(body)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		body = z
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	switch r.Header.Get("Content-Type") {
	case "application/x-ndjson":
		return oracle.ParseReads(bytes.NewReader(text))
	case "application/json":
		var items []json.RawMessage
		if err := json.Unmarshal(text, &items); err != nil {
			return nil, err
		}
		var reads []oracle.Read
		for _, item := range items {
			read, err := oracle.ParseRead(item)
			if err != nil {
				return nil, err
			}
			reads = append(reads, read)
		}
		return reads, nil
	}
	return nil, fmt.Errorf("unknown content type %s", r.Header.Get("Content-Type"))
}

func (s *server) putRegistry(w http.ResponseWriter, r *http.Request) {
	rows, err := oracle.ParseRegistry(r.Body)
	if err != nil || r.Header.Get("Authorization") != "Bearer operator" {
		http.Error(w, fmt.Sprint(err), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registry = rows
	w.WriteHeader(http.StatusNoContent)
}

func (s *server) getCharges(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	from, err1 := time.Parse(time.RFC3339Nano, q.Get("from"))
	to, err2 := time.Parse(time.RFC3339Nano, q.Get("to"))
	if err1 != nil || err2 != nil {
		http.Error(w, "from? to?", http.StatusBadRequest)
		return
	}
	net, err := oracle.HongKong()
	if err != nil {
		s.t.Error(err)
		return
	}
	s.mu.Lock()
	rows, err := oracle.New(net, s.registry).Rows(s.reads)
	s.mu.Unlock()
	if err != nil {
		s.t.Error(err)
		return
	}
	rows = slices.DeleteFunc(rows, func(row oracle.Row) bool {
		vehicle := q.Get("vehicle")
		return row.FirstMicros < from.UnixMicro() || row.FirstMicros >= to.UnixMicro() || vehicle != "" && vehicle != row.Vehicle
	})
	if r.Header.Get("Accept") != "text/csv" {
		items := make([]map[string]string, len(rows))
		_ = json.NewEncoder(w).Encode(map[string]any{"items": items, "next": nil})
		return
	}
	if s.spoil != nil {
		rows = s.spoil(rows)
	}
	out := csv.NewWriter(w)
	_ = out.Write(append([]string{"id"}, chargeColumns...))
	for _, row := range rows {
		_ = out.Write(append([]string{"x"}, row.Cells()...))
	}
	out.Flush()
}

// run drives the server and returns the report and the exit status.
func run(t *testing.T, s *server, args ...string) (report, int, string) {
	t.Helper()
	s.t, s.lastSeq = t, map[string]uint64{}
	srv := httptest.NewServer(s.handler())
	t.Cleanup(srv.Close)
	path := filepath.Join(t.TempDir(), "report.json")
	// The tolls that the oracle knows end with 2026; the run is put into it.
	clk := &shifted{by: time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC).Sub(clock.System{}.Now())}
	args = append([]string{
		"--gateway", srv.URL, "--key", "unit", "--operator", srv.URL, "--operator-key", "operator", "--report", path,
		"--rate", "600", "--duration", "1500ms", "--vehicles", "3000", "--settle", "0s", "--linger", "30ms", "--seed", "1",
	}, args...)
	var table, progress bytes.Buffer
	status := Main(t.Context(), clk, args, &table, &progress)
	var rep report
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("no report, status %d: %s%s", status, table.String(), progress.String())
	}
	if err := json.Unmarshal(text, &rep); err != nil {
		t.Fatal(err)
	}
	return rep, status, table.String()
}

// shifted is the machine's clock, put to another day.
type shifted struct {
	clock.System
	by time.Duration
}

func (s *shifted) Now() time.Time { return s.System.Now().Add(s.by) }

func TestRun(t *testing.T) {
	for _, c := range []struct{ encoding, compress string }{
		{"json", "none"}, {"ndjson", "gzip"}, {"json", "zstd"},
	} {
		t.Run(c.encoding+" "+c.compress, func(t *testing.T) {
			t.Parallel()
			rep, status, table := run(t, &server{}, "--encoding", c.encoding, "--compress", c.compress, "--pid", fmt.Sprint(os.Getpid()))
			if status != 0 || !rep.good() || rep.Charges.Found < 150 || rep.Charges.Found != rep.Charges.Expected {
				t.Fatalf("status %d\n%s", status, table)
			}
			if rep.Reads < 800 || rep.Sent.Accepted != rep.Reads || rep.FromDue.Count != rep.Sent.Requests || rep.FromDue.P50 <= 0 {
				t.Errorf("%+v", rep)
			}
			if rep.Following.Followed < 5 || rep.Posted.Max < rep.PostedLeast.Max {
				t.Errorf("followed %+v, at most %+v, at least %+v", rep.Following, rep.Posted, rep.PostedLeast)
			}
			if len(rep.Processes) != 2 || rep.Processes[1].RSSMost < 1<<20 || rep.Processes[1].Name == "" {
				t.Errorf("processes %+v", rep.Processes)
			}
			if !strings.Contains(table, "charges") || !strings.Contains(table, "p99") {
				t.Errorf("table:\n%s", table)
			}
		})
	}
}

// TestRunSees: a load run that cannot fail would prove nothing.
func TestRunSees(t *testing.T) {
	for name, c := range map[string]struct {
		server *server
		want   func(report) bool
	}{
		"a lost charge": {
			&server{spoil: func(rows []oracle.Row) []oracle.Row { return slices.Delete(rows, 10, 11) }},
			func(r report) bool { return r.Charges.Missing == 1 && r.Charges.Extra+r.Charges.Different == 0 },
		},
		"a charge too many": {
			&server{spoil: func(rows []oracle.Row) []oracle.Row { return slices.Insert(rows, 10, rows[9]) }},
			func(r report) bool { return r.Charges.Extra == 1 && r.Charges.Missing+r.Charges.Different == 0 },
		},
		"a wrong amount": {
			&server{spoil: func(rows []oracle.Row) []oracle.Row { rows[10].Cents += 10; rows[11].Cents -= 10; return rows }},
			func(r report) bool { return r.Charges.Different > 0 && r.Charges.Missing+r.Charges.Extra == 0 },
		},
		"acknowledged requests that were lost": {
			&server{gaps: true, before: func(w http.ResponseWriter, n int) bool {
				if n%5 != 0 {
					return true
				}
				w.WriteHeader(http.StatusAccepted)
				fmt.Fprint(w, `{"accepted":1,"duplicate":0,"rejected":[]}`)
				return false
			}},
			func(r report) bool { return r.Charges.Missing+r.Charges.Different > 0 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rep, status, table := run(t, c.server)
			if status != exitFailed || rep.good() || !c.want(rep) {
				t.Errorf("status %d\n%s", status, table)
			}
		})
	}
}

// TestRetries: a request is sent again until it is acknowledged, and nothing
// is lost by it.
func TestRetries(t *testing.T) {
	t.Parallel()
	rep, status, table := run(t, &server{before: func(w http.ResponseWriter, n int) bool {
		if n%4 != 0 {
			return true
		}
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return false
	}})
	if status != 0 || rep.Sent.Retries == 0 || !rep.good() {
		t.Errorf("status %d\n%s", status, table)
	}
}

// TestOpenLoop: a server that stands still for a while makes latency from the
// scheduled time grow for all that was due meanwhile, not only for what was
// under way: no coordinated omission.
func TestOpenLoop(t *testing.T) {
	t.Parallel()
	var gate sync.Mutex
	const stall = 600 * time.Millisecond
	rep, status, table := run(t, &server{before: func(w http.ResponseWriter, n int) bool {
		gate.Lock() // one after the other, as a stalled server would
		defer gate.Unlock()
		if n == 20 {
			pause(context.Background(), stall)
		}
		return true
	}}, "--connections", "2")
	if status != 0 {
		t.Fatalf("status %d\n%s", status, table)
	}
	// Of 1.5 s of requests, those of 0.6 s waited, on average half of it.
	if rep.FromDue.P90 < 150 || rep.FromDue.P50 < rep.FromSend.P50 || rep.FromSend.P90 > rep.FromDue.P90 {
		t.Errorf("a stall of %s shows as %+v from the scheduled time, %+v from sending", stall, rep.FromDue, rep.FromSend)
	}
}

func TestUnauthorized(t *testing.T) {
	t.Parallel()
	rep, status, _ := run(t, &server{}, "--key", "wrong", "--duration", "10m")
	if status != exitFailed || !strings.Contains(rep.Stopped, "401") {
		t.Errorf("status %d, stopped %q", status, rep.Stopped)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--gateway", "http://192.0.2.1:8082"},
		{"--operator", "http://example.org"},
		{"--gateway", "127.0.0.1:8082"},
		{"--rate", "0"}, {"--duration", "0s"}, {"--per-request", "101"}, {"--connections", "0"},
		{"--encoding", "xml"}, {"--compress", "lz4"}, {"--rate", "40000", "--vehicles", "100"}, {"--nonsense"}, {"argument"},
	} {
		var stdout, stderr bytes.Buffer
		if status := Main(t.Context(), clock.System{}, args, &stdout, &stderr); status != exitUsage || stderr.Len() == 0 || stdout.Len() > 0 {
			t.Errorf("%v: status %d, %q", args, status, stderr.String())
		}
	}
	c := Config{}
	for _, address := range []string{"http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://127.1.2.3"} {
		if err := c.checkAddress("--gateway", address); err != nil {
			t.Error(err)
		}
	}
	var stdout bytes.Buffer
	if status := Main(t.Context(), clock.System{}, []string{"--help"}, &stdout, io.Discard); status != 0 || !strings.Contains(stdout.String(), "--rate") {
		t.Errorf("--help: %d, %q", status, stdout.String())
	}
}

// TestPlanner: every read once, each unit's in order, requests by due time,
// none waiting longer than it may.
func TestPlanner(t *testing.T) {
	c := Config{Duration: 3 * time.Second, Rate: 2000, Vehicles: 4000, ReadsPerPass: 5, Lanes: 1, PerRequest: 20, Linger: 200 * time.Millisecond}
	start := time.Date(2026, time.March, 2, 8, 0, 0, 0, time.UTC)
	city, err := c.city(start).New()
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEncoder("json", "none")
	if err != nil {
		t.Fatal(err)
	}
	p := newPlanner(city, e, c, start, make(chan *request, 10), func(*traffic.Event) (probe, bool) { return probe{}, false })
	var due, reads int64
	full, lingered := 0, 0
	next := make([]uint64, len(city.Units()))
	for {
		q, err := p.following()
		if err != nil {
			t.Fatal(err)
		}
		if q == nil {
			break
		}
		if q.due < due || q.due < q.lastTime || q.due > q.firstTime+c.Linger.Microseconds() || q.reads > c.PerRequest {
			t.Fatalf("request %+v after one due at %d", q, due)
		}
		due = q.due
		if q.firstSeq != next[q.unit]+1 {
			t.Fatalf("unit %d: %d after %d", q.unit, q.firstSeq, next[q.unit])
		}
		next[q.unit] += uint64(q.reads)
		var items []json.RawMessage
		if err := json.Unmarshal(q.body, &items); err != nil || len(items) != q.reads {
			t.Fatalf("a body of %d reads, %v", len(items), err)
		}
		reads += int64(q.reads)
		if q.reads == c.PerRequest {
			full++
		} else {
			lingered++
		}
		p.free <- &request{raw: q.raw, body: q.body} // used again at once
		<-p.free
	}
	if reads != p.reads || reads < 5500 || full == 0 || lingered == 0 {
		t.Errorf("%d reads of %d, %d full requests, %d that lingered", reads, p.reads, full, lingered)
	}
}

// TestProtobuf reads the form back field by field.
func TestProtobuf(t *testing.T) {
	e, err := newEncoder("protobuf", "none")
	if err != nil {
		t.Fatal(err)
	}
	read := traffic.Read{Unit: "CHT-N-1", Boot: "b", Seq: 7, TimeMicros: 1772424000000007, Tag: "E2", Plate: "AB1", Confidence: 0.9,
		Class: "taxi", Antenna: 3, RSSI: -55.5, Image: "i"}
	body := e.add(nil, &read)
	body = e.add(body, &traffic.Read{Unit: "CHT-N-1", Seq: 8, Tag: "E3", Confidence: -1})
	body, err = e.finish(body, nil)
	if err != nil {
		t.Fatal(err)
	}
	var fields []string
	for len(body) > 0 {
		n, kind, size := protowire.ConsumeTag(body)
		if n != 1 || kind != protowire.BytesType {
			t.Fatalf("field %d of type %d in a batch", n, kind)
		}
		message, length := protowire.ConsumeBytes(body[size:])
		body = body[size+length:]
		for len(message) > 0 {
			n, kind, size := protowire.ConsumeTag(message)
			length := protowire.ConsumeFieldValue(n, kind, message[size:])
			fields = append(fields, fmt.Sprintf("%d/%d:%x", n, kind, message[size:size+length]))
			message = message[size+length:]
		}
	}
	want := "1/2:074348542d4e2d31 2/2:0162 3/0:07 4/0:87a0a5f7a9809303 5/2:024532 6/2:03414231 7/1:cdccccccccccec3f " +
		"8/2:0474617869 9/0:03 10/1:0000000000c04bc0 11/2:0169 1/2:074348542d4e2d31 3/0:08 4/0:00 5/2:024533"
	if got := strings.Join(fields, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestParseStat(t *testing.T) {
	line := "42 (a (b) c) S 1 42 42 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 9 0 100 1000000 2500 18446744073709551615 1"
	rss, ticks, name, err := parseStat([]byte(line))
	if err != nil || rss != 2500*int64(os.Getpagesize()) || ticks != 200 || name != "a (b) c" {
		t.Errorf("%d %d %q %v", rss, ticks, name, err)
	}
	for _, bad := range []string{"", "42", "42 (a) S 1", strings.Replace(line, "150", "x", 1)} {
		if _, _, _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
