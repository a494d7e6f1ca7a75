"""Modifiers, availability, webhooks."""

revision = "inventory_0005"
down_revision = "inventory_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
