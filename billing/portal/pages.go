package portal

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"

	"github.com/labstack/echo/v4"

	"freeflow/internal/web"
)

//go:embed pages/*.html
var pageFiles embed.FS

//go:embed assets/portal.css
var styleSheet []byte

//go:embed assets/portal.js
var script []byte

// asset is one file that pages refer to. Its name carries a digest of what is
// in it, so that browsers may keep it for good.
type asset struct {
	name, kind string
	body       []byte
}

type assets struct{ css, js asset }

func newAssets() assets {
	named := func(stem, ext, kind string, body []byte) asset {
		sum := sha256.Sum256(body)
		return asset{stem + "-" + hex.EncodeToString(sum[:6]) + ext, kind, body}
	}
	return assets{
		css: named("portal", ".css", "text/css; charset=utf-8", styleSheet),
		js:  named("portal", ".js", "text/javascript; charset=utf-8", script),
	}
}

func (p *Portal) asset(c echo.Context) error {
	for _, a := range []asset{p.assets.css, p.assets.js} {
		if c.Param("name") == a.name {
			c.Response().Header().Set("Cache-Control", "public, max-age=31536000, immutable")
			c.Response().Header().Del("Vary")
			return c.Blob(http.StatusOK, a.kind, a.body)
		}
	}
	return web.NotFound("there is no such file")
}

// frame is what every page has.
type frame struct {
	W, Other *words
	Title    string
	// OtherURL is this page in the other language.
	OtherURL string
	CSS, JS  string
	// Email is empty where nobody is signed in.
	Email string
	// FormToken is for the forms of the page.
	FormToken string
	// Live pages are kept up to date by the script.
	Live bool
}

func (p *Portal) frame(c echo.Context, s *session) frame {
	w := p.language(c)
	f := frame{W: w, Other: w.other(), CSS: "/assets/" + p.assets.css.name, JS: "/assets/" + p.assets.js.name}
	q := c.Request().URL.Query()
	q.Set("lang", f.Other.Code)
	f.OtherURL = "?" + q.Encode() // relative: the same page
	if s != nil {
		f.Email = s.email
		f.FormToken = p.seal.of("session", s.id)
	}
	return f
}

// errorView is the page for what went wrong.
type errorView struct {
	frame
	Heading, Note, RequestID string
}

// pages are the compiled templates, by name.
type pages struct{ byName map[string]*template.Template }

func newPages() (*pages, error) {
	p := &pages{byName: map[string]*template.Template{}}
	for _, name := range []string{"home", "record", "charge", "views", "sign-in", "error"} {
		t, err := template.New("layout.html").Option("missingkey=error").Funcs(template.FuncMap{"pair": pair}).
			ParseFS(pageFiles, "pages/layout.html", "pages/parts.html", "pages/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("compiling page %s: %w", name, err)
		}
		p.byName[name] = t
	}
	return p, nil
}

// factsView is what the part "facts" is given.
type factsView struct {
	W *words
	P passView
}

func pair(w *words, p passView) factsView { return factsView{w, p} }

// render writes a page, whole or not at all.
func (p *Portal) render(c echo.Context, status int, name string, view any) error {
	var b bytes.Buffer
	if err := p.pages.byName[name].Execute(&b, view); err != nil {
		return fmt.Errorf("rendering page %s: %w", name, err)
	}
	c.Response().Header().Set("Content-Language", p.language(c).Code)
	return c.HTMLBlob(status, b.Bytes())
}
