package portal

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"freeflow/billing"
)

// stayCharge makes a charge of an account, n minutes before the portal's now.
func stayCharge(name string, n int) billing.Charge {
	return billing.Charge{
		ID: name, Kind: "parking", Revision: 1, Account: "A1", Creditor: "tko", AmountCents: 4550, Currency: "HKD",
		OccurredMicros: now.Add(-time.Duration(n) * time.Minute).UnixMicro(), Description: "Tseung Kwan O, 2 h 10 min", Vehicle: "AB1234",
		Detail: []byte(`{"lines":[{"text":"3 hours at 15.00","amount":"45.00"},{"text":"Charging","amount":0.5},{"text":"Grace 10 minutes"}],"quote":"q1"}`),
	}
}

func (p *place) charge(t *testing.T, charges ...billing.Charge) {
	t.Helper()
	for _, c := range charges {
		if _, err := p.books.PostCharge(t.Context(), c, now); err != nil {
			t.Fatal(err)
		}
	}
}

func chargeURL(id string) string { return "/charge?" + url.Values{"id": {id}}.Encode() }

func TestHomeShowsParking(t *testing.T) {
	p := newPlace(t)
	b := p.signedIn(t)
	hasNot(t, "a page without charges", b.get("/").Body.String(), "<h2>Parking</h2>")
	p.put(t, pass(1))
	older := stayCharge("s1", 90)
	older.Description = "Hoi Shing Road"
	october := stayCharge("s0", 60*24*30)
	october.Description = "Tung Chau Street"
	p.charge(t, older, stayCharge("s2", 5), october)
	page := b.get("/").Body.String()
	has(t, "the page", page, "HK$161.50", "<h2>Parking</h2>", "2 charges", "HK$91.00 charged", "Tseung Kwan O, 2 h 10 min", "HK$45.50",
		"23 November 2026, 18:35:00", "AB1234", `href="/charge?id=s2"`, "1 pass")
	hasNot(t, "the page", page, "Tung Chau Street")
	if strings.Index(page, "id=s2") > strings.Index(page, "id=s1") {
		t.Error("the newest charge does not stand first")
	}
	has(t, "the Chinese page", b.get("/?lang=zh-HK").Body.String(), "<h2>泊車</h2>", "2 項收費", "2026年11月23日 18:35:00")
	has(t, "October", b.get("/?month=2026-10&lang=en").Body.String(), "Tung Chau Street", "1 charge<")
	fee := stayCharge("f1", 1)
	fee.Kind, fee.Description = "fee", ""
	p.charge(t, fee)
	has(t, "the page with a fee", b.get("/").Body.String(), "<h2>Parking and other charges</h2>", ">Charge</a>")
}

func TestChargesBeyondAPageAreCounted(t *testing.T) {
	p := newPlace(t)
	for i := range shownCharges + 3 {
		p.charge(t, stayCharge(fmt.Sprintf("s%03d", i), i))
	}
	page := p.signedIn(t).get("/").Body.String()
	has(t, "the page", page, "103 charges", "HK$4,686.50 charged", "id=s000", "id=s099", "Only the latest charges of the month are shown.")
	hasNot(t, "the page", page, "id=s100")
}

func TestChargeShowsReceiptAndPostings(t *testing.T) {
	p := newPlace(t)
	for _, name := range []string{"s1", "a/b?c=d&e#f %41", "粵", `"><script>alert(1)</script>`} {
		c := stayCharge(name, 5)
		p.charge(t, c)
		c.Revision, c.AmountCents, c.Description = 2, 3000, "<script>alert(2)</script>"
		p.charge(t, c)
		w := p.signedIn(t).get(chargeURL(name))
		if w.Code != 200 {
			t.Fatalf("%q: %d", name, w.Code)
		}
		page := w.Body.String()
		has(t, "the charge", page, "HK$30.00", "3 hours at 15.00", "HK$45.00", "Charging", "HK$0.50", "Grace 10 minutes", "tko", "AB1234",
			"Charge taken back", "−HK$45.50", "How it changed", "Tseung Kwan O, 2 h 10 min", `lang=zh-HK`)
		hasNot(t, "the charge", page, "operator:", "<script>alert")
		hasNot(t, "the home page", p.signedIn(t).get("/").Body.String(), "<script>alert")
	}
	has(t, "the Chinese page", p.signedIn(t).get(chargeURL("s1")+"&lang=zh-HK").Body.String(), "收據", "撤回收費", "收取費用", "收款機構")
}

func TestChargesOfOthersAreNotShown(t *testing.T) {
	p := newPlace(t)
	theirs, nobodys, wasMine := stayCharge("s1", 1), stayCharge("s2", 2), stayCharge("s3", 3)
	theirs.Account, nobodys.Account = "A2", ""
	p.charge(t, theirs, nobodys, wasMine)
	wasMine.Revision, wasMine.Account = 2, "A2"
	p.charge(t, wasMine)
	b := p.signedIn(t)
	hasNot(t, "my page", b.get("/").Body.String(), "Tseung Kwan O", "<h2>Parking</h2>")
	missing := b.get(chargeURL("none"))
	for _, name := range []string{"s1", "s2", "s3", ""} {
		if w := b.get(chargeURL(name)); w.Code != 404 || len(w.Body.String()) == 0 || missing.Code != 404 {
			t.Errorf("charge %q: %d", name, w.Code)
		}
	}
	if w := p.browser().get(chargeURL("s1")); w.Code != 303 || w.Header().Get("Location") != "/sign-in" {
		t.Errorf("without signing in: %d", w.Code)
	}
}

func TestReceipt(t *testing.T) {
	for detail, want := range map[string]string{
		``: "", `{}`: "", `{"lines":[]}`: "", `[]`: "error", `{"lines":[{"text":1}]}`: "error",
		`{"lines":[{"text":"a","amount":"1.5"},{"text":"b","amount":-2},{"text":"c","amount":null}]}`: "a=HK$1.50 b=−HK$2.00 c=",
		`{"lines":[{"text":"a","amount":"1.505"}]}`:                                                   "error",
		`{"lines":[{"text":"a","amount":1e3}]}`:                                                       "error",
		`{"lines":[{"text":"a","amount":{}}]}`:                                                        "error",
	} {
		lines, err := receipt([]byte(detail), "HKD")
		var got []string
		for _, l := range lines {
			got = append(got, l.Text+"="+l.Amount)
		}
		text := strings.Join(got, " ")
		if err != nil {
			text = "error"
		}
		if text != want {
			t.Errorf("%s: %s (%v), want %s", detail, text, err, want)
		}
	}
}
