-- +goose Up
-- Portable: read by PostgreSQL and SQLite alike. Instants are microseconds
-- since the Unix epoch, UTC, 0 for none; amounts are hundredths of the
-- currency.

-- Rows that transactions lock by writing to them.
CREATE TABLE parking_fence (
    times bigint       NOT NULL,
    name  parking_text NOT NULL PRIMARY KEY
);

-- Every version of every car park's definition.
CREATE TABLE parking_definition (
    version  bigint       NOT NULL,
    put_at   bigint       NOT NULL,
    car_park parking_text NOT NULL,
    put_by   text         NOT NULL,
    document bytea        NOT NULL,
    PRIMARY KEY (car_park, version)
);

-- One row an allocation as it stands. since_micros is when it began to hold the
-- bay that it holds now; a bay held before and left is in parking_hold.
CREATE TABLE parking_allocation (
    assigned_micros   bigint       NOT NULL,
    since_micros      bigint       NOT NULL,
    ended_micros      bigint       NOT NULL,
    stored_micros     bigint       NOT NULL,
    requested_micros  bigint       NOT NULL,
    promised_micros   bigint       NOT NULL,
    staged_micros     bigint       NOT NULL,
    not_before_micros bigint       NOT NULL,
    revision          bigint       NOT NULL,
    stay_minutes      bigint       NOT NULL,
    ready_seconds     bigint       NOT NULL,
    length_mm         bigint       NOT NULL,
    width_mm          bigint       NOT NULL,
    height_mm         bigint       NOT NULL,
    weight_kg         bigint       NOT NULL,
    ev                boolean      NOT NULL,
    accessible        boolean      NOT NULL,
    id                parking_text NOT NULL PRIMARY KEY,
    car_park          parking_text NOT NULL,
    bay               parking_text NOT NULL,
    machine           parking_text NOT NULL,
    state             parking_text NOT NULL,
    plate             parking_text NOT NULL,
    tag               parking_text NOT NULL,
    class             parking_text NOT NULL,
    reservation       parking_text NOT NULL,
    stay              parking_text NOT NULL,
    why               text         NOT NULL,
    next_bay          text         NOT NULL,
    decided_by        text         NOT NULL,
    reason            text         NOT NULL
);

-- THE guarantee: a bay has at most one allocation, or block, that has not
-- ended. Also the list of those of a car park.
CREATE UNIQUE INDEX parking_allocation_active ON parking_allocation (car_park, bay) WHERE ended_micros = 0;
-- When the bay was last given back: whoever has it next begins no earlier.
CREATE INDEX parking_allocation_ended ON parking_allocation (car_park, bay, ended_micros) WHERE ended_micros <> 0;
-- Lists are in order of time, then id, which stands in none of these: an index
-- entry is written for every claim and every departure.
CREATE INDEX parking_allocation_time ON parking_allocation (car_park, assigned_micros);
CREATE INDEX parking_allocation_plate ON parking_allocation (plate, assigned_micros) WHERE plate <> '';
CREATE INDEX parking_allocation_tag ON parking_allocation (tag, assigned_micros) WHERE tag <> '';

-- Bays that an allocation held before it was moved to another. Only added to.
CREATE TABLE parking_hold (
    revision    bigint       NOT NULL,
    from_micros bigint       NOT NULL,
    to_micros   bigint       NOT NULL,
    allocation  parking_text NOT NULL,
    car_park    parking_text NOT NULL,
    bay         parking_text NOT NULL,
    PRIMARY KEY (allocation, revision)
);
CREATE INDEX parking_hold_bay ON parking_hold (car_park, bay, to_micros);

-- Every change of every allocation: when, from which state to which, the bay,
-- who and why. revision is the one that the change made. Only added to.
CREATE TABLE parking_allocation_event (
    revision   bigint       NOT NULL,
    at_micros  bigint       NOT NULL,
    allocation parking_text NOT NULL,
    from_state parking_text NOT NULL,
    to_state   parking_text NOT NULL,
    bay        parking_text NOT NULL,
    decided_by text         NOT NULL,
    reason     text         NOT NULL,
    PRIMARY KEY (allocation, revision)
);

-- Requests that had their effect, with the answer. allocation is what a claim
-- or a departure concerned; empty for others.
CREATE TABLE parking_once (
    at_micros   bigint       NOT NULL,
    status      bigint       NOT NULL,
    scope       parking_text NOT NULL,
    request_key parking_text NOT NULL,
    allocation  parking_text NOT NULL,
    location    text         NOT NULL,
    fingerprint bytea        NOT NULL,
    body        bytea        NOT NULL,
    PRIMARY KEY (scope, request_key)
);
CREATE INDEX parking_once_time ON parking_once (at_micros);

CREATE TABLE parking_machine (
    revision        bigint       NOT NULL,
    reported_micros bigint       NOT NULL,
    lifts_out       bigint       NOT NULL,
    reconciled      boolean      NOT NULL,
    out             boolean      NOT NULL,
    car_park        parking_text NOT NULL,
    id              parking_text NOT NULL,
    boot            text         NOT NULL,
    reason          text         NOT NULL,
    said_by         text         NOT NULL,
    memory          bytea        NOT NULL,
    PRIMARY KEY (car_park, id)
);

CREATE TABLE parking_command (
    due_micros     bigint       NOT NULL,
    created_micros bigint       NOT NULL,
    sent_micros    bigint       NOT NULL,
    ended_micros   bigint       NOT NULL,
    revision       bigint       NOT NULL,
    attempt        bigint       NOT NULL,
    id             parking_text NOT NULL PRIMARY KEY,
    car_park       parking_text NOT NULL,
    machine        parking_text NOT NULL,
    kind           parking_text NOT NULL,
    allocation     parking_text NOT NULL,
    bay            parking_text NOT NULL,
    from_bay       parking_text NOT NULL,
    state          parking_text NOT NULL,
    detail         text         NOT NULL
);
CREATE INDEX parking_command_queue ON parking_command (car_park, machine, due_micros, id) WHERE ended_micros = 0;

-- deadline_micros is when the reservation lapses in its present state.
CREATE TABLE parking_reservation (
    start_micros    bigint       NOT NULL,
    end_micros      bigint       NOT NULL,
    expires_micros  bigint       NOT NULL,
    no_show_micros  bigint       NOT NULL,
    deadline_micros bigint       NOT NULL,
    created_micros  bigint       NOT NULL,
    ended_micros    bigint       NOT NULL,
    revision        bigint       NOT NULL,
    length_mm       bigint       NOT NULL,
    width_mm        bigint       NOT NULL,
    height_mm       bigint       NOT NULL,
    weight_kg       bigint       NOT NULL,
    ev              boolean      NOT NULL,
    accessible      boolean      NOT NULL,
    id              parking_text NOT NULL PRIMARY KEY,
    car_park        parking_text NOT NULL,
    pool            parking_text NOT NULL,
    state           parking_text NOT NULL,
    plate           parking_text NOT NULL,
    tag             parking_text NOT NULL,
    class           parking_text NOT NULL,
    account         parking_text NOT NULL,
    allocation      parking_text NOT NULL,
    quote           parking_text NOT NULL
);
CREATE INDEX parking_reservation_pool ON parking_reservation (car_park, pool, start_micros, end_micros);
CREATE INDEX parking_reservation_due ON parking_reservation (car_park, start_micros) WHERE state IN ('held', 'confirmed');
CREATE INDEX parking_reservation_deadline ON parking_reservation (deadline_micros, id) WHERE state IN ('held', 'confirmed');

CREATE TABLE parking_lane_event (
    at_micros           bigint       NOT NULL,
    confidence_permille bigint       NOT NULL,
    id                  parking_text NOT NULL PRIMARY KEY,
    car_park            parking_text NOT NULL,
    lane                parking_text NOT NULL,
    direction           parking_text NOT NULL,
    tag                 parking_text NOT NULL,
    plate               parking_text NOT NULL,
    class               parking_text NOT NULL,
    ticket              parking_text NOT NULL,
    source              text         NOT NULL
);
-- An event is found by each mark that it carries.
CREATE INDEX parking_lane_event_plate ON parking_lane_event (car_park, plate, at_micros, id) WHERE plate <> '';
CREATE INDEX parking_lane_event_tag ON parking_lane_event (car_park, tag, at_micros, id) WHERE tag <> '';
CREATE INDEX parking_lane_event_ticket ON parking_lane_event (car_park, ticket, at_micros, id) WHERE ticket <> '';

-- time_micros is the entry, or the exit where the entry is not known.
CREATE TABLE parking_stay (
    time_micros       bigint       NOT NULL,
    entry_micros      bigint       NOT NULL,
    exit_micros       bigint       NOT NULL,
    clock_from_micros bigint       NOT NULL,
    clock_to_micros   bigint       NOT NULL,
    amount_cents      bigint       NOT NULL,
    paid_cents        bigint       NOT NULL,
    revision          bigint       NOT NULL,
    charge_revision   bigint       NOT NULL,
    id                parking_text NOT NULL PRIMARY KEY,
    car_park          parking_text NOT NULL,
    state             parking_text NOT NULL,
    vehicle           parking_text NOT NULL,
    tag               parking_text NOT NULL,
    plate             parking_text NOT NULL,
    ticket            parking_text NOT NULL,
    class             parking_text NOT NULL,
    account           parking_text NOT NULL,
    means             parking_text NOT NULL,
    entry_event       parking_text NOT NULL,
    exit_event        parking_text NOT NULL,
    allocation        parking_text NOT NULL,
    tariff_version    text         NOT NULL,
    quote             parking_text NOT NULL,
    currency          parking_text NOT NULL,
    flags             text         NOT NULL,
    decided_by        text         NOT NULL,
    reason            text         NOT NULL,
    receipt           bytea        NOT NULL,
    details           bytea        NOT NULL
);
CREATE INDEX parking_stay_vehicle ON parking_stay (vehicle, time_micros, id);
CREATE INDEX parking_stay_plate ON parking_stay (plate, time_micros, id) WHERE plate <> '';
CREATE INDEX parking_stay_tag ON parking_stay (tag, time_micros, id) WHERE tag <> '';
CREATE INDEX parking_stay_ticket ON parking_stay (ticket, time_micros, id) WHERE ticket <> '';
CREATE INDEX parking_stay_time ON parking_stay (car_park, time_micros, id);
CREATE INDEX parking_stay_allocation ON parking_stay (allocation, time_micros, id) WHERE allocation <> '';

-- Which orders of the ledger settle a stay.
CREATE TABLE parking_ordered_stay (
    stay         parking_text NOT NULL,
    ledger_order parking_text NOT NULL,
    PRIMARY KEY (stay, ledger_order)
);

CREATE TABLE parking_quote (
    expires_micros bigint       NOT NULL,
    id             parking_text NOT NULL PRIMARY KEY,
    document       bytea        NOT NULL
);

CREATE TABLE parking_preference (
    at_micros bigint       NOT NULL,
    business  boolean      NOT NULL,
    said      boolean      NOT NULL,
    pays      boolean      NOT NULL,
    account   parking_text NOT NULL PRIMARY KEY,
    said_by   text         NOT NULL
);
