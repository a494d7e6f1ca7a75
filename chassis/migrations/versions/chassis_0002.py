"""The data keys of secrets at rest."""

from alembic import op

from chassis import migrate

revision = "chassis_0002"
down_revision = "chassis_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A row a generation. Two processes cannot both make the next one."""
    op.execute("""
        CREATE TABLE encryption_keys (
            tenant_id uuid NOT NULL,
            generation bigint NOT NULL CHECK (generation BETWEEN 1 AND 4294967295),
            sealed bytea NOT NULL,
            created_at timestamptz NOT NULL,
            used_from timestamptz NOT NULL,
            retired_at timestamptz,
            PRIMARY KEY (tenant_id, generation)
        )
    """)
    migrate.isolate("encryption_keys")
    # A key that is lost takes with it what it sealed.
    migrate.append_only("encryption_keys", columns=("sealed", "retired_at"))
