package storetest

var doTests, processTests []test
