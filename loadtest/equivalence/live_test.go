package equivalence

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"freeflow/internal/clock"
	"freeflow/loadtest/oracle"
	"freeflow/loadtest/traffic"
)

// live is a running system: gateway, log, matcher, books and operators' API in
// one process, spoken to over HTTP only.
type live struct {
	*trial
	client  *http.Client
	data    string
	cmd     *exec.Cmd
	ended   chan error
	gateway string
	api     string
	keys    struct {
		Unit     string `json:"unit_key"`
		Operator string `json:"operator_key"`
	}
	log bytes.Buffer
}

// askEvery is the pause between two questions after a state that is to come.
const askEvery = 20 * time.Millisecond

func newLive(t *trial) *live {
	l := &live{trial: t, data: filepath.Join(t.dir, "data"), client: &http.Client{Timeout: 30 * time.Second}}
	l.start()
	t.Cleanup(func() {
		l.kill()
		if t.Failed() {
			t.file("freeflow.log", l.log.String())
		}
	})
	return l
}

// start runs the system on free ports and waits until it is ready.
func (l *live) start() {
	l.Helper()
	addresses := freeAddresses(l.T, 4)
	l.gateway, l.api = "http://"+addresses[0], "http://"+addresses[1]
	l.cmd = exec.Command(*binary, "run", "--data", l.data, "--gateway-addr", addresses[0],
		"--operator-addr", addresses[1], "--portal-addr", addresses[2], "--admin-addr", addresses[3])
	l.cmd.Stdout, l.cmd.Stderr = &l.log, &l.log
	if err := l.cmd.Start(); err != nil {
		l.Fatal(err)
	}
	l.ended = make(chan error, 1)
	go func() { l.ended <- l.cmd.Wait() }()
	l.eventually("ready", func() error {
		select {
		case err := <-l.ended:
			l.ended <- err
			l.Fatalf("seed %d: freeflow ended: %v", l.stream.Seed, err)
		default:
		}
		resp, err := l.client.Get("http://" + addresses[3] + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
	text, err := os.ReadFile(filepath.Join(l.data, "credentials.json"))
	if err != nil {
		l.Fatal(err)
	}
	if err := json.Unmarshal(text, &l.keys); err != nil {
		l.Fatal(err)
	}
}

// kill is kill -9, and returns when the process is gone.
func (l *live) kill() {
	_ = l.cmd.Process.Kill() // it may have ended by itself
	err := <-l.ended
	l.ended <- err
}

// freeAddresses are loopback addresses on which nobody listened just now.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	var addresses []string
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses
}

// eventually asks until the check is content, or fails the test with its last
// complaint.
func (l *live) eventually(what string, check func() error) {
	l.Helper()
	var watch clock.System
	deadline := watch.Now().Add(patience / 6)
	for {
		err := check()
		if err == nil {
			return
		}
		if watch.Now().After(deadline) {
			l.Fatalf("seed %d: not %s after %s: %v", l.stream.Seed, what, patience/6, err)
		}
		<-time.After(askEvery)
	}
}

// do sends a request and returns the answer's body if the status is as wanted.
func (l *live) do(method, url, key, kind, body string, want int) (string, error) {
	req, err := http.NewRequestWithContext(l.Context(), method, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	if method == http.MethodGet {
		req.Header.Set("Accept", kind)
	} else {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != want {
		err = fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, text)
	}
	return string(text), err
}

// post sends lines and checks that exactly the bad ones are refused.
func (l *live) post(lines []traffic.Line) error {
	text, err := l.do(http.MethodPost, l.gateway+"/v1/reads", l.keys.Unit, "application/x-ndjson",
		traffic.Stream{Lines: lines}.Text(), http.StatusAccepted)
	if err != nil {
		return err
	}
	var answer struct {
		Accepted, Duplicate int
		Rejected            []struct {
			Index  int
			Reason string
		}
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return err
	}
	var got, want []int
	for _, r := range answer.Rejected {
		got = append(got, r.Index)
	}
	for i, line := range lines {
		if line.Rejected {
			want = append(want, i)
		}
	}
	if !slices.Equal(got, want) || answer.Accepted != len(lines)-len(want) {
		l.Errorf("seed %d: of\n%sthe gateway refused %v, must refuse %v: %s", l.stream.Seed, traffic.Stream{Lines: lines}.Text(), got, want, text)
	}
	return nil
}

// charges fetches all charges page by page, each with the reasons why it is
// under review. What charges.csv shows of a pass under review is the same
// whatever the reason; the reasons show also those that others hide.
func (l *live) charges() ([]string, error) {
	lines := []string{}
	after := ""
	for {
		text, err := l.do(http.MethodGet, l.api+"/v1/charges?limit=500"+after, l.keys.Operator, "application/json", "", http.StatusOK)
		if err != nil {
			return nil, err
		}
		var page struct {
			Items []struct {
				PassTime                                          string `json:"pass_time"`
				TollPoint                                         string `json:"toll_point"`
				Vehicle, Account, Class, Amount, Currency, Status string
				Reasons                                           []string
			}
			Next *string
		}
		if err := json.Unmarshal([]byte(text), &page); err != nil {
			return nil, err
		}
		for _, c := range page.Items {
			lines = append(lines, strings.Join([]string{c.PassTime, c.TollPoint, c.Vehicle, c.Account, c.Class, c.Amount,
				c.Currency, c.Status, fmt.Sprint(c.Reasons)}, ","))
		}
		if page.Next == nil {
			return lines, nil
		}
		after = "&after=" + url.QueryEscape(*page.Next)
	}
}

// reasoned gives the oracle's rows as charges does, in the operators' API's
// words.
func reasoned(rows []oracle.Row) []string {
	words := map[string]string{
		oracle.ReasonConflict: "mark-conflict", oracle.ReasonNoClass: "no-class", oracle.ReasonNoTariff: "no-tariff",
		oracle.ReasonWeakPlate: "weak-plate", oracle.ReasonTurnRound: "turn-round", oracle.ReasonSeenBefore: "same-car-twice",
	}
	lines := []string{}
	for i, line := range oracle.ChargesLines(rows) {
		var reasons []string
		for _, reason := range rows[i].Reasons {
			reasons = append(reasons, words[reason])
		}
		slices.Sort(reasons)
		lines = append(lines, line+","+fmt.Sprint(reasons))
	}
	return lines
}

// TestLive: the running system, over HTTP, in small requests as units send
// them, killed and started again on the way; what was not acknowledged is sent
// again.
func TestLive(t *testing.T) {
	struck := 0 // requests that a kill left without an answer
	eachSeed(t, func(t *trial) {
		t.stream.InOrder(t.rng)
		now := clock.System{}.Now().UnixMicro()
		t.stream.Lines = slices.DeleteFunc(t.stream.Lines, func(line traffic.Line) bool {
			// A real gateway refuses reads of the future, and blank lines have
			// no place among the indices of rejected ones.
			return line.TimeMicros > now || strings.TrimSpace(line.Text) == ""
		})
		want := t.expect(t.stream.Lines)
		l := newLive(t)
		if _, err := l.do(http.MethodPut, l.api+"/v1/registry", l.keys.Operator, "text/csv", t.stream.Registry, http.StatusOK); err != nil {
			t.Fatal(err)
		}
		const kills = 3
		killAt := map[int]bool{}
		for range kills {
			killAt[t.rng.IntN(len(t.stream.Lines))] = true
		}
		for at := 0; at < len(t.stream.Lines); {
			// Small requests make small batches, so that what the rules relate
			// lies in different ones.
			end := min(at+1+t.rng.IntN(5), len(t.stream.Lines))
			for i := at; i < end; i++ {
				if killAt[i] {
					l.killSoon()
				}
			}
			if err := l.post(t.stream.Lines[at:end]); err != nil {
				// Killed under the request: it may have been taken or not.
				struck++
				l.kill()
				l.start()
				continue
			}
			at = end
		}
		l.kill()
		l.start()
		l.eventually("all charges posted", func() error {
			last, err := l.charges()
			if err != nil {
				return err
			}
			if diff := compare(reasoned(want.Rows), last); diff != "" {
				return fmt.Errorf("the product differs from the oracle\n%s", diff)
			}
			return nil
		})
		t.verify(l.data)
	})
	if struck == 0 {
		t.Error("no request met a kill")
	}
}

// killSoon kills the process within the next moments, while requests go on.
func (l *live) killSoon() {
	process := l.cmd.Process
	ctx, cancel := context.WithTimeout(l.Context(), time.Duration(l.rng.IntN(int(20*time.Millisecond))))
	go func() {
		defer cancel()
		<-ctx.Done()
		_ = process.Kill() // it may have ended by itself
	}()
}
