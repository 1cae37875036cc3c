package opendata

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"freeflow/parking/sites"
	"freeflow/parking/tariff"
)

// What follows is a reader of carpark-info-vacancy written from the data
// dictionary of specification 1.2 alone. A tag spec:"Y" is a required field;
// enum and form bind its values.
type (
	specInfo struct {
		ParkID         *string           `json:"park_Id" spec:"Y"`
		Name           *string           `json:"name" spec:"Y"`
		Nature         *string           `json:"nature" enum:"government commercial"`
		Type           *string           `json:"carpark_Type" enum:"multi-storey off-street metered"`
		Address        *specAddress      `json:"address"`
		DisplayAddress *string           `json:"displayAddress" spec:"Y"`
		District       *string           `json:"district"`
		Latitude       *float64          `json:"latitude" spec:"Y"`
		Longitude      *float64          `json:"longitude" spec:"Y"`
		ContactNo      *string           `json:"contactNo"`
		RenditionURLs  *specRenditions   `json:"renditionUrls"`
		Website        *string           `json:"website"`
		OpeningStatus  *string           `json:"opening_status" enum:"OPEN CLOSED"`
		OpeningHours   []specPeriod      `json:"openingHours"`
		GracePeriods   []specGrace       `json:"gracePeriods"`
		HeightLimits   []specHeight      `json:"heightLimits"`
		Facilities     []specFacility    `json:"facilities"`
		PaymentMethods []specPayment     `json:"paymentMethods"`
		PrivateCar     *specVehicle      `json:"privateCar"`
		LGV            *specVehicle      `json:"LGV"`
		HGV            *specVehicle      `json:"HGV"`
		CV             *specVehicle      `json:"CV"`
		Coach          *specVehicle      `json:"coach"`
		MotorCycle     *specMotorVehicle `json:"motorCycle"`
		CreationDate   *string           `json:"creationDate" form:"stamp"`
		ModifiedDate   *string           `json:"modifiedDate" form:"stamp"`
		PublishedDate  *string           `json:"publishedDate" form:"stamp"`
		Lang           *string           `json:"lang" spec:"Y" enum:"en_US zh_TW zh_CN"`
	}
	specAddress struct {
		UnitNo          *string `json:"unitNo"`
		UnitDescriptor  *string `json:"unitDescriptor"`
		Floor           *string `json:"floor"`
		BlockNo         *string `json:"blockNo"`
		BlockDescriptor *string `json:"blockDescriptor"`
		BuildingName    *string `json:"buildingName"`
		Phase           *string `json:"phase"`
		EstateName      *string `json:"estateName"`
		VillageName     *string `json:"villageName"`
		StreetName      *string `json:"streetName"`
		BuildingNo      *string `json:"buildingNo"`
		SubDistrict     *string `json:"subDistrict" spec:"Y"`
		DcDestrict      *string `json:"dcDestrict" spec:"Y"`
		Region          *string `json:"region" spec:"Y"`
	}
	specRenditions struct {
		Square    *string `json:"square"`
		Thumbnail *string `json:"thumbnail"`
		Banner    *string `json:"banner"`
		Photo     *string `json:"carpark_photo"`
	}
	specPeriod struct {
		Start    *string   `json:"periodStart" spec:"Y" form:"hhmm"`
		End      *string   `json:"periodEnd" spec:"Y" form:"hhmm"`
		Exclude  *bool     `json:"excludePublicHoliday" spec:"Y"`
		Weekdays []specDay `json:"weekdays" spec:"Y"`
	}
	specGrace struct {
		Minutes *float64 `json:"minutes" spec:"Y"`
		Remark  *string  `json:"remark"`
	}
	specHeight struct {
		Height *float64 `json:"height"`
		Remark *string  `json:"remark"`
	}
	specDay      string
	specFacility string
	specPayment  string
	specSpaces   struct {
		Space    *int `json:"space" spec:"Y"`
		SpaceDIS *int `json:"spaceDIS" spec:"Y"`
		SpaceEV  *int `json:"spaceEV" spec:"Y"`
		SpaceUNL *int `json:"spaceUNL" spec:"Y"`
	}
	specMotorVehicle struct {
		specSpaces     `json:",inline"`
		HourlyCharges  []specHourly    `json:"hourlyCharges"`
		DayNightParks  []specDayNight  `json:"dayNightParks"`
		MonthlyCharges []specMonthly   `json:"monthlyCharges"`
		Privileges     []specPrivilege `json:"privileges"`
	}
	specVehicle struct {
		specMotorVehicle `json:",inline"`
		Unloadings       []specUnloading `json:"unloadings"`
	}
	specThreshold struct {
		Hours *float64 `json:"hours" spec:"Y"`
		Price *float64 `json:"price" spec:"Y"`
	}
	specHourly struct {
		Type       *string `json:"type" spec:"Y" enum:"hourly half-hourly"`
		specPeriod `json:",inline"`
		Price      *float64        `json:"price" spec:"Y"`
		Thresholds []specThreshold `json:"usageThresholds"`
		Covered    *string         `json:"covered" spec:"Y" enum:"covered semi-covered open-air mixed"`
		Remark     *string         `json:"remark"`
	}
	specDayNight struct {
		Type          *string `json:"type" spec:"Y" enum:"day-park night-park 6-hours-park 12-hours-park 24-hours-park"`
		specPeriod    `json:",inline"`
		ValidUntil    *string  `json:"validUntil" spec:"Y" enum:"no-restrictions same-day following-day"`
		ValidUntilEnd *string  `json:"validUntilEnd" form:"hhmm"`
		Price         *float64 `json:"price" spec:"Y"`
		Covered       *string  `json:"covered" spec:"Y" enum:"covered semi-covered open-air mixed"`
		Remark        *string  `json:"remark"`
	}
	specMonthly struct {
		Type     *string      `json:"type" spec:"Y" enum:"monthly-park monthly-day-park monthly-night-park bimonthly-park bimonthly-day-park bimonthly-night-park quarterly-park quarterly-day-park quarterly-night-park yearly-park yearly-day-park yearly-night-park"`
		Price    *float64     `json:"price" spec:"Y"`
		Ranges   []specPeriod `json:"ranges"`
		Covered  *string      `json:"covered" spec:"Y" enum:"covered semi-covered open-air mixed"`
		Reserved *string      `json:"reserved" spec:"Y" enum:"reserved non-reserved"`
		Remark   *string      `json:"remark"`
	}
	specUnloading struct {
		Type       *string         `json:"type" spec:"Y" enum:"hourly half-hourly"`
		Price      *float64        `json:"price" spec:"Y"`
		Thresholds []specThreshold `json:"usageThresholds"`
		Remark     *string         `json:"remark"`
	}
	specPrivilege struct {
		specPeriod  `json:",inline"`
		Description *string `json:"description" spec:"Y"`
	}
	specVacancies struct {
		ParkID     *string       `json:"park_Id" spec:"Y"`
		PrivateCar []specVacancy `json:"privateCar"`
		LGV        []specVacancy `json:"LGV"`
		HGV        []specVacancy `json:"HGV"`
		CV         []specVacancy `json:"CV"`
		Coach      []specVacancy `json:"coach"`
		MotorCycle []specVacancy `json:"motorCycle"`
	}
	specVacancy struct {
		DIS        *int    `json:"vacancyDIS"`
		EV         *int    `json:"vacancyEV"`
		UNL        *int    `json:"vacancyUNL"`
		Type       *string `json:"vacancy_type" spec:"Y" enum:"A B C"`
		Vacancy    *int    `json:"vacancy" spec:"Y"`
		LastUpdate *string `json:"lastupdate" spec:"Y" form:"stamp"`
		Category   *string `json:"category" enum:"HOURLY DAILY MONTHLY"`
	}
	specInfoAnswer struct {
		Results []specInfo `json:"results" spec:"Y"`
	}
	specVacancyAnswer struct {
		Results []specVacancies `json:"results" spec:"Y"`
	}
)

var forms = map[string]*regexp.Regexp{
	"hhmm":  regexp.MustCompile(`^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$`),
	"stamp": regexp.MustCompile(`^[0-9]{4}-(0[1-9]|1[0-2])-([0-2][0-9]|3[01]) ([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$`),
}

// readSpec decodes strictly and returns what breaks the specification.
func readSpec(body []byte, into any) []string {
	if !utf8.Valid(body) || bytes.HasPrefix(body, []byte("\xef\xbb\xbf")) {
		return []string{"not plain UTF-8"}
	}
	if err := json.Unmarshal(body, into, json.RejectUnknownMembers(true), jsontext.AllowDuplicateNames(false)); err != nil {
		return []string{err.Error()}
	}
	return breaches("", reflect.ValueOf(into).Elem(), "")
}

func breaches(at string, v reflect.Value, tag reflect.StructTag) []string {
	var out []string
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			if tag.Get("spec") == "Y" {
				out = append(out, at+" is required")
			}
			return out
		}
		return breaches(at, v.Elem(), tag)
	case reflect.Slice:
		if v.IsNil() && tag.Get("spec") == "Y" {
			out = append(out, at+" is required")
		}
		for i := range v.Len() {
			out = append(out, breaches(fmt.Sprintf("%s[%d]", at, i), v.Index(i), "")...)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			out = append(out, breaches(at+"."+field.Name, v.Field(i), field.Tag)...)
		}
	case reflect.String:
		text := v.String()
		words := strings.Fields(tag.Get("enum"))
		switch v.Type() {
		case reflect.TypeFor[specDay]():
			words = strings.Fields("MON TUE WED THU FRI SAT SUN PH")
		case reflect.TypeFor[specFacility]():
			words = strings.Fields("evCharger disabilities unloading washing valet-parking")
		case reflect.TypeFor[specPayment]():
			words = strings.Fields("cash octopus EPS visa master unionpay alipay autopay-station")
		}
		if len(words) > 0 && !slices.Contains(words, text) {
			out = append(out, fmt.Sprintf("%s is %q", at, text))
		}
		if form := forms[tag.Get("form")]; form != nil && !form.MatchString(text) {
			out = append(out, fmt.Sprintf("%s is %q", at, text))
		}
		if text == "" {
			out = append(out, at+" is empty")
		}
	case reflect.Float64:
		if v.Float() < 0 {
			out = append(out, at+" is negative")
		}
	case reflect.Int:
		if v.Int() < 0 && !(strings.HasSuffix(at, ".Vacancy") && v.Int() == -1) {
			out = append(out, at+" is negative")
		}
	}
	return out
}

// samples are the sites that come with the program, with their tariffs and
// some figures.
func samples(t *testing.T) *sources {
	src := &sources{}
	for _, name := range sites.Samples() {
		c, _, err := sites.Sample(name)
		if err != nil {
			t.Fatal(err)
		}
		prices, err := tariff.Sample(c.Tariff)
		if err != nil {
			t.Fatalf("the tariff of %s: %v", name, err)
		}
		src.sites = append(src.sites, Site{CarPark: c, Prices: prices, Changed: noon.Add(-time.Hour)})
		built, free := capacityOf(c), map[string]Free{}
		for k := range kinds {
			p := built.places[k]
			free[p.class] = Free{General: p.general / 2, EV: min(p.ev, p.general/2) / 2, Accessible: p.accessible}
		}
		src.set(c.ID, Figure{At: noon.Add(-30 * time.Second), Free: free})
	}
	if len(src.sites) < 4 {
		t.Fatalf("%d sample sites", len(src.sites))
	}
	return src
}

func TestTheSpecificationsReaderUnderstandsEveryAnswer(t *testing.T) {
	for name, src := range map[string]*sources{"made up": standard(), "samples": samples(t)} {
		s := newServer(t, src)
		for _, language := range []string{english, traditional, simplified} {
			w := s.get("/v1/carpark-info-vacancy?data=info&lang=" + language)
			var info specInfoAnswer
			for _, breach := range readSpec(w.Body.Bytes(), &info) {
				t.Errorf("%s, %s: %s", name, language, breach)
			}
			if len(info.Results) != len(src.sites) {
				t.Errorf("%s, %s: %d car parks", name, language, len(info.Results))
			}
			w = s.get("/v1/carpark-info-vacancy?data=vacancy&lang=" + language)
			var vacancies specVacancyAnswer
			for _, breach := range readSpec(w.Body.Bytes(), &vacancies) {
				t.Errorf("%s, %s: %s", name, language, breach)
			}
			if len(vacancies.Results) != len(src.sites) {
				t.Errorf("%s, %s: %d car parks", name, language, len(vacancies.Results))
			}
		}
	}
}

// TestTheReaderBites: a reader that took anything would prove nothing.
func TestTheReaderBites(t *testing.T) {
	for _, body := range []string{
		`{"results":[{"park_Id":"1","privateCar":[{"vacancy_type":"A","vacancy":1}]}]}`,
		`{"results":[{"park_Id":"1","privateCar":[{"vacancy_type":"D","vacancy":1,"lastupdate":"2026-01-01 00:00:00"}]}]}`,
		`{"results":[{"park_Id":"1","privateCar":[{"vacancy_type":"A","vacancy":-2,"lastupdate":"2026-01-01 00:00:00"}]}]}`,
		`{"results":[{"park_Id":"1","privateCar":[{"vacancy_type":"A","vacancy":1,"lastupdate":"2026-01-01T00:00:00Z"}]}]}`,
		`{"results":[{"park_Id":"1","privatecar":[]}]}`, `{"results":[{"park_id":"1"}]}`, `{"results":[{}]}`, `{}`, "\xef\xbb\xbf{\"results\":[]}",
	} {
		if len(readSpec([]byte(body), new(specVacancyAnswer))) == 0 {
			t.Errorf("taken: %s", body)
		}
	}
	if breaches := readSpec([]byte(`{"results":[{"park_Id":"1","privateCar":[{"vacancy_type":"C","vacancy":0,"lastupdate":"2026-01-01 00:00:00"}]}]}`), new(specVacancyAnswer)); len(breaches) > 0 {
		t.Error(breaches)
	}
}

// TestSimplifiedIsSimplified looks for characters that the Transport
// Department writes otherwise in simplified Chinese.
func TestSimplifiedIsSimplified(t *testing.T) {
	text, err := os.ReadFile("testdata/traditional.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	only := lines[len(lines)-1]
	if utf8.RuneCountInString(only) < 200 {
		t.Fatal("too few characters to find anything")
	}
	s := newServer(t, samples(t))
	found := func(language string) int {
		n := 0
		body := s.get("/v1/carpark-info-vacancy?lang=" + language).Body.String()
		for _, r := range body {
			if strings.ContainsRune(only, r) {
				n++
			}
		}
		return n
	}
	if n := found(simplified); n > 0 {
		t.Errorf("%d traditional characters in the answer in simplified Chinese", n)
	}
	if n := found(traditional); n < 50 {
		t.Errorf("only %d traditional characters in the answer in traditional Chinese", n)
	}
	for _, c := range s.sources.sites {
		p := c.CarPark.Published
		for _, one := range []string{c.CarPark.Name.ZhHans, p.Address.ZhHans, p.District.ZhHans, p.Remark.ZhHans} {
			if strings.ContainsAny(one, only) {
				t.Errorf("%s: %q is not simplified", c.CarPark.ID, one)
			}
		}
	}
}

// TestShapeOfTheRealFiles compares our raw files with three car parks of the
// Transport Department's own, and the sample sites with what it says of them.
func TestShapeOfTheRealFiles(t *testing.T) {
	text, err := os.ReadFile("testdata/td_2025-11-15.json")
	if err != nil {
		t.Fatal(err)
	}
	var real struct {
		Info    map[string][]map[string]any `json:"basic_info_all"`
		Vacancy map[string]any              `json:"vacancy_all"`
	}
	if err := stdjson.Unmarshal(text, &real); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, samples(t))
	var info map[string][]map[string]any
	if err := stdjson.Unmarshal(s.get("/v1/open/basic_info_all.json").Body.Bytes(), &info); err != nil {
		t.Fatal(err)
	}
	ours := map[any]map[string]any{}
	for _, c := range info["car_park"] {
		ours[c["park_id"]] = c
	}
	if len(real.Info["car_park"]) != 3 {
		t.Fatal("three car parks were expected")
	}
	for _, want := range real.Info["car_park"] {
		got := ours[want["park_id"]]
		if got == nil {
			t.Errorf("%v is not among the samples", want["park_id"])
			continue
		}
		if len(got) != len(want) {
			t.Errorf("%v has %d fields, want %d", want["park_id"], len(got), len(want))
		}
		for name, value := range want {
			have, ok := got[name]
			if !ok || value != nil && have != nil && reflect.TypeOf(value) != reflect.TypeOf(have) {
				t.Errorf("%v: %s is %T, want %T", want["park_id"], name, have, value)
			}
			for _, same := range []string{"name_", "displayAddress_", "district_", "latitude", "longitude", "contactNo", "carpark_photo"} {
				if strings.HasPrefix(name, same) && have != value {
					t.Errorf("%v: %s is %v, the Transport Department has %v", want["park_id"], name, have, value)
				}
			}
		}
	}
	var vacancies map[string]any
	if err := stdjson.Unmarshal(s.get("/v1/open/vacancy_all.json").Body.Bytes(), &vacancies); err != nil {
		t.Fatal(err)
	}
	if got, want := shapeOf(vacancies), shapeOf(real.Vacancy); got != want {
		t.Errorf("shape %s, want %s", got, want)
	}
}

// shapeOf writes names and kinds of values, an array by its first element.
func shapeOf(v any) string {
	switch v := v.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name, value := range v {
			names = append(names, name+":"+shapeOf(value))
		}
		slices.Sort(names)
		return "{" + strings.Join(names, ",") + "}"
	case []any:
		if len(v) == 0 {
			return "[]"
		}
		return "[" + shapeOf(v[0]) + "]"
	default:
		return fmt.Sprintf("%T", v)
	}
}

// TestSampleSitesHaveTheirPublishedSpaces: facts of the sites that were
// published, as the feed tells them.
func TestSampleSitesHaveTheirPublishedSpaces(t *testing.T) {
	s := newServer(t, samples(t))
	var info specInfoAnswer
	if breaches := readSpec(s.get("/v1/carpark-info-vacancy").Body.Bytes(), &info); len(breaches) > 0 {
		t.Fatal(breaches)
	}
	got := map[string]string{}
	for _, c := range info.Results {
		text := ""
		add := func(name string, v *specVehicle) {
			if v != nil {
				text += fmt.Sprintf(" %s %d", name, *v.Space)
			}
		}
		add("car", c.PrivateCar)
		add("lgv", c.LGV)
		add("hgv", c.HGV)
		add("cv", c.CV)
		add("coach", c.Coach)
		if c.MotorCycle != nil {
			text += fmt.Sprintf(" motorcycle %d", *c.MotorCycle.Space)
		}
		for _, h := range c.HeightLimits {
			text += fmt.Sprintf(" height %v", *h.Height)
		}
		got[*c.ParkID] = text
	}
	for id, want := range map[string]string{
		"tdstt46":  " car 78 height 2",
		"tdstt90":  " car 52 height 2",
		"tdc335p1": " car 249 lgv 10 hgv 79 coach 15 motorcycle 25 height 2",
		"tdcp2":    " car 835 motorcycle 148",
	} {
		if got[id] != want {
			t.Errorf("%s:%s, want%s", id, got[id], want)
		}
	}
}

// BenchmarkVacancies is a request for all of 500 car parks of 500 bays, a
// little more than the Transport Department publishes.
func BenchmarkVacancies(b *testing.B) {
	src := &sources{figures: map[string]Figure{}}
	for i := range 500 {
		c := building()
		c.ID = fmt.Sprintf("p%03d", i)
		for len(c.Bays) < 500 {
			c.Bays = append(c.Bays, c.Bays[0])
		}
		src.sites = append(src.sites, Site{CarPark: c, Prices: prices()})
		src.set(c.ID, Figure{At: noon, Free: map[string]Free{"private_car": {General: 5}}})
	}
	s := newServer(b, src)
	for _, path := range []string{"/v1/carpark-info-vacancy?data=vacancy", "/v1/carpark-info-vacancy"} {
		b.Run(path[strings.LastIndex(path, "/")+1:], func(b *testing.B) {
			for b.Loop() {
				if w := s.get(path); w.Code != 200 {
					b.Fatal(w.Code)
				}
			}
		})
	}
}
