"""Assignment, lines that are made anew, what an order belongs to, how far it is paid."""

from alembic import op

revision = "orders_0002"
down_revision = "orders_0001"
branch_labels = None
depends_on = None

_STATEMENTS = """
ALTER TABLE orders
    ADD COLUMN station_id uuid,
    ADD COLUMN assigned_to uuid,
    ADD COLUMN customer_id text NOT NULL DEFAULT '',
    ADD COLUMN payment_provider text NOT NULL DEFAULT 'cash',
    ADD COLUMN payment_state text NOT NULL DEFAULT 'pending',
    ADD COLUMN authorized bigint CHECK (authorized >= 0),
    ADD COLUMN captured bigint CHECK (captured >= 0),
    ADD COLUMN payment_reference text NOT NULL DEFAULT '';
ALTER TABLE lines
    ADD COLUMN modifiers jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN remake_of uuid,
    ADD COLUMN reason text NOT NULL DEFAULT ''
"""


def upgrade() -> None:
    for statement in filter(str.strip, _STATEMENTS.split(";")):
        op.execute(statement)
