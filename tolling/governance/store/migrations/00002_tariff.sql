-- +goose Up
-- Portable: read by PostgreSQL and SQLite alike. Instants are microseconds
-- since the Unix epoch, UTC, 0 for none; amounts are hundredths of the
-- currency. Rows are only ever added, but for tariff_finding's closing and
-- tariff_sweep.

-- The files of networks, in their canonical form, by its digest.
CREATE TABLE tariff_content (
    digest    tariff_text NOT NULL PRIMARY KEY,
    canonical bytea       NOT NULL
);

-- Every revision of every draft. problems and warnings are JSON arrays.
CREATE TABLE tariff_revision (
    revision         bigint      NOT NULL,
    effective_micros bigint      NOT NULL,
    at_micros        bigint      NOT NULL,
    more_problems    bigint      NOT NULL,
    backdated        boolean     NOT NULL,
    draft            tariff_text NOT NULL,
    network          tariff_text NOT NULL,
    content          tariff_text NOT NULL,
    base             tariff_text NOT NULL,
    written_by       tariff_text NOT NULL,
    proposal         tariff_text NOT NULL,
    reason           text        NOT NULL,
    problems         text        NOT NULL,
    warnings         text        NOT NULL,
    PRIMARY KEY (draft, revision)
);
CREATE INDEX tariff_revision_first ON tariff_revision (network, draft) WHERE revision = 1;

-- What a revision would have done to passes made. result is JSON.
CREATE TABLE tariff_dry_run (
    revision    bigint      NOT NULL,
    at_micros   bigint      NOT NULL,
    from_micros bigint      NOT NULL,
    to_micros   bigint      NOT NULL,
    weeks       bigint      NOT NULL,
    id          tariff_text NOT NULL PRIMARY KEY,
    draft       tariff_text NOT NULL,
    proposal    tariff_text NOT NULL,
    run_by      tariff_text NOT NULL,
    result      text        NOT NULL
);
CREATE INDEX tariff_dry_run_draft ON tariff_dry_run (draft, id);

-- A second person's word on one proposal.
CREATE TABLE tariff_approval (
    revision    bigint      NOT NULL,
    at_micros   bigint      NOT NULL,
    draft       tariff_text NOT NULL,
    proposal    tariff_text NOT NULL,
    dry_run     tariff_text NOT NULL,
    approved_by tariff_text NOT NULL,
    note        text        NOT NULL,
    PRIMARY KEY (draft, revision, approved_by)
);

-- Drafts that were closed.
CREATE TABLE tariff_discard (
    at_micros    bigint      NOT NULL,
    draft        tariff_text NOT NULL PRIMARY KEY,
    discarded_by tariff_text NOT NULL,
    reason       text        NOT NULL
);

-- The signed statements of every network, from the seed, number 0, on. hash is
-- that of the canonical bytes, which are made of the other columns; makers is a
-- JSON array.
CREATE TABLE tariff_statement (
    sequence         bigint      NOT NULL,
    effective_micros bigint      NOT NULL,
    revision         bigint      NOT NULL,
    checked_micros   bigint      NOT NULL,
    withdraws        bigint      NOT NULL,
    at_micros        bigint      NOT NULL,
    backdated        boolean     NOT NULL,
    network          tariff_text NOT NULL,
    kind             tariff_text NOT NULL,
    previous         tariff_text NOT NULL,
    content          tariff_text NOT NULL,
    draft            tariff_text NOT NULL,
    proposal         tariff_text NOT NULL,
    makers           text        NOT NULL,
    checker          tariff_text NOT NULL,
    made_by          tariff_text NOT NULL,
    reason           text        NOT NULL,
    hash             tariff_text NOT NULL UNIQUE,
    signing_key      tariff_text NOT NULL,
    signature        bytea       NOT NULL,
    PRIMARY KEY (network, sequence),
    CHECK (kind <> 'publication' OR checker <> '')
);
-- A draft is published once.
CREATE UNIQUE INDEX tariff_statement_draft ON tariff_statement (draft) WHERE draft <> '';

-- The public keys that ever signed, by fingerprint: for a process that starts to
-- follow this database and has nothing to trust yet.
CREATE TABLE tariff_key (
    fingerprint tariff_text NOT NULL PRIMARY KEY,
    public_key  bytea       NOT NULL
);

-- What signs at toll points showed, from when on. dark: nothing.
CREATE TABLE tariff_shown (
    from_micros bigint      NOT NULL,
    cents       bigint      NOT NULL,
    at_micros   bigint      NOT NULL,
    dark        boolean     NOT NULL,
    network     tariff_text NOT NULL,
    toll_point  tariff_text NOT NULL,
    class       tariff_text NOT NULL,
    sign        tariff_text NOT NULL,
    told_by     tariff_text NOT NULL,
    PRIMARY KEY (network, toll_point, class, sign, from_micros)
);

-- Every sign that ever showed anything, by toll point and class.
CREATE TABLE tariff_sign (
    network    tariff_text NOT NULL,
    toll_point tariff_text NOT NULL,
    class      tariff_text NOT NULL,
    sign       tariff_text NOT NULL,
    PRIMARY KEY (network, toll_point, class, sign)
);

-- Until when each sweep has compared passes with signs.
CREATE TABLE tariff_sweep (
    until_micros bigint      NOT NULL,
    network      tariff_text NOT NULL,
    sweep        tariff_text NOT NULL,
    PRIMARY KEY (network, sweep)
);

-- Passes that were rated otherwise than a sign showed.
CREATE TABLE tariff_gap (
    pass_micros bigint      NOT NULL,
    rated_cents bigint      NOT NULL,
    shown_cents bigint      NOT NULL,
    found_at    bigint      NOT NULL,
    network     tariff_text NOT NULL,
    pass_id     tariff_text NOT NULL,
    toll_point  tariff_text NOT NULL,
    class       tariff_text NOT NULL,
    sign        tariff_text NOT NULL,
    PRIMARY KEY (network, pass_id, toll_point, class)
);
CREATE INDEX tariff_gap_place ON tariff_gap (network, toll_point, class, found_at);

-- Alarms on a toll point and class; one open at a time.
CREATE TABLE tariff_finding (
    raised_at  bigint      NOT NULL,
    closed_at  bigint      NOT NULL,
    id         tariff_text NOT NULL PRIMARY KEY,
    network    tariff_text NOT NULL,
    toll_point tariff_text NOT NULL,
    class      tariff_text NOT NULL,
    first_pass tariff_text NOT NULL,
    closed_by  tariff_text NOT NULL,
    reason     text        NOT NULL
);
CREATE UNIQUE INDEX tariff_finding_open ON tariff_finding (network, toll_point, class) WHERE closed_at = 0;
