-- +goose Up
-- Bulk re-rates after a tariff mistake. Portable: read by PostgreSQL and SQLite
-- alike. Instants are microseconds since the Unix epoch, UTC; amounts are
-- hundredths of the currency; 0 is an instant that has not come.
CREATE TABLE rerate (
    id             bigint   NOT NULL PRIMARY KEY,
    from_micros    bigint   NOT NULL,
    to_micros      bigint   NOT NULL,
    made_at        bigint   NOT NULL,
    ordered_at     bigint   NOT NULL,
    finished_at    bigint   NOT NULL,
    looked         bigint   NOT NULL,
    passes         bigint   NOT NULL,
    vehicles       bigint   NOT NULL,
    accounts       bigint   NOT NULL,
    left_alone     bigint   NOT NULL,
    was_cents      bigint   NOT NULL,
    now_cents      bigint   NOT NULL,
    paid_passes    bigint   NOT NULL,
    done           bigint   NOT NULL,
    changed        bigint   NOT NULL,
    facility       bytetext NOT NULL,
    currency       bytetext NOT NULL,
    state          bytetext NOT NULL,
    digest         bytetext NOT NULL,
    made_by        text     NOT NULL,
    ordered_by     text     NOT NULL,
    reason         text     NOT NULL
);

-- One row a pass that owes another amount by the network that rated it anew, or
-- that is left alone. customer is "account:" or "vehicle:" and a name.
CREATE TABLE rerate_pass (
    rerate_id      bigint   NOT NULL,
    revision       bigint   NOT NULL,
    first_micros   bigint   NOT NULL,
    was_cents      bigint   NOT NULL,
    now_cents      bigint   NOT NULL,
    paid           boolean  NOT NULL,
    pass_id        bytetext NOT NULL,
    customer       bytetext NOT NULL,
    vehicle        bytetext NOT NULL,
    tariff_version bytetext NOT NULL,
    rule           text     NOT NULL,
    state          bytetext NOT NULL,
    PRIMARY KEY (rerate_id, pass_id)
);
CREATE INDEX rerate_pass_pending ON rerate_pass (rerate_id, pass_id) WHERE state = 'pending';
