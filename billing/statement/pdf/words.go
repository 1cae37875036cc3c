package pdf

import (
	"fmt"
	"time"

	"freeflow/billing/statement"
)

// words are what stands on a statement in one language.
type words struct {
	title, holder, account, number, period, until, issued, zone, currency string
	summary, opening, closing, owed, held, posted, entry, vehicle         string
	// page has the page's number and how many there are.
	page                            string
	signs, dispute, digest, missing string
	// date shows a day.
	date func(time.Time) string
}

func wordsOf(language string) words {
	if language == statement.Chinese {
		return words{
			title: "月結單", holder: "帳戶持有人", account: "帳戶", number: "結單編號", period: "結單期", until: "至", issued: "發出日期", zone: "時區", currency: "貨幣",
			summary: "摘要", opening: "承上結餘", closing: "結餘", owed: "應繳", held: "結存", posted: "入帳時間", entry: "項目", vehicle: "車輛",
			page:    "第%d頁，共%s頁",
			signs:   "「應繳」為你須繳付的款額，減號表示應繳款額減少。「結存」為我們代你持有的款額。項目按入帳日期列出；每項之下為實際發生時間。更正以兩項列出：撤回原收費，再列新收費。",
			dispute: "如有任何項目不符，請登入帳戶，選取該項目後提出爭議，或聯絡我們並提供結單編號。我們會於五個工作天內回覆；處理期間，該項目不會加收附加費。",
			digest:  "本結單各項目的 SHA-256 摘要：%s",
			missing: "字型沒有的字以其萬國碼編號列出，例如 [U+20BB7]。",
			date:    func(t time.Time) string { return fmt.Sprintf("%d年%d月%d日", t.Year(), int(t.Month()), t.Day()) },
		}
	}
	return words{
		title: "Monthly statement", holder: "Account holder", account: "Account", number: "Statement number", period: "Period", until: " to ", issued: "Issued", zone: "Time zone", currency: "Currency",
		summary: "Summary", opening: "Opening balance", closing: "Closing balance", owed: "Owed", held: "Held", posted: "Posted", entry: "Entry", vehicle: "Vehicle",
		page: "Page %d of %s",
		signs: "Owed is what you have to pay; a minus sign means that you owe less by the entry. Held is money that we hold for you. Entries stand in the order in which they were posted; " +
			"below each is when it happened. A correction is two entries: what is taken back, and what takes its place.",
		dispute: "If an entry is wrong, sign in to your account, choose the entry and dispute it, or contact us with the number of this statement. We answer within five working days; " +
			"meanwhile no surcharge is added for that entry.",
		digest:  "SHA-256 digest of this statement's entries: %s",
		missing: "A character that this document has no type for is written by its Unicode number, such as [U+20BB7].",
		date:    func(t time.Time) string { return t.Format("2 January 2006") },
	}
}
