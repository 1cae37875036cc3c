-- +goose Up
-- What is settled with operators day by day; see billing/settlement. Portable.
-- Instants are microseconds since the Unix epoch, UTC, 0 for none; days are days
-- since then in the network's zone; amounts are hundredths of the currency.

-- What the ledger did of each creditor on a day, summed up when the day is
-- closed. what: posted, withdrawn, collected, returned, paid, refunded; kind:
-- the charge's kind, toll, or the way of payment. earlier: of passes and charges
-- whose own time was before that day.
CREATE TABLE creditor_day (
    day          bigint   NOT NULL,
    movements    bigint   NOT NULL,
    amount_cents bigint   NOT NULL,
    earlier      boolean  NOT NULL,
    creditor     bytetext NOT NULL,
    currency     bytetext NOT NULL,
    what         bytetext NOT NULL,
    kind         bytetext NOT NULL,
    PRIMARY KEY (creditor, day, currency, what, kind, earlier)
);
CREATE INDEX creditor_day_day ON creditor_day (day, creditor, currency);

-- One batch a creditor, day and currency. What it comes to never changes; its
-- state does, by steps that stand in settlement_step.
CREATE TABLE settlement (
    day             bigint   NOT NULL,
    collected_cents bigint   NOT NULL,
    refunded_cents  bigint   NOT NULL,
    carried_cents   bigint   NOT NULL,
    remit_cents     bigint   NOT NULL CHECK (remit_cents >= 0),
    carry_cents     bigint   NOT NULL CHECK (carry_cents <= 0),
    made_at         bigint   NOT NULL,
    revision        bigint   NOT NULL,
    number          bytetext NOT NULL PRIMARY KEY,
    creditor        bytetext NOT NULL,
    currency        bytetext NOT NULL,
    state           bytetext NOT NULL,
    figures         text     NOT NULL,
    CHECK (collected_cents - refunded_cents + carried_cents = remit_cents + carry_cents)
);
CREATE UNIQUE INDEX settlement_day ON settlement (creditor, currency, day);
CREATE INDEX settlement_state ON settlement (state, day, number);

CREATE TABLE settlement_step (
    revision  bigint   NOT NULL,
    at_micros bigint   NOT NULL,
    number    bytetext NOT NULL,
    state     bytetext NOT NULL,
    reference bytetext NOT NULL,
    means     bytetext NOT NULL,
    done_by   text     NOT NULL,
    reason    text     NOT NULL,
    PRIMARY KEY (number, revision)
);

-- Days of which every creditor has its batch.
CREATE TABLE settlement_day_done (
    day     bigint NOT NULL PRIMARY KEY,
    made_at bigint NOT NULL
);

-- Reports of banks and providers, row by row, and what did not agree.
CREATE TABLE cash_report (
    from_micros bigint   NOT NULL,
    to_micros   bigint   NOT NULL,
    taken_at    bigint   NOT NULL,
    row_count   bigint   NOT NULL,
    id          bytetext NOT NULL PRIMARY KEY,
    means       bytetext NOT NULL,
    taken_by    text     NOT NULL
);
CREATE TABLE cash_row (
    line         bigint   NOT NULL,
    amount_cents bigint   NOT NULL,
    at_micros    bigint   NOT NULL,
    report       bytetext NOT NULL,
    reference    bytetext NOT NULL,
    currency     bytetext NOT NULL,
    PRIMARY KEY (report, line)
);
CREATE INDEX cash_row_reference ON cash_row (reference);

-- One row a thing that does not agree; ended_at is 0 while it is open.
CREATE TABLE settlement_break (
    day         bigint   NOT NULL,
    ours_cents  bigint   NOT NULL,
    their_cents bigint   NOT NULL,
    found_at    bigint   NOT NULL,
    ended_at    bigint   NOT NULL,
    id          bytetext NOT NULL PRIMARY KEY,
    kind        bytetext NOT NULL,
    subject     bytetext NOT NULL,
    unit        bytetext NOT NULL,
    currency    bytetext NOT NULL,
    ended_by    text     NOT NULL,
    reason      text     NOT NULL
);
CREATE INDEX settlement_break_open ON settlement_break (day, id) WHERE ended_at = 0;
CREATE INDEX settlement_break_subject ON settlement_break (subject);
