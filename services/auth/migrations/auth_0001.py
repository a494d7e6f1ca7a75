"""Accounts, memberships, sessions, tokens, signing keys, and the functions that find them before a tenant is known."""

from alembic import op

from chassis import migrate

revision = "auth_0001"
down_revision = None
branch_labels = ("auth",)
depends_on = "chassis_0001"

_TABLES = """
CREATE TABLE users (
    id uuid PRIMARY KEY,
    email citext NOT NULL UNIQUE CHECK (length(email) BETWEEN 3 AND 254),
    name text NOT NULL,
    password_hash text NOT NULL,
    operator boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE memberships (
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL REFERENCES users (id),
    name text NOT NULL,
    role text NOT NULL,
    site_ids uuid[] NOT NULL,
    status text NOT NULL CHECK (status IN ('active', 'disabled')),
    version bigint NOT NULL CHECK (version >= 1),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX memberships_user ON memberships (user_id);
CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id),
    life_s integer NOT NULL CHECK (life_s > 0),
    device_id text NOT NULL,
    address text NOT NULL,
    user_agent text NOT NULL,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    end_reason text CHECK (end_reason IN ('logout', 'reuse_detected', 'user_disabled', 'user_removed')),
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);
CREATE INDEX sessions_live ON sessions (user_id) WHERE ended_at IS NULL;
CREATE TABLE refresh_tokens (
    hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    parent bytea UNIQUE REFERENCES refresh_tokens (hash) ON DELETE CASCADE,
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    user_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    spent_at timestamptz
);
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);
CREATE TABLE api_tokens (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('store', 'catalog')),
    site_id uuid NOT NULL,
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    expires_at timestamptz,
    last_used_at timestamptz,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE TABLE signing_keys (
    tenant_id uuid NOT NULL,
    generation bigint NOT NULL CHECK (generation >= 1),
    kid text NOT NULL UNIQUE,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, generation)
);
CREATE TABLE login_failures (
    tenant_id uuid NOT NULL,
    key bytea NOT NULL,
    failures integer NOT NULL CHECK (failures >= 0),
    last_at timestamptz NOT NULL,
    blocked_until timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX login_failures_age ON login_failures (last_at)
"""

# Each takes one key and answers about its holder alone.
_FUNCTIONS = (
    """
    find_account(wanted citext)
    RETURNS TABLE (id uuid, email text, name text, password_hash text, operator boolean) STABLE AS $$
        SELECT u.id, u.email::text, u.name, u.password_hash, u.operator FROM users u WHERE u.email = wanted
    $$
    """,
    """
    access_of(account uuid)
    RETURNS TABLE (tenant_id uuid, role text, site_ids uuid[]) STABLE AS $$
        SELECT m.tenant_id, m.role, m.site_ids FROM memberships m
        WHERE m.user_id = account AND m.status = 'active' ORDER BY m.created_at, m.tenant_id
    $$
    """,
    """
    is_operator(account uuid) RETURNS boolean STABLE AS $$
        SELECT coalesce((SELECT u.operator FROM users u WHERE u.id = account), false)
    $$
    """,
    """
    standing_of_session(session uuid)
    RETURNS TABLE (
        user_id uuid, expires_at timestamptz, operator boolean, tenant_id uuid, role text, site_ids uuid[]
    ) STABLE AS $$
        SELECT s.user_id, s.expires_at, u.operator, m.tenant_id, m.role, m.site_ids
        FROM sessions s JOIN users u ON u.id = s.user_id
        LEFT JOIN memberships m ON m.user_id = s.user_id AND m.status = 'active'
        WHERE s.id = session AND s.ended_at IS NULL
    $$
    """,
    """
    find_api_token(wanted bytea)
    RETURNS TABLE (id uuid, tenant_id uuid, kind text, site_id uuid, expires_at timestamptz) STABLE AS $$
        SELECT t.id, t.tenant_id, t.kind, t.site_id, t.expires_at FROM api_tokens t WHERE t.hash = wanted
    $$
    """,
    """
    owner_of_refresh_token(wanted bytea) RETURNS uuid STABLE AS $$
        SELECT r.user_id FROM refresh_tokens r WHERE r.hash = wanted
    $$
    """,
    # An address that has an account keeps it as it is: neither its password nor its standing can be written over.
    """
    open_account(new_id uuid, address citext, called text, hashed text, operates boolean) RETURNS uuid VOLATILE AS $$
        INSERT INTO users (id, email, name, password_hash, operator)
        VALUES (new_id, address, called, hashed, operates) ON CONFLICT (email) DO NOTHING;
        SELECT u.id FROM users u WHERE u.email = address
    $$
    """,
    """
    forget_sessions(before timestamptz) RETURNS void VOLATILE AS $$
        DELETE FROM sessions s WHERE coalesce(s.ended_at, s.expires_at) < before
    $$
    """,
)
_ME = "nullif(current_setting('app.user_id', true), '')::uuid"


def upgrade() -> None:
    """Create tables, their policies and the functions."""
    for statement in filter(str.strip, _TABLES.split(";")):
        op.execute(statement)
    for table in ("memberships", "api_tokens", "signing_keys", "login_failures"):
        migrate.isolate(table)
    _isolate_persons()
    _let_the_owner_look_up()
    for function in _FUNCTIONS:
        _create(function)


def _isolate_persons() -> None:
    process = migrate.role()
    for table in ("users", "sessions", "refresh_tokens"):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    for table in ("sessions", "refresh_tokens"):
        op.execute(f'CREATE POLICY own ON {table} TO "{process}" USING (user_id = {_ME}) WITH CHECK (user_id = {_ME})')
        op.execute(f'REVOKE DELETE, TRUNCATE ON {table} FROM "{process}"')
    # The memberships that the inner select sees are those of the transaction's tenant.
    member = "EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = users.id)"
    op.execute(f'CREATE POLICY known ON users FOR SELECT TO "{process}" USING (id = {_ME} OR {member})')
    op.execute(f'REVOKE ALL ON users FROM "{process}"')
    op.execute(f'GRANT SELECT (id, email, name, created_at) ON users TO "{process}"')


def _let_the_owner_look_up() -> None:
    for table in ("users", "memberships", "sessions", "refresh_tokens", "api_tokens"):
        op.execute(f'CREATE POLICY look_up ON {table} TO "{migrate.role()}_owner" USING (true) WITH CHECK (true)')


def _create(function: str) -> None:
    head, body = function.strip().split(" AS ", 1)
    # A caller's search path must not choose what the owner's rights are used on.
    op.execute(f"CREATE FUNCTION {head} LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS {body}")
    name = head.split("(", 1)[0]
    op.execute(f"REVOKE EXECUTE ON FUNCTION {name} FROM PUBLIC")
    op.execute(f'GRANT EXECUTE ON FUNCTION {name} TO "{migrate.role()}"')
