"""What every process is told by its environment; a service subclasses `Settings` for more.

Every name is prefixed `SWITCHYARD_`. A missing or malformed value stops the process at start with a message that names
it; nothing is read later.
"""

import ipaddress
import socket
import sys
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from chassis import stream_rules

_WILDCARDS = frozenset({"", "0.0.0.0", "::", "[::]"})  # noqa: S104 - to refuse them


class Settings(BaseSettings):
    """Addresses, credentials and bounds that all processes have in common."""

    model_config = SettingsConfigDict(env_prefix="SWITCHYARD_", extra="ignore", secrets_dir=None)

    environment: Literal["development", "production"] = "development"
    version: str = "0.1.0"
    zone: str = ""

    # One, or those of a cluster's servers with commas between.
    nats_url: str = "nats://127.0.0.1:4222"
    # Any target that gRPC knows. One with several addresses finds whichever process of the registry answers:
    # `ipv4:10.0.0.1:7001,10.0.0.2:7001`, or a name, `dns:///registry:7001`.
    registry_address: str = "127.0.0.1:7001"
    auth_address: str = "127.0.0.1:7002"
    service_credential: SecretStr = SecretStr("")

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

    grpc_host: str = "127.0.0.1"
    grpc_port: int = 0
    # Under which host others call this process: where it listens or, when that is everywhere, what its own name means.
    advertise_host: str = Field(default="", validate_default=True)

    database_url: SecretStr
    database_pool: int = 10
    # Copies of each JetStream stream: 1 on a laptop, 3 in production.
    stream_replicas: int = Field(default=1, validate_default=True)
    # Where each NATS server tells of itself (`http://host:8222`), with commas between. In production a process refuses
    # to serve on servers or streams that may lose what they acknowledged (`chassis.stream_rules`).
    nats_monitor_urls: str = Field(default="", validate_default=True)

    @field_validator("advertise_host")
    @classmethod
    def _where_others_find_it(cls, value: str, info: ValidationInfo) -> str:
        host = value or info.data.get("grpc_host", "")
        if host not in _WILDCARDS:
            return host
        found = "" if value else _own_address()
        if not found:
            message = "a process that listens on every address needs one by which others find it"
            raise ValueError(message)
        return found

    @field_validator("stream_replicas")
    @classmethod
    def _enough_replicas(cls, value: int, info: ValidationInfo) -> int:
        if info.data.get("environment") == "production" and value < stream_rules.REPLICAS:
            message = f"production keeps each stream {stream_rules.REPLICAS} times or more"
            raise ValueError(message)
        return value

    @field_validator("nats_monitor_urls")
    @classmethod
    def _some_monitor_urls(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("environment") == "production" and not value:
            message = "production looks at its NATS servers: name the monitoring URL of each"
            raise ValueError(message)
        return value


def _own_address() -> str:
    """What this host's name means to itself, in a container its address; nothing when that is the loopback's."""
    try:
        found = socket.gethostbyname(socket.gethostname())
    except OSError:
        return ""
    return "" if ipaddress.ip_address(found).is_loopback else found
