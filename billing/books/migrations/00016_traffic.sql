-- +goose Up
-- How many passes there were at each toll point, by class, counted when the day
-- was settled: the audit of traffic in and out reads years of it. Portable; days
-- are days since 1970-01-01 in the network's zone.
CREATE TABLE traffic_day (
    day        bigint   NOT NULL,
    passes     bigint   NOT NULL,
    facility   bytetext NOT NULL,
    toll_point bytetext NOT NULL,
    class      bytetext NOT NULL,
    PRIMARY KEY (day, toll_point, class)
);
