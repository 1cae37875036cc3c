package portal

import (
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"
	"golang.org/x/text/language"

	"freeflow/billing"
)

// words is all that the portal says in one language.
type words struct {
	// Code is the language's tag, Name what it calls itself.
	Code, Name string

	Brand, SkipToContent, SignedInAs, SignOut, ZoneNote, LiveOn, LiveOff, LiveNew string

	SignInTitle, SignInLead, Email, Password, SignIn, Problem, ErrorPrefix string
	WrongLogin, FormExpired, WaitBefore, WaitAfter, TryLater               string

	HomeTitle, YouOwe, NothingToPay, InCredit, OweNote, ClearNote, CreditNote string
	Passes, NoPasses, PreviousMonth, NextMonth, Newer, Older, PageOf          string
	OnePass, ManyPasses, ChargedSum, OneChecking, ManyChecking                string
	TooMany                                                                   string

	Charged, Checking, Exempt, Unpaid                 string
	ChargedNote, CheckingNote, ExemptNote, UnpaidNote string
	PassTime, Vehicle, Tag, Class, Amount, Rule       string
	Tariff, Reference, FullRecord, TollPoint          string

	RecordTitle, BackToPasses, Postings, PostingToll, PostingReversal, NoPostings string
	Corrected, History, MergedNote                                                string

	Parking, OtherCharges, OneCharge, ManyCharges, NotAllCharges, Charge string
	PostingCharge, NothingCharged, Receipt, Details, Creditor            string

	ViewsTitle, ViewsLink, ViewsLead, NoViews, ViewsOlder             string
	OneViewed, OneListed, OneExported, Everybody, StaffRole, SomeRole string
	OneRecord, ManyRecords, ViewReason, ViewNoReason, ViewPage        string

	NotFoundTitle, NotFoundNote, ErrorTitle, ErrorNote, ForbiddenNote, QuoteID string
}

// english and chinese are the portal's two languages; a test compares them
// field by field.
var english = words{
	Code: "en", Name: "English",

	Brand: "freeflow", SkipToContent: "Skip to content", SignedInAs: "Signed in as", SignOut: "Sign out",
	ZoneNote: "All times are local time at the toll points", LiveOn: "Live: passes appear here as they happen",
	LiveOff: "Not live just now; reload to see the latest", LiveNew: "The list of passes has been updated",

	SignInTitle: "Sign in", SignInLead: "See each pass as you drive through, what it cost and why.",
	Email: "E-mail address", Password: "Password", SignIn: "Sign in",
	Problem: "There is a problem", ErrorPrefix: "Error: ",
	WrongLogin:  "The e-mail address or the password is not right",
	FormExpired: "The page was open for too long; please sign in again",
	WaitBefore:  "Too many attempts. Try again in ", WaitAfter: " seconds", TryLater: "Please try again in a moment",

	HomeTitle: "Your passes", YouOwe: "You owe", NothingToPay: "Nothing to pay", InCredit: "In credit",
	OweNote: "The sum of all that was charged to your account so far", ClearNote: "All charges on your account are settled",
	CreditNote: "Your account holds more than it owes",
	Passes:     "Passes", NoPasses: "No passes in this month", PreviousMonth: "Earlier month", NextMonth: "Later month",
	Newer: "Newer", Older: "Older", PageOf: "Page",
	OnePass: " pass", ManyPasses: " passes", ChargedSum: " charged",
	OneChecking: " being checked", ManyChecking: " being checked",
	TooMany: "There are more passes in this month than this page can show; only the first ones are counted.",

	Charged: "Charged", Checking: "Being checked", Exempt: "Exempt", Unpaid: "Unpaid",
	ChargedNote:  "This toll was charged to your account.",
	CheckingNote: "A person is looking at this pass. Nothing is charged meanwhile.",
	ExemptNote:   "This vehicle was exempt at the time. There is nothing to pay.",
	UnpaidNote:   "This toll is not yet charged to an account.",
	PassTime:     "First seen", Vehicle: "Vehicle", Tag: "Tag", Class: "Vehicle class", Amount: "Amount",
	Rule: "Why this amount", Tariff: "Tariff version", Reference: "Reference", FullRecord: "Full record",
	TollPoint: "Toll point",

	RecordTitle: "One pass", BackToPasses: "All passes", Postings: "Postings", PostingToll: "Toll charged",
	PostingReversal: "Charge taken back", NoPostings: "Nothing has been charged for this pass.",
	Corrected: "Before", History: "How it changed", MergedNote: "Later evidence showed that this is part of another pass:",

	Parking: "Parking", OtherCharges: "Parking and other charges", OneCharge: " charge", ManyCharges: " charges",
	NotAllCharges: "Only the latest charges of the month are shown.", Charge: "Charge",
	PostingCharge: "Charged", NothingCharged: "Nothing has been charged for this.", Receipt: "Receipt", Details: "Details",
	Creditor: "Payable to",

	ViewsTitle: "Who looked at my data", ViewsLink: "Who looked at my data",
	ViewsLead: "Whenever one of our staff looks at your movements, it is written down here: when, in which role, at what, and why.",
	NoViews:   "Nobody of our staff has looked at your movements.", ViewsOlder: "Earlier views",
	OneViewed: "Looked at one record", OneListed: "Looked at a list", OneExported: "Took a copy away",
	Everybody: "of all accounts, not yours alone", StaffRole: "Staff", SomeRole: "Role",
	OneRecord: " record of yours", ManyRecords: " records of yours", ViewReason: "Reason", ViewNoReason: "No reason was given",
	ViewPage: "What was asked",

	NotFoundTitle: "There is no such page", NotFoundNote: "Check the address, or go back to your passes.",
	ErrorTitle: "That did not work", ErrorNote: "The fault is ours. Nothing you owe or paid has changed by it. Please try again in a moment.",
	ForbiddenNote: "The request came from another site and was refused.",
	QuoteID:       "If you ask us about it, quote",
}

var chinese = words{
	Code: "zh-HK", Name: "繁體中文",

	Brand: "freeflow", SkipToContent: "跳至內容", SignedInAs: "登入帳戶", SignOut: "登出",
	ZoneNote: "所有時間均為收費點當地時間", LiveOn: "即時更新：駛經收費點後隨即顯示",
	LiveOff: "暫時未能即時更新；請重新載入網頁", LiveNew: "通行紀錄已更新",

	SignInTitle: "登入", SignInLead: "每次駛經收費點，即時查看隧道費及計算方法。",
	Email: "電郵地址", Password: "密碼", SignIn: "登入",
	Problem: "出現問題", ErrorPrefix: "錯誤：",
	WrongLogin:  "電郵地址或密碼不正確",
	FormExpired: "網頁已過時，請重新登入",
	WaitBefore:  "嘗試次數過多，請於 ", WaitAfter: " 秒後再試", TryLater: "請稍後再試",

	HomeTitle: "通行紀錄", YouOwe: "尚欠", NothingToPay: "毋須繳費", InCredit: "帳戶結餘",
	OweNote: "帳戶至今所有收費的總額", ClearNote: "帳戶的收費已全數結清",
	CreditNote: "帳戶結餘多於應繳款額",
	Passes:     "通行紀錄", NoPasses: "此月份沒有通行紀錄", PreviousMonth: "上一個月", NextMonth: "下一個月",
	Newer: "較新", Older: "較舊", PageOf: "頁",
	OnePass: " 次通行", ManyPasses: " 次通行", ChargedSum: " 已收費",
	OneChecking: " 次核對中", ManyChecking: " 次核對中",
	TooMany: "本月通行次數超出本頁可顯示的數目，只計算最先的紀錄。",

	Charged: "已收費", Checking: "核對中", Exempt: "豁免", Unpaid: "未繳費",
	ChargedNote:  "隧道費已記入你的帳戶。",
	CheckingNote: "職員正核對此次通行，期間不會收費。",
	ExemptNote:   "車輛當時獲豁免，毋須繳費。",
	UnpaidNote:   "隧道費尚未記入任何帳戶。",
	PassTime:     "首次偵測", Vehicle: "車輛", Tag: "車輛貼", Class: "車輛類別", Amount: "款額",
	Rule: "計算方法", Tariff: "收費表版本", Reference: "參考編號", FullRecord: "完整紀錄",
	TollPoint: "收費點",

	RecordTitle: "通行詳情", BackToPasses: "所有通行紀錄", Postings: "帳目", PostingToll: "收取隧道費",
	PostingReversal: "撤回收費", NoPostings: "此次通行未有收費。",
	Corrected: "更改前", History: "更改紀錄", MergedNote: "其後的證據顯示此紀錄屬另一次通行：",

	Parking: "泊車", OtherCharges: "泊車及其他收費", OneCharge: " 項收費", ManyCharges: " 項收費",
	NotAllCharges: "只顯示本月最近的收費。", Charge: "收費",
	PostingCharge: "收取費用", NothingCharged: "此項沒有收費。", Receipt: "收據", Details: "詳情",
	Creditor: "收款機構",

	ViewsTitle: "誰查閱過我的資料", ViewsLink: "誰查閱過我的資料",
	ViewsLead: "職員每次查閱你的行車紀錄，均會在此記錄時間、職務、查閱內容及原因。",
	NoViews:   "沒有職員查閱過你的行車紀錄。", ViewsOlder: "較早的查閱紀錄",
	OneViewed: "查閱一項紀錄", OneListed: "查閱清單", OneExported: "取走副本",
	Everybody: "涉及所有帳戶，並非只限於你", StaffRole: "職員", SomeRole: "職務",
	OneRecord: " 項你的紀錄", ManyRecords: " 項你的紀錄", ViewReason: "原因", ViewNoReason: "沒有提供原因",
	ViewPage: "查閱的功能",

	NotFoundTitle: "找不到網頁", NotFoundNote: "請檢查網址，或返回通行紀錄。",
	ErrorTitle: "未能完成", ErrorNote: "系統出錯，你的欠款及已繳款項不受影響。請稍後再試。",
	ForbiddenNote: "此要求來自其他網站，已被拒絕。",
	QuoteID:       "如需查詢，請提供編號",
}

// languages finds the best of the two for an Accept-Language header. Simplified
// Chinese readers get Chinese too: it is nearer to them than English.
var languages = language.NewMatcher([]language.Tag{language.English, language.MustParse("zh-HK"), language.Chinese})

// wordsFor returns the words of a tag that the portal itself gave out; ok is
// false for any other.
func wordsFor(tag string) (w *words, ok bool) {
	switch tag {
	case english.Code:
		return &english, true
	case chinese.Code:
		return &chinese, true
	default:
		return nil, false
	}
}

// preferred returns the words for an Accept-Language header.
func preferred(accept string) *words {
	if len(accept) > 256 {
		return &english
	}
	tags, _, err := language.ParseAcceptLanguage(accept)
	if err != nil {
		return &english
	}
	if _, i, confidence := languages.Match(tags...); confidence != language.No && i > 0 {
		return &chinese
	}
	return &english
}

// other is the language that the toggle leads to.
func (w *words) other() *words {
	if w.Code == english.Code {
		return &chinese
	}
	return &english
}

// day is "Monday 23 November 2026".
func (w *words) day(t time.Time) string {
	if w.Code == english.Code {
		return t.Format("Monday 2 January 2006")
	}
	return t.Format("2006年1月2日 ") + "星期" + [...]string{"日", "一", "二", "三", "四", "五", "六"}[t.Weekday()]
}

// month is "November 2026".
func (w *words) month(t time.Time) string {
	if w.Code == english.Code {
		return t.Format("January 2006")
	}
	return t.Format("2006年1月")
}

// exact is "23 November 2026, 08:00:01".
func (w *words) exact(t time.Time) string {
	if w.Code == english.Code {
		return t.Format("2 January 2006, 15:04:05")
	}
	return t.Format("2006年1月2日 15:04:05")
}

// status is what became of a pass, in plain words.
func (w *words) status(status string) (word, note string) {
	switch status {
	case billing.StatusCharged:
		return w.Charged, w.ChargedNote
	case billing.StatusReview:
		return w.Checking, w.CheckingNote
	case billing.StatusExempt:
		return w.Exempt, w.ExemptNote
	default:
		return w.Unpaid, w.UnpaidNote
	}
}

// kind is what a charge is for, in a word.
func (w *words) kind(kind string) string {
	if kind == parking {
		return w.Parking
	}
	return w.Charge
}

// vehicle is a vehicle's name for people.
func (w *words) vehicle(name string) string {
	if tag, ok := strings.CutPrefix(name, "tag:"); ok {
		return w.Tag + " " + tag
	}
	return strings.TrimPrefix(name, "plate:")
}

// counted is "1 pass", "1,234 passes".
func counted(n int, one, many string) string {
	if n == 1 {
		return "1" + one
	}
	return grouped(strconv.Itoa(n)) + many
}

// money is "HK$1,234.50"; other currencies than those that people here write
// with a sign stand by their code.
func money(cents int64, currency string) string {
	sign := ""
	amount := decimal.New(cents, -2)
	if amount.IsNegative() {
		sign, amount = "−", amount.Neg()
	}
	symbol := currency + "\u00a0"
	switch currency {
	case "HKD":
		symbol = "HK$"
	case "TWD":
		symbol = "NT$"
	}
	whole, fraction, _ := strings.Cut(amount.StringFixed(2), ".")
	return sign + symbol + grouped(whole) + "." + fraction
}

// grouped puts a comma before every three digits.
func grouped(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
