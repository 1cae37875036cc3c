package portal

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"freeflow/internal/clock"
)

func TestSignInTellsNothing(t *testing.T) {
	p := newPlace(t)
	wrong := p.browser().try(t, mine, "wrong password")
	unknown := p.browser().try(t, "nobody@example.hk", "wrong password")
	strip := func(page, email string) string {
		page = tokenInForm.ReplaceAllString(page, "")
		return strings.ReplaceAll(page, email, "")
	}
	if wrong.Code != 422 || unknown.Code != 422 ||
		strip(wrong.Body.String(), mine) != strip(unknown.Body.String(), "nobody@example.hk") {
		t.Errorf("%d and %d differ:\n%s\n%s", wrong.Code, unknown.Code, wrong.Body, unknown.Body)
	}
	has(t, "the page", wrong.Body.String(), "Error: Sign in", "is not right", `value="`+mine+`"`, `role="alert"`)
	hasNot(t, "the page", wrong.Body.String(), "Sign out", "wrong password")
	hasNot(t, "the log", p.logs.String(), mine, "nobody@", "wrong password")
}

// TestUnknownEmailsCostTheSame: an empty hash takes the way of a real one,
// through the queue for the costly work, instead of being answered at once.
func TestUnknownEmailsCostTheSame(t *testing.T) {
	checks, err := newPasswords()
	if err != nil {
		t.Fatal(err)
	}
	for range cap(checks.slots) {
		checks.slots <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if ok, err := checks.check(ctx, "", "x"); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("answered without waiting: %v, %v", ok, err)
	}
}

func TestSignInAndOut(t *testing.T) {
	p := newPlace(t)
	b := p.browser()
	b.cookies[cookieSession] = "planted"
	w := b.try(t, "  "+strings.ToUpper(mine)+" ", password)
	if w.Code != 303 || w.Header().Get("Location") != "/" || b.cookies[cookieSession] == "planted" {
		t.Fatalf("%d, session %q", w.Code, b.cookies[cookieSession])
	}
	page := b.get("/").Body.String()
	has(t, "home", page, "Signed in as", mine)
	if w := b.get("/sign-in"); w.Code != 303 {
		t.Errorf("the sign-in page when signed in: %d", w.Code)
	}
	if w := b.post("/sign-out", url.Values{}); w.Code != 403 {
		t.Errorf("signing out without the token: %d", w.Code)
	}
	if w := b.get("/sign-out"); w.Code != 404 && w.Code != 405 {
		t.Errorf("signing out by GET: %d", w.Code)
	}
	old := b.cookies[cookieSession]
	if w := b.post("/sign-out", url.Values{"token": {token(t, page)}}); w.Code != 303 || w.Header().Get("Clear-Site-Data") == "" {
		t.Errorf("signing out: %d", w.Code)
	}
	b.cookies[cookieSession] = old
	if w := b.get("/"); w.Code != 303 {
		t.Errorf("the old cookie still works: %d", w.Code)
	}
	if w := b.post("/sign-out", url.Values{}); w.Code != 303 {
		t.Errorf("signing out twice: %d", w.Code)
	}
}

func TestForeignFormsAreRefused(t *testing.T) {
	p := newPlace(t)
	b := p.browser()
	good := url.Values{"token": {token(t, b.get("/sign-in").Body.String())}, "email": {mine}, "password": {password}}
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.test"}, {"Origin", "null"},
	} {
		if w := b.post("/sign-in", good, header...); w.Code != 403 {
			t.Errorf("%v: %d", header, w.Code)
		}
	}
	stranger := p.browser()
	if w := stranger.post("/sign-in", good); w.Code != 403 {
		t.Errorf("a token without its cookie: %d", w.Code)
	}
	if w := b.post("/sign-in", url.Values{"email": {mine}, "password": {password}}); w.Code != 403 {
		t.Errorf("no token: %d", w.Code)
	}
	if w := b.post("/sign-in", good, "Sec-Fetch-Site", "same-origin", "Origin", "http://example.com"); w.Code != 303 {
		t.Errorf("the real form: %d", w.Code)
	}
}

func TestAccountHasToWait(t *testing.T) {
	p := newPlace(t)
	owner := p.signedIn(t) // from a device that is now known
	stranger := p.browser()
	refused := 0
	for range 10 {
		if w := stranger.try(t, mine, "guess", "From-Address", "198.51.100.7:1"); w.Code == 429 {
			refused++
			if w.Header().Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		}
	}
	if refused != 10-freeFailures-1 {
		t.Errorf("%d of ten guesses were refused", refused)
	}
	if w := p.browser().try(t, mine, password, "From-Address", "198.51.100.8:1"); w.Code != 429 {
		t.Errorf("the right password meanwhile, from elsewhere: %d", w.Code)
	}
	delete(owner.cookies, cookieSession)
	if w := owner.try(t, mine, password, "From-Address", "198.51.100.9:1"); w.Code != 303 {
		t.Errorf("the owner's own device was locked out: %d", w.Code)
	}
	p.clock.Advance(longestDelay)
	if w := p.browser().try(t, mine, password, "From-Address", "198.51.100.10:1"); w.Code != 303 {
		t.Errorf("after the wait: %d", w.Code)
	}
}

func TestAddressHasToWait(t *testing.T) {
	clk := clock.At(now)
	th := newThrottle(clk)
	passed := 0
	for n := range 50 {
		if th.enter("2001:db8::"+string(rune('1'+n%9)), "email "+string(rune('a'+n))) == 0 {
			passed++
		}
	}
	if passed != attemptsAtOnce {
		t.Errorf("%d attempts from one network", passed)
	}
	if th.enter("2001:db8:0:1::1", "x") != 0 {
		t.Error("another network has to wait too")
	}
	wait := th.enter("2001:db8::1", "y")
	if wait <= 0 || wait > attemptEvery {
		t.Errorf("wait %v", wait)
	}
	clk.Advance(wait)
	if th.enter("2001:db8::1", "y") != 0 {
		t.Error("still refused after the wait")
	}
}

func TestSessionsEnd(t *testing.T) {
	clk := clock.At(now)
	s := newSessions(clk)
	n := s.begin("A1", mine)
	for range int(sessionLife/sessionIdle) + 3 {
		clk.Advance(sessionIdle - time.Second)
		if clk.Now().Sub(now) < sessionLife && s.find(n.id) == nil {
			t.Fatalf("ended after %v of use", clk.Now().Sub(now))
		}
	}
	if s.find(n.id) != nil {
		t.Error("outlived its life by being used")
	}
	n = s.begin("A1", mine)
	clk.Advance(sessionIdle)
	if s.alive(n) {
		t.Error("still alive after nobody used it")
	}
	select {
	case <-n.ended:
	default:
		t.Error("its streams were not told")
	}
	if len(s.byWho) != 0 || s.byID.Len() != 0 {
		t.Errorf("something is left: %d, %d", len(s.byWho), s.byID.Len())
	}
}

func TestSessionsAreBoundedPerAccount(t *testing.T) {
	s := newSessions(clock.At(now))
	var all []*session
	for range maxSessionsEach + 2 {
		all = append(all, s.begin("A1", mine))
	}
	other := s.begin("A2", "wong@example.hk")
	for i, n := range all {
		if got := s.find(n.id) != nil; got != (i >= 2) {
			t.Errorf("session %d: found %v", i, got)
		}
	}
	if s.find(other.id) == nil || s.find("") != nil || s.find("x") != nil {
		t.Error("sessions of others are touched, or made up")
	}
}

func TestPasswords(t *testing.T) {
	for _, bad := range []string{"", "1234567", strings.Repeat("x", maxPassword+1)} {
		if _, err := HashPassword(bad); err == nil {
			t.Errorf("a password of %d bytes was taken", len(bad))
		}
	}
	checks, err := newPasswords()
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("密", maxPassword/3)
	for _, pw := range []string{password, long} {
		phc, err := HashPassword(pw)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := HashPassword(pw)
		if phc == again {
			t.Error("two hashes of one password are equal")
		}
		for try, want := range map[string]bool{pw: true, pw + "x": false, pw[1:]: false, "": false, strings.Repeat("x", 10_000): false} {
			if ok, err := checks.check(t.Context(), phc, try); ok != want || err != nil {
				t.Errorf("%.20q: %v, %v", try, ok, err)
			}
		}
	}
	if ok, err := checks.check(t.Context(), "", password); ok || err != nil {
		t.Errorf("nobody's password: %v, %v", ok, err)
	}
	if _, err := checks.check(t.Context(), "$argon2id$v=19$m=99999999,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA", "x"); err == nil {
		t.Error("a hash that asks for 95 GB was computed")
	}
}

func FuzzParseHash(f *testing.F) {
	for _, s := range []string{
		"", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
		"$argon2id$v=19$m=19456,t=2,p=536870912$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
		"$argon2i$v=19$m=8,t=0,p=1$$", "$argon2id$v=19$m=8,t=1,p=1 $c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parseHash(s)
		if err != nil {
			return
		}
		if h.memory > maxHashMemory || h.time == 0 || h.time > maxHashTime || h.lanes == 0 || h.lanes > maxHashLanes ||
			h.memory < 8*uint32(h.lanes) || len(h.salt) < 8 || len(h.sum) < 16 {
			t.Errorf("%q gave %+v", s, h)
		}
	})
}
