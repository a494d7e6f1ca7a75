"""Restock plans and imports."""

from alembic import op

from chassis import migrate

revision = "inventory_0006"
down_revision = "inventory_0005"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE restock_plans (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    site_id uuid NOT NULL,
    supplier text NOT NULL,
    schedule text NOT NULL,
    time_zone text NOT NULL,
    lead_days bigint NOT NULL CHECK (lead_days >= 0),
    notes text NOT NULL,
    state text NOT NULL CHECK (state IN
        ('draft', 'approved', 'ordered', 'partially_received', 'received', 'cancelled')),
    approved_by text NOT NULL DEFAULT '',
    ordered_at timestamptz,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT restock_plans_approved CHECK (state IN ('draft', 'cancelled') OR approved_by <> ''),
    CONSTRAINT restock_plans_ordered CHECK (
        state NOT IN ('ordered', 'partially_received', 'received') OR ordered_at IS NOT NULL)
);
CREATE INDEX restock_plans_newest ON restock_plans (tenant_id, created_at DESC, id DESC);
CREATE INDEX restock_plans_of_site ON restock_plans (tenant_id, site_id, created_at DESC, id DESC);
CREATE TABLE restock_lines (
    tenant_id uuid NOT NULL,
    plan_id uuid NOT NULL,
    item_id uuid NOT NULL,
    position bigint NOT NULL,
    min bigint NOT NULL CHECK (min >= 0),
    max bigint NOT NULL CHECK (max = 0 OR max >= min),
    quantity bigint NOT NULL CHECK (quantity > 0),
    received bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, plan_id, item_id),
    FOREIGN KEY (tenant_id, plan_id) REFERENCES restock_plans (tenant_id, id),
    FOREIGN KEY (tenant_id, item_id) REFERENCES items (tenant_id, id),
    CONSTRAINT restock_lines_received CHECK (received BETWEEN 0 AND quantity)
);
CREATE INDEX restock_lines_of_item ON restock_lines (tenant_id, item_id);
-- What came when, and what it became: the sum of a line's receipts is what the line has received.
CREATE TABLE restock_receipts (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    plan_id uuid NOT NULL,
    fingerprint bytea NOT NULL,
    received_by text NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, plan_id) REFERENCES restock_plans (tenant_id, id)
);
CREATE INDEX restock_receipts_of_plan ON restock_receipts (tenant_id, plan_id);
CREATE TABLE restock_receipt_lines (
    tenant_id uuid NOT NULL,
    receipt_id uuid NOT NULL,
    position bigint NOT NULL,
    item_id uuid NOT NULL,
    batch_id uuid NOT NULL,
    quantity bigint NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (tenant_id, receipt_id, position),
    FOREIGN KEY (tenant_id, receipt_id) REFERENCES restock_receipts (tenant_id, id),
    FOREIGN KEY (tenant_id, batch_id) REFERENCES batches (tenant_id, id)
);
CREATE TABLE imports (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('receiving', 'queued', 'running', 'succeeded', 'failed')),
    name text NOT NULL,
    chunks bigint NOT NULL CHECK (chunks BETWEEN 1 AND 64),
    chunks_received bigint NOT NULL CHECK (chunks_received BETWEEN 0 AND chunks),
    "rows" bigint NOT NULL DEFAULT 0,
    rows_done bigint NOT NULL DEFAULT 0 CHECK (rows_done >= 0),
    created bigint NOT NULL DEFAULT 0,
    updated bigint NOT NULL DEFAULT 0,
    unchanged bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    failure text NOT NULL DEFAULT '',
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    lease bigint NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT imports_every_row_once CHECK (rows_done = created + updated + unchanged + rejected),
    CONSTRAINT imports_complete CHECK (state = 'receiving' OR chunks_received = chunks),
    CONSTRAINT imports_ended CHECK ((state IN ('succeeded', 'failed')) = (finished_at IS NOT NULL))
);
CREATE INDEX imports_newest ON imports (tenant_id, created_at DESC, id DESC);
CREATE INDEX imports_due ON imports (due_at) WHERE state IN ('queued', 'running');
CREATE TABLE import_chunks (
    tenant_id uuid NOT NULL,
    import_id uuid NOT NULL,
    number bigint NOT NULL CHECK (number >= 1),
    digest bytea NOT NULL,
    csv text NOT NULL,
    PRIMARY KEY (tenant_id, import_id, number),
    FOREIGN KEY (tenant_id, import_id) REFERENCES imports (tenant_id, id)
);
CREATE TABLE import_errors (
    tenant_id uuid NOT NULL,
    import_id uuid NOT NULL,
    "row" bigint NOT NULL,
    position bigint NOT NULL,
    sku text NOT NULL,
    field text NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (tenant_id, import_id, "row", position),
    FOREIGN KEY (tenant_id, import_id) REFERENCES imports (tenant_id, id)
)
"""
# The last line of defence: whatever a process believes, a plan goes along its states and no other way.
_MOVES = """
CREATE FUNCTION restock_plans_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (
        ('draft', 'approved'), ('approved', 'ordered'), ('ordered', 'partially_received'), ('ordered', 'received'),
        ('partially_received', 'received'),
        ('draft', 'cancelled'), ('approved', 'cancelled'), ('ordered', 'cancelled')
    ) THEN
        RAISE EXCEPTION 'a plan does not go from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.version < OLD.version THEN
        RAISE EXCEPTION 'a version only grows' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$
"""
_FORWARD = """
CREATE FUNCTION imports_go_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.rows_done < OLD.rows_done OR NEW.chunks_received < OLD.chunks_received OR NEW.lease < OLD.lease
        OR (OLD.state IN ('succeeded', 'failed') AND NEW.state <> OLD.state)
    THEN
        RAISE EXCEPTION 'an import only goes forward' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$
"""
# Which imports of any tenant wait for work, and nothing else of them.
_DUE = """
CREATE FUNCTION due_imports(at timestamptz, most bigint) RETURNS TABLE (tenant_id uuid, id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT tenant_id, id FROM public.imports
    WHERE state IN ('queued', 'running') AND due_at <= at ORDER BY due_at LIMIT most
$$
"""
_LOCAL = (
    "restock_plans",
    "restock_lines",
    "restock_receipts",
    "restock_receipt_lines",
    "imports",
    "import_chunks",
    "import_errors",
)


def upgrade() -> None:
    """Create the tables."""
    for statement in filter(str.strip, _TABLES.split(";")):
        op.execute(statement)
    for table in _LOCAL:
        migrate.isolate(table)
    for table in ("restock_receipts", "restock_receipt_lines", "import_errors"):
        migrate.append_only(table)
    for function, table in ((_MOVES, "restock_plans"), (_FORWARD, "imports")):
        op.execute(function)
        name = function.split("FUNCTION ")[1].split("(", maxsplit=1)[0]
        op.execute(f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")
    op.execute(_DUE)
    op.execute(f'CREATE POLICY due ON imports FOR SELECT TO "{migrate.role()}_owner" USING (true)')
    op.execute("REVOKE ALL ON FUNCTION due_imports FROM PUBLIC")
    op.execute(f'GRANT EXECUTE ON FUNCTION due_imports TO "{migrate.role()}"')
