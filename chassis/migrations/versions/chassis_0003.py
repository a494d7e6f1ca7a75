"""The highest fencing token seen of a resource only grows, whatever a statement does."""

from alembic import op

from chassis import migrate

revision = "chassis_0003"
down_revision = "chassis_0002"
branch_labels = None
depends_on = None

_GUARD = """
CREATE FUNCTION guard_seen_token() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.token < OLD.token OR (NEW.tenant_id, NEW.resource) <> (OLD.tenant_id, OLD.resource) THEN
        RAISE EXCEPTION 'a fencing token only grows';
    END IF;
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    """The database's own guard; and a row that is gone would let everybody in."""
    op.execute(_GUARD)
    op.execute(
        "CREATE TRIGGER guard_seen_token BEFORE UPDATE ON fencing_tokens "
        "FOR EACH ROW EXECUTE FUNCTION guard_seen_token()"
    )
    op.execute(f'REVOKE DELETE, TRUNCATE ON fencing_tokens FROM "{migrate.role()}"')
