package load

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// usage is what one process used during the run, as Linux counts it.
type usage struct {
	PID  int    `json:"pid"`
	Name string `json:"name"`
	// RSS is resident memory in bytes: when the run began, at its greatest
	// sample and at its end.
	RSSFirst int64 `json:"rss_first"`
	RSSMost  int64 `json:"rss_most"`
	RSSLast  int64 `json:"rss_last"`
	// CPUSeconds is the CPU time used, user and system.
	CPUSeconds float64 `json:"cpu_seconds"`
	// Gone is true if the process ended during the run.
	Gone bool `json:"gone,omitempty"`

	ticks int64
}

// ticksPerSecond is Linux's USER_HZ, which is 100 on every platform Go runs on.
const ticksPerSecond = 100

// newUsages begins to watch the processes.
func newUsages(pids []int) ([]*usage, error) {
	var all []*usage
	for _, pid := range pids {
		u := &usage{PID: pid}
		rss, ticks, name, err := readProcess(pid)
		if err != nil {
			return nil, fmt.Errorf("watching process %d: %w", pid, err)
		}
		u.Name, u.ticks, u.RSSFirst, u.RSSMost, u.RSSLast = name, ticks, rss, rss, rss
		all = append(all, u)
	}
	return all, nil
}

// sample looks at the process once more.
func (u *usage) sample() {
	rss, ticks, _, err := readProcess(u.PID)
	if err != nil {
		u.Gone = true
		return
	}
	u.RSSLast, u.RSSMost = rss, max(u.RSSMost, rss)
	u.CPUSeconds = float64(ticks-u.ticks) / ticksPerSecond
}

// readProcess reads resident memory in bytes, CPU time in ticks and the name
// from /proc.
func readProcess(pid int) (rss, ticks int64, name string, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, "", err
	}
	return parseStat(text)
}

// parseStat reads a line of /proc/PID/stat. The name stands in parentheses and
// may hold anything, parentheses too.
func parseStat(text []byte) (rss, ticks int64, name string, err error) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return 0, 0, "", fmt.Errorf("%q is no process status", text)
	}
	fields := strings.Fields(string(text[end+1:]))
	// Counted from the state, which is field 3: 14 and 15 are user and system
	// time, 24 the resident pages.
	if len(fields) < 22 {
		return 0, 0, "", fmt.Errorf("%q is no process status", text)
	}
	var n [3]int64
	for i, field := range []int{14, 15, 24} {
		if n[i], err = strconv.ParseInt(fields[field-3], 10, 64); err != nil {
			return 0, 0, "", fmt.Errorf("reading a process status: %w", err)
		}
	}
	return n[2] * int64(os.Getpagesize()), n[0] + n[1], string(text[open+1 : end]), nil
}
