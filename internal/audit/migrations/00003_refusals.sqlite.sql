-- +goose Up
-- +goose StatementBegin
CREATE TRIGGER audit_event_no_update BEFORE UPDATE ON audit_event
BEGIN SELECT RAISE(ABORT, 'update of audit_event refused: the audit trail is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_event_no_delete BEFORE DELETE ON audit_event
BEGIN SELECT RAISE(ABORT, 'delete of audit_event refused: the audit trail is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_chain_no_update BEFORE UPDATE ON audit_chain
BEGIN SELECT RAISE(ABORT, 'update of audit_chain refused: the audit trail is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_chain_no_delete BEFORE DELETE ON audit_chain
BEGIN SELECT RAISE(ABORT, 'delete of audit_chain refused: the audit trail is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_tree_no_update BEFORE UPDATE ON audit_tree
BEGIN SELECT RAISE(ABORT, 'update of audit_tree refused: the audit trail is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_tree_no_delete BEFORE DELETE ON audit_tree
BEGIN SELECT RAISE(ABORT, 'delete of audit_tree refused: the audit trail is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_day_no_update BEFORE UPDATE ON audit_day
BEGIN SELECT RAISE(ABORT, 'update of audit_day refused: the audit trail is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_day_no_delete BEFORE DELETE ON audit_day
BEGIN SELECT RAISE(ABORT, 'delete of audit_day refused: the audit trail is only ever added to'); END;
-- +goose StatementEnd
-- Private parts are erased one by one, and nothing waits twice.
-- +goose StatementBegin
CREATE TRIGGER audit_private_no_update BEFORE UPDATE ON audit_private
BEGIN SELECT RAISE(ABORT, 'update of audit_private refused: the audit trail is only ever added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_pending_no_update BEFORE UPDATE ON audit_pending
BEGIN SELECT RAISE(ABORT, 'update of audit_pending refused: the audit trail is only ever added to'); END;
-- +goose StatementEnd
