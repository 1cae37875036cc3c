-- +goose Up
-- What people were told, and the ladder of unpaid tolls; see billing/notice and
-- billing/recovery. Portable. Instants are microseconds since the Unix epoch,
-- UTC, 0 for none; days are days since then.

CREATE TABLE notice (
    issued_at    bigint   NOT NULL,
    served_at    bigint   NOT NULL,
    due_day      bigint   NOT NULL,
    amount_cents bigint   NOT NULL,
    id           bytetext NOT NULL PRIMARY KEY,
    kind         bytetext NOT NULL,
    account      bytetext NOT NULL,
    vehicle      bytetext NOT NULL,
    number       bytetext NOT NULL,
    currency     bytetext NOT NULL,
    facts        text     NOT NULL
);
CREATE INDEX notice_account ON notice (account, issued_at) WHERE account <> '';
CREATE INDEX notice_vehicle ON notice (vehicle, issued_at) WHERE account = '';

CREATE TABLE notice_delivery (
    at_micros bigint   NOT NULL,
    next_at   bigint   NOT NULL,
    attempts  bigint   NOT NULL,
    notice    bytetext NOT NULL,
    channel   bytetext NOT NULL,
    state     bytetext NOT NULL,
    address   text     NOT NULL,
    evidence  text     NOT NULL,
    proved_by text     NOT NULL,
    PRIMARY KEY (notice, channel)
);
CREATE INDEX notice_delivery_waiting ON notice_delivery (next_at) WHERE state = 'waiting';

-- One row an unpaid toll on the ladder. next_at is when it is to be looked at
-- again; 0 when it has ended.
CREATE TABLE recovery_case (
    revision    bigint   NOT NULL,
    next_at     bigint   NOT NULL,
    opened_at   bigint   NOT NULL,
    pass_day    bigint   NOT NULL,
    due_day     bigint   NOT NULL,
    receivable  bytetext NOT NULL PRIMARY KEY,
    account     bytetext NOT NULL,
    vehicle     bytetext NOT NULL,
    stage       bytetext NOT NULL,
    number      bytetext NOT NULL,
    notice      bytetext NOT NULL,
    waived      bytetext NOT NULL
);
CREATE INDEX recovery_case_next ON recovery_case (next_at, receivable) WHERE next_at <> 0;
CREATE INDEX recovery_case_vehicle ON recovery_case (vehicle, receivable);
CREATE INDEX recovery_case_hold ON recovery_case (vehicle, receivable) WHERE stage = 'hold';

-- Every step of every case. Only added to.
CREATE TABLE recovery_event (
    revision   bigint   NOT NULL,
    at_micros  bigint   NOT NULL,
    receivable bytetext NOT NULL,
    stage      bytetext NOT NULL,
    what       bytetext NOT NULL,
    done_by    text     NOT NULL,
    reason     text     NOT NULL,
    PRIMARY KEY (receivable, revision)
);

-- Days that count for nobody's deadline (scope empty: for everybody's) or for
-- one receivable's: outages of ours, disputes. to_day is exclusive, 0 while it
-- goes on.
CREATE TABLE recovery_pause (
    from_day    bigint   NOT NULL,
    to_day      bigint   NOT NULL,
    recorded_at bigint   NOT NULL,
    id          bytetext NOT NULL PRIMARY KEY,
    scope       bytetext NOT NULL,
    recorded_by text     NOT NULL,
    reason      text     NOT NULL
);
CREATE INDEX recovery_pause_scope ON recovery_pause (scope, from_day);

-- Tolls that are not paid, in the order in which they were posted.
CREATE INDEX receivable_overdue ON receivable (posted_at, id) WHERE kind = 'toll' AND paid_cents < amount_cents;
