"""Stock is written over the state that was read, or not at all."""

from alembic import op

revision = "inventory_0002"
down_revision = "inventory_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Number the states of balances and batches; the default serves processes that do not know of it yet."""
    for table in ("balances", "batches"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN version bigint NOT NULL DEFAULT 1")
