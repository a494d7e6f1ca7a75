"""The chains and their heads."""

from alembic import op

from chassis import migrate

revision = "audit_0001"
down_revision = None
branch_labels = ("audit",)
depends_on = "chassis_0001"

_TABLES = """
CREATE TABLE entries (
    tenant_id uuid NOT NULL,
    position bigint NOT NULL CHECK (position >= 1),
    id uuid NOT NULL,
    event bytea NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32),
    service text NOT NULL,
    service_sequence bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    category text NOT NULL,
    action text NOT NULL,
    actor text NOT NULL,
    outcome bigint NOT NULL,
    address text NOT NULL,
    request_id text NOT NULL,
    resources text[] NOT NULL,
    PRIMARY KEY (tenant_id, position),
    UNIQUE (tenant_id, id)
);
CREATE INDEX entries_newest ON entries (tenant_id, occurred_at DESC, id DESC);
CREATE INDEX entries_of_actor ON entries (tenant_id, actor, occurred_at DESC);
CREATE INDEX entries_of_request ON entries (tenant_id, request_id) WHERE request_id <> '';
CREATE INDEX entries_of_resource ON entries USING gin (resources);
CREATE INDEX entries_numbers ON entries (tenant_id, service, service_sequence);
CREATE TABLE heads (
    tenant_id uuid PRIMARY KEY,
    position bigint NOT NULL CHECK (position >= 0),
    hash bytea NOT NULL CHECK (length(hash) = 32)
)
"""


def upgrade() -> None:
    for statement in filter(str.strip, _TABLES.split(";")):
        op.execute(statement)
    for table in ("entries", "heads"):
        migrate.isolate(table)
    migrate.append_only("entries")
    migrate.append_only("heads", columns=("position", "hash"))
