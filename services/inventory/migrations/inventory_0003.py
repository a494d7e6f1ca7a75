"""The ledger: stations, counts, transfers, reversals; batches that are held back; units for people's eyes."""

from alembic import op

from chassis import migrate

revision = "inventory_0003"
down_revision = "inventory_0002"
branch_labels = None
depends_on = None

_COLUMNS = """
ALTER TABLE items ADD COLUMN allow_backorder boolean NOT NULL DEFAULT false;
ALTER TABLE items ADD COLUMN display_unit_name text NOT NULL DEFAULT '';
ALTER TABLE items ADD COLUMN display_unit_factor bigint NOT NULL DEFAULT 0
    CHECK (display_unit_factor >= 0 AND (display_unit_factor > 0) = (display_unit_name <> ''));
CREATE INDEX items_of_category ON items (tenant_id, category) WHERE deleted_at IS NULL;
CREATE INDEX items_of_supplier ON items (tenant_id, supplier) WHERE deleted_at IS NULL;
ALTER TABLE balances ADD COLUMN held_back bigint NOT NULL DEFAULT 0;
ALTER TABLE balances ADD COLUMN wasted bigint NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN reason text NOT NULL DEFAULT '';
ALTER TABLE batches ADD COLUMN placed bigint NOT NULL DEFAULT 0 CHECK (placed >= 0);
ALTER TABLE batches ADD COLUMN told_days bigint NOT NULL DEFAULT 9999;
ALTER TABLE batches ADD CONSTRAINT batches_status CHECK (status IN (1, 2, 3));
ALTER TABLE batches ADD CONSTRAINT batches_reason CHECK (status = 1 OR reason <> '');
-- Which batches have something in them. A column of its own, since an index with a condition on `on_hand` would have to
-- be written with every sale.
ALTER TABLE batches ADD COLUMN gone boolean GENERATED ALWAYS AS (on_hand = 0) STORED;
CREATE INDEX batches_there ON batches (tenant_id, item_id, site_id, expires_at) WHERE NOT gone;
CREATE INDEX batches_next ON batches (tenant_id, expires_at, id) WHERE NOT gone;
CREATE INDEX batches_to_warn_of ON batches (expires_at) WHERE NOT gone AND told_days > 0;
ALTER TABLE batches ADD CONSTRAINT batches_place UNIQUE (tenant_id, id, item_id, site_id);
CREATE TABLE placements (
    tenant_id uuid NOT NULL,
    batch_id uuid NOT NULL,
    station_id uuid NOT NULL,
    item_id uuid NOT NULL,
    site_id uuid NOT NULL,
    on_hand bigint NOT NULL CHECK (on_hand >= 0),
    PRIMARY KEY (tenant_id, batch_id, station_id),
    FOREIGN KEY (tenant_id, batch_id, item_id, site_id) REFERENCES batches (tenant_id, id, item_id, site_id)
);
CREATE INDEX placements_of_station ON placements (tenant_id, station_id, item_id);
ALTER TABLE movements ADD COLUMN station_id uuid;
ALTER TABLE movements ADD COLUMN entry_id uuid;
ALTER TABLE movements ADD COLUMN to_site_id uuid;
ALTER TABLE movements ADD COLUMN to_station_id uuid;
ALTER TABLE movements ADD COLUMN reversal_of uuid;
ALTER TABLE movements ADD CONSTRAINT movements_type CHECK (type BETWEEN 1 AND 7);
ALTER TABLE movements ADD FOREIGN KEY (tenant_id, reversal_of) REFERENCES movements (tenant_id, id);
-- A movement is reversed at most once.
CREATE UNIQUE INDEX movements_reversed ON movements (tenant_id, reversal_of) WHERE reversal_of IS NOT NULL;
CREATE INDEX movements_of_entry ON movements (tenant_id, entry_id) WHERE entry_id IS NOT NULL;
CREATE INDEX movements_of_station ON movements (tenant_id, station_id, recorded_at DESC, id DESC)
    WHERE station_id IS NOT NULL;
CREATE INDEX movements_of_all ON movements (tenant_id, recorded_at DESC, id DESC);
UPDATE balances b SET wasted = m.wasted FROM (
    SELECT tenant_id, item_id, site_id, -sum(quantity) AS wasted FROM movements WHERE type = 4 GROUP BY 1, 2, 3
) m WHERE m.tenant_id = b.tenant_id AND m.item_id = b.item_id AND m.site_id = b.site_id;
CREATE TABLE depletions (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    fingerprint bytea NOT NULL,
    answer bytea NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
)
"""
# How much of a batch lies at stations is kept beside the batch. That it is no more than there is holds when the
# transaction ends: which of the two is written first is nobody's concern. Batches without it pay for one comparison.
_PLACED = (
    """
CREATE FUNCTION placements_keep_placed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE batches SET placed = placed + NEW.on_hand - CASE WHEN TG_OP = 'UPDATE' THEN OLD.on_hand ELSE 0 END
    WHERE tenant_id = NEW.tenant_id AND id = NEW.batch_id;
    RETURN NULL;
END $$
""",
    """
CREATE TRIGGER keep_placed AFTER INSERT OR UPDATE OF on_hand ON placements
    FOR EACH ROW EXECUTE FUNCTION placements_keep_placed()
""",
    """
CREATE FUNCTION batches_hold_what_is_placed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM batches WHERE tenant_id = NEW.tenant_id AND id = NEW.id AND placed > on_hand) THEN
        RAISE EXCEPTION 'more of a batch lies at stations than there is' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$
""",
    """
CREATE CONSTRAINT TRIGGER hold_what_is_placed AFTER UPDATE ON batches DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.placed > NEW.on_hand) EXECUTE FUNCTION batches_hold_what_is_placed()
""",
)
# What of an item at a site is in batches that may not be sold, and is not promised: quarantined, recalled, or known to
# have expired. Written by whatever changes such a batch, which others do not pay for.
_HELD_BACK = (
    """
CREATE FUNCTION batches_keep_held_back() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before bigint := 0;
    after bigint := 0;
BEGIN
    IF TG_OP = 'UPDATE' AND (OLD.status <> 1 OR OLD.told_days = 0) THEN
        before := OLD.on_hand - OLD.reserved;
    END IF;
    IF NEW.status <> 1 OR NEW.told_days = 0 THEN
        after := NEW.on_hand - NEW.reserved;
    END IF;
    IF after <> before THEN
        UPDATE balances SET held_back = held_back + after - before
        WHERE tenant_id = NEW.tenant_id AND item_id = NEW.item_id AND site_id = NEW.site_id;
    END IF;
    RETURN NULL;
END $$
""",
    """
CREATE TRIGGER keep_held_back AFTER UPDATE ON batches FOR EACH ROW
    WHEN (OLD.status <> 1 OR NEW.status <> 1 OR OLD.told_days = 0 OR NEW.told_days = 0)
    EXECUTE FUNCTION batches_keep_held_back()
""",
    """
CREATE TRIGGER keep_held_back_of_new AFTER INSERT ON batches FOR EACH ROW
    WHEN (NEW.status <> 1 OR NEW.told_days = 0) EXECUTE FUNCTION batches_keep_held_back()
""",
)
# Which batches of any tenant have crossed a threshold that nobody has been told of, and nothing else of them.
_EXPIRING = """
CREATE FUNCTION expiring_batches(at timestamptz, days int[], most bigint) RETURNS TABLE (tenant_id uuid, id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT b.tenant_id, b.id FROM public.batches b
    WHERE NOT b.gone AND b.told_days > 0 AND b.expires_at <= at + (SELECT max(d) FROM unnest(days) d) * interval '1 day'
    AND b.told_days > (SELECT min(d) FROM unnest(days) d WHERE b.expires_at <= at + d * interval '1 day')
    ORDER BY b.expires_at LIMIT most
$$
"""


def upgrade() -> None:
    """Extend the tables; what there is of movements counts towards what was wasted."""
    for table in ("balances", "movements"):
        # The rows of all tenants are read and written at once.
        op.execute(f'ALTER TABLE "{table}" NO FORCE ROW LEVEL SECURITY')
    for statement in filter(str.strip, _COLUMNS.split(";")):
        op.execute(statement)
    for table in ("balances", "movements"):
        op.execute(f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY')
    for table in ("placements", "depletions"):
        migrate.isolate(table)
    migrate.append_only("depletions", columns=("answer",))
    for statement in (*_PLACED, *_HELD_BACK, _EXPIRING):
        op.execute(statement)
    op.execute(f'CREATE POLICY expiring ON batches FOR SELECT TO "{migrate.role()}_owner" USING (true)')
    op.execute("REVOKE ALL ON FUNCTION expiring_batches FROM PUBLIC")
    op.execute(f'GRANT EXECUTE ON FUNCTION expiring_batches TO "{migrate.role()}"')
