-- +goose Up
-- Who takes over a wallet whose holder ends, such as a class tag that is closed
-- or replaced, and from when; empty while nobody does.
ALTER TABLE wallet ADD COLUMN heir bytetext NOT NULL DEFAULT '';
ALTER TABLE wallet ADD COLUMN heir_from bigint NOT NULL DEFAULT 0;
CREATE INDEX wallet_to_move ON wallet (heir_from, holder, currency) WHERE heir <> '' AND balance_cents > 0;
-- What an heir has taken over.
CREATE INDEX wallet_heir ON wallet (heir, currency) WHERE heir <> '';
