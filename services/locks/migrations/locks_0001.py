"""The first tables of locks."""

from alembic import op

from chassis import migrate

revision = "locks_0001"
down_revision = None
branch_labels = ("locks",)
depends_on = "chassis_0001"

_TABLES = """
CREATE TABLE locks (
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    lease_id uuid NOT NULL,
    holder text NOT NULL,
    token bigint NOT NULL,
    timeout_s int NOT NULL,
    acquired_at timestamptz NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (tenant_id, name),
    UNIQUE (tenant_id, lease_id)
);
CREATE TABLE waiters (
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    place bigint GENERATED ALWAYS AS IDENTITY,
    -- One who has not asked for this long has gone.
    alive_until timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, name, place)
);
"""

# The database's own guard, whatever a statement does: a token never goes back, and a row never goes away.
_GUARD = """
CREATE FUNCTION guard_token() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.token < OLD.token OR (NEW.lease_id <> OLD.lease_id AND NEW.token = OLD.token) THEN
        RAISE EXCEPTION 'a fencing token only grows';
    END IF;
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    """Create the tables."""
    for statement in filter(str.strip, _TABLES.split(";")):
        op.execute(statement)
    op.execute(_GUARD)
    op.execute("CREATE TRIGGER guard_token BEFORE UPDATE ON locks FOR EACH ROW EXECUTE FUNCTION guard_token()")
    op.execute(f'REVOKE DELETE, TRUNCATE ON locks FROM "{migrate.role()}"')
    migrate.isolate("locks")
    migrate.isolate("waiters")
