"""What every service's database has: outbox, inbox, parked events, idempotency keys, fencing tokens."""

from alembic import op

from chassis import migrate

revision = "chassis_0001"
down_revision = None
branch_labels = ("chassis",)
depends_on = None

_TABLES = """
CREATE TABLE outbox (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    tenant_id uuid NOT NULL,
    subject text NOT NULL,
    audience text NOT NULL,
    envelope text NOT NULL,
    audit_number bigint,
    sent_at timestamptz
);
CREATE INDEX outbox_unsent ON outbox (seq) WHERE sent_at IS NULL;
CREATE INDEX outbox_sent ON outbox (sent_at) WHERE sent_at IS NOT NULL;
CREATE TABLE audit_counters (
    tenant_id uuid PRIMARY KEY,
    last bigint NOT NULL
);
CREATE TABLE inbox (
    tenant_id uuid NOT NULL,
    event_id uuid NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, event_id)
);
CREATE TABLE parked_events (
    tenant_id uuid NOT NULL,
    event_id uuid NOT NULL,
    subject text NOT NULL,
    envelope text NOT NULL,
    error text NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, event_id)
);
CREATE TABLE idempotency_keys (
    tenant_id uuid NOT NULL,
    principal text NOT NULL,
    method text NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    fingerprint bytea NOT NULL,
    answer bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, principal, method, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
CREATE TABLE fencing_tokens (
    tenant_id uuid NOT NULL,
    resource text NOT NULL,
    token bigint NOT NULL,
    PRIMARY KEY (tenant_id, resource)
);
"""


def upgrade() -> None:
    """Create the tables; the relay's role sees the outbox of all tenants and nothing else."""
    for statement in filter(str.strip, _TABLES.split(";")):
        op.execute(statement)
    for table in ("outbox", "audit_counters", "inbox", "parked_events", "idempotency_keys", "fencing_tokens"):
        migrate.isolate(table)
    relay = f'"{migrate.role()}_relay"'
    op.execute(f"GRANT SELECT, UPDATE, DELETE ON outbox TO {relay}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON audit_counters TO {relay}")
    op.execute(f"CREATE POLICY relay ON outbox TO {relay} USING (true) WITH CHECK (true)")
    op.execute(f"CREATE POLICY relay ON audit_counters TO {relay} USING (true) WITH CHECK (true)")
    # The relay also throws away what has served its time.
    for table, column in (("inbox", "handled_at"), ("idempotency_keys", "created_at")):
        op.execute(f"GRANT SELECT ({column}), DELETE ON {table} TO {relay}")
        op.execute(f"CREATE POLICY relay ON {table} TO {relay} USING (true)")
    # A process writes its outbox and never touches a row again.
    op.execute(f'REVOKE UPDATE, DELETE ON outbox FROM "{migrate.role()}"')
    op.execute(f'REVOKE ALL ON audit_counters FROM "{migrate.role()}"')
