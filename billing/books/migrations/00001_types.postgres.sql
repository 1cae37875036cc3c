-- +goose Up
-- Names, plates and ids are compared byte by byte on every engine and in every
-- locale, as the contract sorts them. SQLite reads the type's name as text and
-- compares bytewise already.
CREATE DOMAIN bytetext AS text COLLATE "C";
