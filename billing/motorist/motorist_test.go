package motorist

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
	"freeflow/billing/account"
	"freeflow/billing/books"
	"freeflow/billing/dispute"
	"freeflow/billing/notice"
	"freeflow/billing/payment"
	"freeflow/billing/statement"
	"freeflow/billing/statement/pdf/pdftest"
	"freeflow/internal/audit"
)

func TestNewNeedsEveryPart(t *testing.T) {
	w := newTester(t)
	for i, drop := range []func(*Parts){
		func(p *Parts) { p.Sessions = nil }, func(p *Parts) { p.Books = nil }, func(p *Parts) { p.Payments = nil }, func(p *Parts) { p.Disputes = nil },
		func(p *Parts) { p.Desk = nil }, func(p *Parts) { p.Names = nil }, func(p *Parts) { p.Code = nil }, func(p *Parts) { p.Tag = nil },
		func(p *Parts) { p.Currency = "" }, func(p *Parts) { p.Zone = nil }, func(p *Parts) { p.Clock = nil }, func(p *Parts) { p.Log = nil },
	} {
		parts := w.api.Parts
		drop(&parts)
		if _, err := New(parts); err == nil {
			t.Errorf("part %d may be missing", i)
		}
	}
}

// TestMoneyOfTheAccount: what is owed, held, open and on hold agree with the books.
func TestMoneyOfTheAccount(t *testing.T) {
	w := newTester(t)
	w.open("A")
	w.pass("A", 25_00)
	disputed := w.pass("A", 30_50)
	w.pass("B", 99_00)
	w.ask(201, "POST", "/v1/me/disputes", "A", "d", `{"charge":"`+disputed+`","reason":"other","text":"wrong"}`)
	w.do(func(tx *books.Tx) error {
		_, err := tx.Move(w.Context(), billing.Movement{ID: "m1", Kind: billing.Receipt, Holder: "A", Means: "card", AmountCents: 7_25, Currency: "HKD", At: start}, start)
		return err
	})
	v := w.ask(200, "GET", "/v1/me", "A", "", "")
	if at(v, "account", "id") != "A" || at(v, "account", "state") != "open" || at(v, "account", "opened_at") != "2025-11-24T12:00:00+08:00" {
		t.Errorf("the account is %v", v["account"])
	}
	for name, want := range map[string]any{"currency": "HKD", "owed": "55.50", "held": "7.25", "open": "55.50", "open_charges": 2., "on_hold": "30.50", "whole": true} {
		if got := at(v, "money", 0, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	// One that the books know by a sign-in alone.
	if v := w.ask(200, "GET", "/v1/me", "C", "", ""); at(v, "account", "state") != "open" || at(v, "money", 0, "open") != "0.00" {
		t.Errorf("an account of the registry's file is %v", v)
	}
}

// TestPagesAreWhole: every list read a page at a time gives each item once, in
// order, and what the whole list gives.
func TestPagesAreWhole(t *testing.T) {
	w := newTester(t)
	w.open("A")
	deed := account.Deed{By: "clerk", Role: "operator", Reason: "test", Now: w.clock.Now()}
	for i := range 7 {
		charge := w.pass("A", int64(10_00+i))
		if i < 5 {
			w.ask(201, "POST", "/v1/me/disputes", "A", fmt.Sprint("d", i), `{"charge":"`+charge+`","reason":"other","text":"wrong"}`)
		}
		w.ask(201, "POST", "/v1/me/top-ups", "A", fmt.Sprint("t", i), `{"amount":"10.00","by":"fps"}`)
		w.do(func(tx *books.Tx) error {
			plate, tag := fmt.Sprint("AB", i), fmt.Sprint("E", i)
			_, err := account.Register(w.Context(), tx, account.Vehicle{ID: fmt.Sprint("v", i), Account: "A", Plate: plate, Class: "taxi", From: w.clock.Now()}, deed)
			_, err1 := account.Issue(w.Context(), tx, account.Tag{Tag: tag, Kind: account.ClassTag, Class: "taxi", Currency: "HKD"}, w.clock.Now(), deed)
			_, err2 := account.Activate(w.Context(), tx, tag, "A", w.clock.Now(), deed)
			err3 := audit.Note(w.Context(), tx.Session(), audit.Access{
				At: w.clock.Now(), By: audit.Actor{Name: "clerk", Role: "operator"}, Act: audit.Viewed, Page: "GET /v1/passes/{id}",
				Subject: audit.Subject{Kind: "pass", ID: "p"}, Accounts: []string{"A"}, Records: 1, Reason: "call",
			})
			// All at one instant, where a page can end.
			err4 := notice.Issue(w.Context(), tx, notice.Notice{ID: fmt.Sprint("n", i), Kind: notice.ToppedUp, Account: "A", AmountCents: 1, Currency: "HKD", IssuedAt: start})
			return errors.Join(err, err1, err2, err3, err4)
		})
	}
	for path, id := range map[string]string{
		"charges": "id", "payments": "id", "disputes": "reference", "vehicles": "id", "tags": "tag", "views": "id", "messages": "id",
	} {
		w.clock.Advance(readsAtOnce * readEvery)
		names := func(v map[string]any) (list []string) {
			for _, one := range v["items"].([]any) {
				list = append(list, at(one, id).(string))
			}
			return list
		}
		all := names(w.ask(200, "GET", "/v1/me/"+path, "A", "", ""))
		if len(all) < 5 {
			t.Errorf("%s has %d items", path, len(all))
		}
		for _, size := range []int{1, 2, 3, 7} {
			var got []string
			next := ""
			for range 20 {
				v := w.ask(200, "GET", fmt.Sprintf("/v1/me/%s?limit=%d%s", path, size, next), "A", "", "")
				got = append(got, names(v)...)
				if v["next"] == nil {
					break
				}
				next = "&after=" + v["next"].(string)
			}
			if !slices.Equal(got, all) {
				t.Errorf("%s in pages of %d is %v, want %v", path, size, got, all)
			}
		}
		for _, bad := range []string{"?after=!", "?after=AAAA", "?limit=0", "?limit=100000", "?colour=red"} {
			if path == "tags" && bad == "?after=AAAA" || path == "views" && bad == "?after=AAAA" {
				continue // any text is a place there; that one is no text
			}
			w.ask(400, "GET", "/v1/me/"+path+bad, "A", "", "")
		}
	}
}

// TestAChargeIsExplained: rule, tariff, class, toll point and times; a receipt; and
// what was paid.
func TestAChargeIsExplained(t *testing.T) {
	w := newTester(t)
	w.open("A")
	id := w.pass("A", 25_00)
	v := w.ask(200, "GET", "/v1/me/charges/"+id, "A", "", "")
	for name, want := range map[string]any{
		"id": id, "url": "/v1/me/charges/" + id, "kind": "toll", "state": "open", "amount": "25.00", "paid": "0.00", "open": "25.00", "rule": "peak", "tariff_version": "v7",
		"status": "charged", "first_seen_at": "2026-11-24T11:00:01+08:00", "being_paid": false, "vehicle": "plate:ABA",
	} {
		if v[name] != want {
			t.Errorf("%s is %v, want %v", name, v[name], want)
		}
	}
	if at(v, "toll_point", "code") != "CHT-N" || at(v, "toll_point", "en") != "Point CHT-N" || at(v, "class", "code") != "taxi" || at(v, "postings", 0, "amount") != "25.00" {
		t.Errorf("%v", v)
	}
	// An id of any text, and a receipt.
	_, err := w.books.PostCharge(w.Context(), billing.Charge{
		ID: "stay/1 %2F?ü", Kind: "parking", Revision: 1, Account: "A", Creditor: "tdcp2", AmountCents: 12_00, Currency: "HKD", OccurredMicros: start.UnixMicro(), Description: "Parking",
		Detail: []byte(`{"lines":[{"text":"1 hour","amount":"12.00"},{"text":"thank you"}]}`),
	}, start)
	w.must(err)
	_, err = w.books.FollowPostings(w.Context(), 100, start)
	w.must(err)
	list := w.ask(200, "GET", "/v1/me/charges?kind=parking", "A", "", "")
	v = w.ask(200, "GET", at(list, "items", 0, "url").(string), "A", "", "")
	if at(v, "receipt", 0, "amount") != "12.00" || at(v, "receipt", 1, "text") != "thank you" || v["id"] != "charge:stay/1 %2F?ü" || v["description"] != "Parking" {
		t.Errorf("%v", v)
	}
	// Under review nothing is owed, and it is explained all the same.
	w.offset++
	p := billing.Pass{
		ID: passID(w.offset), Facility: "CHT", TollPoint: "CHT-N", Vehicle: "plate:ABA", Registered: true, FirstMicros: start.UnixMicro(), LastMicros: start.UnixMicro(), Revision: 1,
		Status: billing.StatusReview, Account: "A", Currency: "HKD", Reasons: "class-unknown", Evidence: []byte{0},
	}
	w.must(w.books.Post(w.Context(), billing.Batch{From: w.offset - 1, To: w.offset, MaxMicros: 1, PostedAt: start, Passes: []billing.Pass{p}, Gap: 1}))
	if v := w.ask(200, "GET", "/v1/me/charges/pass:"+p.ID, "A", "", ""); v["state"] != "being-checked" || v["amount"] != "0.00" {
		t.Errorf("%v", v)
	}
}

// TestPayingOnce: a repetition pays nothing more and tells how it stands; the same
// key of another account is another request; another body under it is refused.
func TestPayingOnce(t *testing.T) {
	w := newTester(t)
	w.open("A")
	w.open("B")
	token := w.bank.AddToken("", "card", 500_00, "HKD")
	mine, theirs := w.pass("A", 25_00), w.pass("B", 30_00)
	body := fmt.Sprintf(`{"charges":[%q],"token":%q}`, mine, token)
	first := w.ask(201, "POST", "/v1/me/payments", "A", "k", body)
	if first["state"] != "paid" || first["amount"] != "25.00" || at(first, "items", 0, "charge") != mine {
		t.Fatalf("%v", first)
	}
	rec := w.send(request("POST", "/v1/me/payments", "A", body, "Idempotency-Key", `"k"`))
	if rec.Code != 201 || rec.Header().Get("Idempotent-Replayed") != "true" || rec.Header().Get("Location") != "/v1/me/payments/"+first["id"].(string) {
		t.Errorf("%d %v %s", rec.Code, rec.Header(), rec.Body)
	}
	other := w.ask(201, "POST", "/v1/me/payments", "B", "k", fmt.Sprintf(`{"charges":[%q],"token":%q}`, theirs, token))
	if other["id"] == first["id"] || other["amount"] != "30.00" {
		t.Errorf("the key of another account answered %v", other)
	}
	w.ask(422, "POST", "/v1/me/payments", "A", "k", fmt.Sprintf(`{"charges":[%q],"token":%q}`, theirs, token))
	conflict := w.ask(409, "POST", "/v1/me/payments", "A", "k2", body)
	if detail := fmt.Sprint(conflict["detail"]); detail != "there is nothing to pay" {
		t.Errorf("paying again was refused with %q", detail)
	}
	v := w.ask(200, "GET", "/v1/me/charges/"+mine, "A", "", "")
	if v["state"] != "paid" || v["open"] != "0.00" || at(v, "payments", 0, "amount") != "25.00" {
		t.Errorf("%v", v)
	}
	if len(w.ask(200, "GET", "/v1/me/payments", "A", "", "")["items"].([]any)) != 1 {
		t.Error("there are other payments than the one")
	}
	if list := w.ask(200, "GET", "/v1/me/charges?open=true", "A", "", "")["items"].([]any); len(list) != 0 {
		t.Errorf("%v is open", list)
	}
	for i, bad := range []string{`{"charges":[]}`, `{"charges":["x"],"provider":"bank"}`, `{"charges":[],"colour":1}`} {
		w.ask(422, "POST", "/v1/me/payments", "A", fmt.Sprint("bad", i), bad)
	}
}

// TestTopUpsAndMeans: by the account's own means, by a code, and not in ways that
// only staff have.
func TestTopUpsAndMeans(t *testing.T) {
	w := newTester(t)
	w.open("A")
	token := w.bank.AddToken("", "card", 500_00, "HKD")
	w.ask(409, "POST", "/v1/me/top-ups", "A", "none", `{"amount":"50.00"}`)
	set := w.ask(201, "POST", "/v1/me/payment-means", "A", "m", fmt.Sprintf(`{"mode":"prepaid","kind":"card","provider":"bank","token":%q,"threshold":"20.00","top_up":"50.00"}`, token))
	if set["set_by"] != "motorist" || set["token"] == token || !strings.HasSuffix(set["token"].(string), token[len(token)-4:]) {
		t.Errorf("%v", set)
	}
	if v := w.ask(200, "GET", "/v1/me/payment-means", "A", "", ""); at(v, "now", "mode") != "prepaid" || at(v, "history", 0, "threshold") != "20.00" {
		t.Errorf("%v", v)
	}
	if v := w.ask(201, "POST", "/v1/me/top-ups", "A", "t", `{"amount":"50.00"}`); v["state"] != "paid" || v["by"] != "card" {
		t.Errorf("%v", v)
	}
	if v := w.ask(200, "GET", "/v1/me", "A", "", ""); at(v, "money", 0, "held") != "50.00" {
		t.Errorf("%v", v)
	}
	v := w.ask(201, "POST", "/v1/me/top-ups", "A", "f", `{"amount":"50.00","by":"fps"}`)
	if v["state"] != "waiting" || v["qr"] != "code of "+v["bill"].(string) || v["valid_until"] == nil {
		t.Errorf("%v", v)
	}
	for kind, begins := range map[string]string{"svg": "<", "png": "\x89PNG"} {
		rec := w.send(request("GET", "/v1/me/payments/"+v["id"].(string)+"/qr."+kind, "A", ""))
		if rec.Code != 200 || !strings.HasPrefix(rec.Body.String(), begins) {
			t.Errorf("the code as %s: %d %.20q", kind, rec.Code, rec.Body)
		}
	}
	for i, bad := range []string{
		`{"amount":"50.00","by":"cash"}`, `{"amount":"50.00","by":"cash","receipt":"1","place":"x"}`, `{"amount":"-1.00"}`, `{"amount":"0.00"}`, `{"amount":1.5}`, `{"amount":"1.005"}`,
		`{"amount":"5.00","by":"fps","token":"tok_12345678"}`, `{"amount":"5.00","provider":"bank"}`,
	} {
		w.ask(422, "POST", "/v1/me/top-ups", "A", fmt.Sprint("b", i), bad)
	}
	for i, bad := range []string{
		`{"mode":"never"}`, `{"mode":"daily"}`, `{"mode":"prepaid","from":"today"}`, `{"mode":"prepaid","threshold":"x"}`, `{"mode":"prepaid","top_up":"-1.00"}`,
		`{"mode":"daily","kind":"card","provider":"bank","token":"4111111111111111"}`,
	} {
		w.ask(422, "POST", "/v1/me/payment-means", "A", fmt.Sprint("c", i), bad)
	}
	w.ask(404, "POST", "/v1/me/top-ups", "A", "tag", `{"amount":"50.00","tag":"E2000001"}`)
}

// TestAClosedAccountPaysAndReads, and brings no money in.
func TestAClosedAccountPaysAndReads(t *testing.T) {
	w := newTester(t)
	w.open("A")
	token := w.bank.AddToken("", "card", 500_00, "HKD")
	charge := w.pass("A", 25_00)
	w.do(func(tx *books.Tx) error {
		_, err := account.Close(w.Context(), tx, "A", w.clock.Now(), account.Deed{By: "clerk", Role: "operator", Reason: "asked", Now: w.clock.Now()})
		return err
	})
	w.clock.Advance(time.Hour)
	w.ask(409, "POST", "/v1/me/top-ups", "A", "t", fmt.Sprintf(`{"amount":"50.00","token":%q}`, token))
	w.ask(409, "POST", "/v1/me/top-ups", "A", "f", `{"amount":"50.00","by":"fps"}`)
	w.ask(409, "POST", "/v1/me/payment-means", "A", "m", `{"mode":"prepaid"}`)
	if v := w.ask(200, "GET", "/v1/me", "A", "", ""); at(v, "account", "state") != "closing" || at(v, "money", 0, "open") != "25.00" {
		t.Errorf("%v", v)
	}
	if v := w.ask(201, "POST", "/v1/me/payments", "A", "p", fmt.Sprintf(`{"charges":[%q],"token":%q}`, charge, token)); v["state"] != "paid" {
		t.Errorf("%v", v)
	}
	w.ask(200, "GET", "/v1/me/charges/"+charge, "A", "", "")
}

// TestADisputeFromTheCharge to its withdrawal; what we suspect ourselves is not
// told before it is decided.
func TestADisputeFromTheCharge(t *testing.T) {
	w := newTester(t)
	w.open("A")
	token := w.bank.AddToken("", "card", 500_00, "HKD")
	charge := w.pass("A", 25_00)
	body := `{"charge":"` + charge + `","reason":"other","text":"I was at home"}`
	d := w.ask(201, "POST", "/v1/me/disputes", "A", "d", body)
	reference := d["reference"].(string)
	if d["charge"] != charge || d["state"] != "opened" || d["receivable"] != nil {
		t.Errorf("%v", d)
	}
	v := w.ask(200, "GET", "/v1/me/charges/"+charge, "A", "", "")
	if v["state"] != "in-dispute" || v["dispute"] != reference || at(v, "disputes", 0, "text") != "I was at home" {
		t.Errorf("%v", v)
	}
	w.ask(409, "POST", "/v1/me/payments", "A", "p", fmt.Sprintf(`{"charges":[%q],"token":%q}`, charge, token))
	if v := w.ask(200, "POST", "/v1/me/disputes/"+reference+"/withdrawal", "A", "w", `{}`); v["state"] != dispute.Withdrawn {
		t.Errorf("%v", v)
	}
	if v := w.ask(200, "GET", "/v1/me/disputes/"+reference, "A", "", ""); v["state"] != dispute.Withdrawn {
		t.Errorf("%v", v)
	}
	if v := w.ask(200, "GET", "/v1/me/charges/"+charge, "A", "", ""); v["state"] != "open" {
		t.Errorf("%v", v)
	}
	w.ask(422, "POST", "/v1/me/disputes", "A", "r", `{"charge":"`+charge+`","reason":"mood"}`)
	w.ask(404, "POST", "/v1/me/disputes", "A", "l", `{"charge":"`+strings.Repeat("x", 2000)+`","reason":"other","text":"x"}`)

	suspected := w.pass("A", 31_00)
	var own dispute.Dispute
	w.do(func(tx *books.Tx) (err error) {
		own, err = w.api.Disputes.Open(w.Context(), tx, dispute.Opening{Receivable: suspected, Reason: "duplicate", Origin: dispute.System, Flag: "twice:1"},
			dispute.Deed{By: "job:flags", Role: "system", Now: w.clock.Now()})
		return err
	})
	w.ask(404, "GET", "/v1/me/disputes/"+own.Reference, "A", "", "")
	w.ask(404, "POST", "/v1/me/disputes/"+own.Reference+"/withdrawal", "A", "own", `{}`)
	if v := w.ask(200, "GET", "/v1/me/charges/"+suspected, "A", "", ""); v["state"] != "on-hold" || v["dispute"] != nil || len(v["disputes"].([]any)) != 0 {
		t.Errorf("%v", v)
	}
	if list := w.ask(200, "GET", "/v1/me/disputes", "A", "", "")["items"].([]any); len(list) != 1 {
		t.Errorf("%v", list)
	}
}

// TestStatementsAgree: JSON, CSV and PDF of the motorist's statement, and a range,
// close alike, and leave no row of staff.
func TestStatementsAgree(t *testing.T) {
	w := newTester(t)
	w.open("A")
	for i := range 9 {
		w.pass("A", int64(1001+i))
	}
	w.clock.Set(start.AddDate(0, 1, 0))
	issuer := statement.Issuer{
		Ledger: w.books, Keeping: books.Keep[statement.Tx]{Store: w.books, As: func(tx *books.Tx) statement.Tx { return tx }}, Zone: hk, Clock: w.clock, Log: w.api.Log,
	}
	_, err := issuer.Run(w.Context())
	w.must(err)
	number := at(w.ask(200, "GET", "/v1/me/statements", "A", "", ""), "items", 0, "number").(string)
	v := w.ask(200, "GET", "/v1/me/statements/"+number+"?limit=4", "A", "", "")
	total := at(v, "closing", "owed").(string)
	if total != "90.45" || len(v["items"].([]any)) != 4 || v["next"] == nil {
		t.Errorf("%v", v)
	}
	table := w.send(request("GET", "/v1/me/statements/"+number, "A", "", "Accept", "text/csv")).Body.String()
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(table, "\ufeff"))).ReadAll()
	if err != nil || rows[len(rows)-1][9] != total {
		t.Errorf("%v %v", err, rows)
	}
	if again := w.send(request("GET", "/v1/me/lines?from=2026-11-01&to=2026-11-30", "A", "", "Accept", "text/csv")).Body.String(); again != table {
		t.Errorf("the range gave another table:\n%s", again)
	}
	document := w.send(request("GET", "/v1/me/statements/"+number+"?language=zh-HK", "A", "", "Accept", "application/pdf"))
	text, err := pdftest.Text(document.Body.Bytes())
	if err != nil || !strings.Contains(text, number) || !strings.Contains(text, total) || !bytes.HasPrefix(document.Body.Bytes(), []byte("%PDF")) {
		t.Errorf("the PDF: %v %.200s", err, text)
	}
	if document.Header().Get("Cache-Control") != "no-store" || !strings.Contains(document.Header().Get("Content-Disposition"), number) {
		t.Errorf("%v", document.Header())
	}
	for path, status := range map[string]int{"statements?before=x": 400, "statements/" + number + "?language=fr": 400, "lines": 400, "lines?from=x": 422, "lines?from=2026-11-01&to=2030-01-01": 409} {
		if rec := w.send(request("GET", "/v1/me/"+path, "A", "")); rec.Code != status {
			t.Errorf("%s answered %d %s", path, rec.Code, rec.Body)
		}
	}
	if n := w.staffViews("A"); n != 0 {
		t.Errorf("the holder's own views left %d rows of staff", n)
	}
}

// TestWhoLooked tells when, in which role, at what and why; nobody of the staff is
// named, and nothing that names another's record is told.
func TestWhoLooked(t *testing.T) {
	w := newTester(t)
	w.open("A")
	note := func(act audit.Act, kind, id string, accounts ...string) {
		w.do(func(tx *books.Tx) error {
			return audit.Note(w.Context(), tx.Session(), audit.Access{
				At: w.clock.Now(), By: audit.Actor{Name: "Chan Tai Man", Role: "operator"}, Act: act, Page: "GET /v1/passes/{id}", Subject: audit.Subject{Kind: kind, ID: id},
				Accounts: accounts, Records: 3, Reason: "call 4711",
			})
		})
		w.clock.Advance(time.Second)
	}
	note(audit.Viewed, "pass", "p1", "A")
	note(audit.Listed, "passes", "of-somebody-else", "A", "B")
	note(audit.Exported, "passes", "all-of-them", audit.Everybody)
	note(audit.Viewed, "pass", "p2", "B")
	rec := w.send(request("GET", "/v1/me/views", "A", ""))
	for _, tell := range []string{"Chan", "of-somebody-else", "all-of-them", "p2"} {
		if strings.Contains(rec.Body.String(), tell) {
			t.Errorf("%q is told: %s", tell, rec.Body)
		}
	}
	v := w.ask(200, "GET", "/v1/me/views", "A", "", "")
	if len(v["items"].([]any)) != 3 || at(v, "items", 0, "everybody") != true || at(v, "items", 2, "record") != "p1" || at(v, "items", 2, "reason") != "call 4711" ||
		at(v, "items", 2, "role") != "operator" || at(v, "items", 2, "at") != "2026-11-24T12:00:00+08:00" || at(v, "items", 1, "records") != 3. {
		t.Errorf("%v", v)
	}
}

func TestMessagesInBothLanguages(t *testing.T) {
	w := newTester(t)
	w.open("A")
	w.do(func(tx *books.Tx) error {
		return errors.Join(
			notice.Issue(w.Context(), tx, notice.Notice{
				ID: "n1", Kind: notice.FirstSurcharge, Account: "A", Vehicle: "plate:ABA", Number: "N-1", AmountCents: 200_00, Currency: "HKD", DueOn: time.Date(2026, 12, 15, 0, 0, 0, 0, hk),
				Facts: map[string]string{"surcharge": "HK$175.00", "next": "HK$350.00"}, IssuedAt: start,
			}),
			notice.Issue(w.Context(), tx, notice.Notice{ID: "n2", Kind: notice.ToppedUp, Account: "B", AmountCents: 1, Currency: "HKD", IssuedAt: start}),
		)
	})
	v := w.ask(200, "GET", "/v1/me/messages", "A", "", "")
	if len(v["items"].([]any)) != 1 || at(v, "items", 0, "due_on") != "2026-12-15" || at(v, "items", 0, "amount") != "200.00" || at(v, "items", 0, "number") != "N-1" ||
		!strings.Contains(fmt.Sprint(at(v, "items", 0, "en", "subject")), "Surcharge") || !strings.Contains(fmt.Sprint(at(v, "items", 0, "zh-HK", "body")), "附加費") {
		t.Errorf("%v", v)
	}
}

// TestPaymentsInWords: each state of an attempt has its word.
func TestPaymentsInWords(t *testing.T) {
	w := newTester(t)
	for _, one := range []struct{ kind, state, want string }{
		{payment.Charge, payment.Succeeded, "paid"}, {payment.Charge, payment.Reversed, "reversed"}, {payment.Await, payment.Failed, "expired"},
		{payment.Charge, payment.Failed, "failed"}, {payment.Await, payment.Created, "waiting"}, {payment.Charge, payment.Created, "processing"},
		{payment.Charge, payment.Submitted, "processing"}, {payment.Refund, payment.Unknown, "processing"},
	} {
		f, err := w.api.paymentOf(&payment.Attempt{Kind: one.kind, State: one.state, RefundedCents: 5, Holder: "tag:E2"})
		if err != nil || f.State != one.want || f.Refunded != "0.05" || f.Tag != "E2" || (f.QR != "") != (one.want == "waiting") {
			t.Errorf("%s %s is %+v %v", one.kind, one.state, f, err)
		}
	}
}

func TestReceipts(t *testing.T) {
	for text, want := range map[string]string{
		``: "[]", `{}`: "[]", `{"lines":[{"text":"a","amount":"1.50"},{"text":"b","amount":2},{"text":"c","amount":null}]}`: "[{a 150 true} {b 200 true} {c 0 false}]",
		`{`: "error", `{"lines":[{"amount":"x"}]}`: "error", `{"lines":[{"text":"a","amount":"1.00"},{"amount":true}]}`: "error",
	} {
		lines, err := Receipt([]byte(text))
		got := fmt.Sprint(lines)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}
