"""The ledger: stations, counts, transfers, reversals."""

revision = "inventory_0003"
down_revision = "inventory_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
