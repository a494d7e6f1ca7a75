"""Invitations, whether an account's address was ever shown to be its owner's, and what guards roles and seats."""

from alembic import op

from chassis import migrate

revision = "auth_0004"
down_revision = "auth_0003"
branch_labels = None
depends_on = None

_TABLES = """
ALTER TABLE users ADD COLUMN proven_at timestamptz;
ALTER TABLE roles ADD CONSTRAINT roles_not_built_in CHECK (
    name NOT IN ('admin', 'manager', 'staff', 'kiosk', 'pos', 'auditor', 'operator', 'service', 'scope')
);
CREATE TABLE invitations (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    email citext NOT NULL,
    role text NOT NULL,
    additional_roles text[] NOT NULL,
    site_ids uuid[] NOT NULL,
    invited_by uuid,
    user_id uuid,
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT invitations_email UNIQUE (tenant_id, email),
    FOREIGN KEY (tenant_id, user_id) REFERENCES memberships (tenant_id, user_id) ON DELETE CASCADE,
    CHECK ((invited_by IS NULL) <> (user_id IS NULL))
);
CREATE INDEX invitations_end ON invitations (expires_at);
CREATE TABLE order_work (
    tenant_id uuid NOT NULL,
    order_id uuid NOT NULL,
    user_id uuid,
    began_at timestamptz,
    ready_at timestamptz,
    completed_at timestamptz,
    PRIMARY KEY (tenant_id, order_id)
);
CREATE INDEX order_work_user ON order_work (tenant_id, user_id) WHERE completed_at IS NOT NULL
"""

# A tenant's own role cannot be deleted while a user has it, nor given while it is being deleted: whoever gives it holds
# its row, in the order of the names.
_GIVEN_ROLES_EXIST = """
    given_roles_exist() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        wanted text;
    BEGIN
        FOR wanted IN
            SELECT DISTINCT given FROM unnest(array_append(NEW.additional_roles, NEW.role)) given
            WHERE given NOT IN ('admin', 'manager', 'staff', 'kiosk', 'pos', 'auditor') ORDER BY given
        LOOP
            PERFORM FROM roles r WHERE r.tenant_id = NEW.tenant_id AND r.name = wanted FOR KEY SHARE;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'there is no role %', wanted
                    USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'memberships_roles_exist';
            END IF;
        END LOOP;
        RETURN NEW;
    END
    $$
"""
_ROLE_IS_FREE = """
    role_is_free() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (
            SELECT FROM memberships m
            WHERE m.tenant_id = OLD.tenant_id AND (m.role = OLD.name OR OLD.name = ANY (m.additional_roles))
        ) THEN
            RAISE EXCEPTION 'the role % is in use', OLD.name
                USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'roles_in_use';
        END IF;
        RETURN OLD;
    END
    $$
"""
# Those who take a seat of a tenant with a limit take turns.
_SEAT_IS_FREE = """
    seat_is_free() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        seats bigint;
    BEGIN
        IF NEW.status <> 'active' OR (TG_OP = 'UPDATE' AND OLD.status = 'active') THEN
            RETURN NEW;
        END IF;
        SELECT s.users_max INTO seats FROM tenant_standing s
            WHERE s.tenant_id = NEW.tenant_id AND s.users_max IS NOT NULL FOR UPDATE;
        IF seats <= (SELECT count(*) FROM memberships m WHERE m.tenant_id = NEW.tenant_id AND m.status = 'active') THEN
            RAISE EXCEPTION 'the tenant has no seat left'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'memberships_seats';
        END IF;
        RETURN NEW;
    END
    $$
"""
_TRIGGERS = (
    "given_roles_exist BEFORE INSERT OR UPDATE OF role, additional_roles ON memberships",
    "role_is_free BEFORE DELETE ON roles",
    "seat_is_free BEFORE INSERT OR UPDATE OF status ON memberships",
)

# Each takes one key and answers about its holder alone.
_LOOKUPS = (
    """
    find_invitation(wanted bytea)
    RETURNS TABLE (tenant_id uuid, id uuid, email text, expires_at timestamptz) STABLE AS $$
        SELECT i.tenant_id, i.id, i.email::text, i.expires_at FROM invitations i WHERE i.hash = wanted
    $$
    """,
    # The first to show that the address is theirs chooses the password, and nobody after them. Factors that are there
    # already may be somebody else's.
    """
    prove_account(account uuid, called text, hashed text) RETURNS boolean VOLATILE AS $$
        WITH proven AS (
            UPDATE users u SET name = called, password_hash = hashed, proven_at = now()
            WHERE u.id = account AND u.proven_at IS NULL AND NOT u.operator RETURNING u.id
        ),
        totp AS (DELETE FROM totp_factors f USING proven p WHERE f.user_id = p.id),
        codes AS (DELETE FROM recovery_codes f USING proven p WHERE f.user_id = p.id),
        keys AS (DELETE FROM passkeys f USING proven p WHERE f.user_id = p.id),
        devices AS (DELETE FROM biometric_keys f USING proven p WHERE f.user_id = p.id)
        SELECT true FROM proven
    $$
    """,
    """
    is_proven(address citext) RETURNS boolean STABLE AS $$
        SELECT coalesce((SELECT u.operator OR u.proven_at IS NOT NULL FROM users u WHERE u.email = address), false)
    $$
    """,
    """
    forget_invitations(before timestamptz) RETURNS void VOLATILE AS $$
        DELETE FROM invitations i WHERE i.expires_at < before
    $$
    """,
)


def upgrade() -> None:
    """Create tables, guards and the functions that look up what has no tenant yet."""
    for statement in filter(str.strip, _TABLES.split(";")):
        op.execute(statement)
    for table in ("invitations", "order_work"):
        migrate.isolate(table)
    for table in ("invitations", "totp_factors", "recovery_codes"):
        op.execute(f'CREATE POLICY look_up ON {table} TO "{migrate.role()}_owner" USING (true) WITH CHECK (true)')
    for guard in (_GIVEN_ROLES_EXIST, _ROLE_IS_FREE, _SEAT_IS_FREE):
        op.execute(f"CREATE FUNCTION {guard}")
    for trigger in _TRIGGERS:
        op.execute(f"CREATE TRIGGER {trigger} FOR EACH ROW EXECUTE FUNCTION {trigger.split()[0]}()")
    for function in _LOOKUPS:
        _create(function)


def _create(function: str) -> None:
    head, body = function.strip().split(" AS ", 1)
    # A caller's search path must not choose what the owner's rights are used on.
    op.execute(f"CREATE FUNCTION {head} LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS {body}")
    name = head.split("(", 1)[0]
    op.execute(f"REVOKE EXECUTE ON FUNCTION {name} FROM PUBLIC")
    op.execute(f'GRANT EXECUTE ON FUNCTION {name} TO "{migrate.role()}"')
