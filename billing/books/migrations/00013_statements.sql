-- +goose Up
-- What the ledger says of each holder of money and debts, kept by holder once a
-- day is over, and the monthly statements made of it; see billing/statement.
-- Portable. Instants are microseconds since the Unix epoch, UTC, 0 for none;
-- days are days since then in the network's zone, months are 12 * year + month,
-- January being 0; amounts are hundredths of the currency.

-- One row a day of the ledger, [from_micros, to_micros). What is posted up to
-- (seen_micros, seen_id) has been taken; version fences those who take. Rows of
-- transactions up to after_row are of that day or earlier (SQLite only).
CREATE TABLE ledger_day (
    day         bigint   NOT NULL PRIMARY KEY,
    from_micros bigint   NOT NULL,
    to_micros   bigint   NOT NULL,
    seen_micros bigint   NOT NULL,
    taken       bigint   NOT NULL,
    after_row   bigint   NOT NULL,
    version     bigint   NOT NULL,
    done        boolean  NOT NULL,
    seen_id     bytetext NOT NULL
);

-- One row a transaction and holder: what the holder owes by it (account:) and
-- what is held for the holder (wallet:), with what it was for as it stood then.
-- Only added to.
CREATE TABLE holder_entry (
    posted_at       bigint   NOT NULL,
    owed_cents      bigint   NOT NULL,
    held_cents      bigint   NOT NULL,
    occurred_micros bigint   NOT NULL,
    holder          bytetext NOT NULL,
    currency        bytetext NOT NULL,
    transaction_id  bytetext NOT NULL,
    kind            bytetext NOT NULL,
    undoes          bytetext NOT NULL,
    item            bytetext NOT NULL,
    what            bytetext NOT NULL,
    place           bytetext NOT NULL,
    vehicle         bytetext NOT NULL,
    class           bytetext NOT NULL,
    description     text     NOT NULL,
    PRIMARY KEY (holder, currency, posted_at, transaction_id)
);
CREATE INDEX holder_entry_time ON holder_entry (posted_at, holder, currency);

-- Monthly statements: what was told, and the digest of all its lines.
CREATE TABLE statement (
    month            bigint   NOT NULL,
    from_micros      bigint   NOT NULL,
    to_micros        bigint   NOT NULL,
    opening_owed     bigint   NOT NULL,
    opening_held     bigint   NOT NULL,
    closing_owed     bigint   NOT NULL,
    closing_held     bigint   NOT NULL,
    line_count       bigint   NOT NULL,
    issued_at        bigint   NOT NULL,
    account_revision bigint   NOT NULL,
    number           bytetext NOT NULL PRIMARY KEY,
    account          bytetext NOT NULL,
    currency         bytetext NOT NULL,
    previous         bytetext NOT NULL,
    digest           bytetext NOT NULL
);
CREATE UNIQUE INDEX statement_account ON statement (account, currency, month);
CREATE INDEX statement_of_month ON statement (month, account, currency);

-- Months of which every account has its statement.
CREATE TABLE statement_month (
    month     bigint NOT NULL PRIMARY KEY,
    issued_at bigint NOT NULL
);
