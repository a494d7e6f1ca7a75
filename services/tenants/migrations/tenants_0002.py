"""Status, limits and configuration of tenants; settings documents with their history."""

from alembic import op

from chassis import migrate

revision = "tenants_0002"
down_revision = "tenants_0001"
branch_labels = None
depends_on = None

_TENANTS = """
ALTER TABLE tenants
    ADD COLUMN status int NOT NULL DEFAULT 1 CHECK (status IN (1, 2)),
    ADD COLUMN suspend_reason text NOT NULL DEFAULT '' CHECK (length(suspend_reason) <= 500),
    ADD COLUMN sites_max int CHECK (sites_max >= 0),
    ADD COLUMN stations_max int CHECK (stations_max >= 0),
    ADD COLUMN users_max int CHECK (users_max >= 0),
    ADD COLUMN brand_name text NOT NULL DEFAULT '',
    ADD COLUMN primary_color text NOT NULL DEFAULT '',
    ADD COLUMN logo_url text NOT NULL DEFAULT '',
    ADD COLUMN features jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN locale text NOT NULL DEFAULT 'en-US',
    ADD COLUMN time_zone text NOT NULL DEFAULT 'UTC',
    ADD CONSTRAINT tenants_reason_while_suspended CHECK ((status = 2) = (suspend_reason <> ''))
"""
# A version refers to the one before it and the document to its newest version: the history has no gap, whoever writes.
_SETTINGS = """
CREATE TABLE settings (
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    key text NOT NULL,
    station_id uuid,
    value jsonb NOT NULL,
    version bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by text NOT NULL,
    PRIMARY KEY (tenant_id, name),
    FOREIGN KEY (tenant_id, station_id) REFERENCES stations (tenant_id, id),
    CHECK (name = key || coalesce('/' || station_id::text, ''))
);
CREATE TABLE setting_versions (
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    version bigint NOT NULL CHECK (version >= 1),
    previous bigint GENERATED ALWAYS AS (nullif(version - 1, 0)) STORED,
    value jsonb NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by text NOT NULL,
    PRIMARY KEY (tenant_id, name, version),
    FOREIGN KEY (tenant_id, name) REFERENCES settings (tenant_id, name),
    FOREIGN KEY (tenant_id, name, previous) REFERENCES setting_versions (tenant_id, name, version)
);
ALTER TABLE settings ADD FOREIGN KEY (tenant_id, name, version)
    REFERENCES setting_versions (tenant_id, name, version) DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX stations_site ON stations (tenant_id, site_id)
"""


def upgrade() -> None:
    """Add the columns and tables; nobody changes what stands in the history."""
    for statement in (_TENANTS, *_SETTINGS.split(";")):
        op.execute(statement)
    for table in ("settings", "setting_versions"):
        migrate.isolate(table)
    migrate.append_only("setting_versions")
