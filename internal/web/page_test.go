package web

import (
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
)

func queryFor(after string) *Query {
	e := echo.New()
	request := httptest.NewRequest("GET", "/list?after="+url.QueryEscape(after), nil)
	return QueryOf(e.NewContext(request, httptest.NewRecorder()), "after")
}

func TestPlaceIsWhatCursorWrote(t *testing.T) {
	q := queryFor(*Cursor("-12", "pass:ab c"))
	if place := q.Place(2); !slices.Equal(place, []string{"-12", "pass:ab c"}) || q.Whole(place[0]) != -12 || q.Err() != nil {
		t.Errorf("%q, %v", place, q.Err())
	}
	if q := queryFor(""); q.Place(2) != nil || q.Err() != nil {
		t.Errorf("nothing was asked for, and refused: %v", q.Err())
	}
	for name, after := range map[string]string{
		"fewer parts": *Cursor("1"), "more parts": *Cursor("1", "2", "3"), "no base64": "!", "no UTF-8": *Cursor("1", "\xff"), "U+0000": *Cursor("1", "\x00"),
	} {
		if q := queryFor(after); q.Place(2) != nil || q.Err() == nil {
			t.Errorf("%s was taken", name)
		}
	}
	q = queryFor(*Cursor("one", "2"))
	if q.Whole(q.Place(2)[0]); q.Err() == nil {
		t.Error("a place without its number was taken")
	}
}

func TestShown(t *testing.T) {
	if Shown(time.Time{}) != nil {
		t.Error("no instant was shown")
	}
	at := time.Date(2026, 11, 25, 8, 0, 0, 1000, time.FixedZone("", 8*3600))
	if got := *Shown(at); got != "2026-11-25T00:00:00.000001Z" {
		t.Error(got)
	}
	if got := *ShownIn(at, at.Location()); got != "2026-11-25T08:00:00.000001+08:00" {
		t.Error(got)
	}
}
