"""Sessions with a method and a fresh factor, personal tokens, suspended tenants."""

revision = "auth_0002"
down_revision = "auth_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
