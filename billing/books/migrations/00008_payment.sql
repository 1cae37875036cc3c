-- +goose Up
-- How money comes in and goes back: means of payment, debits, attempts at
-- providers, what providers said. Portable: read by PostgreSQL and SQLite
-- alike. Instants are microseconds since the Unix epoch, UTC, 0 for none;
-- amounts are hundredths of the currency. No card's number stands anywhere:
-- tokens are the providers'.

-- How an account pays from an instant on; only ever added to.
CREATE TABLE payment_means (
    revision        bigint   NOT NULL,
    from_micros     bigint   NOT NULL,
    at_micros       bigint   NOT NULL,
    threshold_cents bigint   NOT NULL CHECK (threshold_cents >= 0),
    topup_cents     bigint   NOT NULL CHECK (topup_cents >= 0),
    account         bytetext NOT NULL,
    mode            bytetext NOT NULL,
    kind            bytetext NOT NULL,
    provider        bytetext NOT NULL,
    token           bytetext NOT NULL,
    currency        bytetext NOT NULL,
    set_by          text     NOT NULL,
    PRIMARY KEY (account, revision)
);
CREATE INDEX payment_means_mode ON payment_means (mode, account);

-- Accounts that were told of a low balance; the row goes when it is no longer
-- low.
CREATE TABLE payment_low (
    told_at bigint   NOT NULL,
    account bytetext NOT NULL PRIMARY KEY
);

-- The wish to take an amount from an account. Only one top-up of an account is
-- under way.
CREATE TABLE payment_debit (
    amount_cents   bigint   NOT NULL,
    means_revision bigint   NOT NULL,
    tries          bigint   NOT NULL,
    next_at        bigint   NOT NULL,
    created_at     bigint   NOT NULL,
    version        bigint   NOT NULL,
    id             bytetext NOT NULL PRIMARY KEY,
    purpose        bytetext NOT NULL,
    account        bytetext NOT NULL,
    day            bytetext NOT NULL,
    currency       bytetext NOT NULL,
    state          bytetext NOT NULL
);
CREATE INDEX payment_debit_due ON payment_debit (next_at, id) WHERE next_at <> 0;
CREATE INDEX payment_debit_account ON payment_debit (account, created_at);
CREATE UNIQUE INDEX payment_debit_topup ON payment_debit (account) WHERE purpose = 'topup' AND state = 'open';
CREATE UNIQUE INDEX payment_debit_day ON payment_debit (account, day, currency) WHERE purpose = 'daily';

-- What a debit is for. What was posted at one place in the order of postings is
-- in one debit at most.
CREATE TABLE payment_debit_item (
    position     bigint   NOT NULL,
    posting      bigint   NOT NULL,
    amount_cents bigint   NOT NULL,
    debit        bytetext NOT NULL,
    receivable   bytetext NOT NULL,
    PRIMARY KEY (receivable, posting)
);
CREATE INDEX payment_debit_item_debit ON payment_debit_item (debit, position);

-- One try to move money at a provider.
CREATE TABLE payment_attempt (
    amount_cents   bigint   NOT NULL CHECK (amount_cents > 0),
    moved_cents    bigint   NOT NULL CHECK (moved_cents >= 0),
    refunded_cents bigint   NOT NULL CHECK (refunded_cents >= 0 AND refunded_cents <= moved_cents),
    calls          bigint   NOT NULL,
    queries        bigint   NOT NULL,
    next_at        bigint   NOT NULL,
    valid_until    bigint   NOT NULL,
    created_at     bigint   NOT NULL,
    settled_at     bigint   NOT NULL,
    version        bigint   NOT NULL,
    id             bytetext NOT NULL PRIMARY KEY,
    kind           bytetext NOT NULL,
    purpose        bytetext NOT NULL,
    provider       bytetext NOT NULL,
    debit          bytetext NOT NULL,
    account        bytetext NOT NULL,
    holder         bytetext NOT NULL,
    means          bytetext NOT NULL,
    token          bytetext NOT NULL,
    bill           bytetext NOT NULL,
    original       bytetext NOT NULL,
    source         bytetext NOT NULL,
    currency       bytetext NOT NULL,
    state          bytetext NOT NULL,
    how            bytetext NOT NULL,
    provider_ref   bytetext NOT NULL,
    movement       bytetext NOT NULL,
    reason         text     NOT NULL
);
CREATE INDEX payment_attempt_due ON payment_attempt (next_at, id) WHERE next_at <> 0;
CREATE INDEX payment_attempt_time ON payment_attempt (created_at, id);
CREATE INDEX payment_attempt_state ON payment_attempt (state, created_at, id);
CREATE INDEX payment_attempt_account ON payment_attempt (account, created_at, id) WHERE account <> '';
CREATE INDEX payment_attempt_original ON payment_attempt (original) WHERE original <> '';
CREATE UNIQUE INDEX payment_attempt_bill ON payment_attempt (bill) WHERE bill <> '';
-- Never two tries of one debit at a time.
CREATE UNIQUE INDEX payment_attempt_debit ON payment_attempt (debit) WHERE debit <> '' AND state IN ('created', 'submitted', 'unknown');
-- What a provider did is money once.
CREATE UNIQUE INDEX payment_attempt_done ON payment_attempt (provider, provider_ref) WHERE provider_ref <> '' AND state IN ('succeeded', 'reversed');

CREATE TABLE payment_attempt_item (
    position     bigint   NOT NULL,
    posting      bigint   NOT NULL,
    amount_cents bigint   NOT NULL,
    attempt      bytetext NOT NULL,
    receivable   bytetext NOT NULL,
    PRIMARY KEY (attempt, position)
);
CREATE INDEX payment_attempt_item_receivable ON payment_attempt_item (receivable);

-- Debts for which an attempt is under way or unknown: another is refused.
CREATE TABLE payment_claim (
    debt    bytetext NOT NULL PRIMARY KEY,
    attempt bytetext NOT NULL
);
CREATE INDEX payment_claim_attempt ON payment_claim (attempt);

-- Notices of providers that were taken.
CREATE TABLE payment_notice (
    at_micros bigint   NOT NULL,
    provider  bytetext NOT NULL,
    id        bytetext NOT NULL,
    attempt   bytetext NOT NULL,
    PRIMARY KEY (provider, id)
);

-- What owners of accounts, and persons of the operator (account ''), are to be
-- told; told_at is 0 until somebody has taken it.
CREATE TABLE payment_event (
    at_micros    bigint   NOT NULL,
    told_at      bigint   NOT NULL,
    amount_cents bigint   NOT NULL,
    count        bigint   NOT NULL,
    id           bytetext NOT NULL PRIMARY KEY,
    kind         bytetext NOT NULL,
    account      bytetext NOT NULL,
    about        bytetext NOT NULL,
    currency     bytetext NOT NULL,
    day          bytetext NOT NULL,
    text         text     NOT NULL
);
CREATE INDEX payment_event_untold ON payment_event (at_micros, id) WHERE told_at = 0;
CREATE INDEX payment_event_account ON payment_event (account, at_micros, id);

-- How far the daily debits of a day have been made.
CREATE TABLE payment_day (
    done          boolean  NOT NULL,
    day           bytetext NOT NULL PRIMARY KEY,
    after_account bytetext NOT NULL
);

-- Numbers printed on notices, and what they name.
CREATE TABLE payment_reference (
    number  bytetext NOT NULL PRIMARY KEY,
    vehicle bytetext NOT NULL
);
CREATE TABLE payment_reference_item (
    number     bytetext NOT NULL,
    receivable bytetext NOT NULL,
    PRIMARY KEY (number, receivable)
);
