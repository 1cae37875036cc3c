package cashier

import (
	"freeflow/billing"
	"freeflow/parking"
)

// displays are what drivers read at a barrier. They name no plate: others read
// along.
var displays = map[string]parking.Text{
	WhyEnter:      {En: "Welcome", ZhHant: "歡迎", ZhHans: "欢迎"},
	WhyTakeTicket: {En: "Please take a ticket", ZhHant: "請取票", ZhHans: "请取票"},
	WhyPaid:       {En: "Thank you. Goodbye", ZhHant: "多謝，再見", ZhHans: "谢谢，再见"},
	WhyStaff:      {En: "Please press the help button", ZhHant: "請按求助掣", ZhHans: "请按求助按钮"},
	WhyReview:     {En: "Goodbye. The charge follows later", ZhHant: "再見，費用稍後結算", ZhHans: "再见，费用稍后结算"},
	WhyRefused:    {En: "Please press the help button", ZhHant: "請按求助掣", ZhHans: "请按求助按钮"},
}

// display is what the driver reads, with the amount where one is due or was
// charged.
func display(why string, due, total int64, r *record) parking.Text {
	t := displays[why]
	switch {
	case why == WhyDue:
		amount := r.Currency + " " + billing.FormatCents(due)
		return parking.Text{En: "Please pay " + amount, ZhHant: "請繳付 " + amount, ZhHans: "请缴付 " + amount}
	case why == WhyPaid && total > 0 && (r.Means == parking.PaysAccount || r.Means == parking.PaysCard):
		amount := r.Currency + " " + billing.FormatCents(total)
		return parking.Text{
			En: "Charged to your account: " + amount, ZhHant: "已從帳戶扣除 " + amount, ZhHans: "已从账户扣除 " + amount,
		}
	}
	return t
}
