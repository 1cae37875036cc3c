-- +goose Up
-- A day of the ledger without reading all of it: transactions are added in the
-- order of time, nearly, so that one index row for some hundred pages tells
-- where a day lies. An ordinary index would cost every posting.
CREATE INDEX transactions_posted ON transactions USING brin (posted_at) WITH (pages_per_range = 32, autosummarize = on);
