"""Signing keys of several algorithms, in the vault."""

from alembic import op

from chassis import migrate

revision = "auth_0006"
down_revision = "auth_0005"
branch_labels = None
depends_on = "chassis_0002"


def upgrade() -> None:
    """Make the table anew. The keys that stood in it cannot be opened any more.

    What they signed is refused, for a quarter of an hour at most: sessions and their refresh tokens live on.
    """
    op.execute("DROP TABLE signing_keys")
    op.execute("""
        CREATE TABLE signing_keys (
            tenant_id uuid NOT NULL,
            alg text NOT NULL CHECK (alg IN ('Ed25519', 'RS256', 'HS256')),
            generation bigint NOT NULL CHECK (generation >= 1),
            kid text NOT NULL UNIQUE,
            sealed bytea NOT NULL,
            created_at timestamptz NOT NULL,
            used_from timestamptz NOT NULL,
            PRIMARY KEY (tenant_id, alg, generation)
        )
    """)
    migrate.isolate("signing_keys")
    migrate.resealable("signing_keys", key=["tenant_id", "alg", "generation"], columns=["sealed"])
