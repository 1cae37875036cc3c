-- +goose Up
-- Answers to requests that may come more than once; see internal/once.
CREATE TABLE once (
    at_micros   bigint   NOT NULL,
    status      bigint   NOT NULL,
    scope       bytetext NOT NULL,
    request_key bytetext NOT NULL,
    location    text     NOT NULL,
    fingerprint bytea    NOT NULL,
    body        bytea    NOT NULL,
    PRIMARY KEY (scope, request_key)
);
CREATE INDEX once_time ON once (at_micros);
