-- +goose Up
-- Disputes of charges and what we flag ourselves; see billing/dispute. Portable.
-- Instants are microseconds since the Unix epoch, UTC, 0 for none; days are days
-- since then, 0 for not known; amounts are hundredths of the currency.

-- One row a dispute as it stands. receivable is "pass:" or "charge:" and the id.
-- pass_revision is the one at which the ruling took effect; less_cents, act and
-- decided_by are the ruling's, whose whole is in ruling.
CREATE TABLE dispute (
    revision      bigint   NOT NULL,
    opened_at     bigint   NOT NULL,
    closed_at     bigint   NOT NULL,
    due_day       bigint   NOT NULL,
    amount_cents  bigint   NOT NULL,
    less_cents    bigint   NOT NULL,
    pass_revision bigint   NOT NULL,
    overdue       boolean  NOT NULL,
    reference     bytetext NOT NULL PRIMARY KEY,
    receivable    bytetext NOT NULL,
    origin        bytetext NOT NULL,
    account       bytetext NOT NULL,
    vehicle       bytetext NOT NULL,
    currency      bytetext NOT NULL,
    reason        bytetext NOT NULL,
    state         bytetext NOT NULL,
    assignee      bytetext NOT NULL,
    previous      bytetext NOT NULL,
    refund        bytetext NOT NULL,
    flag          bytetext NOT NULL,
    act           bytetext NOT NULL,
    decided_by    bytetext NOT NULL,
    words         text     NOT NULL,
    barred        text     NOT NULL,
    ruling        text     NOT NULL,
    paid          text     NOT NULL
);
-- The database decides that a charge has one open dispute.
CREATE UNIQUE INDEX dispute_one_open ON dispute (receivable) WHERE closed_at = 0;
CREATE INDEX dispute_receivable ON dispute (receivable, opened_at);
CREATE INDEX dispute_queue ON dispute (due_day, amount_cents DESC, reference);
CREATE INDEX dispute_open ON dispute (due_day, amount_cents DESC, reference) WHERE closed_at = 0;
CREATE INDEX dispute_account ON dispute (account, due_day) WHERE account <> '';
CREATE INDEX dispute_refund ON dispute (closed_at) WHERE refund = 'wanted' AND closed_at <> 0;
CREATE INDEX dispute_own ON dispute (closed_at) WHERE origin = 'system' AND closed_at <> 0;

-- Every step of every dispute. Only added to.
CREATE TABLE dispute_event (
    revision  bigint   NOT NULL,
    at_micros bigint   NOT NULL,
    reference bytetext NOT NULL,
    state     bytetext NOT NULL,
    what      text     NOT NULL,
    done_by   text     NOT NULL,
    role      text     NOT NULL,
    reason    text     NOT NULL,
    PRIMARY KEY (reference, revision)
);

-- Evidence as it was. Only added to.
CREATE TABLE dispute_evidence (
    number        bigint   NOT NULL,
    at_micros     bigint   NOT NULL,
    pass_revision bigint   NOT NULL,
    reference     bytetext NOT NULL,
    digest        bytetext NOT NULL,
    body          bytea    NOT NULL,
    PRIMARY KEY (reference, number)
);

-- What open disputes keep from being collected; held says that receivable.hold
-- says so too.
CREATE TABLE dispute_hold (
    held       boolean  NOT NULL,
    reference  bytetext NOT NULL,
    receivable bytetext NOT NULL,
    PRIMARY KEY (reference, receivable)
);
CREATE INDEX dispute_hold_lacking ON dispute_hold (reference, receivable) WHERE NOT held;

-- What we found that cannot be right. flag_key is the rule and a digest of the
-- passes: it is raised once.
CREATE TABLE dispute_flag (
    at_micros    bigint   NOT NULL,
    metres       bigint   NOT NULL,
    least_micros bigint   NOT NULL,
    took_micros  bigint   NOT NULL,
    passes_count bigint   NOT NULL,
    flag_key     bytetext NOT NULL PRIMARY KEY,
    rule         bytetext NOT NULL,
    vehicle      bytetext NOT NULL,
    reference    bytetext NOT NULL,
    passes       text     NOT NULL,
    suspects     text     NOT NULL
);
CREATE INDEX dispute_flag_at ON dispute_flag (at_micros, flag_key);
