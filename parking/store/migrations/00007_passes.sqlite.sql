-- +goose Up
-- +goose StatementBegin
CREATE TRIGGER parking_pass_no_update BEFORE UPDATE ON parking_pass
BEGIN SELECT RAISE(ABORT, 'update of parking_pass refused: it is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER parking_pass_no_delete BEFORE DELETE ON parking_pass
BEGIN SELECT RAISE(ABORT, 'delete of parking_pass refused: it is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER parking_pass_end_no_update BEFORE UPDATE ON parking_pass_end
BEGIN SELECT RAISE(ABORT, 'update of parking_pass_end refused: it is only ever added to'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER parking_pass_end_no_delete BEFORE DELETE ON parking_pass_end
BEGIN SELECT RAISE(ABORT, 'delete of parking_pass_end refused: it is only ever added to'); END;
-- +goose StatementEnd
