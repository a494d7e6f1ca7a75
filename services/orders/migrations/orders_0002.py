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
    ADD COLUMN reason text NOT NULL DEFAULT '',
    ADD CONSTRAINT lines_remade FOREIGN KEY (tenant_id, order_id, remake_of)
        REFERENCES lines (tenant_id, order_id, id),
    ADD CONSTRAINT lines_remade_for_nothing CHECK (remake_of IS NULL OR COALESCE(unit_amount, 0) = 0);
ALTER TABLE sagas DROP CONSTRAINT sagas_step_check;
ALTER TABLE sagas ADD CONSTRAINT sagas_step_check CHECK (step IN ('reserve', 'trim', 'post', 'release', 'none'));
ALTER TABLE order_events
    ADD COLUMN subject text NOT NULL DEFAULT '',
    ADD COLUMN line_id uuid,
    ADD COLUMN from_status text NOT NULL DEFAULT '',
    ADD COLUMN to_status text NOT NULL DEFAULT '',
    ADD COLUMN recorded_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE orders ADD COLUMN IF NOT EXISTS group_code text NOT NULL DEFAULT '';
CREATE INDEX orders_of_assignee ON orders (tenant_id, assigned_to, placed_at DESC, id DESC)
    WHERE assigned_to IS NOT NULL;
CREATE INDEX orders_of_station ON orders (tenant_id, station_id, placed_at DESC, id DESC) WHERE station_id IS NOT NULL;
CREATE INDEX orders_of_customer ON orders (tenant_id, customer_id, placed_at DESC, id DESC) WHERE customer_id <> '';
CREATE INDEX orders_of_group_code ON orders (tenant_id, group_code, placed_at DESC, id DESC) WHERE group_code <> '';
CREATE INDEX orders_by_number ON orders (tenant_id, number, placed_at DESC, id DESC) WHERE number IS NOT NULL;
CREATE INDEX orders_unfinished ON orders (tenant_id, placed_at DESC, id DESC)
    WHERE status IN ('draft', 'queued', 'preparing', 'ready')
"""

# The last line of defence: whatever a process believes, no line goes back and none is lost or revived.
_LINES = """
CREATE FUNCTION lines_go_on() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    steps CONSTANT text[] := ARRAY['pending', 'preparing', 'ready', 'served', 'voided'];
BEGIN
    IF NEW.status <> OLD.status AND (
        OLD.status IN ('served', 'voided')
        OR array_position(steps, NEW.status) < array_position(steps, OLD.status)
    ) THEN
        RAISE EXCEPTION 'a line cannot go from % to %', OLD.status, NEW.status USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    for statement in filter(str.strip, _STATEMENTS.split(";")):
        op.execute(statement)
    op.execute(_LINES)
    op.execute(
        "CREATE TRIGGER lines_forward BEFORE UPDATE OF status ON lines FOR EACH ROW EXECUTE FUNCTION lines_go_on()"
    )
