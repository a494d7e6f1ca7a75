"""What each process is told by its environment, and on which ports they listen."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit, urlunsplit

from chassis import embedded, migrate
from cli.run_dir import ROOT, RunDir, database_password, root_secret, service_credential, services
from cli.supervisor import Spec

GATEWAY = "gateway"
# These two are found at fixed addresses: everybody asks them before they can ask anybody else.
FIXED = ("registry", "auth")
OPERATOR_EMAIL = "operator@switchyard.example"
HTTP_PORT_DEFAULT = 8000
# Two would stop when either does; more than three is no more for a laptop to show.
NATS_NODES = (1, 3)


@dataclass(frozen=True)
class Backends:
    """Where PostgreSQL (as its administrator), NATS and Valkey are."""

    postgres_admin_url: str
    # Of one server, or of each of a cluster with commas between.
    nats_url: str
    valkey_url: str
    # What we know of NATS when it is our own.
    nats: Mapping[str, str] = field(default_factory=dict)


# The environment variable that names an external server, by the embedded server that it replaces.
EXTERNAL = {
    "postgres": "SWITCHYARD_POSTGRES_ADMIN_URL",
    "nats": "SWITCHYARD_NATS_URL",
    "valkey": "SWITCHYARD_VALKEY_URL",
}

# Services that keep secrets sealed, each under a master key of its own.
SEALING = ("auth", "inventory", "orders")

# Names of variables, or their beginnings, that are meant for one process.
PRIVATE = (
    "SWITCHYARD_SERVICE_ROOT_SECRET",
    *(f"SWITCHYARD_{service.upper()}_MASTER_KEY" for service in SEALING),
    "SWITCHYARD_DATABASE_PASSWORD_",
    "SWITCHYARD_MAIL_URL",
)


def http_port() -> int:
    """The gateway's port: `SWITCHYARD_HTTP_PORT`, or 8000. Raises ValueError when it is no number."""
    return int(os.environ.get("SWITCHYARD_HTTP_PORT", HTTP_PORT_DEFAULT))


@dataclass(frozen=True)
class Layout:
    """Which processes there are, and their ports; chosen once, so that a process started again is found again."""

    names: list[str]
    http_port: int
    ops_ports: Mapping[str, int] = field(default_factory=dict)
    grpc_ports: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def choose(cls) -> "Layout":
        """Choose free ports for every service and the gateway."""
        names = [*services(), GATEWAY]
        free = embedded.free_ports(len(names) + len(FIXED))
        ops_ports = dict(zip(names, free, strict=False))
        return cls(names, http_port(), ops_ports, dict(zip(FIXED, free[len(names) :], strict=True)))

    @property
    def url(self) -> str:
        """The URL of the suite: the gateway's."""
        return f"http://127.0.0.1:{self.http_port}"


def spec(name: str, layout: Layout, backends: Backends, run_dir: RunDir) -> Spec:
    """How to run one process."""
    module = name if name == GATEWAY else f"services.{name}"
    return Spec(
        name=name,
        argv=[sys.executable, "-m", module],
        env=_environment(name, layout, backends, run_dir),
        cwd=ROOT,
        ops_port=layout.ops_ports[name],
    )


def _environment(name: str, layout: Layout, backends: Backends, run_dir: RunDir) -> dict[str, str]:
    own = {
        **backends.nats,
        "SWITCHYARD_NATS_URL": backends.nats_url,
        "SWITCHYARD_VALKEY_URL": backends.valkey_url,
        "SWITCHYARD_REGISTRY_ADDRESS": f"127.0.0.1:{layout.grpc_ports['registry']}",
        "SWITCHYARD_AUTH_ADDRESS": f"127.0.0.1:{layout.grpc_ports['auth']}",
        "SWITCHYARD_SERVICE_CREDENTIAL": service_credential(root_secret(run_dir), name),
        "SWITCHYARD_OPS_PORT": str(layout.ops_ports[name]),
        "SWITCHYARD_LOG_FORMAT": os.environ.get("SWITCHYARD_LOG_FORMAT", "console"),
        # A line is in the log when it is printed, not when a buffer is full.
        "PYTHONUNBUFFERED": "1",
    }
    if name in layout.grpc_ports:
        own["SWITCHYARD_GRPC_PORT"] = str(layout.grpc_ports[name])
    if name == GATEWAY:
        own |= {"SWITCHYARD_HTTP_HOST": "127.0.0.1", "SWITCHYARD_HTTP_PORT": str(layout.http_port)}
    else:
        own["SWITCHYARD_DATABASE_URL"] = _database_url(name, backends, run_dir)
    if name in SEALING:
        key = f"SWITCHYARD_{name.upper()}_MASTER_KEY"
        own[key] = os.environ.get(key) or run_dir.secret(f"{name}_master_key")
        own[f"{key}_PREVIOUS"] = os.environ.get(f"{key}_PREVIOUS", "")
    if name == "orders":
        development = os.environ.get("SWITCHYARD_ENVIRONMENT", "development") == "development"
        own["SWITCHYARD_TEST_PAYMENTS"] = os.environ.get("SWITCHYARD_TEST_PAYMENTS", str(development))
    if name == "auth":
        own |= {
            "SWITCHYARD_SERVICE_ROOT_SECRET": root_secret(run_dir),
            "SWITCHYARD_PUBLIC_URL": os.environ.get("SWITCHYARD_PUBLIC_URL") or layout.url,
            "SWITCHYARD_MAIL_URL": os.environ.get("SWITCHYARD_MAIL_URL") or run_dir.mail_dir.as_uri(),
            "SWITCHYARD_BOOTSTRAP_OPERATOR_EMAIL": OPERATOR_EMAIL,
            "SWITCHYARD_BOOTSTRAP_OPERATOR_PASSWORD": run_dir.secret("operator_password", kind="password"),
        }
    # What only one process may know is not handed to the others, even when our own environment holds it.
    private = (*PRIVATE, EXTERNAL["postgres"])
    passed = {key: value for key, value in os.environ.items() if not key.startswith(private)}
    return passed | own


def _database_url(service: str, backends: Backends, run_dir: RunDir) -> str:
    role = migrate.database(service)
    admin = urlsplit(backends.postgres_admin_url)
    address = admin.netloc.rpartition("@")[2]
    netloc = f"{role}:{quote(database_password(run_dir, service), safe='')}@{address}"
    return urlunsplit(admin._replace(netloc=netloc, path=f"/{role}"))
