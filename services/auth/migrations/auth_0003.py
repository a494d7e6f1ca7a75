"""TOTP, recovery codes, passkeys, keys of devices, letters and what they ask for."""

revision = "auth_0003"
down_revision = "auth_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
