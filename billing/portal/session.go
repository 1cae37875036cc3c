package portal

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/internal/clock"
	"freeflow/internal/recent"
)

// Bounds of sessions.
const (
	sessionIdle     = 2 * time.Hour
	sessionLife     = 12 * time.Hour
	maxSessions     = 50_000
	maxSessionsEach = 10 // per account; the oldest goes first
)

// session is one signed-in browser.
type session struct {
	id      string // the cookie's value; kept in memory only
	account string
	email   string
	born    time.Time
	used    time.Time
	// ended is closed when the session ends, so that open streams end too.
	ended chan struct{}
}

// sessions keeps who is signed in, in memory: a restart signs everybody out.
// Safe for concurrent use.
type sessions struct {
	clock clock.Clock
	mu    sync.Mutex
	byID  *recent.Map[[sha256.Size]byte, *session]
	byWho map[string][]*session // by account, oldest first
}

func newSessions(clk clock.Clock) *sessions {
	s := &sessions{clock: clk, byWho: map[string][]*session{}}
	s.byID = recent.New[[sha256.Size]byte](maxSessions, s.gone)
	return s
}

// begin signs an account in and returns the new session.
func (s *sessions) begin(account, email string) *session {
	now := s.clock.Now()
	n := &session{id: randomText(), account: account, email: email, born: now, used: now, ended: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.byWho[account]; len(have) >= maxSessionsEach {
		s.byID.Remove(sessionKey(have[0].id))
	}
	s.byID.Put(sessionKey(n.id), n)
	s.byWho[account] = append(s.byWho[account], n)
	return n
}

// find returns the live session of an id and counts as its use, nil if there
// is none.
func (s *sessions) find(id string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Looking up by a digest tells nothing about ids by the time it takes.
	key := sessionKey(id)
	n, ok := s.byID.Get(key)
	if !ok {
		return nil
	}
	now := s.clock.Now()
	if s.over(n, now) {
		s.byID.Remove(key)
		return nil
	}
	n.used = now
	return n
}

// alive reports whether the session still stands, without counting as a use.
func (s *sessions) alive(n *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-n.ended:
		return false
	default:
	}
	if s.over(n, s.clock.Now()) {
		s.byID.Remove(sessionKey(n.id))
		return false
	}
	return true
}

func (s *sessions) over(n *session, now time.Time) bool {
	return now.Sub(n.used) >= sessionIdle || now.Sub(n.born) >= sessionLife
}

// end signs a session out.
func (s *sessions) end(n *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byID.Remove(sessionKey(n.id))
}

// gone tidies up after a session that was removed; the lock is held.
func (s *sessions) gone(n *session) {
	close(n.ended)
	have := s.byWho[n.account]
	for i := range have {
		if have[i] == n {
			have = append(have[:i:i], have[i+1:]...)
			break
		}
	}
	if len(have) == 0 {
		delete(s.byWho, n.account)
		return
	}
	s.byWho[n.account] = have
}

func sessionKey(id string) [sha256.Size]byte { return sha256.Sum256([]byte(id)) }

// randomText returns 256 random bits as text.
func randomText() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// seal binds texts to this process: only it can make or check one.
type seal [32]byte

func newSeal() (s seal) {
	_, _ = rand.Read(s[:])
	return s
}

func (s seal) of(purpose, text string) string {
	m := hmac.New(sha256.New, s[:])
	m.Write([]byte(purpose + "\x00" + text))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

func (s seal) holds(purpose, text, sealed string) bool {
	return subtle.ConstantTimeCompare([]byte(s.of(purpose, text)), []byte(sealed)) == 1
}

// Account returns the account of the request's session, which counts as its use;
// ok is false where nobody is signed in, or not any more.
func (p *Portal) Account(c echo.Context) (id string, ok bool) {
	s := p.who(c)
	if s == nil {
		return "", false
	}
	return s.account, true
}

// Names of cookies. Where the portal is reached by https they are bound to the
// host and to https by the __Host- prefix; browsers refuse that prefix on
// plain http, so there the plain names are used.
const (
	cookieSession  = "freeflow-session"
	cookieForm     = "freeflow-form"
	cookieDevice   = "freeflow-device"
	cookieLanguage = "freeflow-language"
)

func (p *Portal) cookieName(name string) string {
	if p.Secure {
		return "__Host-" + name
	}
	return name
}

// cookie returns the value of a cookie; empty if it did not come.
func (p *Portal) cookie(r *http.Request, name string) string {
	c, err := r.Cookie(p.cookieName(name))
	if err != nil || len(c.Value) > 512 {
		return ""
	}
	return c.Value
}

// setCookie sets a cookie that scripts cannot read and other sites cannot
// send along; life 0 means until the browser ends, negative deletes it.
func (p *Portal) setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	c := &http.Cookie{
		Name: p.cookieName(name), Value: value, Path: "/", MaxAge: int(life / time.Second),
		Secure: p.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	http.SetCookie(w, c)
}
