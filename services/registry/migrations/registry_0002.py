"""The instances live in a bucket; the history keeps each of them whole."""

from alembic import op

revision = "registry_0002"
down_revision = "registry_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the tables."""
    op.execute("DROP TABLE instances")
    op.execute("DROP TABLE epochs")
    op.execute("ALTER TABLE history ADD COLUMN health_score int NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE history ADD COLUMN revision bigint NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE history ADD COLUMN instance bytea NOT NULL DEFAULT ''")
    op.execute(
        "CREATE INDEX history_of_instances ON history "
        "(tenant_id, service, instance_id, occurred_at DESC, revision DESC)"
    )
