"""What every process is told by its environment; a service subclasses `Settings` for more.

Every name is prefixed `SWITCHYARD_`. A missing or malformed value stops the process at start with a message that names
it; nothing is read later.
"""

import sys
from typing import Literal, Self

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Addresses, credentials and bounds that all processes have in common."""

    model_config = SettingsConfigDict(env_prefix="SWITCHYARD_", extra="ignore", secrets_dir=None)

    environment: Literal["development", "production"] = "development"
    version: str = "0.1.0"
    zone: str = ""

    nats_url: str = "nats://127.0.0.1:4222"
    registry_address: str = "127.0.0.1:7001"
    auth_address: str = "127.0.0.1:7002"
    service_credential: SecretStr = SecretStr("")

    grpc_host: str = "127.0.0.1"
    grpc_port: int = 0
    advertise_host: str = ""
    ops_host: str = "127.0.0.1"
    ops_port: int = 0

    # Bounds. A call without a deadline of its own gets this one.
    deadline_s: float = 10.0
    # How long a process finishes what it has begun after SIGTERM.
    drain_s: float = 10.0

    # Where the process is to die, for those who show that nothing is lost (`chassis.faults`).
    fault: str = ""

    log_level: str = "INFO"
    log_format: Literal["json", "console"] = "json"
    trace_sample_ratio: float = 0.01
    otlp_endpoint: str = ""

    @classmethod
    def load(cls) -> Self:
        """Read the environment, or end the process with a line for each value that is wrong."""
        try:
            return cls()
        except ValidationError as failure:
            for error in failure.errors():
                name = "SWITCHYARD_" + "_".join(str(part) for part in error["loc"]).upper()
                sys.stderr.write(f"{name}: {error['msg']}\n")
            raise SystemExit(2) from None


class ServiceSettings(Settings):
    """What a process that owns data is told besides."""

    database_url: SecretStr
    database_pool: int = 10
    # Copies of each JetStream stream: 1 on a laptop, 3 in production.
    stream_replicas: int = 1
