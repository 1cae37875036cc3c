-- +goose Up
-- Names and ids are compared byte by byte on every engine and in every locale.
-- SQLite reads the type's name as text and compares bytewise already. The type
-- is the trail's own, so that its tables stand without any store's.
CREATE DOMAIN audit_text AS text COLLATE "C";
