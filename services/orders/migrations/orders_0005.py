"""Offline clients' operations, and the point of sale."""

revision = "orders_0005"
down_revision = "orders_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
