"""Roles of a tenant's own, further roles of a user, invitations, consent to a membership, what a user has done."""

revision = "auth_0004"
down_revision = "auth_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
