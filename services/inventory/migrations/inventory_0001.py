"""The first tables of inventory."""

from alembic import op

from chassis import migrate

revision = "inventory_0001"
down_revision = None
branch_labels = ("inventory",)
depends_on = "chassis_0001"

_TABLES = """
CREATE TABLE items (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    sku text NOT NULL,
    name text NOT NULL,
    category text NOT NULL,
    supplier text NOT NULL,
    unit int NOT NULL,
    low_stock_threshold bigint NOT NULL CHECK (low_stock_threshold >= 0),
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX items_sku ON items (tenant_id, lower(sku)) WHERE deleted_at IS NULL;
CREATE INDEX items_newest ON items (tenant_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE TABLE balances (
    tenant_id uuid NOT NULL,
    item_id uuid NOT NULL,
    site_id uuid NOT NULL,
    on_hand bigint NOT NULL CHECK (on_hand >= 0),
    reserved bigint NOT NULL CHECK (reserved BETWEEN 0 AND on_hand),
    is_low boolean NOT NULL,
    PRIMARY KEY (tenant_id, item_id, site_id),
    FOREIGN KEY (tenant_id, item_id) REFERENCES items (tenant_id, id)
);
CREATE TABLE batches (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    item_id uuid NOT NULL,
    site_id uuid NOT NULL,
    lot text NOT NULL,
    quantity bigint NOT NULL,
    on_hand bigint NOT NULL CHECK (on_hand >= 0),
    reserved bigint NOT NULL CHECK (reserved BETWEEN 0 AND on_hand),
    status int NOT NULL,
    expires_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, item_id, site_id, lot),
    FOREIGN KEY (tenant_id, item_id, site_id) REFERENCES balances (tenant_id, item_id, site_id)
);
CREATE INDEX batches_first_expiry ON batches (tenant_id, item_id, site_id, expires_at, received_at, id);
CREATE TABLE movements (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    item_id uuid NOT NULL,
    site_id uuid NOT NULL,
    batch_id uuid NOT NULL,
    type int NOT NULL,
    quantity bigint NOT NULL CHECK (quantity <> 0),
    balance_after bigint NOT NULL CHECK (balance_after >= 0),
    reason text NOT NULL,
    order_id uuid,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, batch_id) REFERENCES batches (tenant_id, id)
);
CREATE INDEX movements_newest ON movements (tenant_id, item_id, recorded_at DESC, id DESC);
-- An order consumes a batch once.
CREATE UNIQUE INDEX movements_of_order ON movements (tenant_id, order_id, batch_id) WHERE order_id IS NOT NULL;
CREATE TABLE menu_items (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    category text NOT NULL,
    price_amount bigint NOT NULL CHECK (price_amount >= 0),
    price_currency text NOT NULL,
    recipe jsonb NOT NULL,
    sold_out boolean NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX menu_items_name ON menu_items (tenant_id, lower(name)) WHERE deleted_at IS NULL;
CREATE TABLE reservations (
    tenant_id uuid NOT NULL,
    order_id uuid NOT NULL,
    site_id uuid NOT NULL,
    state int NOT NULL,
    lines jsonb NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, order_id)
);
CREATE INDEX reservations_active ON reservations (expires_at) WHERE state = 1;
CREATE TABLE reservation_picks (
    tenant_id uuid NOT NULL,
    order_id uuid NOT NULL,
    batch_id uuid NOT NULL,
    item_id uuid NOT NULL,
    quantity bigint NOT NULL CHECK (quantity > 0),
    reason text NOT NULL,
    PRIMARY KEY (tenant_id, order_id, batch_id),
    FOREIGN KEY (tenant_id, order_id) REFERENCES reservations (tenant_id, order_id),
    FOREIGN KEY (tenant_id, batch_id) REFERENCES batches (tenant_id, id)
);
"""
# Which reservations of any tenant have lapsed, and nothing else of them.
_DUE = """
CREATE FUNCTION lapsed_reservations(at timestamptz, most bigint) RETURNS TABLE (tenant_id uuid, order_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT tenant_id, order_id FROM public.reservations
    WHERE state = 1 AND expires_at <= at ORDER BY expires_at LIMIT most
$$
"""
# What an order has become stays so.
_FINAL = """
CREATE FUNCTION reservations_stay_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state IN (3, 4, 5) AND NEW.state <> OLD.state THEN
        RAISE EXCEPTION 'a reservation that has ended stays as it is';
    END IF;
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    """Create the tables."""
    for statement in filter(str.strip, _TABLES.split(";")):
        op.execute(statement)
    for table in ("items", "balances", "batches", "movements", "menu_items", "reservations", "reservation_picks"):
        migrate.isolate(table)
    migrate.append_only("movements")
    op.execute(_FINAL)
    op.execute(
        "CREATE TRIGGER stay_final BEFORE UPDATE ON reservations "
        "FOR EACH ROW EXECUTE FUNCTION reservations_stay_final()"
    )
    op.execute(_DUE)
    op.execute(f'CREATE POLICY lapsed ON reservations FOR SELECT TO "{migrate.role()}_owner" USING (true)')
    op.execute("REVOKE ALL ON FUNCTION lapsed_reservations FROM PUBLIC")
    op.execute(f'GRANT EXECUTE ON FUNCTION lapsed_reservations TO "{migrate.role()}"')
