"""OAuth clients, codes, consents, and sessions that came of another one."""

from alembic import op

from chassis import migrate

revision = "auth_0005"
down_revision = "auth_0004"
branch_labels = None
depends_on = None

_TABLES = """
ALTER TABLE sessions
    ADD COLUMN parent_id uuid,
    ADD CONSTRAINT sessions_that_came_of_another CHECK (parent_id IS NULL OR client_id IS NOT NULL);
CREATE INDEX sessions_parent ON sessions (parent_id) WHERE parent_id IS NOT NULL AND ended_at IS NULL;
CREATE TABLE oauth_clients (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL UNIQUE,
    name text NOT NULL,
    confidential boolean NOT NULL,
    redirect_uris text[] NOT NULL,
    grant_types text[] NOT NULL CHECK (cardinality(grant_types) > 0),
    scopes text[] NOT NULL,
    trusted boolean NOT NULL,
    role text NOT NULL,
    site_ids uuid[] NOT NULL,
    secret_hash bytea CHECK (octet_length(secret_hash) = 32),
    old_secret_hash bytea CHECK (octet_length(old_secret_hash) = 32),
    old_secret_until timestamptz,
    generation bigint NOT NULL CHECK (generation >= 1),
    version bigint NOT NULL CHECK (version >= 1),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT oauth_clients_secret CHECK (confidential = (secret_hash IS NOT NULL)),
    CONSTRAINT oauth_clients_old_secret CHECK ((old_secret_hash IS NULL) = (old_secret_until IS NULL)),
    CONSTRAINT oauth_clients_role CHECK (('client_credentials' = ANY (grant_types)) = (role <> '')),
    CONSTRAINT oauth_clients_proof CHECK (
        confidential
        OR NOT grant_types && ARRAY['client_credentials', 'urn:ietf:params:oauth:grant-type:token-exchange']
    ),
    CONSTRAINT oauth_clients_redirect CHECK (
        NOT 'authorization_code' = ANY (grant_types) OR cardinality(redirect_uris) > 0
    )
);
CREATE TABLE oauth_codes (
    tenant_id uuid NOT NULL,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    client_id uuid NOT NULL,
    user_id uuid NOT NULL,
    redirect_uri text NOT NULL,
    scopes text[] NOT NULL,
    nonce text NOT NULL,
    code_challenge text NOT NULL CHECK (code_challenge <> ''),
    authenticated_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    spent_at timestamptz,
    session_id uuid,
    PRIMARY KEY (tenant_id, hash),
    FOREIGN KEY (tenant_id, client_id) REFERENCES oauth_clients (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, user_id) REFERENCES memberships (tenant_id, user_id) ON DELETE CASCADE,
    CONSTRAINT oauth_codes_spent CHECK ((spent_at IS NULL) = (session_id IS NULL))
);
CREATE INDEX oauth_codes_age ON oauth_codes (expires_at);
CREATE TABLE oauth_consents (
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    client_id uuid NOT NULL,
    scopes text[] NOT NULL,
    given_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, user_id, client_id),
    FOREIGN KEY (tenant_id, client_id) REFERENCES oauth_clients (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, user_id) REFERENCES memberships (tenant_id, user_id) ON DELETE CASCADE
)
"""

# A tenant's own role cannot be deleted while a client has it, nor given while it is being deleted.
_CLIENT_ROLE_EXISTS = """
    client_role_exists() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.role IN ('', 'admin', 'manager', 'staff', 'kiosk', 'pos', 'auditor') THEN
            RETURN NEW;
        END IF;
        PERFORM FROM roles r WHERE r.tenant_id = NEW.tenant_id AND r.name = NEW.role FOR KEY SHARE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'there is no role %', NEW.role
                USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'oauth_clients_role_exists';
        END IF;
        RETURN NEW;
    END
    $$
"""
_ROLE_IS_FREE_OF_CLIENTS = """
    role_is_free_of_clients() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM oauth_clients c WHERE c.tenant_id = OLD.tenant_id AND c.role = OLD.name) THEN
            RAISE EXCEPTION 'the role % is in use', OLD.name
                USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'roles_in_use';
        END IF;
        RETURN OLD;
    END
    $$
"""
_TRIGGERS = (
    "client_role_exists BEFORE INSERT OR UPDATE OF role ON oauth_clients",
    "role_is_free_of_clients BEFORE DELETE ON roles",
)

# Each takes one key and answers about its holder alone.
_FUNCTIONS = (
    # What a client may do on its own account.
    """
    standing_of_client(client uuid)
    RETURNS TABLE (
        tenant_id uuid, role text, own_permissions text[], site_ids uuid[], scopes text[], generation bigint,
        suspended boolean
    ) STABLE AS $$
        SELECT c.tenant_id, c.role,
            ARRAY(
                SELECT DISTINCT p FROM roles r, unnest(r.permissions) AS p
                WHERE r.tenant_id = c.tenant_id AND r.name = c.role
            ),
            c.site_ids, c.scopes, c.generation,
            coalesce((SELECT t.status = 'suspended' FROM tenant_standing t WHERE t.tenant_id = c.tenant_id), false)
        FROM oauth_clients c WHERE c.id = client
    $$
    """,
    # Ends all sessions of one of the transaction's own tenant's clients, and those that came of them.
    """
    end_sessions_of_client(client uuid, at timestamptz) RETURNS TABLE (session_id uuid, user_id uuid) VOLATILE AS $$
        UPDATE sessions s SET ended_at = at, end_reason = 'client_revoked'
        WHERE s.ended_at IS NULL
            AND s.tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid
            AND (
                s.client_id = client
                OR s.parent_id IN (SELECT p.id FROM sessions p WHERE p.client_id = client AND p.ended_at IS NULL)
            )
        RETURNING s.id, s.user_id
    $$
    """,
    # What the person whom the transaction names has allowed a client, whatever tenant they act in now.
    """
    withdraw_consent(tenant uuid, client uuid) RETURNS void VOLATILE AS $$
        DELETE FROM oauth_consents c WHERE c.tenant_id = tenant AND c.client_id = client
            AND c.user_id = nullif(current_setting('app.user_id', true), '')::uuid
    $$
    """,
    """
    forget_oauth_codes(before timestamptz) RETURNS void VOLATILE AS $$
        DELETE FROM oauth_codes c WHERE c.expires_at < before
    $$
    """,
)


def upgrade() -> None:
    """Create the tables, their policies, guards and functions."""
    for statement in filter(str.strip, _TABLES.split(";")):
        op.execute(statement)
    for table in ("oauth_clients", "oauth_codes", "oauth_consents"):
        migrate.isolate(table)
        op.execute(f'CREATE POLICY look_up ON {table} TO "{migrate.role()}_owner" USING (true) WITH CHECK (true)')
    for guard in (_CLIENT_ROLE_EXISTS, _ROLE_IS_FREE_OF_CLIENTS):
        op.execute(f"CREATE FUNCTION {guard}")
    for trigger in _TRIGGERS:
        op.execute(f"CREATE TRIGGER {trigger} FOR EACH ROW EXECUTE FUNCTION {trigger.split()[0]}()")
    for function in _FUNCTIONS:
        _create(function)


def _create(function: str) -> None:
    head, body = function.strip().split(" AS ", 1)
    # A caller's search path must not choose what the owner's rights are used on.
    op.execute(f"CREATE FUNCTION {head} LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS {body}")
    name = head.split("(", 1)[0]
    op.execute(f"REVOKE EXECUTE ON FUNCTION {name} FROM PUBLIC")
    op.execute(f'GRANT EXECUTE ON FUNCTION {name} TO "{migrate.role()}"')
