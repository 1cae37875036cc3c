package motorist

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"freeflow/billing"
	"freeflow/billing/books"
	"freeflow/billing/dispute"
	"freeflow/billing/payment"
	"freeflow/internal/audit"
	"freeflow/internal/database"
)

// nobody is a session of no account, which must not be taken for one.
type nobody struct{}

func (nobody) Account(echo.Context) (string, bool) { return "", true }

func TestASessionOfNoAccount(t *testing.T) {
	w := newTester(t)
	w.api.Sessions = nobody{}
	w.ask(401, "GET", "/v1/me", "", "", "")
}

// TestEachKindOfRequestHasItsBound: too many changes or documents leave the reads.
func TestEachKindOfRequestHasItsBound(t *testing.T) {
	w := newTester(t)
	w.open("A")
	for range changesAtOnce {
		w.send(request("POST", "/v1/me/top-ups", "A", `{}`))
	}
	if rec := w.send(request("POST", "/v1/me/top-ups", "A", `{}`)); rec.Code != http.StatusTooManyRequests {
		t.Errorf("a change too many answered %d", rec.Code)
	}
	for range papersAtOnce {
		w.send(request("GET", "/v1/me/statements/x", "A", "", "Accept", "text/csv"))
	}
	if rec := w.send(request("GET", "/v1/me/statements/x", "A", "", "Accept", "application/pdf")); rec.Code != http.StatusTooManyRequests {
		t.Errorf("a document too many answered %d", rec.Code)
	}
	w.ask(200, "GET", "/v1/me", "A", "", "")
}

// TestManyOpenCharges are summed up over pages.
func TestManyOpenCharges(t *testing.T) {
	w := newTester(t)
	w.open("A")
	var passes []billing.Pass
	for i := range openPage + 1 {
		at := start.UnixMicro() - int64(i)*60_000_000
		passes = append(passes, billing.Pass{
			ID: passID(int64(i + 1)), Facility: "CHT", TollPoint: "CHT-N", Vehicle: "plate:ABA", Registered: true, FirstMicros: at, LastMicros: at, Revision: 1,
			Status: billing.StatusCharged, Class: "taxi", Account: "A", AmountCents: 1, Currency: "HKD", Rule: "r", TariffVersion: "v", Evidence: []byte{0},
		})
	}
	w.must(w.books.Post(w.Context(), billing.Batch{From: 0, To: 1, MaxMicros: 1, PostedAt: start, Passes: passes, Gap: 1}))
	for {
		done, err := w.books.FollowPostings(w.Context(), 2000, start)
		w.must(err)
		if done.Postings == 0 {
			break
		}
	}
	v := w.ask(200, "GET", "/v1/me", "A", "", "")
	if at(v, "money", 0, "open_charges") != float64(openPage+1) || at(v, "money", 0, "open") != "10.01" || at(v, "money", 0, "whole") != true {
		t.Errorf("%v", v)
	}
}

// TestStatesOfCharges: taken back, swallowed by another, and being paid.
func TestStatesOfCharges(t *testing.T) {
	w := newTester(t)
	w.open("A")
	for revision, cents := range []int64{12_00, 0} {
		// An id with what addresses encode, but no slash.
		_, err := w.books.PostCharge(w.Context(), billing.Charge{
			ID: "a%41b", Kind: "parking", Revision: int64(revision + 1), Account: "A", Creditor: "tdcp2", AmountCents: cents, Currency: "HKD", OccurredMicros: start.UnixMicro(),
		}, start)
		w.must(err)
		_, err = w.books.FollowPostings(w.Context(), 100, start)
		w.must(err)
	}
	if v := w.ask(200, "GET", chargeURL("charge:a%41b"), "A", "", ""); v["state"] != "nothing-owed" || v["id"] != "charge:a%41b" {
		t.Errorf("%v", v)
	}
	into, id := w.pass("A", 25_00), w.pass("A", 30_00)
	h, err := w.books.History(w.Context(), strings.TrimPrefix(id, billing.ReceivablePass))
	w.must(err)
	gone := h.Pass
	gone.Revision, gone.MergedInto, gone.AmountCents = 2, strings.TrimPrefix(into, billing.ReceivablePass), 0
	w.offset++
	w.must(w.books.Post(w.Context(), billing.Batch{From: w.offset - 1, To: w.offset, MaxMicros: 1, PostedAt: w.clock.Now(), Passes: []billing.Pass{gone}, Gap: 1}))
	_, err = w.books.FollowPostings(w.Context(), 100, start)
	w.must(err)
	if v := w.ask(200, "GET", "/v1/me/charges/"+id, "A", "", ""); v["state"] != "nothing-owed" || v["merged_into"] != into {
		t.Errorf("%v", v)
	}
	// Kept, and the order not given yet.
	token := w.bank.AddToken("", "card", 500_00, "HKD")
	w.do(func(tx *books.Tx) error {
		_, err := w.api.Payments.Pay(w.Context(), tx, payment.PayRequest{Account: "A", Receivables: []string{into}, Token: token})
		return err
	})
	if v := w.ask(200, "GET", "/v1/me/charges/"+into, "A", "", ""); v["being_paid"] != true {
		t.Errorf("%v", v)
	}
	w.ask(409, "POST", "/v1/me/payments", "A", "again", fmt.Sprintf(`{"charges":[%q],"token":%q}`, into, token))
}

// TestWhatTheHolderDoesIsInTheTrail, under the account and the role, and what was
// asked for reaches the domains.
func TestWhatTheHolderDoesIsInTheTrail(t *testing.T) {
	w := newTester(t)
	w.open("A")
	token := w.bank.AddToken("", "card", 500_00, "HKD")
	paid, disputed := w.pass("A", 25_00), w.pass("A", 30_00)
	w.ask(422, "POST", "/v1/me/payments", "A", "x", fmt.Sprintf(`{"charges":[%q],"token":%q,"provider":"elsewhere"}`, paid, token))
	p := w.ask(201, "POST", "/v1/me/payments", "A", "p", fmt.Sprintf(`{"charges":[%q],"token":%q,"provider":"bank"}`, paid, token))
	w.ask(404, "GET", "/v1/me/payments/"+p["id"].(string)+"/qr.svg", "A", "", "")
	w.ask(201, "POST", "/v1/me/top-ups", "A", "t", `{"amount":"50.00","by":"fps"}`)
	w.ask(201, "POST", "/v1/me/payment-means", "A", "m", fmt.Sprintf(`{"mode":"daily","kind":"card","provider":"bank","token":%q}`, token))
	d := w.ask(201, "POST", "/v1/me/disputes", "A", "d", `{"charge":"`+disputed+`","reason":"other","text":"wrong","refund":true}`)
	var done []string
	w.must(w.books.View(w.Context(), func(tx *books.Tx) error {
		kept, err := tx.Dispute(w.Context(), d["reference"].(string))
		if err != nil {
			return err
		}
		if kept.Refund != dispute.RefundWanted || kept.Origin != dispute.Motorist {
			t.Errorf("the dispute is kept as %+v", kept)
		}
		return database.Each(w.Context(), tx.Session(), `SELECT action FROM audit_event WHERE actor = $1 AND role = $2 AND account = $3 ORDER BY action`,
			[]any{"account:A", "motorist", "A"}, func(r database.Rows) error {
				var action string
				err := r.Scan(&action)
				done = append(done, action)
				return err
			})
	}))
	if want := []string{"dispute.opened", "payment.means.set", "payment.ordered", "payment.topup.ordered"}; !slices.Equal(done, want) {
		t.Errorf("the trail has %v, want %v", done, want)
	}
	// What staff set is told to be theirs, without a name.
	w.do(func(tx *books.Tx) error {
		_, err := w.api.Payments.SetMeans(w.Context(), tx, payment.Means{Account: "A", Mode: payment.Prepaid, Currency: "HKD", By: "Chan Tai Man"})
		return err
	})
	rec := w.send(request("GET", "/v1/me/payment-means", "A", ""))
	if strings.Contains(rec.Body.String(), "Chan") || strings.Contains(rec.Body.String(), token) || !strings.Contains(rec.Body.String(), `"set_by":"staff"`) {
		t.Errorf("%s", rec.Body)
	}
}

// TestSuspicionsTakeNoPlaces: a page of disputes is full though ours, which are not
// told, come before.
func TestSuspicionsTakeNoPlaces(t *testing.T) {
	w := newTester(t)
	w.open("A")
	for i := range 5 {
		charge := w.pass("A", int64(90_00+i))
		w.do(func(tx *books.Tx) error {
			_, err := w.api.Disputes.Open(w.Context(), tx, dispute.Opening{Receivable: charge, Reason: "duplicate", Origin: dispute.System, Flag: fmt.Sprint("twice:", i)},
				dispute.Deed{By: "job:flags", Role: "system", Now: w.clock.Now()})
			return err
		})
	}
	d := w.ask(201, "POST", "/v1/me/disputes", "A", "d", `{"charge":"`+w.pass("A", 10_00)+`","reason":"other","text":"wrong"}`)
	v := w.ask(200, "GET", "/v1/me/disputes?limit=1", "A", "", "")
	if at(v, "items", 0, "reference") != d["reference"] || v["next"] != nil {
		t.Errorf("%v", v)
	}
}

// TestEverybodysRecordIsNotTold: a view of all accounts names no record.
func TestEverybodysRecordIsNotTold(t *testing.T) {
	w := newTester(t)
	w.do(func(tx *books.Tx) error {
		return audit.Note(w.Context(), tx.Session(), audit.Access{
			At: start, By: audit.Actor{Name: "x", Role: "operator"}, Act: audit.Viewed, Page: "GET /v1/passes/{id}", Subject: audit.Subject{Kind: "pass", ID: "of-another"}, Accounts: []string{audit.Everybody},
		})
	})
	if v := w.ask(200, "GET", "/v1/me/views", "A", "", ""); at(v, "items", 0, "record") != nil || at(v, "items", 0, "about") != "pass" {
		t.Errorf("%v", v)
	}
}
