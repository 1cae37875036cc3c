-- +goose Up
-- Names and digests are compared byte by byte on every engine and in every
-- locale. SQLite reads the type's name as text and compares bytewise already.
-- The type is this schema's own, so that its tables stand without the books'.
CREATE DOMAIN tariff_text AS text COLLATE "C";
