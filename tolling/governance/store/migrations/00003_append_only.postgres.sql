-- +goose Up
-- What was drafted, approved and published is history: a slip, or an attempt,
-- must fail and not stand.

-- +goose StatementBegin
CREATE FUNCTION refuse_tariff_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % refused: it is only ever added to', lower(TG_OP), TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER tariff_content_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tariff_content
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_tariff_change();
CREATE TRIGGER tariff_revision_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tariff_revision
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_tariff_change();
CREATE TRIGGER tariff_dry_run_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tariff_dry_run
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_tariff_change();
CREATE TRIGGER tariff_approval_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tariff_approval
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_tariff_change();
CREATE TRIGGER tariff_discard_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tariff_discard
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_tariff_change();
CREATE TRIGGER tariff_statement_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tariff_statement
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_tariff_change();
CREATE TRIGGER tariff_shown_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tariff_shown
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_tariff_change();
CREATE TRIGGER tariff_gap_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tariff_gap
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_tariff_change();
CREATE TRIGGER tariff_key_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tariff_key
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_tariff_change();
