"""Orders, lines, sagas, timeline, numbers."""

from alembic import op

from chassis import migrate

revision = "orders_0001"
down_revision = None
branch_labels = ("orders",)
depends_on = "chassis_0001"

_TABLES = """
CREATE TABLE orders (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    site_id uuid NOT NULL,
    day date,
    number bigint CHECK (number >= 1),
    status text NOT NULL CHECK (status IN ('draft', 'queued', 'preparing', 'ready', 'completed', 'cancelled')),
    channel text NOT NULL,
    payment_method text NOT NULL,
    customer_name text NOT NULL,
    notes text NOT NULL,
    cancel_reason text NOT NULL,
    rejection text NOT NULL DEFAULT '',
    refusal jsonb,
    placed_by text NOT NULL,
    fingerprint bytea NOT NULL,
    amount bigint CHECK (amount >= 0),
    currency text NOT NULL DEFAULT '',
    posted boolean NOT NULL DEFAULT false,
    version bigint NOT NULL,
    placed_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT orders_number UNIQUE (tenant_id, site_id, day, number),
    CONSTRAINT orders_accepted CHECK (status IN ('draft', 'cancelled') OR (number IS NOT NULL AND amount IS NOT NULL)),
    CONSTRAINT orders_completed_is_posted CHECK (status <> 'completed' OR posted),
    CONSTRAINT orders_cancelled_is_not_posted CHECK (status <> 'cancelled' OR NOT posted),
    CONSTRAINT orders_rejected_is_cancelled CHECK (rejection = '' OR status = 'cancelled')
);
CREATE INDEX orders_newest ON orders (tenant_id, placed_at DESC, id DESC);
CREATE INDEX orders_of_site ON orders (tenant_id, site_id, placed_at DESC, id DESC);
CREATE INDEX orders_of_kiosk ON orders (tenant_id, placed_by, placed_at DESC, id DESC) WHERE channel = 'kiosk';
CREATE INDEX orders_queue ON orders (tenant_id, site_id, placed_at, id)
    WHERE status IN ('queued', 'preparing', 'ready');
CREATE TABLE lines (
    tenant_id uuid NOT NULL,
    order_id uuid NOT NULL,
    id uuid NOT NULL,
    position bigint NOT NULL,
    menu_item_id uuid NOT NULL,
    quantity bigint NOT NULL CHECK (quantity >= 1),
    notes text NOT NULL,
    name text NOT NULL DEFAULT '',
    unit_amount bigint CHECK (unit_amount >= 0),
    currency text NOT NULL DEFAULT '',
    status text NOT NULL CHECK (status IN ('pending', 'preparing', 'ready', 'served', 'voided')),
    PRIMARY KEY (tenant_id, order_id, id),
    FOREIGN KEY (tenant_id, order_id) REFERENCES orders (tenant_id, id)
);
CREATE TABLE sagas (
    tenant_id uuid NOT NULL,
    order_id uuid NOT NULL,
    step text NOT NULL CHECK (step IN ('reserve', 'post', 'release', 'none')),
    state text NOT NULL CHECK (state IN ('running', 'settled', 'compensating', 'needs_attention')),
    tries bigint NOT NULL,
    due_at timestamptz NOT NULL,
    error text NOT NULL DEFAULT '',
    actor text NOT NULL,
    channel text NOT NULL,
    edits jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant_id, order_id),
    FOREIGN KEY (tenant_id, order_id) REFERENCES orders (tenant_id, id),
    CONSTRAINT sagas_settled_has_no_step CHECK ((state = 'settled') = (step = 'none'))
);
CREATE INDEX sagas_due ON sagas (due_at) WHERE state IN ('running', 'compensating');
CREATE INDEX sagas_stuck ON sagas (tenant_id, order_id) WHERE state = 'needs_attention';
CREATE TABLE order_events (
    tenant_id uuid NOT NULL,
    order_id uuid NOT NULL,
    sequence bigint NOT NULL CHECK (sequence >= 1),
    type text NOT NULL,
    actor text NOT NULL,
    channel text NOT NULL,
    detail text NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, order_id, sequence),
    FOREIGN KEY (tenant_id, order_id) REFERENCES orders (tenant_id, id)
);
CREATE TABLE order_numbers (
    tenant_id uuid NOT NULL,
    site_id uuid NOT NULL,
    day date NOT NULL,
    last bigint NOT NULL CHECK (last >= 1),
    PRIMARY KEY (tenant_id, site_id, day)
)
"""

# The last line of defence: whatever a process believes, what has ended stays ended and a version never goes back.
_FINAL = """
CREATE FUNCTION orders_stay_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status IN ('completed', 'cancelled') AND NEW.status <> OLD.status THEN
        RAISE EXCEPTION 'a % order is final', OLD.status USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.version <= OLD.version OR NEW.number <> OLD.number THEN
        RAISE EXCEPTION 'version only grows and a number stays' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$
"""
_DUE = """
CREATE FUNCTION due_sagas(at timestamptz, most bigint) RETURNS TABLE (tenant_id uuid, order_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT tenant_id, order_id FROM public.sagas
    WHERE state IN ('running', 'compensating') AND due_at <= at ORDER BY due_at LIMIT most
$$
"""
_STUCK = """
CREATE FUNCTION stuck_sagas() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT count(*) FROM public.sagas WHERE state = 'needs_attention'
$$
"""


def upgrade() -> None:
    for statement in filter(str.strip, _TABLES.split(";")):
        op.execute(statement)
    for table in ("orders", "lines", "sagas", "order_events", "order_numbers"):
        migrate.isolate(table)
    migrate.append_only("order_events")
    op.execute(_FINAL)
    op.execute("CREATE TRIGGER orders_final BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION orders_stay_final()")
    _let_the_resumer_look()


def _let_the_resumer_look() -> None:
    """Two functions that see the sagas of all tenants and tell which are due and how many are stuck, nothing else."""
    owner = f"{migrate.role()}_owner"
    op.execute(f'CREATE POLICY resumer ON sagas FOR SELECT TO "{owner}" USING (true)')
    for create, signature in ((_DUE, "due_sagas(timestamptz, bigint)"), (_STUCK, "stuck_sagas()")):
        op.execute(create)
        op.execute(f"REVOKE EXECUTE ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f'GRANT EXECUTE ON FUNCTION {signature} TO "{migrate.role()}"')
