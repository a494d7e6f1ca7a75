"""Offline clients' operations, and the point of sale."""

from alembic import op

from chassis import migrate

revision = "orders_0005"
down_revision = "orders_0004"
branch_labels = None
depends_on = "chassis_0002"

_TABLES = """
CREATE TABLE sync_operations (
    tenant_id uuid NOT NULL,
    operation_id uuid NOT NULL,
    type text NOT NULL,
    order_id uuid,
    outcome text NOT NULL CHECK (outcome IN ('applied', 'rejected', 'conflict')),
    code text NOT NULL,
    message text NOT NULL,
    problems jsonb NOT NULL,
    fingerprint bytea NOT NULL,
    sequence bigint NOT NULL,
    occurred_at timestamptz,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, operation_id)
);
CREATE INDEX sync_operations_rejected ON sync_operations (tenant_id, order_id)
    WHERE type = 'place_order' AND outcome = 'rejected';
CREATE TABLE pos_connections (
    tenant_id uuid NOT NULL,
    site_id uuid NOT NULL,
    provider text NOT NULL CHECK (provider IN ('standard')),
    url text NOT NULL,
    enabled boolean NOT NULL,
    secret bytea NOT NULL,
    version bigint NOT NULL CHECK (version >= 1),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, site_id)
);
CREATE TABLE forwards (
    tenant_id uuid NOT NULL,
    order_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('placed', 'cancelled')),
    site_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'sent', 'confirmed', 'rejected', 'failed', 'withdrawn')),
    tries bigint NOT NULL,
    due_at timestamptz NOT NULL,
    error text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, order_id, kind),
    FOREIGN KEY (tenant_id, order_id) REFERENCES orders (tenant_id, id),
    CONSTRAINT forwards_only_orders_are_answered CHECK (kind = 'placed' OR state NOT IN ('confirmed', 'rejected'))
);
CREATE INDEX forwards_due ON forwards (due_at) WHERE state = 'pending';
CREATE INDEX forwards_failed ON forwards (tenant_id, order_id) WHERE state = 'failed';
"""

# The last line of defence: what a POS has answered stays answered.
_ANSWERED = """
CREATE FUNCTION forwards_stay_answered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state IN ('confirmed', 'rejected') AND NEW.state <> OLD.state THEN
        RAISE EXCEPTION 'the POS has answered: %', OLD.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$
"""
_DUE = """
CREATE FUNCTION due_forwards(at timestamptz, each bigint, most bigint)
RETURNS TABLE (tenant_id uuid, order_id uuid, kind text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT tenant_id, order_id, kind FROM (
        SELECT *, row_number() OVER (PARTITION BY tenant_id ORDER BY due_at) AS place FROM public.forwards
        WHERE state = 'pending' AND due_at <= at
    ) AS due
    WHERE place <= each ORDER BY due_at LIMIT most
$$
"""
_FAILED = """
CREATE FUNCTION failed_forwards() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT count(*) FROM public.forwards WHERE state = 'failed'
$$
"""


_STATUS = """
ALTER TABLE orders
    ADD COLUMN IF NOT EXISTS pos_status text NOT NULL DEFAULT 'none',
    ADD COLUMN IF NOT EXISTS pos_reference text NOT NULL DEFAULT '',
    ADD CONSTRAINT orders_known_pos_status
        CHECK (pos_status IN ('none', 'pending', 'sent', 'confirmed', 'failed', 'rejected'))
"""


def upgrade() -> None:
    op.execute(_STATUS)
    for statement in filter(str.strip, _TABLES.split(";")):
        op.execute(statement)
    for table in ("sync_operations", "pos_connections", "forwards"):
        migrate.isolate(table)
    # What was decided stays decided, but that a completion may be refused by inventory after it was noted.
    migrate.append_only("sync_operations", columns=("outcome", "code", "message"))
    migrate.resealable("pos_connections", key=["tenant_id", "site_id"], columns=["secret"])
    op.execute(_ANSWERED)
    trigger = "BEFORE UPDATE ON forwards FOR EACH ROW EXECUTE FUNCTION forwards_stay_answered()"
    op.execute(f"CREATE TRIGGER forwards_answered {trigger}")
    _let_the_worker_look()


def _let_the_worker_look() -> None:
    """Two functions that see the forwards of all tenants and tell which are due and how many failed, nothing else."""
    owner = f"{migrate.role()}_owner"
    op.execute(f'CREATE POLICY worker ON forwards FOR SELECT TO "{owner}" USING (true)')
    for create, signature in ((_DUE, "due_forwards(timestamptz, bigint, bigint)"), (_FAILED, "failed_forwards()")):
        op.execute(create)
        op.execute(f"REVOKE EXECUTE ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f'GRANT EXECUTE ON FUNCTION {signature} TO "{migrate.role()}"')
