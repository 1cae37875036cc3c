-- +goose Up
-- Which customers of a bulk re-rate that is done have been told: those up to
-- told_after, in the order of their names, and all once told_at is not 0.
ALTER TABLE rerate ADD COLUMN told_after bytetext NOT NULL DEFAULT '';
ALTER TABLE rerate ADD COLUMN told_at bigint NOT NULL DEFAULT 0;
