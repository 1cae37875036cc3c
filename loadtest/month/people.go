package month

import (
	"fmt"
	"math/rand/v2"
	"time"

	"freeflow/loadtest/month/reckon"
	"freeflow/loadtest/oracle"
)

// way is how an account pays.
type way int

const (
	daily way = iota
	perTrip
	topUp
	ownMoney
	classTag
)

// person is an account of the script, or, without one, the owner of a vehicle
// that is nobody's.
type person struct {
	id, kind, name, language string
	way                      way
	// token is the bank's name for the means, other what is paid with by number;
	// fps says that this is done by sending money.
	token, other string
	fps          bool
	broke        bool
	habit        reckon.Habit
	// tag is a class tag's text, loaded its stored value.
	tag    string
	loaded int64
	cars   []*car
	// closes is when the account is closed; the zero value if it is not.
	closes time.Time
	// uneven: which of its tolls are paid is not the oracle's to say; how much is.
	uneven bool
}

// account is the account's id, empty for owners without one.
func (p *person) account() string {
	if p.kind == "" {
		return ""
	}
	return p.id
}

// story is what happens to a car in the month.
type story int

const (
	plain    story = iota
	untagged       // has no tag at all
	replaced       // the tag is lost and another takes its place
	lost           // the tag is lost for good
	sold           // the car goes to another account
	shifts         // drivers pay for their shifts
	late           // registered days after it first drove, as of then
	wrong          // registered to the wrong account, corrected days later
	stranger       // nobody's
)

// span is what holds over [from, to); to is the zero value without end.
type span struct {
	from, to time.Time
	who      string // an account or a tag
}

// car is one vehicle, with the truth about who holds it.
type car struct {
	plate, class, tag, tag2 string
	story                   story
	owner                   *person
	// at is when its story happens, told when the system is told of it.
	at, told time.Time
	other    *person
	holders  []span
	tags     []span
	// early drives in the weeks before the month too, often is trips a day.
	early bool
	often float64
	// last is its latest trip.
	last time.Time
}

// rows are what the registry must say of the car in the end.
func (c *car) rows() []oracle.Assignment {
	var rows []oracle.Assignment
	row := func(who, tag string, from, to time.Time) {
		a := oracle.Assignment{Account: who, Plate: c.plate, Class: c.class, Tag: tag, FromMicros: from.UnixMicro()}
		if !to.IsZero() {
			a.ToMicros = to.UnixMicro()
		}
		rows = append(rows, a)
	}
	for _, h := range c.holders {
		row(h.who, "", h.from, h.to)
		for _, t := range c.tags {
			from, to := t.from, t.to
			if h.from.After(from) {
				from = h.from
			}
			if to.IsZero() || !h.to.IsZero() && h.to.Before(to) {
				to = h.to
			}
			if to.IsZero() || from.Before(to) {
				row(h.who, t.who, from, to)
			}
		}
	}
	return rows
}

// carries is the tag in the car at an instant; empty if there is none.
func (c *car) carries(at time.Time) string {
	for _, t := range c.tags {
		if !at.Before(t.from) && (t.to.IsZero() || at.Before(t.to)) {
			return t.who
		}
	}
	return ""
}

// cast is everybody.
type cast struct {
	people    []*person // accounts, in order of their ids
	strangers []*person
	cars      []*car
	byID      map[string]*person
}

var classes = []string{"private_car", "private_car", "private_car", "private_car", "private_car", "taxi", "lgv", "motorcycle", "mgv", "private_light_bus"}

// newCast makes accounts of all kinds, their cars and what happens to them.
func newCast(c *Config, s *schedule, rng *rand.Rand) *cast {
	all := &cast{byID: map[string]*person{}}
	broke := 0
	for i := range c.Accounts {
		p := &person{id: fmt.Sprintf("M%06d", i), kind: "individual", language: []string{"en", "zh-HK"}[i%2], habit: reckon.Habit{Pays: true}}
		p.name = "Holder " + p.id
		p.token, p.other = "tok_"+p.id, "alt_"+p.id
		all.people, all.byID[p.id] = append(all.people, p), p
		cars := 1
		switch n := i % 100; {
		case n < 40:
			p.way = daily
		case n < 60:
			p.way = perTrip
		case n < 85:
			p.way = topUp
		case n < 88:
			p.way = ownMoney
		case n < 91:
			p.way, p.broke = daily, true
			p.habit = brokeHabit(broke, rng)
			broke++
			p.fps = rng.IntN(2) == 0
		case n < 93:
			p.way, cars = classTag, 0
			p.tag = fmt.Sprintf("C7%014X", i)
			p.loaded = []int64{200_00, 1000_00}[rng.IntN(2)]
		case n < 95:
			p.way, p.kind, cars = topUp, "driver", 0
		default:
			p.way, p.kind, cars = daily, "company", 3
		}
		for k := range cars {
			all.addCar(s, p, i*4+k, rng)
		}
		if p.way == classTag {
			all.cars = append(all.cars, &car{owner: p, class: "lgv", often: 0.3})
		}
		if n := i % 100; (n == 0 || n == 60) && cars == 1 && p.cars[0].story == plain {
			p.closes = s.day(s.days - 6).Add(6*time.Hour + 30*time.Minute)
		}
	}
	all.others(rng)
	for i := range max(4, c.Accounts/40) {
		p := &person{id: fmt.Sprintf("X%06d", i), language: "en", habit: brokeHabit(i, rng), fps: i%2 == 0}
		p.other = "alt_" + p.id
		all.strangers = append(all.strangers, p)
		v := &car{plate: plateOf(0x700000 + i), class: classes[rng.IntN(len(classes))], story: stranger, owner: p, early: i%3 != 0, often: 0.1}
		p.cars, all.cars = append(p.cars, v), append(all.cars, v)
	}
	return all
}

// brokeHabit is that of somebody whom nobody can debit: the n-th of them, so
// that each kind is there however few they are.
func brokeHabit(n int, rng *rand.Rand) reckon.Habit {
	h := reckon.Habit{OnRung: n%6 - 2, ProofAfter: 1 + rng.IntN(3), PayAfter: 1 + rng.IntN(2)}
	switch n % 6 {
	case 0:
		h.OnRung, h.Waived = -1, true
	case 1:
		if n%12 == 7 {
			h.ProofAfter = 0
		}
	case 5:
		h.PayAfter = 1
	}
	return h
}

func plateOf(n int) string {
	const letters = "ABCDEFGHJKLMNPRSTUVWXYZ"
	n = n * 1_000_003 % (len(letters) * len(letters) * 9000)
	return fmt.Sprintf("%c%c%d", letters[n/9000/len(letters)], letters[n/9000%len(letters)], 1000+n%9000)
}

func (a *cast) addCar(s *schedule, p *person, n int, rng *rand.Rand) {
	v := &car{plate: plateOf(n), class: classes[rng.IntN(len(classes))], owner: p, often: 0.08, early: p.broke}
	v.tag, v.tag2 = fmt.Sprintf("E28011%014X", n), fmt.Sprintf("E28022%014X", n)
	if rng.IntN(10) == 0 {
		v.often = 0.6
	}
	if !p.broke && p.way != ownMoney && rng.IntN(5) == 0 {
		v.story = untagged + story(rng.IntN(int(stranger-untagged)))
	}
	if v.story == shifts && p.kind != "company" {
		v.story = plain
	}
	v.at = s.day(3 + rng.IntN(max(1, s.days-12))).Add(6*time.Hour + 30*time.Minute)
	v.told = v.at
	p.cars, a.cars = append(p.cars, v), append(a.cars, v)
}

// others finds the second person of each story, and writes down the truth.
func (a *cast) others(rng *rand.Rand) {
	var takers, drivers []*person
	for _, p := range a.people {
		switch {
		case p.kind == "driver":
			drivers = append(drivers, p)
		case p.kind == "individual" && !p.broke && (p.way == daily || p.way == perTrip || p.way == topUp) && p.closes.IsZero():
			takers = append(takers, p)
		}
	}
	for _, v := range a.cars {
		if v.plate == "" {
			continue
		}
		own := v.owner.id
		always := span{who: own, from: v.owner.openedAt(), to: v.owner.closes}
		v.holders = []span{always}
		v.tags = []span{{who: v.tag, from: always.from}}
		if v.story == sold || v.story == wrong {
			v.other = takers[rng.IntN(len(takers))]
		}
		if v.story == shifts {
			v.other = drivers[rng.IntN(len(drivers))]
		}
		if v.other == v.owner || v.story == shifts && len(drivers) == 0 {
			v.story, v.other = plain, nil
		}
		switch v.story {
		case untagged:
			v.tags = nil
		case replaced:
			v.tags = []span{{who: v.tag, from: always.from, to: v.at}, {who: v.tag2, from: v.at}}
		case lost:
			v.tags[0].to = v.at
		case sold:
			v.holders = []span{{who: own, from: always.from, to: v.at}, {who: v.other.id, from: v.at}}
		case shifts:
			v.holders = []span{
				{who: own, from: always.from, to: v.at}, {who: v.other.id, from: v.at, to: v.at.Add(10 * time.Hour)}, {who: own, from: v.at.Add(10 * time.Hour)},
			}
		case late:
			// It drove for two days before anybody wrote it down.
			v.told = v.at.AddDate(0, 0, 2)
			v.holders = []span{{who: own, from: v.at}}
			v.tags = []span{{who: v.tag, from: v.told}}
		case wrong:
			v.told = v.at.AddDate(0, 0, 3)
			v.holders = []span{{who: own, from: always.from, to: v.at}, {who: v.other.id, from: v.at}}
		}
	}
}
