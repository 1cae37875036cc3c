-- +goose Up
-- One row for every committed posting that changed money or what is known of
-- a pass. transactions counts those that it announces.
CREATE TABLE outbox (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    posted_at    bigint NOT NULL,
    published_at bigint NOT NULL DEFAULT 0,
    transactions bigint NOT NULL,
    payload      bytea  NOT NULL
);
CREATE INDEX outbox_unpublished ON outbox (id) WHERE published_at = 0;
CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at <> 0;

-- +goose StatementBegin
CREATE TRIGGER transactions_no_update BEFORE UPDATE ON transactions
BEGIN SELECT RAISE(ABORT, 'update of transactions refused: the ledger is only ever added to; correct by a reversal'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER transactions_no_delete BEFORE DELETE ON transactions
BEGIN SELECT RAISE(ABORT, 'delete of transactions refused: the ledger is only ever added to; correct by a reversal'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'update of entries refused: the ledger is only ever added to; correct by a reversal'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'delete of entries refused: the ledger is only ever added to; correct by a reversal'); END;
-- +goose StatementEnd
