"""Assignment, lines that are remade, what an order belongs to."""

revision = "orders_0002"
down_revision = "orders_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
