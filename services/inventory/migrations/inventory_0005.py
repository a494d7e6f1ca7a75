"""Modifiers, availability, webhooks."""

from alembic import op

from chassis import migrate

revision = "inventory_0005"
down_revision = "inventory_0004"
branch_labels = None
depends_on = "chassis_0002"

_TABLES = """
ALTER TABLE menu_items
    ADD COLUMN description text NOT NULL DEFAULT '',
    ADD COLUMN image_url text NOT NULL DEFAULT '',
    ADD COLUMN position bigint NOT NULL DEFAULT 0 CHECK (position >= 0),
    ADD COLUMN tags jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN allergens jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN modifier_groups jsonb NOT NULL DEFAULT '[]';
CREATE INDEX menu_items_in_order ON menu_items (tenant_id, position, name, id) WHERE deleted_at IS NULL;
CREATE TABLE menu_item_sites (
    tenant_id uuid NOT NULL,
    menu_item_id uuid NOT NULL,
    site_id uuid NOT NULL,
    available boolean NOT NULL,
    sold_out boolean NOT NULL,
    price_amount bigint CHECK (price_amount >= 0),
    version bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, menu_item_id, site_id),
    FOREIGN KEY (tenant_id, menu_item_id) REFERENCES menu_items (tenant_id, id)
);
-- What was last announced of whether the stock allows a piece. No row: it does.
CREATE TABLE menu_item_stock (
    tenant_id uuid NOT NULL,
    menu_item_id uuid NOT NULL,
    site_id uuid NOT NULL,
    sold_out boolean NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, menu_item_id, site_id),
    FOREIGN KEY (tenant_id, menu_item_id) REFERENCES menu_items (tenant_id, id)
);
CREATE TABLE webhook_endpoints (
    tenant_id uuid NOT NULL,
    site_id uuid NOT NULL,
    provider text NOT NULL,
    secret bytea NOT NULL,
    previous_secret bytea,
    previous_until timestamptz,
    notification_url text NOT NULL,
    location_id text NOT NULL,
    skus jsonb NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, site_id, provider),
    CHECK ((previous_secret IS NULL) = (previous_until IS NULL))
);
CREATE TABLE webhook_deliveries (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    site_id uuid NOT NULL,
    provider text NOT NULL,
    event_id text NOT NULL,
    type text NOT NULL,
    status text NOT NULL,
    reason text NOT NULL,
    results jsonb NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    -- An event of a provider is applied once, however often and from how many sides it comes.
    UNIQUE (tenant_id, site_id, provider, event_id)
);
CREATE INDEX webhook_deliveries_newest ON webhook_deliveries (tenant_id, received_at DESC, id DESC);
-- How new the newest count is that was applied to an item at a site.
CREATE TABLE webhook_marks (
    tenant_id uuid NOT NULL,
    item_id uuid NOT NULL,
    site_id uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    event_id text NOT NULL,
    PRIMARY KEY (tenant_id, item_id, site_id)
);
"""
_ISOLATED = ("menu_item_sites", "menu_item_stock", "webhook_endpoints", "webhook_deliveries", "webhook_marks")


def upgrade() -> None:
    """Extend the menu; create the tables of what sites sell and of what other systems tell us."""
    for statement in filter(str.strip, _TABLES.split(";")):
        op.execute(statement)
    for table in _ISOLATED:
        migrate.isolate(table)
    migrate.append_only("webhook_deliveries", columns=("status", "reason", "results"))
    migrate.resealable(
        "webhook_endpoints", key=["tenant_id", "site_id", "provider"], columns=["secret", "previous_secret"]
    )
