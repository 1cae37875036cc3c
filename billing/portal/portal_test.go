package portal

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/internal/audit"
	"freeflow/internal/clock"
	"freeflow/internal/web"
)

const (
	mine     = "chan@example.hk"
	password = "correct horse"
)

var (
	hk  = time.FixedZone("HKT", 8*3600)
	now = time.Date(2026, 11, 23, 18, 40, 0, 0, hk)
)

type names struct{}

// views reads the audit trail.
type views struct{ *books.Store }

func (v views) Views(ctx context.Context, account, before string, limit int) (list []audit.Seen, err error) {
	err = v.View(ctx, func(tx *books.Tx) error {
		list, err = audit.Views(ctx, tx.Session(), account, before, limit)
		return err
	})
	return list, err
}

func (names) TollPoint(name string) (en, zh string) {
	if name == "CHT-N" {
		return "Cross-Harbour Tunnel (to Kowloon)", "紅磡海底隧道（往九龍）"
	}
	return "", ""
}

func (names) Class(name string) (en, zh string) { return "Class " + name, "" }

// place is a portal over real books, and a browser's cookies.
type place struct {
	*echo.Echo
	portal *Portal
	books  *books.Store
	clock  *clock.Fixed
	logs   *bytes.Buffer
	next   int64
}

func newPlace(t *testing.T, change ...func(*Parts)) *place {
	t.Helper()
	p := &place{clock: clock.At(now), logs: &bytes.Buffer{}}
	log := slog.New(slog.NewTextHandler(p.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	p.books, err = books.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "books.db"),
		books.Options{Migrate: true, Clock: p.clock, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.books.Close(); err != nil {
			t.Error(err)
		}
	})
	for email, account := range map[string]string{mine: "A1", "wong@example.hk": "A2"} {
		hash, err := HashPassword(password)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.books.PutLogin(t.Context(), billing.Login{Email: email, Account: account, PasswordHash: hash}); err != nil {
			t.Fatal(err)
		}
	}
	parts := Parts{Books: p.books, Views: views{p.books}, Logins: p.books, Names: names{}, Feed: NewFeed(), Zone: hk, Clock: p.clock, Log: log}
	for _, f := range change {
		f(&parts)
	}
	if p.portal, err = New(parts); err != nil {
		t.Fatal(err)
	}
	p.Echo = web.NewEcho(log, p.clock)
	p.portal.Routes(p.Echo)
	return p
}

// browser keeps cookies as a browser does.
type browser struct {
	*place
	cookies map[string]string
}

func (p *place) browser() *browser { return &browser{p, map[string]string{}} }

func (b *browser) send(r *http.Request) *httptest.ResponseRecorder {
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	if r.Header.Get("Accept") == "" {
		r.Header.Set("Accept", "text/html")
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
	return w
}

func (b *browser) get(target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return b.send(r)
}

func (b *browser) post(target string, form url.Values, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", target, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		if header[i] == "From-Address" {
			r.RemoteAddr = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	return b.send(r)
}

var tokenInForm = regexp.MustCompile(`name="token" value="([^"]+)"`)

func token(t *testing.T, page string) string {
	t.Helper()
	m := tokenInForm.FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no token in %s", page)
	}
	return m[1]
}

// try signs in as a browser would: it opens the page and sends its form.
func (b *browser) try(t *testing.T, email, password string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	page := b.get("/sign-in").Body.String()
	return b.post("/sign-in", url.Values{"token": {token(t, page)}, "email": {email}, "password": {password}}, header...)
}

func (p *place) signedIn(t *testing.T) *browser {
	t.Helper()
	b := p.browser()
	if w := b.try(t, mine, password); w.Code != 303 {
		t.Fatalf("signing in: %d %s", w.Code, w.Body)
	}
	return b
}

func id(n int) string { return fmt.Sprintf("%032x", n) }

// pass makes the n-th pass, n minutes before the portal's now.
func pass(n int) billing.Pass {
	at := now.Add(-time.Duration(n) * time.Minute).UnixMicro()
	return billing.Pass{ID: id(n), Facility: "CHT", TollPoint: "CHT-N", Vehicle: "AB1234", Registered: true,
		FirstMicros: at, LastMicros: at, Revision: 1, Status: billing.StatusCharged, Class: "taxi", Account: "A1",
		AmountCents: 2500, Currency: "HKD", Rule: "CHT taxi: 25.00", TariffVersion: "v1"}
}

func (p *place) put(t *testing.T, passes ...billing.Pass) {
	t.Helper()
	err := p.books.Post(t.Context(), billing.Batch{From: p.next, To: p.next + 1, PostedAt: now, Passes: passes})
	if err != nil {
		t.Fatal(err)
	}
	p.next++
}

func has(t *testing.T, what, page string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !strings.Contains(page, want) {
			t.Errorf("%s lacks %q in %s", what, want, page)
		}
	}
}

func hasNot(t *testing.T, what, page string, unwanted ...string) {
	t.Helper()
	for _, no := range unwanted {
		if strings.Contains(page, no) {
			t.Errorf("%s has %q", what, no)
		}
	}
}

func TestHomeShowsWhatIOwe(t *testing.T) {
	p := newPlace(t)
	b := p.signedIn(t)
	has(t, "an empty page", b.get("/").Body.String(), "Nothing to pay", "No passes in this month")

	review, exempt := pass(2), pass(3)
	review.Status, review.AmountCents, review.Reasons, review.Rule = billing.StatusReview, 0, "weak-plate", ""
	exempt.Status, exempt.AmountCents, exempt.TollPoint = billing.StatusExempt, 0, "XYZ-N"
	p.put(t, pass(1), review, exempt, pass(4))
	page := b.get("/").Body.String()
	has(t, "the page", page, "HK$50.00", "November 2026", "4 passes", "HK$50.00 charged", "1 being checked",
		"<b>Cross-Harbour Tunnel</b>", "to Kowloon", "AB1234 · Class taxi", "Being checked", "Exempt", "CHT taxi: 25.00",
		"<b>XYZ-N</b>", ">18:39<", "23 November 2026, 18:39:00", `href="/passes/`+id(1))
	if strings.Index(page, id(1)) > strings.Index(page, id(4)) {
		t.Error("the newest pass does not stand first")
	}
	has(t, "the Chinese page", b.get("/?lang=zh-HK").Body.String(), `<html lang="zh-HK">`, "尚欠", "紅磡海底隧道", "往九龍",
		"核對中", "豁免", "2026年11月23日 星期一", "4 次通行")
	has(t, "the next page, remembering", b.get("/").Body.String(), `<html lang="zh-HK">`)
}

func TestNothingOfOthersIsShown(t *testing.T) {
	p := newPlace(t)
	theirs, nobodys := pass(1), pass(2)
	theirs.Account, theirs.Vehicle = "A2", "ZZ9999"
	nobodys.Account, nobodys.Status, nobodys.Vehicle = "", billing.StatusUnpaid, "plate:YY1"
	p.put(t, theirs, nobodys, pass(3))
	b := p.signedIn(t)
	page := b.get("/").Body.String()
	has(t, "my page", page, id(3), "HK$25.00")
	hasNot(t, "my page", page, "ZZ9999", "YY1", id(1), id(2))
	missing := b.get("/passes/" + id(99))
	for n, want := range map[int]int{1: 404, 2: 404, 3: 200} {
		w := b.get("/passes/" + id(n))
		if w.Code != want {
			t.Errorf("pass %d: %d", n, w.Code)
		}
		if want == 404 && w.Body.String() != missing.Body.String() {
			t.Errorf("a stranger's pass is answered otherwise than one that does not exist")
		}
	}
	stranger := p.browser()
	for _, target := range []string{"/", "/passes/" + id(3)} {
		if w := stranger.get(target); w.Code != 303 || w.Header().Get("Location") != "/sign-in" || w.Body.Len() > 0 {
			t.Errorf("%s without signing in: %d %s", target, w.Code, w.Body)
		}
	}
	if w := stranger.get("/events"); w.Code != 401 {
		t.Errorf("/events without signing in: %d", w.Code)
	}
}

func TestRecordShowsPostingsAndHistory(t *testing.T) {
	p := newPlace(t)
	p.put(t, pass(1))
	cheaper := pass(1)
	cheaper.Revision, cheaper.AmountCents = 2, 1000
	p.put(t, cheaper)
	page := p.signedIn(t).get("/passes/" + id(1)).Body.String()
	has(t, "the record", page, "HK$10.00", "Toll charged", "Charge taken back", "−HK$25.00", "HK$25.00", "How it changed", id(1))
	hasNot(t, "the record", page, "operator:")
	theirs := pass(1)
	theirs.Revision, theirs.Account = 3, "A2"
	p.put(t, theirs)
	if w := p.signedIn(t).get("/passes/" + id(1)); w.Code != 404 {
		t.Errorf("a pass that went to another account: %d", w.Code)
	}
}

func TestMonthsAndPages(t *testing.T) {
	p := newPlace(t)
	var passes []billing.Pass
	for n := range 2*pageRows + 5 {
		passes = append(passes, pass(n))
	}
	october := pass(999)
	october.FirstMicros = time.Date(2026, 10, 31, 23, 59, 59, 999999000, hk).UnixMicro()
	october.LastMicros = october.FirstMicros
	november := pass(998)
	november.FirstMicros = time.Date(2026, 11, 1, 0, 0, 0, 0, hk).UnixMicro()
	november.LastMicros = november.FirstMicros
	november.Vehicle = "CD1"
	p.put(t, append(passes, october, november)...)
	b := p.signedIn(t)
	seen := map[string]int{}
	order := ""
	for _, target := range []string{"/", "/?page=2", "/?page=3"} {
		page := b.get(target).Body.String()
		found := regexp.MustCompile(`id="p-([0-9a-f]{32})"`).FindAllStringSubmatch(page, -1)
		for _, m := range found {
			seen[m[1]]++
			order += m[1] + " "
		}
		has(t, target, page, "106 passes", "HK$2,650.00 charged")
	}
	if len(seen) != 2*pageRows+6 || seen[october.ID] != 0 || seen[november.ID] != 1 {
		t.Errorf("%d passes on three pages, october's %d times", len(seen), seen[october.ID])
	}
	if !strings.HasPrefix(order, id(0)+" "+id(1)) || !strings.HasSuffix(order, id(104)+" "+november.ID+" ") {
		t.Error("the passes are not newest first")
	}
	has(t, "the second page", b.get("/?page=2").Body.String(), `href="/"`, `href="/?page=3"`, "Page 2 / 3",
		`href="/?month=2026-10"`, `href="?lang=zh-HK&amp;page=2"`)
	page := b.get("/?month=2026-10").Body.String()
	has(t, "October", page, october.ID, "October 2026", `href="/?month=2026-09"`, `href="/"`)
	hasNot(t, "October", page, november.ID, "data-live")
	for _, bad := range []string{"?month=2026-12", "?month=2019-12", "?month=next", "?page=0", "?page=4", "?page=-1", "?page=x"} {
		if w := b.get("/" + bad); w.Code != 404 {
			t.Errorf("%s: %d", bad, w.Code)
		}
	}
}

func TestOutsideTextIsEscaped(t *testing.T) {
	p := newPlace(t)
	evil := pass(1)
	evil.Vehicle, evil.Rule = `plate:<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`
	p.put(t, evil)
	b := p.signedIn(t)
	for _, target := range []string{"/", "/passes/" + id(1), `/nowhere"><script>alert(1)</script>`, `/?lang="><script>`} {
		hasNot(t, target, b.get(target).Body.String(), "<script>", "<img")
	}
	w := p.browser().try(t, `"><script>alert(1)</script>@x`, "wrong password")
	hasNot(t, "the sign-in page", w.Body.String(), "<script>alert")
}

// TestPagesKeepToTheContentPolicy: nothing inline, nobody else's host, all
// headers on every answer, errors included.
func TestPagesKeepToTheContentPolicy(t *testing.T) {
	p := newPlace(t, func(parts *Parts) { parts.Secure = true })
	p.put(t, pass(1))
	b := p.signedIn(t)
	inline := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|<script[^>]*>[^<]|https?://`)
	for _, target := range []string{"/", "/passes/" + id(1), "/sign-in?lang=en", "/nowhere", "/passes/x"} {
		from := b
		if strings.HasPrefix(target, "/sign-in") {
			from = p.browser()
		}
		w := from.get(target)
		icon := "xmlns='http://www.w3.org/2000/svg'"
		if m := inline.FindString(strings.ReplaceAll(w.Body.String(), icon, "")); m != "" {
			t.Errorf("%s: %q is inline or foreign", target, m)
		}
		for header, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; style-src 'self'", "X-Content-Type-Options": "nosniff",
			"Referrer-Policy": "same-origin", "Cache-Control": "no-store", "Vary": "Cookie", "Cross-Origin-Opener-Policy": "same-origin",
		} {
			if !strings.Contains(w.Header().Get(header), want) {
				t.Errorf("%s: %s is %q", target, header, w.Header().Get(header))
			}
		}
	}
	for name := range b.cookies {
		if !strings.HasPrefix(name, "__Host-") {
			t.Errorf("cookie %s is not bound to the host", name)
		}
	}
}

func TestCookiesAreBound(t *testing.T) {
	for _, secure := range []bool{false, true} {
		p := newPlace(t, func(parts *Parts) { parts.Secure = secure })
		b := p.browser()
		w := b.try(t, mine, password)
		var session *http.Cookie
		for _, c := range w.Result().Cookies() {
			if strings.HasSuffix(c.Name, cookieSession) {
				session = c
			}
		}
		if session == nil || !session.HttpOnly || session.SameSite != http.SameSiteLaxMode || session.Secure != secure ||
			session.Path != "/" || session.Domain != "" || len(session.Value) < 43 {
			t.Errorf("secure %v: session cookie %+v", secure, session)
		}
	}
}

func TestAssets(t *testing.T) {
	p := newPlace(t)
	page := p.browser().get("/sign-in").Body.String()
	links := regexp.MustCompile(`/assets/[a-z0-9.-]+`).FindAllString(page, -1)
	if len(links) != 2 {
		t.Fatalf("links %v", links)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(page))
	for _, link := range links {
		w := p.browser().get(link)
		if w.Code != 200 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || w.Body.Len() == 0 {
			t.Errorf("%s: %d %q", link, w.Code, w.Header().Get("Cache-Control"))
		}
		_, _ = z.Write(w.Body.Bytes())
	}
	_ = z.Close()
	if packed.Len() > 50<<10 {
		t.Errorf("the first load weighs %d bytes", packed.Len())
	}
	if w := p.browser().get("/assets/portal-000000000000.css"); w.Code != 404 {
		t.Errorf("an old asset: %d", w.Code)
	}
}

func TestErrorsArePagesForBrowsersOnly(t *testing.T) {
	p := newPlace(t)
	w := p.browser().get("/nowhere")
	if w.Code != 404 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
		t.Errorf("a browser: %d %s", w.Code, w.Header().Get("Content-Type"))
	}
	w = p.browser().get("/nowhere", "Accept", "application/json")
	if w.Code != 404 || w.Header().Get("Content-Type") != web.ContentTypeProblem {
		t.Errorf("a program: %d %s", w.Code, w.Header().Get("Content-Type"))
	}
	p = newPlace(t, func(parts *Parts) { parts.Books = brokenBooks{} })
	w = p.signedIn(t).get("/")
	if w.Code != 500 || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	has(t, "the error page", w.Body.String(), "The fault is ours", w.Header().Get("X-Request-Id"))
	has(t, "the log", p.logs.String(), "disk secret.db on fire")
}

// brokenBooks fail in words that no motorist should read.
type brokenBooks struct{ Books }

func (brokenBooks) Balances(context.Context, []string) ([]billing.Balance, error) {
	return nil, fmt.Errorf("disk secret.db on fire")
}

func TestNewWantsEveryPart(t *testing.T) {
	if _, err := New(Parts{}); err == nil {
		t.Error("a portal of nothing")
	}
}
