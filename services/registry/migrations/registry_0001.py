"""The first tables of registry."""

from alembic import op

from chassis import migrate

revision = "registry_0001"
down_revision = None
branch_labels = ("registry",)
depends_on = "chassis_0001"

_TABLES = """
CREATE TABLE instances (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    service text NOT NULL,
    epoch bigint NOT NULL,
    state int NOT NULL,
    contract_digest text NOT NULL,
    address text NOT NULL,
    told bytea NOT NULL,
    registered_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    -- An epoch is given out once.
    UNIQUE (tenant_id, service, epoch)
);
CREATE TABLE epochs (
    tenant_id uuid NOT NULL,
    service text NOT NULL,
    last bigint NOT NULL,
    PRIMARY KEY (tenant_id, service)
);
CREATE TABLE contracts (
    tenant_id uuid NOT NULL,
    digest text NOT NULL,
    descriptor_set bytea NOT NULL,
    PRIMARY KEY (tenant_id, digest)
);
CREATE TABLE history (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    service text NOT NULL,
    instance_id uuid NOT NULL,
    from_state int NOT NULL,
    to_state int NOT NULL,
    reason text NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX history_of_service ON history (tenant_id, service, occurred_at DESC, id DESC);
"""


def upgrade() -> None:
    """Create the tables."""
    for statement in filter(str.strip, _TABLES.split(";")):
        op.execute(statement)
    for table in ("instances", "epochs", "contracts", "history"):
        migrate.isolate(table)
    migrate.append_only("history")
