-- +goose Up
-- What a person did, or asks for, by which money comes or goes on their word:
-- resolutions, refunds, pay-outs, cash at a counter. Portable. Amounts are
-- hundredths of the currency, instants microseconds since the Unix epoch, UTC,
-- 0 for none.
CREATE TABLE payment_deed (
    amount_cents   bigint   NOT NULL CHECK (amount_cents >= 0),
    at_micros      bigint   NOT NULL,
    decided_at     bigint   NOT NULL,
    version        bigint   NOT NULL,
    succeeded      boolean  NOT NULL,
    id             bytetext NOT NULL PRIMARY KEY,
    kind           bytetext NOT NULL,
    -- what it is about: of one and the same thing one deed waits at a time.
    about          bytetext NOT NULL,
    attempt        bytetext NOT NULL,
    account        bytetext NOT NULL,
    tag            bytetext NOT NULL,
    currency       bytetext NOT NULL,
    provider       bytetext NOT NULL,
    provider_ref   bytetext NOT NULL,
    token          bytetext NOT NULL,
    place          bytetext NOT NULL,
    receipt        bytetext NOT NULL,
    state          bytetext NOT NULL CHECK (state IN ('waiting', 'done', 'approved', 'refused')),
    done_by        bytetext NOT NULL CHECK (done_by <> ''),
    decided_by     bytetext NOT NULL,
    role           text     NOT NULL,
    reason         text     NOT NULL,
    evidence       text     NOT NULL,
    decided_reason text     NOT NULL,
    -- Four eyes: nobody decides on what is their own.
    CHECK (decided_by <> done_by),
    CHECK ((state IN ('approved', 'refused')) = (decided_by <> ''))
);
CREATE UNIQUE INDEX payment_deed_waiting ON payment_deed (kind, about) WHERE state = 'waiting';
CREATE INDEX payment_deed_time ON payment_deed (at_micros, id);
CREATE INDEX payment_deed_by ON payment_deed (done_by, at_micros) WHERE state = 'done';
