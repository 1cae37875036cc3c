-- +goose Up
-- An outage that is recorded afterwards, or that was wrong; see
-- billing/recovery. Portable. Instants are microseconds since the Unix epoch,
-- UTC, 0 for none.

-- A pause that was wrong and taken back, when, by whom and why: its days count
-- again. The row stays.
ALTER TABLE recovery_pause ADD COLUMN withdrawn_at bigint NOT NULL DEFAULT 0;
ALTER TABLE recovery_pause ADD COLUMN withdrawn_by text NOT NULL DEFAULT '';
ALTER TABLE recovery_pause ADD COLUMN withdrawn_why text NOT NULL DEFAULT '';

-- The notice whose proven arrival began the deadline that a step ended; empty
-- where a step ends none. By it the deadline can be counted again.
ALTER TABLE recovery_event ADD COLUMN notice bytetext NOT NULL DEFAULT '';
CREATE INDEX payment_reference_item_of ON payment_reference_item (receivable);
CREATE INDEX notice_number ON notice (number) WHERE number <> '';
UPDATE recovery_event SET notice = coalesce((SELECT n.id FROM payment_reference_item i JOIN notice n ON n.number = i.number AND n.number <> ''
    WHERE i.receivable = recovery_event.receivable AND n.served_at <> 0 AND n.issued_at < recovery_event.at_micros
        AND n.kind = CASE recovery_event.stage WHEN 'surcharge-1' THEN 'payment' WHEN 'surcharge-2' THEN 'surcharge-1' ELSE 'surcharge-2' END
    ORDER BY n.issued_at DESC, n.id LIMIT 1), '')
    WHERE what IN ('surcharge 1', 'surcharge 2', 'licence hold');

-- Since when a case waits for a person, since its notice did not arrive; 0
-- where none does.
ALTER TABLE recovery_case ADD COLUMN stuck_at bigint NOT NULL DEFAULT 0;
CREATE INDEX recovery_case_stuck ON recovery_case (vehicle, receivable) WHERE stuck_at <> 0;

-- Surcharges that were imposed since an instant.
CREATE INDEX recovery_event_rung ON recovery_event (at_micros, receivable) WHERE what IN ('surcharge 1', 'surcharge 2', 'licence hold');
