-- +goose Up
-- What is owed for something other than a pass, and what was paid for it.
-- Portable: read by PostgreSQL and SQLite alike. Instants are microseconds
-- since the Unix epoch, UTC; amounts are hundredths of the currency.

-- One row a charge as it stands now. charge_revision is the revision at which
-- its live transaction was posted, 0 if it owes nothing; paid_cents is the sum
-- of its payments that are not refunded.
CREATE TABLE charge (
    occurred_micros bigint   NOT NULL,
    revision        bigint   NOT NULL,
    amount_cents    bigint   NOT NULL,
    paid_cents      bigint   NOT NULL,
    charge_revision bigint   NOT NULL,
    id              bytetext NOT NULL PRIMARY KEY,
    kind            bytetext NOT NULL,
    account         bytetext NOT NULL,
    creditor        bytetext NOT NULL,
    currency        bytetext NOT NULL,
    vehicle         bytetext NOT NULL,
    description     text     NOT NULL,
    detail          bytea    NOT NULL
);

-- For lists in order of time: of everybody, of an account, of a vehicle.
CREATE INDEX charge_occurred ON charge (occurred_micros, id);
CREATE INDEX charge_account ON charge (account, occurred_micros, id) WHERE account <> '';
CREATE INDEX charge_vehicle ON charge (vehicle, occurred_micros, id) WHERE vehicle <> '';

-- What a charge was before a later revision.
CREATE TABLE charge_revision (
    charge_id       bytetext NOT NULL,
    revision        bigint   NOT NULL,
    replaced_at     bigint   NOT NULL,
    occurred_micros bigint   NOT NULL,
    amount_cents    bigint   NOT NULL,
    kind            bytetext NOT NULL,
    account         bytetext NOT NULL,
    creditor        bytetext NOT NULL,
    currency        bytetext NOT NULL,
    vehicle         bytetext NOT NULL,
    description     text     NOT NULL,
    detail          bytea    NOT NULL,
    PRIMARY KEY (charge_id, revision)
);

-- Money received for a charge; refunded_at is 0 while it stands.
CREATE TABLE payment (
    amount_cents bigint   NOT NULL,
    paid_at      bigint   NOT NULL,
    refunded_at  bigint   NOT NULL,
    id           bytetext NOT NULL PRIMARY KEY,
    charge_id    bytetext NOT NULL,
    currency     bytetext NOT NULL,
    means        bytetext NOT NULL
);

-- The charge that a transaction belongs to; empty for those of passes, which
-- the index leaves out.
ALTER TABLE transactions ADD COLUMN charge_id bytetext NOT NULL DEFAULT '';
CREATE INDEX transactions_charge ON transactions (charge_id) WHERE charge_id <> '';
