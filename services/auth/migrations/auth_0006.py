"""Data keys, and the algorithm of a signing key."""

revision = "auth_0006"
down_revision = "auth_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
