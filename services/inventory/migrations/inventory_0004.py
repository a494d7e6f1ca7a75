"""Reservations line by line, and items that may be promised before they are there."""

from alembic import op

from chassis import migrate

revision = "inventory_0004"
down_revision = "inventory_0003"
branch_labels = None
depends_on = None

# Balances copy from their item whether it may be promised beyond what is there, for a check cannot look elsewhere; the
# foreign key keeps the copy true, and an item for which somebody waits cannot be switched back.
_BACKORDER = """
ALTER TABLE items ADD COLUMN IF NOT EXISTS allow_backorder boolean NOT NULL DEFAULT false;
ALTER TABLE items ADD CONSTRAINT items_backorder UNIQUE (tenant_id, id, allow_backorder);
ALTER TABLE balances ADD COLUMN backordered bigint NOT NULL DEFAULT 0;
ALTER TABLE balances ADD COLUMN allow_backorder boolean NOT NULL DEFAULT false;
UPDATE balances SET allow_backorder = true
FROM items WHERE items.tenant_id = balances.tenant_id AND items.id = balances.item_id AND items.allow_backorder;
ALTER TABLE balances DROP CONSTRAINT balances_check;
ALTER TABLE balances ADD CONSTRAINT balances_reserved
    CHECK (backordered >= 0 AND reserved - backordered BETWEEN 0 AND on_hand);
ALTER TABLE balances ADD CONSTRAINT balances_backordered CHECK (allow_backorder OR backordered = 0);
ALTER TABLE balances ADD CONSTRAINT balances_backorder FOREIGN KEY (tenant_id, item_id, allow_backorder)
    REFERENCES items (tenant_id, id, allow_backorder) ON UPDATE CASCADE
"""
_COPY = """
CREATE FUNCTION balances_copy_backorder() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT items.allow_backorder INTO NEW.allow_backorder FROM items
    WHERE items.tenant_id = NEW.tenant_id AND items.id = NEW.item_id FOR KEY SHARE;
    NEW.allow_backorder := coalesce(NEW.allow_backorder, false);
    RETURN NEW;
END $$
"""
# Found or made one by one in the order of the items' ids: a statement that locks what is there and makes what is not
# there afterwards would lock in another order.
_LOCK = """
CREATE FUNCTION lock_balances(site uuid, items uuid[]) RETURNS SETOF balances LANGUAGE plpgsql AS $$
DECLARE
    tenant uuid := nullif(current_setting('app.tenant_id', true), '')::uuid;
    each uuid;
BEGIN
    FOR each IN SELECT DISTINCT wanted FROM unnest(items) wanted ORDER BY wanted LOOP
        RETURN QUERY SELECT * FROM balances b
        WHERE b.tenant_id = tenant AND b.item_id = each AND b.site_id = site FOR UPDATE;
        IF NOT FOUND THEN
            INSERT INTO balances (tenant_id, item_id, site_id, on_hand, reserved, is_low)
            VALUES (tenant, each, site, 0, 0, false) ON CONFLICT DO NOTHING;
            RETURN QUERY SELECT * FROM balances b
            WHERE b.tenant_id = tenant AND b.item_id = each AND b.site_id = site FOR UPDATE;
        END IF;
    END LOOP;
END $$
"""
_LINES = """
CREATE TABLE reservation_lines (
    tenant_id uuid NOT NULL,
    order_id uuid NOT NULL,
    line_id uuid NOT NULL,
    place int NOT NULL,
    state int NOT NULL CHECK (state IN (1, 3, 4, 5)),
    -- A line that was given back before it was reserved is known by its id alone.
    menu_item_id uuid,
    name text NOT NULL DEFAULT '',
    quantity bigint NOT NULL DEFAULT 0,
    amount bigint NOT NULL DEFAULT 0,
    currency text NOT NULL DEFAULT '',
    modifiers jsonb NOT NULL DEFAULT '[]',
    CHECK (menu_item_id IS NOT NULL OR state IN (4, 5)),
    PRIMARY KEY (tenant_id, order_id, line_id),
    FOREIGN KEY (tenant_id, order_id) REFERENCES reservations (tenant_id, order_id)
);
INSERT INTO reservation_lines
    (tenant_id, order_id, line_id, place, state, menu_item_id, name, quantity, amount, currency)
SELECT r.tenant_id, r.order_id, (line.told ->> 'line_id')::uuid, line.place, r.state,
    (line.told ->> 'menu_item_id')::uuid, line.told ->> 'name', (line.told ->> 'quantity')::bigint,
    (line.told ->> 'amount')::bigint, line.told ->> 'currency'
FROM reservations r CROSS JOIN LATERAL jsonb_array_elements(r.lines) WITH ORDINALITY AS line (told, place)
ON CONFLICT DO NOTHING;
ALTER TABLE reservations ALTER COLUMN lines SET DEFAULT '[]';
ALTER TABLE reservations ADD COLUMN station_id uuid;
DROP INDEX reservations_active;
CREATE INDEX reservations_holding ON reservations (expires_at) WHERE state IN (1, 2);
ALTER TABLE reservation_picks ADD COLUMN line_id uuid;
-- Which line a pick was for was not kept: it goes with the first, and nothing that is held loses its order.
UPDATE reservation_picks p SET line_id = (
    SELECT l.line_id FROM reservation_lines l
    WHERE l.tenant_id = p.tenant_id AND l.order_id = p.order_id ORDER BY l.place LIMIT 1
);
ALTER TABLE reservation_picks ALTER COLUMN line_id SET NOT NULL;
ALTER TABLE reservation_picks DROP CONSTRAINT reservation_picks_pkey;
-- What is waited for lies in no batch.
ALTER TABLE reservation_picks ALTER COLUMN batch_id DROP NOT NULL;
ALTER TABLE reservation_picks ADD CONSTRAINT reservation_picks_once
    UNIQUE NULLS NOT DISTINCT (tenant_id, order_id, line_id, item_id, batch_id);
ALTER TABLE reservation_picks ADD FOREIGN KEY (tenant_id, order_id, line_id)
    REFERENCES reservation_lines (tenant_id, order_id, line_id);
CREATE INDEX reservation_picks_of_item ON reservation_picks (tenant_id, item_id);
ALTER TABLE movements ADD COLUMN IF NOT EXISTS line_id uuid;
DROP INDEX movements_of_order
"""
# What an order or a line of it has become stays so, and nothing is held without a reservation that goes on.
_GUARDS = (
    """
CREATE FUNCTION reservation_lines_are_held() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM reservations r
    WHERE r.tenant_id = NEW.tenant_id AND r.order_id = NEW.order_id AND r.state IN (1, 2) FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a line is held by a reservation that goes on';
    END IF;
    RETURN NULL;
END $$
""",
    """
CREATE FUNCTION reservations_end_empty() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM reservation_lines l
        WHERE l.tenant_id = NEW.tenant_id AND l.order_id = NEW.order_id AND l.state = 1
    ) THEN
        RAISE EXCEPTION 'a reservation that has ended holds nothing';
    END IF;
    RETURN NULL;
END $$
""",
    """
CREATE TRIGGER stay_final BEFORE UPDATE ON reservation_lines
    FOR EACH ROW EXECUTE FUNCTION reservations_stay_final()
""",
    """
CREATE TRIGGER are_held AFTER INSERT ON reservation_lines
    FOR EACH ROW WHEN (NEW.state = 1) EXECUTE FUNCTION reservation_lines_are_held()
""",
    """
CREATE TRIGGER end_empty AFTER UPDATE ON reservations
    FOR EACH ROW WHEN (NEW.state IN (3, 4, 5)) EXECUTE FUNCTION reservations_end_empty()
""",
    """
CREATE TRIGGER copy_backorder BEFORE INSERT ON balances
    FOR EACH ROW EXECUTE FUNCTION balances_copy_backorder()
""",
)
_DUE = """
CREATE OR REPLACE FUNCTION lapsed_reservations(at timestamptz, most bigint)
RETURNS TABLE (tenant_id uuid, order_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT tenant_id, order_id FROM public.reservations
    WHERE state IN (1, 2) AND expires_at <= at ORDER BY expires_at LIMIT most
$$
"""
# An order's line consumes a batch once, wherever it lies; what takes a sale back is of another type.
_ONCE = """
CREATE UNIQUE INDEX movements_of_line ON movements (tenant_id, order_id, line_id, batch_id, station_id)
    NULLS NOT DISTINCT WHERE order_id IS NOT NULL AND type = 5
"""
_OLD = ("items", "balances", "reservations", "reservation_picks")


def upgrade() -> None:
    """Move what is held to lines."""
    for table in _OLD:
        # The rows of all tenants are moved at once.
        op.execute(f'ALTER TABLE "{table}" NO FORCE ROW LEVEL SECURITY')
    for statement in filter(str.strip, (_BACKORDER + ";" + _LINES).split(";")):
        op.execute(statement)
    for table in _OLD:
        op.execute(f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY')
    migrate.isolate("reservation_lines")
    for statement in (_COPY, _LOCK, *_GUARDS, _DUE):
        op.execute(statement)
    op.execute("ALTER TABLE movements ADD COLUMN IF NOT EXISTS station_id uuid")
    op.execute(_ONCE)
