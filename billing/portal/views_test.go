package portal

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/billing/books"
	"freeflow/internal/audit"
)

// note leaves the row of a view.
func (p *place) note(t *testing.T, a audit.Access) {
	t.Helper()
	a.At = p.clock.Now()
	err := p.books.Do(t.Context(), func(tx *books.Tx) error { return audit.Note(t.Context(), tx.Session(), a) })
	if err != nil {
		t.Fatal(err)
	}
	p.clock.Advance(time.Second)
}

// TestWhoLooked: the page tells when, in which role, what and why, in both
// languages, names nobody, and shows no other's.
func TestWhoLooked(t *testing.T) {
	p := newPlace(t)
	b := p.browser()
	if w := b.get("/views"); w.Code != 303 || w.Header().Get("Location") != "/sign-in" {
		t.Errorf("signed out: %d %v", w.Code, w.Header())
	}
	if w := b.try(t, mine, password); w.Code != 303 {
		t.Fatal(w.Body)
	}
	if w := b.get("/"); !strings.Contains(w.Body.String(), `href="/views"`) {
		t.Error("the home page does not lead there")
	}
	if w := b.get("/views"); !strings.Contains(w.Body.String(), english.NoViews) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	clerk := audit.Actor{Name: "Chan Tai Man", Role: "operator"}
	p.note(t, audit.Access{By: clerk, Act: audit.Viewed, Page: "GET /v1/passes/{id}", Subject: audit.Subject{Kind: "pass", ID: "p1"}, Accounts: []string{"A1"}, Records: 1, Reason: "<b>call</b> 4711"})
	p.note(t, audit.Access{By: clerk, Act: audit.Listed, Page: "GET /v1/charges", Subject: audit.Subject{Kind: "charges", ID: "x"}, Accounts: []string{"A2"}, Records: 2, Reason: "of another"})
	p.note(t, audit.Access{By: audit.Actor{Name: "job", Role: "auditor"}, Act: audit.Exported, Page: "freeflow audit export", Subject: audit.Subject{Kind: "log", ID: "all"}, Accounts: []string{audit.Everybody}})
	for lang, want := range map[string][]string{
		"en":    {english.OneViewed, "1 record of yours", english.OneExported, english.Everybody, "&lt;b&gt;call&lt;/b&gt; 4711", english.StaffRole, "auditor", english.ViewNoReason, "23 November 2026, 18:40:00", "GET /v1/passes/{id}"},
		"zh-HK": {chinese.OneViewed, chinese.OneExported, chinese.Everybody, chinese.StaffRole, "2026年11月23日 18:40:00", chinese.ViewsTitle},
	} {
		body := b.get("/views?lang=" + lang).Body.String()
		for _, text := range want {
			if !strings.Contains(body, text) {
				t.Errorf("in %s %q is missing: %s", lang, text, body)
			}
		}
		for _, text := range []string{"Chan Tai Man", "of another", "<b>call"} {
			if strings.Contains(body, text) {
				t.Errorf("in %s %q is told", lang, text)
			}
		}
	}
	rows := func() (n int) {
		list, err := p.portal.Views.Views(t.Context(), "A1", "", 500)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	if n := rows(); n != 2 {
		t.Errorf("%d rows: the motorist's own view left one", n)
	}
	for i := range shownViews {
		p.note(t, audit.Access{By: clerk, Act: audit.Viewed, Page: "GET /v1/passes/{id}", Subject: audit.Subject{Kind: "pass", ID: "p"}, Accounts: []string{"A1"}, Records: 1, Reason: fmt.Sprint("reason ", i, " end")})
	}
	body := b.get("/views").Body.String()
	link := strings.Index(body, `href="/views?before=`)
	if link < 0 || strings.Count(body, "<dl ") != shownViews {
		t.Fatalf("%d views on the first page, link at %d", strings.Count(body, "<dl "), link)
	}
	older, _, _ := strings.Cut(body[link+len(`href="`):], `"`)
	if body := b.get(older).Body.String(); strings.Count(body, "<dl ") != 2 || !strings.Contains(body, "4711") {
		t.Errorf("the second page is %s", body)
	}
	for _, bad := range []string{"%00", "A", "~", strings.Repeat("a", 65)} {
		if w := b.get("/views?before=" + bad); w.Code != 404 {
			t.Errorf("before %q: %d", bad, w.Code)
		}
	}
}

// TestAccountOfASession is what the API beside the pages goes by.
func TestAccountOfASession(t *testing.T) {
	p := newPlace(t)
	b := p.browser()
	ask := func() string {
		var id string
		p.GET("/who-test", func(c echo.Context) error {
			id, _ = p.portal.Account(c)
			return c.NoContent(204)
		})
		b.get("/who-test")
		return id
	}
	if id := ask(); id != "" {
		t.Errorf("signed out it is %q", id)
	}
	if w := b.try(t, mine, password); w.Code != 303 {
		t.Fatal(w.Body)
	}
	if id := ask(); id != "A1" {
		t.Errorf("signed in it is %q", id)
	}
	p.clock.Advance(sessionIdle)
	if id := ask(); id != "" {
		t.Errorf("after the session's end it is %q", id)
	}
}
