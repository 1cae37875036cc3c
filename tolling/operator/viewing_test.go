package operator

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/internal/audit"
)

// views returns who looked at an account, the newest first.
func (s server) views(t *testing.T, account string) (list []audit.Seen) {
	t.Helper()
	err := s.books.View(t.Context(), func(tx *books.Tx) (err error) {
		list, err = audit.Views(t.Context(), tx.Session(), account, "", 100)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// exec changes the database as its owner could.
func (s server) exec(t *testing.T, statement string) {
	t.Helper()
	err := s.books.Do(context.Background(), func(tx *books.Tx) error {
		_, err := tx.Session().Exec(context.Background(), statement)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func ofOther(n int, vehicle, account string) billing.Pass {
	p := pass(n)
	p.Vehicle, p.Account = vehicle, account
	if account == "" {
		p.Status = billing.StatusUnpaid
	}
	return p
}

func TestAViewLeavesARowThatItsMotoristSees(t *testing.T) {
	review := reviewPass(3)
	review.Account = "A3"
	for name, one := range map[string]struct {
		method, target, body, accept string
		want                         map[string]string // by account: act page subject records everybody
	}{
		"a pass": {"GET", "/v1/passes/" + id(1), "", "", map[string]string{"A1": "movements.viewed GET /v1/passes/{id} pass " + id(1) + " 1 false"}},
		"charges of a vehicle": {"GET", "/v1/charges?vehicle=AB1234", "", "",
			map[string]string{"A1": "movements.listed GET /v1/charges passes of a vehicle  1 false"}},
		"charges of an account": {"GET", "/v1/charges?account=A2&from=2026-11-23T00:00:00Z", "", "",
			map[string]string{"A2": "movements.listed GET /v1/charges passes of an account 2026-11-23T08:00:00+08:00/ 1 false"}},
		"charges of an account that has none": {"GET", "/v1/charges?account=A9", "", "",
			map[string]string{"A9": "movements.listed GET /v1/charges passes of an account  0 false"}},
		"all charges": {"GET", "/v1/charges", "", "", map[string]string{
			"A1": "movements.listed GET /v1/charges passes  0 true", "A2": "movements.listed GET /v1/charges passes  0 true"}},
		"all charges as a file": {"GET", "/v1/charges", "", "text/csv", map[string]string{"A1": "movements.exported GET /v1/charges passes  0 true"}},
		"a vehicle's charges as a file": {"GET", "/v1/charges?vehicle=AB1234", "", "text/csv",
			map[string]string{"A1": "movements.exported GET /v1/charges passes of a vehicle  1 false", "A2": ""}},
		"the queue": {"GET", "/v1/reviews", "", "", map[string]string{"A3": "movements.listed GET /v1/reviews passes in review  1 false", "A1": ""}},
		"a decision": {"POST", "/v1/reviews/" + id(3), `{"decision":"charged","class":"taxi","account":"A3"}`, "",
			map[string]string{"A3": "movements.viewed POST /v1/reviews/{id} pass " + id(3) + " 1 false"}},
		"the registry": {"GET", "/v1/registry", "", "", map[string]string{"A1": "movements.exported GET /v1/registry registry 0 0 true"}},
		"no such pass": {"GET", "/v1/passes/" + id(9), "", "", map[string]string{"A1": "", "A2": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.put(t, pass(1), ofOther(2, "CD5678", "A2"), review)
			w := s.do(one.method, one.target, one.body, "Accept", one.accept, "Access-Reason", " complaint 7 ")
			if w.Code != http.StatusOK && name != "no such pass" {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			for account, want := range one.want {
				got := ""
				for _, v := range s.views(t, account) {
					if v.Reason != "complaint 7" || v.By.Name != "operator" || v.By.Role != "operator" || !v.At.Equal(now) {
						t.Errorf("row %+v", v)
					}
					got += fmt.Sprint(v.Act, " ", v.Page, " ", v.Subject.Kind, " ", v.Subject.ID, " ", v.Records, " ", v.Everybody)
				}
				if got != want {
					t.Errorf("%s sees %q, want %q", account, got, want)
				}
			}
		})
	}
}

// Without its row nothing is shown.
func TestAViewWithoutItsRowFails(t *testing.T) {
	s := newServer(t)
	s.put(t, pass(1), reviewPass(3))
	s.exec(t, `ALTER TABLE audit_pending RENAME TO audit_gone`)
	for _, target := range []string{"/v1/passes/" + id(1), "/v1/charges?vehicle=AB1234", "/v1/charges?account=A1", "/v1/charges", "/v1/reviews"} {
		for _, accept := range []string{"", "text/csv"} {
			w := s.do("GET", target, "", "Accept", accept)
			if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "AB1234") || strings.Contains(w.Body.String(), "CHT-N") {
				t.Errorf("%s %q: %d %s", target, accept, w.Code, w.Body)
			}
		}
	}
	w := s.do("POST", "/v1/reviews/"+id(3), `{"decision":"exempt"}`)
	if w.Code != http.StatusInternalServerError || s.history(t).Pass.Decision != nil {
		t.Errorf("a decision: %d %s", w.Code, w.Body)
	}
	s.exec(t, `ALTER TABLE audit_gone RENAME TO audit_pending`)
	if len(s.views(t, "A1")) != 0 {
		t.Error("rows of views that failed")
	}
}

func TestReasonsOfViews(t *testing.T) {
	s := newServer(t)
	s.put(t, pass(1))
	if w := s.do("GET", "/v1/passes/"+id(1)+"?reason=%E6%8A%95%E8%A8%B4", ""); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if v := s.views(t, "A1"); len(v) != 1 || v[0].Reason != "投訴" {
		t.Errorf("%+v", v)
	}
	if w := s.do("GET", "/v1/passes/"+id(1), ""); w.Code != http.StatusOK {
		t.Errorf("no reason: %d %s", w.Code, w.Body) // contract section 7 asks for none
	}
	for _, bad := range []string{strings.Repeat("x", 501), "a\x01b", "\xff"} {
		if w := s.do("GET", "/v1/passes/"+id(1), "", "Access-Reason", bad); w.Code != http.StatusBadRequest {
			t.Errorf("reason %q: %d", bad, w.Code)
		}
	}
	s = newServer(t, func(p *Parts) { p.NeedReason = true })
	s.put(t, pass(1))
	for target, want := range map[string]int{"/v1/charges": 400, "/v1/charges?reason=x": 200, "/v1/passes/" + id(1): 400, "/v1/reviews": 400} {
		if w := s.do("GET", target, ""); w.Code != want {
			t.Errorf("%s: %d, want %d", target, w.Code, want)
		}
	}
}

// A file of many pages notes each account once.
func TestAnExportNotesEachAccountOnce(t *testing.T) {
	s := newServer(t)
	var passes []billing.Pass
	for n := range exportPage + 50 {
		account := "A1"
		if n >= exportPage {
			account = "A2" // only on the second page
		}
		p := ofOther(n, "AB1234", account)
		p.FirstMicros += int64(n) * 1e9
		p.LastMicros += int64(n) * 1e9
		passes = append(passes, p)
	}
	s.put(t, passes...)
	w := s.do("GET", "/v1/charges?vehicle=AB1234", "", "Accept", "text/csv")
	if w.Code != http.StatusOK || strings.Count(w.Body.String(), "\n") != exportPage+51 {
		t.Fatalf("%d, %d lines", w.Code, strings.Count(w.Body.String(), "\n"))
	}
	if a, b := s.views(t, "A1"), s.views(t, "A2"); len(a) != 1 || len(b) != 1 {
		t.Errorf("A1 %+v\nA2 %+v", a, b)
	}
}

// What stays for ever names no vehicle.
func TestRowsOfViewsNameNoVehicle(t *testing.T) {
	s := newServer(t)
	s.put(t, pass(1), ofOther(2, "plate:XY9999", ""))
	for _, target := range []string{"/v1/charges?vehicle=AB1234", "/v1/charges?vehicle=plate:XY9999", "/v1/passes/" + id(2)} {
		if w := s.do("GET", target, ""); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	err := s.books.View(t.Context(), func(tx *books.Tx) error {
		rows, err := tx.Session().Query(t.Context(), `SELECT actor || role || action || subject_kind || subject || account || detail FROM audit_event`)
		if err != nil {
			return err
		}
		defer rows.Close()
		n := 0
		for ; rows.Next(); n++ {
			var text string
			if err := rows.Scan(&text); err != nil {
				return err
			}
			if strings.Contains(text, "AB1234") || strings.Contains(text, "XY9999") {
				t.Errorf("a row says %s", text)
			}
		}
		if n != 3 {
			t.Errorf("%d rows", n)
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
}
