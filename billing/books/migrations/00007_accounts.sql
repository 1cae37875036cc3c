-- +goose Up
-- Accounts, what they hold, and the lives of tags; see billing/account.
-- Portable. Instants are microseconds since the Unix epoch, UTC, 0 for none.

-- Rows that transactions lock by writing to them, one a mark.
CREATE TABLE mark_fence (
    times bigint   NOT NULL,
    mark  bytetext NOT NULL PRIMARY KEY
);

-- Every revision of every account; the last one stands. Only added to.
CREATE TABLE account (
    revision   bigint   NOT NULL,
    opened_at  bigint   NOT NULL,
    closes_at  bigint   NOT NULL,
    at_micros  bigint   NOT NULL,
    id         bytetext NOT NULL,
    kind       bytetext NOT NULL,
    state      bytetext NOT NULL,
    language   bytetext NOT NULL,
    name       text     NOT NULL,
    email      bytetext NOT NULL,
    mobile     bytetext NOT NULL,
    changed_by text     NOT NULL,
    reason     text     NOT NULL,
    PRIMARY KEY (id, revision)
);

-- What an account holds over [from_micros, to_micros): a vehicle (no tag), a tag
-- bound to a plate (no account), a class tag (no plate). Never changed but for
-- replaced_at, once.
CREATE TABLE holding (
    from_micros bigint   NOT NULL,
    to_micros   bigint   NOT NULL,
    recorded_at bigint   NOT NULL,
    replaced_at bigint   NOT NULL,
    exempt      boolean  NOT NULL,
    id          bytetext NOT NULL PRIMARY KEY,
    account     bytetext NOT NULL,
    plate       bytetext NOT NULL,
    tag         bytetext NOT NULL,
    class       bytetext NOT NULL,
    recorded_by text     NOT NULL,
    reason      text     NOT NULL,
    CHECK (to_micros = 0 OR from_micros < to_micros),
    CHECK (plate <> '' OR tag <> ''),
    CHECK ((account = '') = (plate <> '' AND tag <> ''))
);
CREATE INDEX holding_plate ON holding (plate, from_micros, id) WHERE plate <> '';
CREATE INDEX holding_tag ON holding (tag, from_micros, id) WHERE tag <> '';
CREATE INDEX holding_account ON holding (account, from_micros, id) WHERE account <> '';
-- Of one mark nothing begins twice at an instant. That nothing overlaps is for
-- those who hold the mark's fence, and for verify.
CREATE UNIQUE INDEX holding_vehicle_once ON holding (plate, from_micros) WHERE tag = '' AND replaced_at = 0;
CREATE UNIQUE INDEX holding_tag_once ON holding (tag, from_micros) WHERE tag <> '' AND replaced_at = 0;

-- One row a tag as it stands, and every event of its life.
CREATE TABLE tag (
    revision    bigint   NOT NULL,
    tag         bytetext NOT NULL PRIMARY KEY,
    kind        bytetext NOT NULL,
    class       bytetext NOT NULL,
    currency    bytetext NOT NULL,
    account     bytetext NOT NULL,
    state       bytetext NOT NULL,
    plate       bytetext NOT NULL,
    replaces    bytetext NOT NULL,
    replaced_by bytetext NOT NULL
);
CREATE INDEX tag_account ON tag (account, tag) WHERE account <> '';
CREATE TABLE tag_event (
    revision    bigint   NOT NULL,
    at_micros   bigint   NOT NULL,
    recorded_at bigint   NOT NULL,
    tag         bytetext NOT NULL,
    state       bytetext NOT NULL,
    account     bytetext NOT NULL,
    plate       bytetext NOT NULL,
    recorded_by text     NOT NULL,
    reason      text     NOT NULL,
    PRIMARY KEY (tag, revision)
);
