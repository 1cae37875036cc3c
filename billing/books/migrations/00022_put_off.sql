-- +goose Up
-- Items of a job that failed, and are left until an instant so that they do not
-- stand in the way of others; see billing.PutOffPause. Portable. Instants are
-- microseconds since the Unix epoch, UTC.
CREATE TABLE put_off (
    failures     bigint   NOT NULL,
    until_micros bigint   NOT NULL,
    job          bytetext NOT NULL,
    item         bytetext NOT NULL,
    why          text     NOT NULL,
    PRIMARY KEY (job, item)
);
CREATE INDEX put_off_due ON put_off (job, until_micros);

-- Passes of which one trip was counted more than once: given back, or kept as
-- the one that is right. The key decides: no pass is ever both, so that of a
-- trip that was made one toll stays, whoever decides at once.
CREATE TABLE dispute_twin (
    at_micros bigint   NOT NULL,
    pass_id   bytetext NOT NULL PRIMARY KEY,
    role      bytetext NOT NULL CHECK (role IN ('given', 'kept')),
    reference bytetext NOT NULL
);

-- A digest of what a pass was when a bulk re-rate was worked out; empty in rows
-- of before.
ALTER TABLE rerate_pass ADD COLUMN stood bytetext NOT NULL DEFAULT '';
