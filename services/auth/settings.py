"""What only auth is told: the secrets everything hangs on, the first operator, the cost of a password hash."""

from pydantic import Field, SecretStr

from chassis.settings import ServiceSettings


class AuthSettings(ServiceSettings):
    """Settings of an auth process."""

    # Every service's credential is `svc_<name>.<HMAC-SHA256(this, name)>`.
    service_root_secret: SecretStr = Field(min_length=16)
    # Encrypts the private signing keys at rest and derives refresh tokens.
    auth_master_key: SecretStr = Field(min_length=16)
    bootstrap_operator_email: str = ""
    bootstrap_operator_password: SecretStr = SecretStr("")

    # OWASP's recommendation for Argon2id: 19 MiB, two passes, one lane.
    argon2_memory_kib: int = 19 * 1024
    argon2_time_cost: int = 2
