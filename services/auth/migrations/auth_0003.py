"""TOTP, recovery codes, passkeys, keys of devices, letters and what they ask for."""

from alembic import op

from chassis import migrate

revision = "auth_0003"
down_revision = "auth_0002"
branch_labels = None
depends_on = None

_TABLES = """
ALTER TABLE users ADD COLUMN password_shown_at timestamptz;
CREATE TABLE totp_factors (
    user_id uuid PRIMARY KEY REFERENCES users (id),
    sealed bytea NOT NULL,
    confirmed_at timestamptz,
    last_step bigint,
    created_at timestamptz NOT NULL
);
CREATE TABLE recovery_codes (
    user_id uuid NOT NULL REFERENCES users (id),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    used_at timestamptz,
    PRIMARY KEY (user_id, hash)
);
CREATE TABLE passkeys (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id),
    credential_id bytea NOT NULL UNIQUE CHECK (octet_length(credential_id) BETWEEN 1 AND 1023),
    public_key bytea NOT NULL,
    sign_count bigint NOT NULL CHECK (sign_count >= 0),
    name text NOT NULL,
    transports text[] NOT NULL,
    backed_up boolean NOT NULL,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz
);
CREATE INDEX passkeys_user ON passkeys (user_id);
CREATE TABLE biometric_keys (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL REFERENCES users (id),
    device_id text NOT NULL CHECK (device_id <> ''),
    public_key bytea NOT NULL,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT biometric_keys_one UNIQUE (tenant_id, user_id, device_id)
);
CREATE INDEX biometric_keys_device ON biometric_keys (device_id, user_id);
CREATE TABLE challenges (
    hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    purpose text NOT NULL CHECK (purpose IN ('passkey-register', 'passkey-login', 'biometric')),
    subject text NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX challenges_age ON challenges (expires_at);
CREATE TABLE password_requests (
    id uuid PRIMARY KEY,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE TABLE password_resets (
    hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    user_id uuid NOT NULL REFERENCES users (id),
    expires_at timestamptz NOT NULL
);
CREATE INDEX password_resets_user ON password_resets (user_id);
CREATE TABLE letters (
    id uuid PRIMARY KEY,
    sealed bytea NOT NULL,
    attempts integer NOT NULL CHECK (attempts >= 0),
    due_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX letters_due ON letters (due_at)
"""

# What belongs to a person is seen by a transaction that has named them.
_OWN = ("totp_factors", "recovery_codes", "passkeys")
# What is written, and from then on is reached by functions alone: by who knows the secret, or one at a time.
_POSTED = ("challenges", "password_requests", "password_resets", "letters")

# Each takes one key, or the one that is due, and answers about its holder alone.
_FUNCTIONS = (
    """
    set_password(account uuid, hashed text) RETURNS void VOLATILE AS $$
        UPDATE users u SET password_hash = hashed WHERE u.id = account
    $$
    """,
    """
    note_password_shown(account uuid, at timestamptz) RETURNS void VOLATILE AS $$
        UPDATE users u SET password_shown_at = at WHERE u.id = account
    $$
    """,
    """
    find_passkey(wanted bytea) RETURNS TABLE (id uuid, user_id uuid, public_key bytea) STABLE AS $$
        SELECT p.id, p.user_id, p.public_key FROM passkeys p WHERE p.credential_id = wanted
    $$
    """,
    # One user's keys of the device, or, without a user, those of all who sign in there.
    """
    find_biometric_keys(device text, account uuid)
    RETURNS TABLE (tenant_id uuid, id uuid, user_id uuid, public_key bytea, email text, password_shown_at timestamptz)
    STABLE AS $$
        SELECT b.tenant_id, b.id, b.user_id, b.public_key, u.email::text, u.password_shown_at
        FROM biometric_keys b JOIN users u ON u.id = b.user_id
        WHERE b.device_id = device AND (account IS NULL OR b.user_id = account)
        ORDER BY b.created_at DESC LIMIT 100
    $$
    """,
    """
    take_challenge(wanted bytea, meant text)
    RETURNS TABLE (subject text, expires_at timestamptz) VOLATILE AS $$
        DELETE FROM challenges c WHERE c.hash = wanted AND c.purpose = meant RETURNING c.subject, c.expires_at
    $$
    """,
    """
    take_password_request() RETURNS TABLE (id uuid, sealed bytea, created_at timestamptz) VOLATILE AS $$
        DELETE FROM password_requests r WHERE r.id = (
            SELECT n.id FROM password_requests n ORDER BY n.id LIMIT 1 FOR UPDATE SKIP LOCKED
        ) RETURNING r.id, r.sealed, r.created_at
    $$
    """,
    """
    find_password_reset(wanted bytea)
    RETURNS TABLE (user_id uuid, email text, name text, expires_at timestamptz) STABLE AS $$
        SELECT r.user_id, u.email::text, u.name, r.expires_at
        FROM password_resets r JOIN users u ON u.id = r.user_id WHERE r.hash = wanted
    $$
    """,
    # The token that is used ends all others of the account.
    """
    take_password_reset(wanted bytea) RETURNS uuid VOLATILE AS $$
        WITH taken AS (DELETE FROM password_resets r WHERE r.hash = wanted RETURNING r.user_id, r.hash),
        others AS (DELETE FROM password_resets r USING taken t WHERE r.user_id = t.user_id AND r.hash <> t.hash)
        SELECT t.user_id FROM taken t
    $$
    """,
    """
    void_password_resets(account uuid) RETURNS void VOLATILE AS $$
        DELETE FROM password_resets r WHERE r.user_id = account
    $$
    """,
    """
    take_letter(now timestamptz, again_at timestamptz)
    RETURNS TABLE (id uuid, sealed bytea, attempts integer, created_at timestamptz) VOLATILE AS $$
        UPDATE letters l SET attempts = l.attempts + 1, due_at = again_at WHERE l.id = (
            SELECT n.id FROM letters n WHERE n.due_at <= now ORDER BY n.due_at LIMIT 1 FOR UPDATE SKIP LOCKED
        ) RETURNING l.id, l.sealed, l.attempts, l.created_at
    $$
    """,
    """
    put_letter_off(letter uuid, until timestamptz) RETURNS void VOLATILE AS $$
        UPDATE letters l SET due_at = until WHERE l.id = letter
    $$
    """,
    """
    delete_letter(letter uuid) RETURNS void VOLATILE AS $$ DELETE FROM letters l WHERE l.id = letter $$
    """,
    """
    forget_factors(now timestamptz) RETURNS void VOLATILE AS $$
        DELETE FROM challenges c WHERE c.expires_at < now;
        DELETE FROM password_resets r WHERE r.expires_at < now - interval '1 day';
    $$
    """,
)
_ME = "nullif(current_setting('app.user_id', true), '')::uuid"


def upgrade() -> None:
    """Create the tables, their policies and the functions."""
    process, owner = migrate.role(), f"{migrate.role()}_owner"
    for statement in filter(str.strip, _TABLES.split(";")):
        op.execute(statement)
    migrate.isolate("biometric_keys")
    for table in (*_OWN, *_POSTED):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    for table in _OWN:
        op.execute(f'CREATE POLICY own ON {table} TO "{process}" USING (user_id = {_ME}) WITH CHECK (user_id = {_ME})')
    for table in _POSTED:
        op.execute(f'REVOKE ALL ON {table} FROM "{process}"')
        op.execute(f'GRANT INSERT ON {table} TO "{process}"')
        op.execute(f'CREATE POLICY post ON {table} FOR INSERT TO "{process}" WITH CHECK (true)')
    for table in ("passkeys", "biometric_keys", *_POSTED):
        op.execute(f'CREATE POLICY look_up ON {table} TO "{owner}" USING (true) WITH CHECK (true)')
    for function in _FUNCTIONS:
        _create(function)
    migrate.resealable("totp_factors", key=["user_id"], columns=["sealed"])
    migrate.resealable("password_requests", key=["id"], columns=["sealed"])
    migrate.resealable("letters", key=["id"], columns=["sealed"])


def _create(function: str) -> None:
    head, body = function.strip().split(" AS ", 1)
    # A caller's search path must not choose what the owner's rights are used on.
    op.execute(f"CREATE FUNCTION {head} LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS {body}")
    name = head.split("(", 1)[0]
    op.execute(f"REVOKE EXECUTE ON FUNCTION {name} FROM PUBLIC")
    op.execute(f'GRANT EXECUTE ON FUNCTION {name} TO "{migrate.role()}"')
