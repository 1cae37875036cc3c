package operator

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"freeflow/internal/web"
	"freeflow/parking/tariff"
)

const day = "2026-11-24"

func TestQuotes(t *testing.T) {
	s := newTester(t)
	path := "/v1/carparks/" + hoiShing + "/quote"
	w := s.get(path + "?class=private_car&from=" + day + "T10:00:00%2B08:00&to=" + day + "T12:00:01+08:00&ev=false")
	q := decode[quoteForm](s, w, 200)
	if q.Amount != "72.00" || q.Currency != "HKD" || q.ID != "" || q.Expires != nil || q.Tariff != "hoi-shing-road" || *q.From != day+"T02:00:00.000000Z" {
		t.Errorf("%s", w.Body)
	}
	var sum int64
	for _, line := range q.Lines {
		sum += int64(line.AmountCents)
	}
	if sum != 7200 || len(q.Lines) == 0 {
		t.Errorf("lines of %d cents: %s", sum, w.Body)
	}
	for _, one := range []struct{ query, at string }{
		{"", "class"}, {"class=private_car", "from"}, {"class=private_car&from=2026-11-24T02:00:00Z", "to"},
		{"class=private_car&from=2026-11-24T02:00:00Z&to=2026-11-24T02:00:00Z", "to"}, {"class=private_car&from=2026-11-24T02:00:00Z&to=2026-11-24T01:00:00Z", "to"},
		{"class=private_car&from=2026-11-24&to=2026-11-24T01:00:00Z", "from"}, {"class=private_car&from=0001-01-01T00:00:00Z&to=9999-11-24T01:00:00Z", "from"},
		{"class=private_car&from=2026-01-01T00:00:00Z&to=2027-01-03T00:00:00Z", "to"}, {"class=private_car&from=2026-11-24T02:00:00Z&to=2026-11-24T03:00:00Z&ev=perhaps", "ev"},
		{"class=" + strings.Repeat("c", 65) + "&from=2026-11-24T02:00:00Z&to=2026-11-24T03:00:00Z", "class"}, {"class=%FF&from=2026-11-24T02:00:00Z&to=2026-11-24T03:00:00Z", "class"},
		{"class=private_car&from=2026-11-24T02:00:00Z&to=2026-11-24T03:00:00Z&account=A1", "account"},
	} {
		s.refused(s.get(path+"?"+one.query), 400, "bad-parameter", one.at)
	}
	s.refused(s.get(path+"?class=hovercraft&from=2026-11-24T02:00:00Z&to=2026-11-24T03:00:00Z"), 422, "no-price", "")
	s.refused(s.get(path+"?class=private_car&from=2001-11-24T02:00:00Z&to=2001-11-24T03:00:00Z"), 422, "no-price", "")

	body := `{"class":"private_car","from":"` + day + `T02:00:00Z","to":"` + day + `T04:00:00Z"}`
	made := s.post("/v1/carparks/"+hoiShing+"/quotes", body, "Idempotency-Key", `"q"`)
	if q := decode[quoteForm](s, made, 201); q.Amount != "48.00" || q.ID == "" || q.Expires == nil {
		t.Errorf("%s", made.Body)
	}
	s.clock.Advance(time.Hour)
	s.replayed(made, s.post("/v1/carparks/"+hoiShing+"/quotes", body, "Idempotency-Key", `"q"`))
	for _, one := range []struct{ body, at string }{
		{`{}`, "/from"}, {strings.Replace(body, "private_car", "", 1), "/class"}, {strings.Replace(body, day+"T04:00:00Z", day+"T01:00:00Z", 1), "/to"},
		{strings.Replace(body, day+"T04:00:00Z", day+"T4:00:00Z", 1), "/to"}, {strings.Replace(body, day+"T04:00:00Z", day+"T04:00:00,5Z", 1), "/to"},
		{strings.Replace(body, day+"T04:00:00Z", "2027-11-27T04:00:00Z", 1), "/to"}, {strings.Replace(body, "private_car", strings.Repeat("c", 65), 1), "/class"},
		{strings.Replace(body, "{", `{"flags":["disabled_permit"],`, 1), "/flags"},
	} {
		s.refused(s.post("/v1/carparks/"+hoiShing+"/quotes", one.body), 422, "bad-field", one.at)
	}
}

// lane sends one event and returns what became of it.
func (s *tester) lane(park, id, unit, more string) laneResultForm {
	s.Helper()
	w := s.post("/v1/carparks/"+park+"/lane-events", fmt.Sprintf(`{"events":[{"id":%q,"lane":%q,"time":%q%s}]}`, id, unit, s.clock.Now().Format(time.RFC3339Nano), more), "Idempotency-Key", "")
	results := decode[struct{ Results []laneResultForm }](s, w, 200).Results
	if len(results) != 1 || results[0].ID != id {
		s.Fatalf("%s", w.Body)
	}
	return results[0]
}

func TestLaneEvents(t *testing.T) {
	s := newTester(t)
	path := "/v1/carparks/" + hoiShing + "/lane-events"
	for _, one := range []struct {
		body   string
		status int
		slug   string
	}{{"{}", 422, "bad-field"}, {`{"events":[]}`, 422, "bad-field"}, {`{"events":[` + strings.Repeat("{},", maxEvents) + `{}]}`, 422, "bad-field"}, {`{"events":[{"plate_confidence":"1"}]}`, 422, "bad-field"}, {`{"events":[{"colour":"red"}]}`, 422, "bad-field"}} {
		s.refused(s.post(path, one.body), one.status, one.slug, "")
	}
	good := `{"id":"g%d","lane":"HSR-IN-1","time":"2026-11-24T02:00:00Z","plate":"XY%d"}`
	bad := []string{
		`{}`, `{"id":"b1","lane":"TKO-IN-1","time":"2026-11-24T02:00:00Z","plate":"A"}`, `{"id":"b2","lane":"HSR-IN-1","time":"now","plate":"A"}`,
		`{"id":"b3","lane":"HSR-IN-1","time":"2026-11-24T02:00:00Z"}`, `{"id":"b4","lane":"HSR-IN-1","time":"2026-11-24T02:00:00Z","tag":"xyz"}`,
		`{"id":"b5","lane":"HSR-IN-1","time":"2026-11-24T02:00:00Z","plate":"A","plate_confidence":1.01}`,
		`{"id":"b6","lane":"HSR-IN-1","time":"2026-11-24T02:00:00Z","plate":"A","plate_confidence":-0.1}`,
		`{"id":"b7","lane":"HSR-IN-1","time":"2026-11-24T03:00:00Z","plate":"A"}`, `{"id":"b8","lane":"HSR-IN-1","time":"2019-11-24T02:00:00Z","plate":"A"}`,
		`{"id":"` + strings.Repeat("i", 129) + `","lane":"HSR-IN-1","time":"2026-11-24T02:00:00Z","plate":"A"}`, `{"id":"b\u0000","lane":"HSR-IN-1","time":"2026-11-24T02:00:00Z","plate":"A"}`,
	}
	var events []string
	for i, one := range bad {
		events = append(events, one, fmt.Sprintf(good, i, i))
	}
	w := s.post(path, `{"events":[`+strings.Join(events, ",")+`]}`)
	for i, r := range decode[struct{ Results []laneResultForm }](s, w, 200).Results {
		if wrong := r.Error != ""; wrong != (i%2 == 0) || wrong && (r.Open || r.Why != "refused") || !wrong && !r.Open {
			t.Errorf("event %s: %+v", events[i], r)
		}
	}
	if again := s.lane(hoiShing, "g0", "HSR-IN-1", `,"plate":"xy 0"`); !again.Known || again.Error != "" {
		t.Errorf("%+v", again)
	}
	other := s.lane(hoiShing, "g0", "HSR-IN-1", `,"plate":"ZZ9"`)
	if other.Error == "" || other.Open || strings.Contains(other.Error, "XY0") || strings.Contains(other.Error, "ZZ9") {
		t.Errorf("%+v", other)
	}
}

func TestAStayFromEntryToExit(t *testing.T) {
	s := newTester(t)
	lanes := s.sites.parks[rumsey].Lanes
	in, out := "", ""
	for _, l := range lanes {
		if l.Direction == "in" {
			in = l.Unit
		} else {
			out = l.Unit
		}
	}
	entered := s.lane(rumsey, "in", in, `,"plate":"cd 2","class":"private_car","plate_confidence":0.95`)
	if !entered.Open || entered.Stay == "" {
		t.Fatalf("%+v", entered)
	}
	path := "/v1/stays/" + entered.Stay
	s.clock.Advance(90 * time.Minute)
	refused := s.lane(rumsey, "out", out, `,"plate":"CD2"`)
	if refused.Open || refused.Why != "due" || refused.Due == "" || refused.Due == "0.00" {
		t.Errorf("%+v", refused)
	}
	type evidence struct {
		Bill   billForm
		Events []map[string]any
	}
	e := decode[evidence](s, s.get(path), 200)
	if len(e.Events) != 2 || e.Events[0]["plate_confidence_permille"] != float64(950) || e.Bill.Due != refused.Due {
		t.Errorf("%+v", e)
	}
	pay := func(body, key string) *httptest.ResponseRecorder {
		return s.post(path+"/payments", body, "Idempotency-Key", key)
	}
	for _, one := range []struct{ body, at string }{
		{`{}`, "/amount"}, {`{"amount":5}`, "/amount"}, {`{"amount":"-5.00","means":"cash","payment_id":"p"}`, "/amount"}, {`{"amount":"0.00","means":"cash","payment_id":"p"}`, "/amount"},
		{`{"amount":"1e3","means":"cash","payment_id":"p"}`, "/amount"}, {`{"amount":"5.001","means":"cash","payment_id":"p"}`, "/amount"},
		{`{"amount":"5.00","means":"CASH!","payment_id":"p"}`, "/means"}, {`{"amount":"5.00","means":"cash"}`, "/payment_id"}, {`{"amount":"5.00","means":"cash","payment_id":"p","x":1}`, "/x"},
	} {
		s.refused(pay(one.body, `"bad"`), 422, "bad-field", one.at)
	}
	s.refused(pay(`{"amount":"9999.00","means":"cash","payment_id":"p"}`, `"too-much"`), 422, "invalid", "")
	body := fmt.Sprintf(`{"amount":%q,"means":"octopus","payment_id":"p1"}`, refused.Due)
	paid := pay(body, `"p1"`)
	if b := decode[billForm](s, paid, 200); b.Due != "0.00" || b.Paid != refused.Due || len(b.Payments) != 1 {
		t.Errorf("%s", paid.Body)
	}
	s.replayed(paid, pay(body, `"p1"`))
	left := s.lane(rumsey, "out2", out, `,"plate":"CD2"`)
	if !left.Open || left.Why != "paid" {
		t.Errorf("%+v", left)
	}
	if e := decode[evidence](s, s.get(path), 200); e.Bill.Stay.State != "closed" || e.Bill.Stay.Amount != refused.Due {
		t.Errorf("%+v", e.Bill)
	}
	late := pay(`{"amount":"1.00","means":"cash","payment_id":"p2"}`, `"p2"`)
	s.refused(late, 422, "invalid", "")
	for _, one := range []struct{ path, body, at string }{
		{"/refunds", `{}`, "/reason"}, {"/refunds", `{"reason":"x","by":"machine"}`, "/by"}, {"/validations", `{}`, "/code"}, {"/validations", `{"code":"c"}`, "/reference"},
		{"/charging", `{}`, "/session"}, {"/charging", `{"session":"s","watt_hours":-1}`, "/watt_hours"}, {"/charging", `{"session":"s","plug_in":"x"}`, "/plug_in"},
		{"/charging", `{"session":"s","unplug":"1999-01-01T00:00:00Z"}`, "/unplug"}, {"/decision", `{}`, "/kind"}, {"/decision", `{"kind":"waive"}`, "/reason"},
		{"/decision", `{"kind":"amount","reason":"x"}`, "/amount"}, {"/decision", `{"kind":"amount","amount":"1,00","reason":"x"}`, "/amount"},
		{"/decision", `{"kind":"correct","entry":"x","reason":"x"}`, "/entry"}, {"/decision", `{"kind":"account","account":"` + strings.Repeat("a", 129) + `","reason":"x"}`, "/account"},
	} {
		s.refused(s.post(path+one.path, one.body), 422, "bad-field", one.at)
	}
	s.refused(s.post(path+"/decision", `{"kind":"account","reason":"x"}`), 422, "invalid", "")
	nothing := s.post(path+"/refunds", `{"reason":"x"}`, "Idempotency-Key", `"none"`)
	s.refused(nothing, 409, "state", "")
	decision := s.post(path+"/decision", `{"kind":"amount","amount":"5.00","by":"Chan","reason":"broken sign"}`, "Idempotency-Key", `"d"`)
	if b := decode[billForm](s, decision, 200); b.Total != "5.00" || b.Credit == "0.00" {
		t.Errorf("%s", decision.Body)
	}
	s.replayed(decision, s.post(path+"/decision", `{"kind":"amount","amount":"5.00","by":"Chan","reason":"broken sign"}`, "Idempotency-Key", `"d"`))
	s.replayed(nothing, s.post(path+"/refunds", `{"reason":"x"}`, "Idempotency-Key", `"none"`))
	if b := decode[billForm](s, s.post(path+"/refunds", `{"by":"Chan","reason":"broken sign"}`), 200); b.Credit != "0.00" || b.Payments[0].Refunded == "" {
		t.Errorf("%+v", b)
	}
	till := decode[map[string]any](s, s.get("/v1/carparks/"+rumsey+"/takings?day="+day), 200)
	if till["amount"] != "5.00" || till["paid"] != "5.00" || till["due"] != "0.00" {
		t.Errorf("%v", till)
	}
	for _, bad := range []string{"", "day=2026-11-31", "day=24.11.2026", "day=0001-01-01", "day=2026-11-24&x=1"} {
		s.refused(s.get("/v1/carparks/"+rumsey+"/takings?"+bad), 400, "bad-parameter", "")
	}
	sessions := decode[apdsList[apdsSession]](s, s.get("/v1/sessions?place="+rumsey), 200)
	if len(sessions.Data) != 1 || sessions.Data[0].Credentials[0] != (apdsCredential{"licensePlate", "CD2"}) {
		t.Errorf("%+v", sessions)
	}
	if logs := s.logs.String(); strings.Contains(logs, "CD2") {
		t.Errorf("a plate is logged: %s", logs)
	}
}

// TestTheLanesStay: a driver with nothing but a ticket has a bay, and both are one
// stay.
func TestTheLanesStay(t *testing.T) {
	s := newTester(t)
	entered := s.lane(hoiShing, "in", "HSR-IN-1", `,"ticket":"T-1","class":"private_car"`)
	body := func(stay string) string {
		return fmt.Sprintf(`{"vehicle":{"class":"private_car","length_mm":4800,"width_mm":1850,"height_mm":1500,"weight_kg":1700},"stay":%q}`, stay)
	}
	path := "/v1/carparks/" + hoiShing + "/allocations"
	g := decode[allocationForm](s, s.post(path, body(entered.Stay)), 201)
	if g.Stay != entered.Stay {
		t.Errorf("%+v", g)
	}
	for _, bad := range []string{"none", strings.Repeat("s", 200), "a\nb"} {
		s.refused(s.post(path, body(bad)), 422, "bad-field", "/stay")
	}
	s.refused(s.post("/v1/carparks/tdstt90/allocations", body(entered.Stay)), 422, "bad-field", "/stay")
}

// TestStaysJoinToTheWhole walks the lists of stays and sessions while cars come.
func TestStaysJoinToTheWhole(t *testing.T) {
	s := newTester(t)
	in := s.sites.parks[rumsey].Lanes[0].Unit
	var want []string
	come := func() {
		s.clock.Advance(time.Second)
		r := s.lane(rumsey, fmt.Sprint("e", len(want)), in, fmt.Sprintf(`,"plate":"CD%d","class":"private_car"`, len(want)))
		want = append(want, r.Stay)
	}
	for range 9 {
		come()
	}
	for _, list := range []string{"/v1/carparks/" + rumsey + "/stays?limit=2", "/v1/sessions?limit=2&place=" + rumsey} {
		before, pages := len(want), 0
		var seen []string
		for target := list; target != "" && pages < 100; pages++ {
			w := s.get(target)
			page := decode[struct {
				Items, Data []struct{ ID string }
			}](s, w, 200)
			for _, one := range append(page.Items, page.Data...) {
				seen = append(seen, one.ID)
			}
			if pages < 3 {
				come()
			}
			target = strings.TrimPrefix(strings.TrimSuffix(w.Header().Get("Link"), `>; rel="next"`), "<")
		}
		if pages < 4 || len(seen) < before || strings.Join(seen, " ") != strings.Join(want[:len(seen)], " ") {
			t.Errorf("%s: %d pages, %d of %d stays", list, pages, len(seen), before)
		}
	}
	for _, bad := range []string{"after=none", "vehicle=-", "vehicle=ticket:", "from=x", "from=0001-01-01T00:00:00Z", "limit=1001"} {
		name, _, _ := strings.Cut(bad, "=")
		s.refused(s.get("/v1/carparks/"+rumsey+"/stays?"+bad), 400, "bad-parameter", name)
	}
	s.refused(s.get("/v1/sessions?after=none&place="+rumsey), 400, "bad-parameter", "after")
	one := decode[web.Page[stayForm]](s, s.get("/v1/carparks/"+rumsey+"/stays?vehicle=c-d%203"), 200)
	if len(one.Items) != 1 || one.Items[0].ID != want[3] {
		t.Errorf("%+v", one)
	}
}

func TestPreferences(t *testing.T) {
	s := newTester(t)
	put := func(body string) *httptest.ResponseRecorder {
		return s.ask(s.staff, "PUT", "/v1/parking-preferences/one", body)
	}
	if p := decode[preferenceForm](s, s.get("/v1/parking-preferences/one"), 200); p.Said || !p.Pays || p.Account != "one" {
		t.Errorf("%+v", p)
	}
	// A word that is missing must not take a business account's word back.
	for _, one := range []struct{ body, at string }{{`{}`, "/business"}, {`{"business":true}`, "/pays"}, {`{"pays":false}`, "/business"}, {`{"business":true,"pays":null}`, "/pays"}, {`{"business":true,"pays":true,"by":"machine"}`, "/by"}} {
		s.refused(put(one.body), 422, "bad-field", one.at)
	}
	if p := decode[preferenceForm](s, put(`{"business":true,"pays":false,"by":"Chan"}`), 200); !p.Said || p.Pays || !p.Business || p.By != "Chan" {
		t.Errorf("%+v", p)
	}
	if p := decode[preferenceForm](s, s.get("/v1/parking-preferences/one"), 200); !p.Said || p.Pays {
		t.Errorf("%+v", p)
	}
}

// TestEachSampleHasAPrice: what the samples publish can be asked over the API.
func TestEachSampleHasAPrice(t *testing.T) {
	s := newTester(t)
	for _, park := range s.sites.All() {
		q := decode[quoteForm](s, s.get("/v1/carparks/"+park.ID+"/quote?class=private_car&from="+day+"T02:00:00Z&to="+day+"T05:30:00Z&ev=false"), 200)
		if q.Amount == "0.00" || len(q.Lines) == 0 || q.Lines[0].Kind == "" || q.Lines[0].AmountCents == tariff.Cents(0) {
			t.Errorf("%s: %+v", park.ID, q)
		}
	}
}
