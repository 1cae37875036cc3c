-- +goose Up
-- Requests for a space in the city and the rounds that decide on them. What is
-- asked for and given stands in the document; the columns are what is searched
-- for. Rows are deleted some time after their end: they hold destinations.
CREATE TABLE parking_space_request (
    requested_micros bigint       NOT NULL,
    ended_micros     bigint       NOT NULL,
    revision         bigint       NOT NULL,
    id               parking_text NOT NULL PRIMARY KEY,
    state            parking_text NOT NULL,
    car_park         parking_text NOT NULL,
    plate            parking_text NOT NULL,
    document         bytea        NOT NULL
);
CREATE INDEX parking_space_request_live ON parking_space_request (requested_micros, id) WHERE ended_micros = 0;
CREATE INDEX parking_space_request_there ON parking_space_request (car_park, requested_micros, id) WHERE ended_micros = 0;
CREATE INDEX parking_space_request_ended ON parking_space_request (ended_micros) WHERE ended_micros <> 0;

-- The latest rounds. The key is the fence: of two processes that hold the same
-- round one finds its number taken.
CREATE TABLE parking_space_round (
    number    bigint NOT NULL PRIMARY KEY,
    at_micros bigint NOT NULL,
    document  bytea  NOT NULL
);
