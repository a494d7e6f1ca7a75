"""What only auth is told: the secrets everything hangs on, the first operator, where it is found, its post."""

from pydantic import Field, SecretStr

from chassis.settings import ServiceSettings


class AuthSettings(ServiceSettings):
    """Settings of an auth process."""

    # Every service's credential is `svc_<name>.<HMAC-SHA256(this, name)>`.
    service_root_secret: SecretStr = Field(min_length=16)
    # Wraps the keys that encrypt secrets at rest. The one before it is named too until every process has the new one.
    auth_master_key: SecretStr = Field(min_length=16)
    auth_master_key_previous: SecretStr = SecretStr("")
    bootstrap_operator_email: str = ""
    bootstrap_operator_password: SecretStr = SecretStr("")

    # Where people and their programs reach the suite: the host that passkeys are bound to, and the issuer of OAuth.
    # Passkeys cannot be bound to an IP address: where this has one, they are used from http://localhost instead.
    public_url: str = "http://127.0.0.1:8000"
    # Further origins whose pages may use passkeys, separated by commas.
    webauthn_origins: str = ""
    # `smtp://user:password@host:port`, `smtps://...`, or `file:///folder`. Empty: letters wait.
    mail_url: SecretStr = SecretStr("")
    mail_from: str = ""

    # OWASP's recommendation for Argon2id: 19 MiB, two passes, one lane.
    argon2_memory_kib: int = 19 * 1024
    argon2_time_cost: int = 2
