"""Orders of the past: they ended before they came, without a number of ours, and inventory never knew of them."""

from alembic import op

revision = "orders_0006"
down_revision = "orders_0005"
branch_labels = None
depends_on = None

_CONSTRAINTS = {
    "orders_accepted": "status IN ('draft', 'cancelled') OR (amount IS NOT NULL AND (number IS NOT NULL OR imported))",
    # Inventory has booked out what was completed here; what was completed elsewhere it has never had.
    "orders_completed_is_posted": "status <> 'completed' OR posted OR imported",
    "orders_imported": (
        "NOT imported OR (channel = 'import' AND status IN ('completed', 'cancelled') AND number IS NULL "
        "AND NOT posted AND amount IS NOT NULL)"
    ),
    "orders_import_is_imported": "channel <> 'import' OR imported",
}
# Nothing becomes an order of the past, by which it would escape the rules of the others, and none ceases to be one.
_STAYS = """
CREATE FUNCTION orders_stay_imported() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an order is of the past from its first moment or never' USING ERRCODE = 'check_violation';
END $$
"""


def upgrade() -> None:
    op.execute(
        "ALTER TABLE orders ADD COLUMN imported boolean NOT NULL DEFAULT false, "
        "ADD COLUMN IF NOT EXISTS customer_id text NOT NULL DEFAULT ''"
    )
    for name, rule in _CONSTRAINTS.items():
        op.execute(f"ALTER TABLE orders DROP CONSTRAINT IF EXISTS {name}")
        op.execute(f"ALTER TABLE orders ADD CONSTRAINT {name} CHECK ({rule})")
    op.execute(_STAYS)
    op.execute(
        "CREATE TRIGGER orders_imported BEFORE UPDATE ON orders FOR EACH ROW WHEN (NEW.imported <> OLD.imported) "
        "EXECUTE FUNCTION orders_stay_imported()"
    )
    # What was sold elsewhere need not be on our menu; what is still to be made is.
    op.execute("ALTER TABLE lines ALTER COLUMN menu_item_id DROP NOT NULL")
    op.execute(
        "ALTER TABLE lines ADD CONSTRAINT lines_on_the_menu "
        "CHECK (menu_item_id IS NOT NULL OR status IN ('served', 'voided'))"
    )
