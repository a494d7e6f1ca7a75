"""The first tables of tenants."""

from alembic import op

from chassis import migrate

revision = "tenants_0001"
down_revision = None
branch_labels = ("tenants",)
depends_on = "chassis_0001"

_TABLES = """
CREATE TABLE tenants (
    id uuid PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    slug text NOT NULL UNIQUE,
    currency text NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE TABLE sites (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    time_zone text NOT NULL,
    address text NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX sites_name ON sites (tenant_id, lower(name)) WHERE deleted_at IS NULL;
CREATE TABLE stations (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    site_id uuid NOT NULL,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    kind int NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, site_id) REFERENCES sites (tenant_id, id)
);
CREATE UNIQUE INDEX stations_name ON stations (tenant_id, site_id, lower(name)) WHERE deleted_at IS NULL;
"""


def upgrade() -> None:
    """Create the tables."""
    for statement in filter(str.strip, _TABLES.split(";")):
        op.execute(statement)
    migrate.isolate("tenants", column="id", platform_sees_all=True)
    migrate.isolate("sites")
    migrate.isolate("stations")
