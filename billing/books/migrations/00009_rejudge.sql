-- +goose Up
-- Judging anew after the registry changed. Portable: read by PostgreSQL and
-- SQLite alike. Instants are microseconds since the Unix epoch, UTC.

-- Who keeps a row: empty for the file that operators put.
ALTER TABLE assignment ADD COLUMN source bytetext NOT NULL DEFAULT '';

-- What changed after a version, and what is in force for a mark.
CREATE INDEX assignment_since ON assignment (since_version);
CREATE INDEX assignment_until ON assignment (until_version) WHERE until_version <> 0;
CREATE INDEX assignment_tag ON assignment (tag) WHERE until_version = 0 AND tag <> '';
CREATE INDEX assignment_plate ON assignment (plate) WHERE until_version = 0 AND plate <> '';

-- epoch counts how often passes of the facility were judged anew, and
-- epoch_micros is the latest read time that any of those ever had;
-- registry_version is the oldest registry that batches may be resolved under.
ALTER TABLE facility ADD COLUMN epoch bigint NOT NULL DEFAULT 0;
ALTER TABLE facility ADD COLUMN epoch_micros bigint NOT NULL DEFAULT 0;
ALTER TABLE facility ADD COLUMN registry_version bigint NOT NULL DEFAULT 0;

-- One row a run over the kept reads; finished_at is 0 while it runs, and one
-- runs at a time.
CREATE TABLE rejudge_job (
    id           bigint   NOT NULL PRIMARY KEY,
    from_version bigint   NOT NULL,
    to_version   bigint   NOT NULL,
    from_micros  bigint   NOT NULL,
    to_micros    bigint   NOT NULL,
    done_micros  bigint   NOT NULL,
    started_at   bigint   NOT NULL,
    finished_at  bigint   NOT NULL,
    lease_until  bigint   NOT NULL,
    touched      bigint   NOT NULL,
    changed      bigint   NOT NULL,
    skipped      bigint   NOT NULL,
    owner        bytetext NOT NULL
);
CREATE UNIQUE INDEX rejudge_running ON rejudge_job (finished_at) WHERE finished_at = 0;

-- Passes that a run left alone because their reads are no longer kept.
CREATE TABLE rejudge_skipped (
    job_id  bigint   NOT NULL,
    pass_id bytetext NOT NULL,
    PRIMARY KEY (job_id, pass_id)
);

-- The version under which all kept reads have been judged. What was posted
-- before this step was judged as it came.
INSERT INTO meta (name, value) SELECT 'judged_version', CAST(coalesce(max(version), 0) AS text) FROM registry;
