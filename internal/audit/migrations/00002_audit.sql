-- +goose Up
-- Portable: read by PostgreSQL and SQLite alike. Instants are microseconds
-- since the Unix epoch, UTC.

-- What happened, written in the transaction in which it happened. The id sorts
-- by time. digest is over all the other columns: it guards those that stand in
-- no chain yet.
CREATE TABLE audit_event (
    at_micros    bigint     NOT NULL,
    id           audit_text NOT NULL PRIMARY KEY,
    actor        audit_text NOT NULL,
    role         audit_text NOT NULL,
    action       audit_text NOT NULL,
    subject_kind audit_text NOT NULL,
    subject      audit_text NOT NULL,
    account      audit_text NOT NULL,
    detail       audit_text NOT NULL,
    commitment   bytea      NOT NULL,
    digest       bytea      NOT NULL
);
CREATE INDEX audit_event_account ON audit_event (account, id) WHERE account <> '';
CREATE INDEX audit_event_subject ON audit_event (subject_kind, subject, id);

-- What may have to be forgotten: the event's commitment is over salt and body,
-- so that without the salt nobody can try out what the body was.
CREATE TABLE audit_private (
    event_id audit_text NOT NULL PRIMARY KEY,
    salt     bytea      NOT NULL,
    body     audit_text NOT NULL
);

-- The events that wait for their place in the chain.
CREATE TABLE audit_pending (
    event_id audit_text NOT NULL PRIMARY KEY
);

-- The chain: one row an event, from 1, without a gap.
CREATE TABLE audit_chain (
    seq      bigint     NOT NULL PRIMARY KEY,
    event_id audit_text NOT NULL UNIQUE,
    hash     bytea      NOT NULL
);

-- The nodes of the Merkle tree over the chain, in the order in which they
-- become known, from 0.
CREATE TABLE audit_tree (
    place bigint NOT NULL PRIMARY KEY,
    hash  bytea  NOT NULL
);

-- The days whose ledger has been digested, each once.
CREATE TABLE audit_day (
    day      audit_text NOT NULL PRIMARY KEY,
    event_id audit_text NOT NULL UNIQUE
);

-- Whoever extends the chain holds this row, so that it is one at a time.
CREATE TABLE audit_turn (
    one bigint NOT NULL PRIMARY KEY
);
INSERT INTO audit_turn (one) VALUES (1);
