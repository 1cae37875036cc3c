-- +goose Up
-- What the ledger has to post, in the order in which it was ordered: each row
-- carries its own mark, since a row whose transaction commits late has a low
-- number.
CREATE TABLE parking_ledger_order (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    at_micros     bigint       NOT NULL,
    posted_micros bigint       NOT NULL,
    id            parking_text NOT NULL,
    kind          parking_text NOT NULL,
    document      bytea        NOT NULL
);
CREATE UNIQUE INDEX parking_ledger_order_id ON parking_ledger_order (id);
CREATE INDEX parking_ledger_order_unposted ON parking_ledger_order (seq) WHERE posted_micros = 0;

-- The feed of changes: one row for every entry of parking_allocation_event that
-- concerns a vehicle, until it is marked as seen.
CREATE TABLE parking_change (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    allocation parking_text NOT NULL
);

-- One row each time that an alarm began to stand; the same one stands once.
CREATE TABLE parking_alarm (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    raised_micros  bigint       NOT NULL,
    cleared_micros bigint       NOT NULL,
    id             parking_text NOT NULL,
    car_park       parking_text NOT NULL,
    kind           parking_text NOT NULL,
    subject        parking_text NOT NULL,
    detail         text         NOT NULL,
    cleared_by     text         NOT NULL,
    note           text         NOT NULL
);
CREATE UNIQUE INDEX parking_alarm_standing ON parking_alarm (id) WHERE cleared_micros = 0;
CREATE INDEX parking_alarm_time ON parking_alarm (raised_micros, seq) WHERE cleared_micros = 0;

-- +goose StatementBegin
CREATE TRIGGER parking_allocation_event_no_update BEFORE UPDATE ON parking_allocation_event
BEGIN SELECT RAISE(ABORT, 'update of parking_allocation_event refused: it is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER parking_allocation_event_no_delete BEFORE DELETE ON parking_allocation_event
BEGIN SELECT RAISE(ABORT, 'delete of parking_allocation_event refused: it is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER parking_hold_no_update BEFORE UPDATE ON parking_hold
BEGIN SELECT RAISE(ABORT, 'update of parking_hold refused: it is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER parking_hold_no_delete BEFORE DELETE ON parking_hold
BEGIN SELECT RAISE(ABORT, 'delete of parking_hold refused: it is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER parking_definition_no_update BEFORE UPDATE ON parking_definition
BEGIN SELECT RAISE(ABORT, 'update of parking_definition refused: it is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER parking_definition_no_delete BEFORE DELETE ON parking_definition
BEGIN SELECT RAISE(ABORT, 'delete of parking_definition refused: it is only ever added to'); END;
-- +goose StatementEnd
