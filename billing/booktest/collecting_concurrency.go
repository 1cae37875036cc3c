package booktest

var collectingConcurrencyTests []moneyTest
var collectingModelTests []moneyTest
