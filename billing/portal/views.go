package portal

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"freeflow/internal/audit"
	"freeflow/internal/web"
)

// shownViews is how many views a page shows.
const shownViews = 50

// maxViewID bounds where a list of views goes on, in bytes.
const maxViewID = 64

// seenView is one view of the motorist's movements. Who looked is not named: the
// role is.
type seenView struct {
	When, Stamp string
	Act, Role   string
	Records     string // empty where it is not known
	Everybody   bool
	Page        string
	Reason      string
}

// viewsPage is the page of who looked at the motorist's data.
type viewsPage struct {
	frame
	Seen     []seenView
	OlderURL string
}

// whoLooked shows who of the staff looked at the motorist's movements. That the
// motorist looks is noted nowhere.
func (p *Portal) whoLooked(c echo.Context) error {
	s := p.who(c)
	if s == nil {
		return c.Redirect(http.StatusSeeOther, "/sign-in")
	}
	before := c.QueryParam("before")
	if len(before) > maxViewID || !plain(before) {
		return web.NotFound("there is no such page of the list")
	}
	list, err := p.Views.Views(c.Request().Context(), s.account, before, shownViews+1)
	if err != nil {
		return fmt.Errorf("reading who looked: %w", err)
	}
	v := viewsPage{frame: p.frame(c, s)}
	v.Title = v.W.ViewsTitle
	if len(list) > shownViews {
		list = list[:shownViews]
		v.OlderURL = "/views?" + url.Values{"before": {list[shownViews-1].ID}}.Encode()
	}
	for i := range list {
		v.Seen = append(v.Seen, p.seen(v.W, &list[i]))
	}
	return p.render(c, http.StatusOK, "views", v)
}

// plain reports whether a text is of letters and digits alone, as ids are.
func plain(text string) bool {
	for _, r := range text {
		if (r < '0' || r > '9') && (r < 'a' || r > 'z') {
			return false
		}
	}
	return true
}

func (p *Portal) seen(w *words, one *audit.Seen) seenView {
	at := one.At.In(p.Zone)
	v := seenView{
		When: w.exact(at), Stamp: at.Format(time.RFC3339), Act: w.OneViewed, Role: w.StaffRole, Everybody: one.Everybody, Page: one.Page, Reason: one.Reason,
	}
	switch one.Act {
	case audit.Listed:
		v.Act = w.OneListed
	case audit.Exported:
		v.Act = w.OneExported
	}
	if one.By.Role != "operator" {
		v.Role = w.SomeRole + " " + one.By.Role
	}
	if one.Records > 0 && !one.Everybody {
		v.Records = counted(one.Records, w.OneRecord, w.ManyRecords)
	}
	return v
}
