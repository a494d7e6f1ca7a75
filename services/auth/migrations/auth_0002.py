"""Sessions with a method and a fresh factor, personal tokens, roles of a tenant's own, suspended tenants."""

from alembic import op

from chassis import migrate

revision = "auth_0002"
down_revision = "auth_0001"
branch_labels = None
depends_on = None

_TABLES = """
ALTER TABLE sessions
    DROP CONSTRAINT sessions_end_reason_check,
    ADD COLUMN method text NOT NULL DEFAULT 'password'
        CHECK (method IN ('password', 'otp', 'passkey', 'biometric', 'oauth', 'impersonation')),
    ADD COLUMN actor text NOT NULL DEFAULT '',
    ADD COLUMN actor_session uuid,
    ADD COLUMN tenant_id uuid,
    ADD COLUMN client_id uuid,
    ADD COLUMN scopes text[],
    ADD COLUMN authenticated_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN renewable boolean NOT NULL DEFAULT true,
    ADD CONSTRAINT sessions_end_reason CHECK (end_reason IN ('logout', 'ended', 'reuse_detected', 'password_changed',
        'user_disabled', 'user_removed', 'client_revoked')),
    ADD CONSTRAINT sessions_of_clients CHECK ((client_id IS NULL) = (scopes IS NULL)),
    ADD CONSTRAINT sessions_confined CHECK (tenant_id IS NOT NULL OR (client_id IS NULL AND actor = '')),
    ADD CONSTRAINT sessions_in_anothers_name CHECK (
        (actor <> '') = (method = 'impersonation') AND (actor <> '') = (actor_session IS NOT NULL)
    );
CREATE INDEX sessions_actor_session ON sessions (actor_session) WHERE ended_at IS NULL AND actor_session IS NOT NULL;
CREATE INDEX sessions_client ON sessions (client_id) WHERE ended_at IS NULL AND client_id IS NOT NULL;
CREATE TABLE session_sites (
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    site_id uuid NOT NULL,
    PRIMARY KEY (session_id, tenant_id)
);
CREATE TABLE roles (
    tenant_id uuid NOT NULL,
    name text NOT NULL CHECK (name ~ '^[a-z][a-z0-9_-]{1,63}$'),
    permissions text[] NOT NULL,
    description text NOT NULL,
    version bigint NOT NULL CHECK (version >= 1),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, name)
);
ALTER TABLE memberships
    ADD COLUMN additional_roles text[] NOT NULL DEFAULT '{}',
    ADD COLUMN consented_at timestamptz,
    ADD COLUMN last_login_at timestamptz;
UPDATE memberships SET consented_at = created_at;
CREATE TABLE tenant_standing (
    tenant_id uuid PRIMARY KEY,
    name text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    users_max bigint,
    status_by uuid,
    limits_by uuid
);
ALTER TABLE api_tokens
    DROP CONSTRAINT api_tokens_kind_check,
    ALTER COLUMN site_id DROP NOT NULL,
    ADD COLUMN user_id uuid REFERENCES users (id),
    ADD COLUMN scopes text[] NOT NULL DEFAULT '{}',
    ADD COLUMN allowed_networks text[] NOT NULL DEFAULT '{}',
    ADD COLUMN created_by text NOT NULL DEFAULT '',
    ADD CONSTRAINT api_tokens_kind CHECK (kind IN ('store', 'catalog', 'personal')),
    ADD CONSTRAINT api_tokens_whose CHECK ((kind = 'personal') = (user_id IS NOT NULL)),
    ADD CONSTRAINT api_tokens_where CHECK (kind = 'personal' OR site_id IS NOT NULL);
CREATE INDEX api_tokens_user ON api_tokens (user_id) WHERE user_id IS NOT NULL
"""

_STANDING = "coalesce((SELECT t.status = 'suspended' FROM tenant_standing t WHERE t.tenant_id = m.tenant_id), false)"
# What the tenant's own roles among a member's allow, all together.
_OWN_PERMISSIONS = """
    ARRAY(
        SELECT DISTINCT p FROM roles r, unnest(r.permissions) AS p
        WHERE r.tenant_id = m.tenant_id AND (r.name = m.role OR r.name = ANY(m.additional_roles))
    )
"""
_MEMBER = "m.status = 'active' AND m.consented_at IS NOT NULL"

# Each takes one key and answers about its holder alone.
_FUNCTIONS = (
    f"""
    access_of(account uuid)
    RETURNS TABLE (tenant_id uuid, role text, site_ids uuid[], additional_roles text[]) STABLE AS $$
        SELECT m.tenant_id, m.role, m.site_ids, m.additional_roles FROM memberships m
        WHERE m.user_id = account AND {_MEMBER} ORDER BY m.created_at, m.tenant_id
    $$
    """,
    f"""
    standing_of_session(session uuid)
    RETURNS TABLE (
        user_id uuid, expires_at timestamptz, authenticated_at timestamptz, actor text, actor_session uuid,
        confined_to uuid, client_id uuid, scopes text[], operator boolean, tenant_id uuid, role text,
        additional_roles text[], own_permissions text[], site_ids uuid[], suspended boolean, active_site uuid
    ) STABLE AS $$
        SELECT s.user_id, s.expires_at, s.authenticated_at, s.actor, s.actor_session,
            s.tenant_id, s.client_id, s.scopes, u.operator, m.tenant_id, m.role, m.additional_roles,
            {_OWN_PERMISSIONS}, m.site_ids, {_STANDING},
            (SELECT a.site_id FROM session_sites a WHERE a.session_id = s.id AND a.tenant_id = m.tenant_id)
        FROM sessions s JOIN users u ON u.id = s.user_id
        LEFT JOIN memberships m ON m.user_id = s.user_id AND {_MEMBER}
        WHERE s.id = session AND s.ended_at IS NULL
        ORDER BY m.created_at, m.tenant_id
    $$
    """,
    # Of a personal token also what its person may do; no role: the person is no member any more.
    f"""
    find_api_token(wanted bytea)
    RETURNS TABLE (
        id uuid, tenant_id uuid, kind text, site_id uuid, expires_at timestamptz, user_id uuid, scopes text[],
        allowed_networks text[], role text, additional_roles text[], own_permissions text[], site_ids uuid[],
        suspended boolean
    ) STABLE AS $$
        SELECT m.id, m.tenant_id, m.kind, m.site_id, m.expires_at, m.user_id, m.scopes, m.allowed_networks,
            m.role, m.additional_roles, {_OWN_PERMISSIONS}, m.site_ids, {_STANDING}
        FROM (
            SELECT t.*, m.role, m.additional_roles, m.site_ids
            FROM api_tokens t LEFT JOIN memberships m
                ON m.tenant_id = t.tenant_id AND m.user_id = t.user_id AND {_MEMBER}
            WHERE t.hash = wanted
        ) m
    $$
    """,
    # Several processes note the same ones, and nobody waits for that: what is being changed is noted next time.
    """
    note_session_uses(used uuid[], at timestamptz[], shown_from text[]) RETURNS void VOLATILE AS $$
        UPDATE sessions s SET last_used_at = free.at, address = free.shown_from
        FROM (
            SELECT f.id, u.at, u.shown_from
            FROM sessions f JOIN unnest(used, at, shown_from) AS u (id, at, shown_from) ON u.id = f.id
            WHERE f.last_used_at < u.at FOR UPDATE OF f SKIP LOCKED
        ) AS free
        WHERE s.id = free.id
    $$
    """,
    # Nobody goes on in another's name who has left themselves.
    """
    end_sessions_of_actors(actors uuid[], at timestamptz, why text) RETURNS TABLE (session_id uuid, user_id uuid)
    VOLATILE AS $$
        UPDATE sessions s SET ended_at = at, end_reason = why
        WHERE s.ended_at IS NULL AND s.actor_session = ANY (actors)
        RETURNING s.id, s.user_id
    $$
    """,
    # Only over the hash that was verified: a password that was changed meanwhile stays.
    """
    rehash_password(account uuid, was text, hashed text) RETURNS void VOLATILE AS $$
        UPDATE users u SET password_hash = hashed WHERE u.id = account AND u.password_hash = was
    $$
    """,
    """
    note_login(account uuid, at timestamptz) RETURNS void VOLATILE AS $$
        UPDATE memberships m SET last_login_at = at WHERE m.user_id = account
    $$
    """,
    """
    is_suspended(tenant uuid) RETURNS boolean STABLE AS $$
        SELECT coalesce((SELECT t.status = 'suspended' FROM tenant_standing t WHERE t.tenant_id = tenant), false)
    $$
    """,
)
_REPLACED = ("access_of(uuid)", "standing_of_session(uuid)", "find_api_token(bytea)")
_ME = "nullif(current_setting('app.user_id', true), '')::uuid"


def upgrade() -> None:
    """Create tables, their policies and the functions."""
    for statement in filter(str.strip, _TABLES.split(";")):
        op.execute(statement)
    process = migrate.role()
    migrate.isolate("roles")
    migrate.isolate("tenant_standing")
    op.execute("ALTER TABLE session_sites ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE session_sites FORCE ROW LEVEL SECURITY")
    own = f"user_id = {_ME}"
    op.execute(f'CREATE POLICY own ON session_sites TO "{process}" USING ({own}) WITH CHECK ({own})')
    for table in ("session_sites", "roles", "tenant_standing"):
        op.execute(f'CREATE POLICY look_up ON {table} TO "{process}_owner" USING (true) WITH CHECK (true)')
    for function in _REPLACED:
        op.execute(f"DROP FUNCTION {function}")
    for function in _FUNCTIONS:
        _create(function)


def _create(function: str) -> None:
    head, body = function.strip().split(" AS ", 1)
    # A caller's search path must not choose what the owner's rights are used on.
    op.execute(f"CREATE FUNCTION {head} LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS {body}")
    name = head.split("(", 1)[0]
    op.execute(f"REVOKE EXECUTE ON FUNCTION {name} FROM PUBLIC")
    op.execute(f'GRANT EXECUTE ON FUNCTION {name} TO "{migrate.role()}"')
