package notice

import (
	"fmt"
	"strings"

	"freeflow/billing"
)

// Text is a notice in one language.
type Text struct{ Subject, Body string }

// texts are what notices say, by kind and language. {amount}, {due}, {number}
// and the names of facts stand for what a notice has; a line with one that it
// lacks is left out. The words are the public's, not the system's.
var texts = map[string]map[string]Text{
	Payment: {
		"en":    {"Toll to pay: {amount}", "You have tolls of {amount} to pay.\nPay by {due}; until then there is no surcharge.\nPay with the plate and notice number {number}."},
		"zh-HK": {"待繳隧道費：{amount}", "你有隧道費 {amount} 尚待繳付。\n請於 {due} 或之前繳付，屆時前不收附加費。\n可憑車牌號碼及通知書編號 {number} 繳付。"},
	},
	FirstSurcharge: {
		"en":    {"Surcharge notice: {amount}", "A toll was not paid in time. With the surcharge of {surcharge}, {amount} is now due.\nPay by {due}; after that a further surcharge of {next} is added.\nPay with the plate and notice number {number}.\nIf you think this is wrong, dispute it: no further surcharge is added meanwhile."},
		"zh-HK": {"附加費通知書：{amount}", "隧道費逾期未繳，連同附加費 {surcharge}，現須繳付 {amount}。\n請於 {due} 或之前繳付，逾期將再加附加費 {next}。\n可憑車牌號碼及通知書編號 {number} 繳付。\n如有異議，可提出爭議；處理期間不會再加附加費。"},
	},
	SecondSurcharge: {
		"en":    {"Further surcharge: {amount}", "A toll and its surcharge were not paid in time. With the further surcharge of {surcharge}, {amount} is now due.\nPay by {due}; after that the vehicle licence may not be renewed.\nPay with the plate and notice number {number}.\nIf you think this is wrong, dispute it."},
		"zh-HK": {"進一步附加費：{amount}", "隧道費及附加費逾期未繳，連同進一步附加費 {surcharge}，現須繳付 {amount}。\n請於 {due} 或之前繳付，逾期車輛牌照或不獲續期。\n可憑車牌號碼及通知書編號 {number} 繳付。\n如有異議，可提出爭議。"},
	},
	LicenceHold: {
		"en":    {"Vehicle licence: {amount} is overdue", "{amount} is overdue. We have told the licensing authority; the vehicle licence will not be renewed until it is paid.\nPay with the plate and notice number {number}."},
		"zh-HK": {"車輛牌照：{amount} 逾期未繳", "{amount} 逾期未繳。我們已通知發牌當局，繳清前車輛牌照不獲續期。\n可憑車牌號碼及通知書編號 {number} 繳付。"},
	},
	SurchargeStruck: {
		"en":    {"Surcharge taken back: {amount}", "A surcharge of {amount} was added before its deadline had passed, and is taken back.\nDays on which you could not pay, or the toll was in dispute, do not count.\nWhat you have paid of it is yours again."},
		"zh-HK": {"撤銷附加費：{amount}", "附加費 {amount} 於限期屆滿前徵收，現予撤銷。\n未能繳付或隧道費有爭議的日子不計算在內。\n已繳的附加費會歸還給你。"},
	},
	Processing: {
		"en":    {"We are collecting {amount}", "We are collecting {amount} for {trips} charges of {day} by your card. You will be told the result."},
		"zh-HK": {"正在收取 {amount}", "我們正以你的信用卡收取 {day} 共 {trips} 項收費 {amount}，並會通知你結果。"},
	},
	Debited: {
		"en":    {"Paid: {amount}", "{amount} for {trips} charges of {day} was paid."},
		"zh-HK": {"已繳付：{amount}", "{day} 共 {trips} 項收費 {amount} 已繳付。"},
	},
	Failed: {
		"en":    {"Payment failed: {amount}", "{amount} could not be collected. Check your means of payment, or pay it yourself.\nPay by {due}; until then there is no surcharge."},
		"zh-HK": {"未能收款：{amount}", "未能收取 {amount}。請檢查你的付款方式，或自行繳付。\n請於 {due} 或之前繳付，屆時前不收附加費。"},
	},
	LowBalance: {
		"en":    {"Your balance is low: {amount}", "Your prepaid balance is {amount}. Top it up so that tolls can be paid from it."},
		"zh-HK": {"結餘偏低：{amount}", "你的儲值結餘為 {amount}，請增值以便扣繳隧道費。"},
	},
	ToppedUp: {
		"en":    {"Topped up: {amount}", "{amount} was added to your prepaid balance."},
		"zh-HK": {"已增值：{amount}", "你的儲值結餘已增加 {amount}。"},
	},
	Corrected: {
		"en":    {"We corrected your charges: {amount}", "{trips} charges were wrong and have been corrected. The difference is {amount}.\nReason: {reason}\nYou need not do anything; details are in your account."},
		"zh-HK": {"已更正你的收費：{amount}", "有 {trips} 項收費有誤，現已更正，差額為 {amount}。\n原因：{reason}\n你無須辦理任何手續，詳情載於你的帳戶。"},
	},
	Refunded: {
		"en":    {"Refund: {amount}", "{amount} was given back to you.\nReason: {reason}"},
		"zh-HK": {"退款：{amount}", "已退回 {amount}。\n原因：{reason}"},
	},
	Dispute: {
		"en":    {"Your dispute {reference}", "Your dispute {reference} stands as follows: {state}.\nWe answer by {answer_by}.\nReason: {reason}"},
		"zh-HK": {"你的爭議 {reference}", "你的爭議 {reference} 現況：{state}。\n我們會於 {answer_by} 或之前回覆。\n原因：{reason}"},
	},
	Statement: {
		"en":    {"Your statement of {month}", "Your statement of {month} is ready in your account."},
		"zh-HK": {"你的 {month} 月結單", "你的 {month} 月結單已載於你的帳戶。"},
	},
}

// Write returns the notice in a language, "en" or "zh-HK"; for another in both.
func Write(n Notice, language string) Text {
	byLanguage := texts[n.Kind]
	if t, ok := byLanguage[language]; ok {
		return fill(t, n, language)
	}
	zh, en := fill(byLanguage["zh-HK"], n, "zh-HK"), fill(byLanguage["en"], n, "en")
	return Text{zh.Subject + " / " + en.Subject, zh.Body + "\n\n" + en.Body}
}

func fill(t Text, n Notice, language string) Text {
	values := map[string]string{}
	for name, text := range n.Facts {
		// A fact for one language, such as state@zh-HK, takes the place there of
		// the one without.
		name, only, _ := strings.Cut(name, "@")
		if _, there := values[name]; only == language || only == "" && !there {
			values[name] = text
		}
	}
	if n.Currency != "" {
		values["amount"] = money(n.AmountCents, n.Currency)
	}
	if !n.DueOn.IsZero() {
		values["due"] = day(n, language)
	}
	if n.Number != "" {
		values["number"] = n.Number
	}
	var lines []string
	for line := range strings.Lines(t.Body) {
		if text, whole := replace(strings.TrimSuffix(line, "\n"), values); whole {
			lines = append(lines, text)
		}
	}
	subject, _ := replace(t.Subject, values)
	return Text{subject, strings.Join(lines, "\n")}
}

// replace puts the values in; whole is false if one is missing.
func replace(line string, values map[string]string) (text string, whole bool) {
	whole = true
	for {
		before, rest, found := strings.Cut(line, "{")
		text += before
		if !found {
			return text, whole
		}
		name, after, _ := strings.Cut(rest, "}")
		value, known := values[name]
		whole = whole && known
		text += value
		line = after
	}
}

// money is an amount as the public reads it.
func money(cents int64, currency string) string {
	if currency == "HKD" {
		return "HK$" + billing.FormatCents(cents)
	}
	return currency + " " + billing.FormatCents(cents)
}

// day is a date as it is written in the language; the notice's day is in the
// network's zone already.
func day(n Notice, language string) string {
	if language == "zh-HK" {
		return fmt.Sprintf("%d年%d月%d日", n.DueOn.Year(), n.DueOn.Month(), n.DueOn.Day())
	}
	return n.DueOn.Format("2 January 2006")
}
