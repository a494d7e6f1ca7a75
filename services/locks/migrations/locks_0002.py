"""Locks live in a bucket; what is told of their loss is told once."""

from alembic import op

from chassis import migrate

revision = "locks_0002"
down_revision = "locks_0001"
branch_labels = None
depends_on = None

_STATEMENTS = """
DROP TABLE waiters;
DROP TABLE locks;
DROP FUNCTION guard_token();
CREATE TABLE told_losses (
    tenant_id uuid NOT NULL,
    token bigint NOT NULL,
    told_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, token)
);
CREATE INDEX told_losses_by_age ON told_losses (tenant_id, told_at);
"""


def upgrade() -> None:
    """Drop the old tables and create the new one."""
    for statement in filter(str.strip, _STATEMENTS.split(";")):
        op.execute(statement)
    migrate.isolate("told_losses")
