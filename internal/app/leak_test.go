package app_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freeflow/internal/clock"
	"freeflow/internal/database"
)

// The plate and the tag that must appear in no log and no metric.
const (
	secretPlate = "ZQ7731"
	secretTag   = "E2806894000050021F3A9B7C"
	// aliasPlate has no owner, wrongTag is no tag at all.
	aliasPlate = "XJ4408"
	wrongTag   = "E28068940000ZZ"
)

// A whole system is given a plate and a tag in every way there is, good and
// bad, and while its database is broken. Nothing that it logs at any level, and
// no metric, health report or traffic of either, names them.
func TestNoPlateOrTagInLogsOrMetrics(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	r := startSystem(t, dir, "--log-level", "debug", "--log-format", "json")
	operator := func(method, path, kind, body string) string {
		t.Helper()
		status, answer := r.call(method, r.operator+path, r.operatorKey, kind, body)
		return fmt.Sprint(status, " ", answer)
	}
	registry := "account,plate,class,tag,from,to,exempt\nA1," + secretPlate + ",private_car," + secretTag + ",2025-01-01T00:00:00+08:00,,\n"
	if got := operator(http.MethodPut, "/v1/registry", "text/csv", registry); !strings.HasPrefix(got, "200") {
		t.Fatal(got)
	}
	// A registry that contradicts itself, and one that is none.
	operator(http.MethodPut, "/v1/registry", "text/csv", registry+"A2,"+aliasPlate+",taxi,"+secretTag+",2025-01-01T00:00:00+08:00,,\n")
	operator(http.MethodPut, "/v1/registry", "text/csv", secretPlate+","+secretTag)

	at := func(ago time.Duration) string {
		return clock.System{}.Now().Add(-ago).Format("2006-01-02T15:04:05.000000Z")
	}
	read := func(unit string, seq int, ago time.Duration, mark string) string {
		return fmt.Sprintf(`{"unit":%q,"seq":%d,"time":%q,%s}`, unit, seq, at(ago), mark)
	}
	both := `"tag":"` + secretTag + `","plate":"` + secretPlate + `"`
	reads := []string{
		read("CHT-N-1", 1, 3*time.Minute, both),
		read("CHT-N-1", 1, 3*time.Minute, both),                                             // again
		read("CHT-N-1", 1, 2*time.Minute, `"plate":"`+aliasPlate+`"`),                       // the same number, another read: an alarm
		read("CHT-N-1", 9, 2*time.Minute, `"plate":"`+secretPlate+`"`),                      // a gap: an alarm
		read("CHT-S-1", 2, 3*time.Minute-20*time.Second, both),                              // a turn-round
		read("CHT-N-2", 3, 3*time.Minute, `"tag":"`+secretTag+`","plate":"`+aliasPlate+`"`), // the same car twice
		read("CHT-N-2", 4, -time.Hour, both),                                                // ahead of the clock
		read("NOWHERE-1", 5, 0, both),
		read("CHT-N-2", 6, 0, `"tag":"`+wrongTag+`","plate":"`+secretPlate+`"`),
		`{"unit":"CHT-N-2","seq":7,"time":"` + secretPlate + `",` + both + `}`,
		`{"unit":"` + secretPlate + `","seq":8,"time":"` + at(0) + `",` + both + `}`,
		`{"unit":"CHT-N-2","seq":"` + secretTag + `",` + both,
		`{"unit":"TKO-IN-1","seq":1,"time":"` + at(time.Minute) + `",` + both + `}`, // a lane of a car park
		`{"unit":"TKO-IN","seq":1,"time":"` + at(time.Minute) + `",` + both + `}`,
	}
	for _, body := range []string{strings.Join(reads, "\n"), secretPlate, "[" + secretTag + "]"} {
		r.call(http.MethodPost, r.gateway+"/v1/reads", r.unitKey, "application/x-ndjson", body)
		r.call(http.MethodPost, r.gateway+"/v1/reads", r.unitKey, "application/json", "["+body+"]")
		r.call(http.MethodPost, r.gateway+"/v1/reads?strict=1&plate="+secretPlate, secretTag, "application/x-protobuf", body)
	}
	for range 100 {
		if strings.Contains(operator(http.MethodGet, "/v1/charges?vehicle="+secretPlate, "", ""), "CHT-N") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if !strings.Contains(operator(http.MethodGet, "/v1/charges?vehicle="+secretPlate, "", ""), "CHT-N") {
		t.Fatal("no pass came of the reads") // else nothing is proved here
	}
	vehicle := `{"vehicle":{"plate":"` + secretPlate + `","class":"private_car","length_mm":4500,"width_mm":1800,"height_mm":1500,"weight_kg":1500},"expected_stay_minutes":60}`
	parking := func(path, key, body string) {
		request, err := http.NewRequest(http.MethodPost, "http://"+r.operator+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+r.operatorKey)
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Idempotency-Key", `"`+key+`"`)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	everything := func(round string) {
		operator(http.MethodGet, "/v1/charges?vehicle=tag:"+secretTag+"&"+secretPlate+"="+secretTag, "", "")
		operator(http.MethodGet, "/v1/charges?vehicle="+secretPlate, "text/csv", "")
		operator(http.MethodGet, "/v1/charges", "text/csv", "")
		operator(http.MethodGet, "/v1/passes/"+secretPlate, "", "")
		operator(http.MethodGet, "/v1/reviews", "", "")
		operator(http.MethodPost, "/v1/reviews/"+secretTag, "application/json", `{"decision":"`+secretPlate+`"}`)
		operator(http.MethodGet, "/"+secretPlate+"/"+secretTag, "", "")
		operator(secretPlate, "/v1/charges", "", "")
		for i, site := range []string{"tdstt46", "tdcp2", "tdc335p1", secretPlate} {
			for _, path := range []string{"/allocations", "/lane-events", "/passes", "/reservations", "/stays"} {
				parking("/v1/carparks/"+site+path, fmt.Sprint(round, i, path), vehicle)
				parking("/v1/carparks/"+site+path, fmt.Sprint(round, i, path, secretPlate), vehicle+secretTag)
				parking("/v1/carparks/"+site+path, fmt.Sprint(round, i, path), strings.ReplaceAll(vehicle, "4500", "4600"))
			}
			for j, lane := range []string{"HSR-IN-1", "RST-IN-1", "TKO-IN-1", "TKO-OUT-1", secretPlate} {
				event := func(id, mark string) string {
					return fmt.Sprintf(`{"id":%q,"lane":%q,"time":%q,%s}`, id, lane, at(time.Minute), mark)
				}
				list := []string{event(fmt.Sprint(round, i, j), both), event(secretPlate+fmt.Sprint(j), `"plate":"`+aliasPlate+`"`), event("bad", `"tag":"`+wrongTag+`"`)}
				for _, body := range []string{"[" + strings.Join(list, ",") + "]", `{"events":[` + strings.Join(list, ",") + `]}`, list[0]} {
					parking("/v1/carparks/"+site+"/lane-events", fmt.Sprint(round, i, j, len(body)), body)
				}
			}
		}
		for _, path := range []string{"/accounts", "/accounts/A1/vehicles", "/accounts/A1/tags", "/tags", "/disputes", "/payments"} {
			parking("/v1"+path, round+path, `{"id":"A1","name":"x","plate":"`+secretPlate+`","tag":"`+secretTag+`","epc":"`+secretTag+`"}`)
		}
		r.call(http.MethodPost, r.portal+"/v1/unpaid/lookup?plate="+secretPlate, "", "application/json", `{"plate":"`+secretPlate+`","notice":"`+secretTag+`"}`)
		r.call(http.MethodPost, r.portal+"/sign-in", "", "application/x-www-form-urlencoded", "email="+secretPlate+"&password="+secretTag)
		r.call(http.MethodGet, r.portal+"/"+secretPlate, secretTag, "", "")
		r.call(http.MethodPost, r.gateway+"/v1/reads", r.unitKey, "application/x-ndjson",
			read("CHT-N-1", 100+len(round), 30*time.Minute, both)+"\n"+read("CHT-N-1", 200+len(round), 29*time.Minute, `"plate":"`+aliasPlate+`"`))
	}
	everything("good")
	// The same while tables are gone: everything fails that can.
	r.broken(t, func() {
		everything("broken")
		for range 100 {
			if strings.Contains(r.said.String(), "no such table") {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Error("nothing was logged of the broken database") // else nothing is proved here
	})
	_, metrics := r.call(http.MethodGet, r.admin+"/metrics", "", "", "")
	_, health := r.call(http.MethodGet, r.admin+"/readyz", "", "", "")
	r.stop()
	for where, text := range map[string]string{"log": r.said.String(), "metrics": metrics, "health": health} {
		if len(text) < 20 {
			t.Errorf("the %s is empty", where)
		}
		upper := strings.ToUpper(text)
		for _, mark := range []string{secretPlate, secretTag, aliasPlate, wrongTag} {
			for from := 0; ; {
				i := strings.Index(upper[from:], mark)
				if i < 0 {
					break
				}
				i += from
				t.Errorf("the %s names %s: ...%s...", where, mark, text[max(0, i-300):min(len(text), i+100)])
				from = i + len(mark)
			}
		}
	}
}

// broken takes tables away for as long as fn runs.
func (r *running) broken(t *testing.T, fn func()) {
	t.Helper()
	tables := []string{"pass", "charge", "parking_stay", "parking_lane_event", "parking_allocation"}
	rename := func(from, to string) {
		db, err := database.Open(context.Background(), "sqlite:"+filepath.Join(r.dir, "books.db"),
			database.Options{Schema: database.Schema{Name: "books", Table: "audit_schema", Want: 3}})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for _, table := range tables {
			err := db.Write(context.Background(), func(s database.Session) error {
				_, err := s.Exec(context.Background(), "ALTER TABLE "+table+from+" RENAME TO "+table+to)
				return err
			})
			if err != nil {
				t.Logf("%s%s: %v", table, from, err)
			}
		}
	}
	rename("", "_gone")
	defer rename("_gone", "")
	fn()
}
