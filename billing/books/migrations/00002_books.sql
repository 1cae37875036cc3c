-- +goose Up
-- Portable: read by PostgreSQL and SQLite alike. Instants are microseconds
-- since the Unix epoch, UTC; amounts are hundredths of the currency.

-- Facts about these books themselves, by name.
CREATE TABLE meta (
    name  bytetext NOT NULL PRIMARY KEY,
    value text     NOT NULL
);

-- How far each partition of the log has been posted: the fence.
CREATE TABLE progress (
    log_partition bigint NOT NULL PRIMARY KEY,
    next_offset   bigint NOT NULL,
    max_micros    bigint NOT NULL
);

-- One row a facility. Posters lock the rows of the facilities that they touch,
-- so that no two of them can race past the overlap guard. longest_micros is
-- the longest duration that any of its passes ever had: whoever looks for
-- passes that touch an instant need not look at earlier beginnings than that.
-- gap_micros is the smallest gap under which passes were posted.
CREATE TABLE facility (
    facility       bytetext NOT NULL PRIMARY KEY,
    longest_micros bigint   NOT NULL,
    gap_micros     bigint   NOT NULL
);

-- One row a pass as it stands now. toll_revision is the revision at which its
-- live toll transaction was posted, 0 if it owes nothing.
CREATE TABLE pass (
    first_micros   bigint   NOT NULL,
    last_micros    bigint   NOT NULL,
    revision       bigint   NOT NULL,
    amount_cents   bigint   NOT NULL,
    toll_revision  bigint   NOT NULL,
    registered     boolean  NOT NULL,
    id             bytetext NOT NULL PRIMARY KEY,
    facility       bytetext NOT NULL,
    toll_point     bytetext NOT NULL,
    vehicle        bytetext NOT NULL,
    status         bytetext NOT NULL,
    class          bytetext NOT NULL,
    account        bytetext NOT NULL,
    currency       bytetext NOT NULL,
    rule           text     NOT NULL,
    tariff_version bytetext NOT NULL,
    reasons        bytetext NOT NULL,
    marks          text     NOT NULL,
    merged_into    bytetext NOT NULL,
    decision       text     NOT NULL,
    evidence       bytea    NOT NULL
);

-- last_micros and evidence stand in no index: a read that only lengthens a
-- pass, by far the most frequent change, then touches no index at all.
-- A toll point belongs to one facility, so that this also says: one standing
-- pass of a vehicle begins at a toll point at an instant.
CREATE UNIQUE INDEX pass_standing ON pass (vehicle, registered, facility, first_micros, toll_point) WHERE merged_into = '';

-- For lists in order of time. The second condition always holds; only lists
-- state it, so that no planner can take this index for finding the passes of
-- one vehicle, which on young tables looks as cheap and is not.
CREATE INDEX pass_first ON pass (first_micros) WHERE merged_into = '' AND facility <> '';
CREATE INDEX pass_account ON pass (account, first_micros) WHERE merged_into = '' AND account <> '';
CREATE INDEX pass_review ON pass (first_micros) WHERE merged_into = '' AND status = 'review';

-- The marks that standing passes carried beside the one that named them.
CREATE TABLE pass_mark (
    facility     bytetext NOT NULL,
    mark         bytetext NOT NULL,
    first_micros bigint   NOT NULL,
    pass_id      bytetext NOT NULL,
    PRIMARY KEY (facility, mark, first_micros, pass_id)
);

-- What a pass was before a revision that changed more than its end.
CREATE TABLE pass_revision (
    pass_id        bytetext NOT NULL,
    revision       bigint   NOT NULL,
    replaced_at    bigint   NOT NULL,
    first_micros   bigint   NOT NULL,
    last_micros    bigint   NOT NULL,
    amount_cents   bigint   NOT NULL,
    registered     boolean  NOT NULL,
    facility       bytetext NOT NULL,
    toll_point     bytetext NOT NULL,
    vehicle        bytetext NOT NULL,
    status         bytetext NOT NULL,
    class          bytetext NOT NULL,
    account        bytetext NOT NULL,
    currency       bytetext NOT NULL,
    rule           text     NOT NULL,
    tariff_version bytetext NOT NULL,
    reasons        bytetext NOT NULL,
    marks          text     NOT NULL,
    merged_into    bytetext NOT NULL,
    PRIMARY KEY (pass_id, revision)
);

-- What people decided: who, why, when. revision is the one the decision made.
CREATE TABLE decision (
    pass_id      bytetext NOT NULL,
    revision     bigint   NOT NULL,
    decided_at   bigint   NOT NULL,
    amount_cents bigint   NOT NULL,
    status       bytetext NOT NULL,
    class        bytetext NOT NULL,
    account      bytetext NOT NULL,
    rule         text     NOT NULL,
    decided_by   text     NOT NULL,
    note         text     NOT NULL,
    basis        text     NOT NULL,
    PRIMARY KEY (pass_id, revision)
);

-- The ledger. The id is made of pass, revision and kind, so that what is done
-- again cannot stand twice, and the transactions of a pass stand together in
-- the primary key. posting is the outbox row that announced it.
CREATE TABLE transactions (
    posted_at bigint   NOT NULL,
    posting   bigint   NOT NULL,
    revision  bigint   NOT NULL,
    id        bytetext NOT NULL PRIMARY KEY,
    kind      bytetext NOT NULL,
    pass_id   bytetext NOT NULL,
    currency  bytetext NOT NULL,
    reverses  bytetext NOT NULL
);

CREATE TABLE entries (
    amount_cents   bigint   NOT NULL,
    leg            bigint   NOT NULL,
    transaction_id bytetext NOT NULL,
    account        bytetext NOT NULL,
    PRIMARY KEY (transaction_id, leg)
);

CREATE TABLE balance (
    amount_cents bigint   NOT NULL,
    account      bytetext NOT NULL,
    currency     bytetext NOT NULL,
    PRIMARY KEY (account, currency)
);

-- The reads of one batch, kept as evidence.
CREATE TABLE read_archive (
    log_partition bigint NOT NULL,
    from_offset   bigint NOT NULL,
    to_offset     bigint NOT NULL,
    posted_at     bigint NOT NULL,
    read_count    bigint NOT NULL,
    min_micros    bigint NOT NULL,
    max_micros    bigint NOT NULL,
    reads         bytea  NOT NULL,
    PRIMARY KEY (log_partition, from_offset)
);
CREATE INDEX read_archive_time ON read_archive (max_micros, min_micros);
CREATE INDEX read_archive_posted ON read_archive (posted_at);

-- One row a version of the registry, and the rows in force from one version
-- until another; until_version 0 means still in force.
CREATE TABLE registry (
    version bigint NOT NULL PRIMARY KEY,
    put_at  bigint NOT NULL,
    rows_in bigint NOT NULL
);
CREATE TABLE assignment (
    id            bigint   NOT NULL PRIMARY KEY,
    since_version bigint   NOT NULL,
    until_version bigint   NOT NULL,
    from_micros   bigint   NOT NULL,
    to_micros     bigint   NOT NULL,
    exempt        boolean  NOT NULL,
    account       bytetext NOT NULL,
    plate         bytetext NOT NULL,
    class         bytetext NOT NULL,
    tag           bytetext NOT NULL
);

CREATE TABLE login (
    email         bytetext NOT NULL PRIMARY KEY,
    account       bytetext NOT NULL,
    password_hash text     NOT NULL
);
