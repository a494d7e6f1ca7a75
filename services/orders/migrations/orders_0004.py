"""Bulk orders and their entries; group orders and their participants."""

from alembic import op

from chassis import migrate

revision = "orders_0004"
down_revision = "orders_0003"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE bulk_orders (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    site_id uuid NOT NULL,
    name text NOT NULL,
    organisation text NOT NULL,
    event text NOT NULL,
    owner_id uuid,
    created_by text NOT NULL,
    wanted_at timestamptz,
    status text NOT NULL CHECK (status IN ('placing', 'placed', 'completed', 'cancelling', 'cancelled')),
    order_count bigint NOT NULL CHECK (order_count BETWEEN 1 AND 1000),
    placed_percent bigint NOT NULL DEFAULT 0 CHECK (placed_percent BETWEEN 0 AND 100),
    ended_percent bigint NOT NULL DEFAULT 0 CHECK (ended_percent BETWEEN 0 AND placed_percent),
    tries bigint NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,
    fingerprint bytea NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT bulk_orders_ended CHECK (status NOT IN ('completed', 'cancelled') OR ended_percent = 100)
);
CREATE INDEX bulk_orders_newest ON bulk_orders (tenant_id, created_at DESC, id DESC);
CREATE INDEX bulk_orders_due ON bulk_orders (due_at) WHERE status IN ('placing', 'placed', 'cancelling');
CREATE TABLE bulk_entries (
    tenant_id uuid NOT NULL,
    bulk_id uuid NOT NULL,
    position bigint NOT NULL CHECK (position >= 0),
    order_id uuid NOT NULL,
    customer_name text NOT NULL,
    notes text NOT NULL,
    lines jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('waiting', 'placed', 'refused', 'withdrawn')),
    code text NOT NULL DEFAULT '',
    message text NOT NULL DEFAULT '',
    tried_at timestamptz,
    PRIMARY KEY (tenant_id, bulk_id, position),
    UNIQUE (tenant_id, order_id),
    FOREIGN KEY (tenant_id, bulk_id) REFERENCES bulk_orders (tenant_id, id),
    CONSTRAINT bulk_entries_refused_says_why CHECK ((state = 'refused') = (code <> '')),
    CONSTRAINT bulk_entries_withdrawn_untried CHECK (state <> 'withdrawn' OR tried_at IS NULL)
);
CREATE INDEX bulk_entries_waiting ON bulk_entries (tenant_id, bulk_id, position) WHERE state = 'waiting';
CREATE TABLE group_orders (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    site_id uuid NOT NULL,
    site_name text NOT NULL,
    name text NOT NULL,
    code text NOT NULL CHECK (code ~ '^[2-9BCDFGHJKMNPQRSTVWXYZ]{6}$'),
    host_name text NOT NULL,
    created_by text NOT NULL,
    status text NOT NULL CHECK (status IN ('open', 'locked', 'submitted', 'closed')),
    deadline timestamptz NOT NULL,
    attempts bigint NOT NULL DEFAULT 0,
    order_id uuid,
    rejection text NOT NULL DEFAULT '',
    rejection_message text NOT NULL DEFAULT '',
    outcome text NOT NULL DEFAULT '' CHECK (outcome IN ('', 'completed', 'order_cancelled', 'cancelled', 'expired')),
    participant_count bigint NOT NULL DEFAULT 0,
    line_count bigint NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,
    fingerprint bytea NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT group_orders_participants CHECK (participant_count BETWEEN 0 AND 100),
    CONSTRAINT group_orders_lines CHECK (line_count BETWEEN 0 AND 200),
    CONSTRAINT group_orders_submitted_has_order CHECK (status <> 'submitted' OR order_id IS NOT NULL),
    CONSTRAINT group_orders_closed_says_how CHECK ((status = 'closed') = (outcome <> ''))
);
CREATE UNIQUE INDEX group_orders_code ON group_orders (code) WHERE status <> 'closed';
CREATE INDEX group_orders_newest ON group_orders (tenant_id, created_at DESC, id DESC);
CREATE INDEX group_orders_due ON group_orders (due_at) WHERE status IN ('open', 'locked');
CREATE INDEX group_orders_submitted ON group_orders (tenant_id, order_id) WHERE status = 'submitted';
CREATE TABLE group_participants (
    tenant_id uuid NOT NULL,
    group_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    lines jsonb NOT NULL,
    line_count bigint NOT NULL CHECK (line_count BETWEEN 1 AND 20),
    token_digest bytea NOT NULL,
    joined_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, group_id, id),
    CONSTRAINT group_participants_token UNIQUE (tenant_id, group_id, token_digest),
    FOREIGN KEY (tenant_id, group_id) REFERENCES group_orders (tenant_id, id)
);
CREATE INDEX group_participants_of_group ON group_participants (group_id, id);
ALTER TABLE orders
    ADD COLUMN IF NOT EXISTS bulk_id uuid,
    ADD COLUMN IF NOT EXISTS group_id uuid,
    ADD COLUMN IF NOT EXISTS group_code text NOT NULL DEFAULT '';
CREATE UNIQUE INDEX orders_one_of_group ON orders (tenant_id, group_id)
    WHERE group_id IS NOT NULL AND status <> 'cancelled';
CREATE INDEX orders_of_bulk ON orders (tenant_id, bulk_id, placed_at DESC, id DESC) WHERE bulk_id IS NOT NULL
"""

# The last line of defence: whatever a process believes, no percentage and no state goes back.
_BULKS = """
CREATE FUNCTION bulk_orders_go_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status IN ('completed', 'cancelled') AND NEW.status <> OLD.status THEN
        RAISE EXCEPTION 'a % bulk order is final', OLD.status USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.placed_percent < OLD.placed_percent OR NEW.ended_percent < OLD.ended_percent THEN
        RAISE EXCEPTION 'progress never goes back' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$
"""
_ENTRIES = """
CREATE FUNCTION bulk_entries_end_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'waiting' THEN
        RAISE EXCEPTION 'a % entry is final', OLD.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$
"""
_GROUPS = """
CREATE FUNCTION group_orders_go_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'closed' OR (OLD.status = 'submitted' AND NEW.status = 'open') THEN
        RAISE EXCEPTION 'cannot go from % to %', OLD.status, NEW.status USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.version <= OLD.version OR NEW.code <> OLD.code THEN
        RAISE EXCEPTION 'version only grows and a code stays' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$
"""
# Whoever joins holds the group order's row, so that its state stays what it is until the participant is in it.
_PARTICIPANTS = """
CREATE FUNCTION group_participants_join_the_open() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM public.group_orders
    WHERE tenant_id = NEW.tenant_id AND id = NEW.group_id AND status = 'open' FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the group order is not open' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$
"""
_TRIGGERS = {
    "bulk_orders": (_BULKS, "bulk_orders_go_on", "UPDATE"),
    "bulk_entries": (_ENTRIES, "bulk_entries_end_once", "UPDATE"),
    "group_orders": (_GROUPS, "group_orders_go_on", "UPDATE"),
    "group_participants": (_PARTICIPANTS, "group_participants_join_the_open", "INSERT OR UPDATE"),
}

# What processes may see of all tenants: which bulk and group orders have something due, and, of whoever shows a code or
# a participant's token, whose it is. Nothing can be listed with the last three.
_LOOKS = {
    "due_bulk_orders(at timestamptz, most bigint)": """
        RETURNS TABLE (tenant_id uuid, id uuid) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
            SELECT tenant_id, id FROM public.bulk_orders
            WHERE status IN ('placing', 'placed', 'cancelling') AND due_at <= at ORDER BY due_at LIMIT most
        $$""",
    "due_group_orders(at timestamptz, most bigint)": """
        RETURNS TABLE (tenant_id uuid, id uuid) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
            (SELECT tenant_id, id FROM public.group_orders
             WHERE status IN ('open', 'locked') AND due_at <= at ORDER BY due_at LIMIT most)
            UNION ALL
            (SELECT g.tenant_id, g.id FROM public.group_orders g
             JOIN public.orders o ON o.tenant_id = g.tenant_id AND o.id = g.order_id
             WHERE g.status = 'submitted' AND o.status IN ('completed', 'cancelled') LIMIT most)
        $$""",
    "group_order_invitation(given text, at timestamptz)": """
        RETURNS TABLE (id uuid, name text, host_name text, site_id uuid, site_name text, deadline timestamptz,
            participant_count bigint)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
            SELECT id, name, host_name, site_id, site_name, deadline, participant_count FROM public.group_orders
            WHERE code = given AND status = 'open' AND deadline > at
        $$""",
    "tenant_of_group_order_code(given text, group_id uuid)": """
        RETURNS uuid LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
            SELECT tenant_id FROM public.group_orders WHERE code = given AND id = group_id AND status <> 'closed'
        $$""",
    "tenant_of_participant(of_group uuid, participant_id uuid, digest bytea)": """
        RETURNS uuid LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
            SELECT tenant_id FROM public.group_participants
            WHERE group_id = of_group AND id = participant_id AND token_digest = digest
        $$""",
}


def upgrade() -> None:
    for statement in filter(str.strip, _TABLES.split(";")):
        op.execute(statement)
    for table, (create, function, when) in _TRIGGERS.items():
        migrate.isolate(table)
        op.execute(create)
        op.execute(f"CREATE TRIGGER {function} BEFORE {when} ON {table} FOR EACH ROW EXECUTE FUNCTION {function}()")
    _let_processes_look()


def _let_processes_look() -> None:
    owner = f"{migrate.role()}_owner"
    for table in ("bulk_orders", "group_orders", "group_participants", "orders"):
        op.execute(f'CREATE POLICY looking ON {table} FOR SELECT TO "{owner}" USING (true)')
    for signature, body in _LOOKS.items():
        op.execute(f"CREATE FUNCTION {signature} {body}")
        name, _, parameters = signature.partition("(")
        types = ", ".join(parameter.split()[-1] for parameter in parameters.rstrip(")").split(", "))
        op.execute(f"REVOKE EXECUTE ON FUNCTION {name}({types}) FROM PUBLIC")
        op.execute(f'GRANT EXECUTE ON FUNCTION {name}({types}) TO "{migrate.role()}"')
