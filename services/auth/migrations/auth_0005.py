"""OAuth clients, codes, consents, and the sessions that are theirs."""

revision = "auth_0005"
down_revision = "auth_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
