-- +goose Up
-- Passes that were sold, and those that were taken back before their time. Both
-- are only ever added to: what a vehicle was entitled to at an instant can be
-- read for ever.
CREATE TABLE parking_pass (
    from_micros bigint       NOT NULL,
    to_micros   bigint       NOT NULL,
    put_micros  bigint       NOT NULL,
    id          parking_text NOT NULL PRIMARY KEY,
    car_park    parking_text NOT NULL,
    vehicle     parking_text NOT NULL,
    permit      parking_text NOT NULL,
    class       parking_text NOT NULL,
    said_by     text         NOT NULL,
    reason      text         NOT NULL,
    CHECK (from_micros < to_micros)
);
CREATE INDEX parking_pass_vehicle ON parking_pass (car_park, vehicle, from_micros, id);
CREATE INDEX parking_pass_time ON parking_pass (car_park, from_micros, id);

CREATE TABLE parking_pass_end (
    at_micros bigint       NOT NULL,
    pass      parking_text NOT NULL PRIMARY KEY,
    said_by   text         NOT NULL,
    reason    text         NOT NULL
);

-- When machines, or some of their lifts, were out of service; to_micros is 0
-- while it lasts.
CREATE TABLE parking_outage (
    from_micros bigint       NOT NULL,
    to_micros   bigint       NOT NULL,
    lifts_out   bigint       NOT NULL,
    is_out      boolean      NOT NULL,
    car_park    parking_text NOT NULL,
    machine     parking_text NOT NULL,
    reason      text         NOT NULL
);
CREATE UNIQUE INDEX parking_outage_standing ON parking_outage (car_park, machine) WHERE to_micros = 0;
CREATE INDEX parking_outage_time ON parking_outage (car_park, machine, from_micros);

-- What is out now is so since it was last heard of at the latest.
INSERT INTO parking_outage (from_micros, to_micros, lifts_out, is_out, car_park, machine, reason)
    SELECT reported_micros, 0, lifts_out, out, car_park, id, reason FROM parking_machine
    WHERE (out OR lifts_out > 0) AND reported_micros > 0;

-- What reservations of drivers who never came cost; settled_micros is 0 until
-- somebody has looked. Those from before this table cost nothing.
CREATE TABLE parking_no_show (
    put_micros     bigint       NOT NULL,
    settled_micros bigint       NOT NULL,
    amount_cents   bigint       NOT NULL,
    reservation    parking_text NOT NULL PRIMARY KEY,
    car_park       parking_text NOT NULL,
    currency       parking_text NOT NULL,
    account        parking_text NOT NULL,
    problem        text         NOT NULL,
    receipt        bytea        NOT NULL
);
CREATE INDEX parking_no_show_unsettled ON parking_no_show (put_micros, reservation) WHERE settled_micros = 0;

-- The stays that are open, for whoever takes a lane away.
CREATE INDEX parking_stay_open ON parking_stay (car_park, entry_event) WHERE state = 'open';
