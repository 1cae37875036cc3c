-- +goose Up
-- Money held for somebody, what is owed, and what was paid of it out of that
-- money. Portable: read by PostgreSQL and SQLite alike. Instants are
-- microseconds since the Unix epoch, UTC; amounts are hundredths of the
-- currency.

-- When the receivables were brought in line with a posting; 0 until then. What
-- was posted before there were receivables is in them below.
ALTER TABLE outbox ADD COLUMN collected_at bigint NOT NULL DEFAULT 0;
UPDATE outbox SET collected_at = CASE WHEN posted_at = 0 THEN 1 ELSE posted_at END;
CREATE INDEX outbox_uncollected ON outbox (id) WHERE collected_at = 0;

-- What a transaction of money that is no payment at a till belongs to: a
-- movement, "move:" and its id, or a receivable, whose id begins otherwise.
-- Empty for those of passes and charges, which the index leaves out.
ALTER TABLE transactions ADD COLUMN money_id bytetext NOT NULL DEFAULT '';
CREATE INDEX transactions_money ON transactions (money_id) WHERE money_id <> '';

-- Money held for somebody. collections counts those ever made out of it.
CREATE TABLE wallet (
    balance_cents bigint   NOT NULL CHECK (balance_cents >= 0),
    collections   bigint   NOT NULL,
    manual        boolean  NOT NULL,
    holder        bytetext NOT NULL,
    currency      bytetext NOT NULL,
    PRIMARY KEY (holder, currency)
);

-- Money that came in for a wallet, or left one; reversed_at is 0 while it
-- stands.
CREATE TABLE movement (
    amount_cents bigint   NOT NULL CHECK (amount_cents > 0),
    moved_at     bigint   NOT NULL,
    posted_at    bigint   NOT NULL,
    reversed_at  bigint   NOT NULL,
    id           bytetext NOT NULL PRIMARY KEY,
    kind         bytetext NOT NULL,
    holder       bytetext NOT NULL,
    means        bytetext NOT NULL,
    currency     bytetext NOT NULL,
    note         text     NOT NULL,
    reason       text     NOT NULL
);
CREATE INDEX movement_holder ON movement (holder, moved_at, id);

-- What a pass or charge gave somebody to pay, as of the last posting that was
-- followed. posting is the outbox row by which what is owed was last posted;
-- collections counts those ever made for it.
CREATE TABLE receivable (
    amount_cents    bigint   NOT NULL,
    paid_cents      bigint   NOT NULL,
    occurred_micros bigint   NOT NULL,
    posted_at       bigint   NOT NULL,
    posting         bigint   NOT NULL,
    revision        bigint   NOT NULL,
    collections     bigint   NOT NULL,
    short           boolean  NOT NULL,
    id              bytetext NOT NULL PRIMARY KEY,
    kind            bytetext NOT NULL,
    account         bytetext NOT NULL,
    creditor        bytetext NOT NULL,
    vehicle         bytetext NOT NULL,
    currency        bytetext NOT NULL,
    hold            bytetext NOT NULL,
    CHECK (paid_cents >= 0 AND paid_cents <= amount_cents)
);

-- For lists in order of time: of everybody, of an account, of a vehicle, and of
-- what nobody's account owes still.
CREATE INDEX receivable_occurred ON receivable (occurred_micros);
CREATE INDEX receivable_account ON receivable (account, occurred_micros) WHERE account <> '';
CREATE INDEX receivable_vehicle ON receivable (vehicle, occurred_micros) WHERE vehicle <> '';
CREATE INDEX receivable_nobodys ON receivable (occurred_micros) WHERE account = '' AND paid_cents < amount_cents;

-- For collecting in order of postings: of an account, and of a class tag's own
-- vehicle.
CREATE INDEX receivable_open ON receivable (account, posting) WHERE account <> '' AND paid_cents < amount_cents;
CREATE INDEX receivable_open_tag ON receivable (vehicle, posting) WHERE substr(vehicle, 1, 4) = 'tag:' AND paid_cents < amount_cents;

-- Payments of receivables out of wallets; reversed_at is 0 while one stands.
-- place is the wallet's count: a later one was made later. debtor is the
-- account of the ledger that owed. given_back says that it was undone since
-- less was owed, or by another.
CREATE TABLE collection (
    amount_cents bigint   NOT NULL CHECK (amount_cents > 0),
    number       bigint   NOT NULL,
    place        bigint   NOT NULL,
    posted_at    bigint   NOT NULL,
    reversed_at  bigint   NOT NULL,
    given_back   boolean  NOT NULL,
    receivable   bytetext NOT NULL,
    holder       bytetext NOT NULL,
    currency     bytetext NOT NULL,
    debtor       bytetext NOT NULL,
    reason       text     NOT NULL,
    PRIMARY KEY (receivable, number)
);
CREATE UNIQUE INDEX collection_place ON collection (holder, currency, place);

-- What passes and charges owe at present.
INSERT INTO receivable (amount_cents, paid_cents, occurred_micros, posted_at, posting, revision, collections, short,
        id, kind, account, creditor, vehicle, currency, hold)
    SELECT p.amount_cents, 0, p.first_micros, t.posted_at, t.posting, p.revision, 0, false,
        'pass:' || p.id, 'toll', CASE WHEN p.status = 'charged' THEN p.account ELSE '' END, p.facility, p.vehicle, p.currency, ''
    FROM pass p JOIN transactions t ON t.id = p.id || '-' || CAST(p.toll_revision AS text) || '-toll'
    WHERE p.merged_into = '' AND p.status IN ('charged', 'unpaid') AND p.amount_cents > 0;
INSERT INTO receivable (amount_cents, paid_cents, occurred_micros, posted_at, posting, revision, collections, short,
        id, kind, account, creditor, vehicle, currency, hold)
    SELECT c.amount_cents - c.paid_cents, 0, c.occurred_micros, t.posted_at, t.posting, c.revision, 0, false,
        'charge:' || c.id, c.kind, c.account, c.creditor, c.vehicle, c.currency, ''
    FROM charge c JOIN transactions t ON t.id = 'charge:' || c.id || '-' || CAST(c.charge_revision AS text) || '-charge'
    WHERE c.amount_cents > 0;
