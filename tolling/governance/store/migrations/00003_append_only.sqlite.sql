-- +goose Up
-- What was drafted, approved and published is history: a slip, or an attempt,
-- must fail and not stand.

-- +goose StatementBegin
CREATE TRIGGER tariff_content_no_update BEFORE UPDATE ON tariff_content
BEGIN SELECT RAISE(ABORT, 'update of tariff_content refused: it is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tariff_content_no_delete BEFORE DELETE ON tariff_content
BEGIN SELECT RAISE(ABORT, 'delete of tariff_content refused: it is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tariff_revision_no_update BEFORE UPDATE ON tariff_revision
BEGIN SELECT RAISE(ABORT, 'update of tariff_revision refused: it is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tariff_revision_no_delete BEFORE DELETE ON tariff_revision
BEGIN SELECT RAISE(ABORT, 'delete of tariff_revision refused: it is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tariff_dry_run_no_update BEFORE UPDATE ON tariff_dry_run
BEGIN SELECT RAISE(ABORT, 'update of tariff_dry_run refused: it is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tariff_dry_run_no_delete BEFORE DELETE ON tariff_dry_run
BEGIN SELECT RAISE(ABORT, 'delete of tariff_dry_run refused: it is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tariff_approval_no_update BEFORE UPDATE ON tariff_approval
BEGIN SELECT RAISE(ABORT, 'update of tariff_approval refused: it is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tariff_approval_no_delete BEFORE DELETE ON tariff_approval
BEGIN SELECT RAISE(ABORT, 'delete of tariff_approval refused: it is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tariff_discard_no_update BEFORE UPDATE ON tariff_discard
BEGIN SELECT RAISE(ABORT, 'update of tariff_discard refused: it is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tariff_discard_no_delete BEFORE DELETE ON tariff_discard
BEGIN SELECT RAISE(ABORT, 'delete of tariff_discard refused: it is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tariff_statement_no_update BEFORE UPDATE ON tariff_statement
BEGIN SELECT RAISE(ABORT, 'update of tariff_statement refused: it is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tariff_statement_no_delete BEFORE DELETE ON tariff_statement
BEGIN SELECT RAISE(ABORT, 'delete of tariff_statement refused: it is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tariff_shown_no_update BEFORE UPDATE ON tariff_shown
BEGIN SELECT RAISE(ABORT, 'update of tariff_shown refused: it is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tariff_shown_no_delete BEFORE DELETE ON tariff_shown
BEGIN SELECT RAISE(ABORT, 'delete of tariff_shown refused: it is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tariff_gap_no_update BEFORE UPDATE ON tariff_gap
BEGIN SELECT RAISE(ABORT, 'update of tariff_gap refused: it is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tariff_gap_no_delete BEFORE DELETE ON tariff_gap
BEGIN SELECT RAISE(ABORT, 'delete of tariff_gap refused: it is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tariff_key_no_update BEFORE UPDATE ON tariff_key
BEGIN SELECT RAISE(ABORT, 'update of tariff_key refused: it is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tariff_key_no_delete BEFORE DELETE ON tariff_key
BEGIN SELECT RAISE(ABORT, 'delete of tariff_key refused: it is only ever added to'); END;
-- +goose StatementEnd
