package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// LockedError says that another process works on the data folder.
type LockedError struct {
	Dir string
	// PID is the other process as it wrote itself down; zero if unknown.
	PID int
}

// Error says who holds the folder and what to do.
func (e *LockedError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("the data folder %s is in use by %s; stop it, or give another folder", e.Dir, who)
}

// lock takes dir for this process. The lock is the operating system's and goes
// with the process, however it ends; the file's content only says whose it is.
func lock(dir string) (unlock func() error, err error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		text, readErr := os.ReadFile(path)
		if readErr != nil {
			return nil, errors.Join(&LockedError{Dir: dir}, readErr)
		}
		// A file that says nothing sensible leaves the number at zero.
		pid, atoiErr := strconv.Atoi(strings.TrimSpace(string(text)))
		if atoiErr != nil {
			pid = 0
		}
		return nil, &LockedError{Dir: dir, PID: pid}
	}
	if err := write(f, strconv.Itoa(os.Getpid())+"\n"); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), f.Close())
	}
	// Closing frees the lock. The file stays: removing it would let a third
	// process lock a file that has no name any more.
	return f.Close, nil
}

func write(f *os.File, text string) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(text), 0)
	return err
}
