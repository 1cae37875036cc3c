-- +goose Up
-- Until when a vehicle is waited for that was given a bay and has not come; 0 for
-- none. No index: whoever looks for those that are due has the list of all that
-- have not ended.
ALTER TABLE parking_allocation ADD COLUMN come_by_micros bigint NOT NULL DEFAULT 0;

-- The mark under which a vehicle has at most one allocation that has not ended:
-- its plate, or tag: and its tag; empty where the allocation does not count
-- (blocks, vehicles without marks, bays that staff gave beside another).
ALTER TABLE parking_allocation ADD COLUMN mark parking_text NOT NULL DEFAULT '';

-- What stands already counts where it is the only one of its plate.
UPDATE parking_allocation SET mark = plate
    WHERE ended_micros = 0 AND state <> 'blocked' AND plate <> '' AND NOT EXISTS (
        SELECT 1 FROM parking_allocation other WHERE other.plate = parking_allocation.plate
            AND other.ended_micros = 0 AND other.id <> parking_allocation.id);

CREATE UNIQUE INDEX parking_allocation_mark ON parking_allocation (mark) WHERE ended_micros = 0 AND mark <> '';

-- When a lane was last heard of.
CREATE INDEX parking_lane_event_lane ON parking_lane_event (car_park, lane, at_micros);
