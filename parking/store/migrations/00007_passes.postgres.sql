-- +goose Up
CREATE TRIGGER parking_pass_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON parking_pass
    FOR EACH STATEMENT EXECUTE FUNCTION parking_refuse_change();
CREATE TRIGGER parking_pass_end_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON parking_pass_end
    FOR EACH STATEMENT EXECUTE FUNCTION parking_refuse_change();
