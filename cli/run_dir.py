"""The run directory (`.run`): secrets made once, the state of what runs, the logs."""

import contextlib
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chassis import folders

ROOT = Path(__file__).resolve().parents[1]
# A log is begun anew when it is this long; the one before is kept.
LOG_BYTES_MAX = 16 << 20


class RunDir:
    """One run directory. Only `switchyard up` writes in it."""

    def __init__(self, path: Path) -> None:
        """Use the directory, which need not exist yet."""
        self.path = path.absolute()
        self.state_file = self.path / "state.json"
        self.demo_file = self.path / "demo.json"
        self.servers_dir = self.path / "servers"
        self.logs_dir = self.path / "logs"
        self.mail_dir = self.path / "mail"
        self._secrets_file = self.path / "secrets.json"

    @classmethod
    def from_environment(cls) -> "RunDir":
        """`SWITCHYARD_RUN_DIR`, or `.run` in the working directory."""
        return cls(Path(os.environ.get("SWITCHYARD_RUN_DIR", ".run")))

    def secret(self, name: str, *, kind: str = "key") -> str:
        """Return a secret, made at its first use: a "key" is 32 bytes in hex, a "password" is for people."""
        known = self._secrets()
        if name not in known:
            known[name] = secrets.token_hex(32) if kind == "key" else secrets.token_urlsafe(15)
            self._write_secrets(known)
        return known[name]

    def known_secret(self, name: str) -> str | None:
        """Return a secret that has been made or kept, or None."""
        return self._secrets().get(name)

    def keep_secret(self, name: str, value: str) -> None:
        """Keep a secret that somebody else made."""
        self._write_secrets({**self._secrets(), name: value})

    def state(self) -> dict[str, Any]:
        """What runs, as the supervisor last wrote it; empty when nothing does."""
        return _read_json(self.state_file)

    def write_state(self, state: Mapping[str, object]) -> None:
        """Replace the state as a whole."""
        folders.write_private(self.state_file, json.dumps(state, indent=2))

    def demo(self) -> dict[str, Any]:
        """The demo system's URL and logins; empty unless it runs and is filled."""
        return _read_json(self.demo_file)

    def write_demo(self, demo: Mapping[str, object]) -> None:
        """Say that the demo system is up and filled."""
        folders.write_private(self.demo_file, json.dumps(demo, indent=2))

    def forget_run(self) -> None:
        """Remove what is only true while the system runs."""
        self.state_file.unlink(missing_ok=True)
        self.demo_file.unlink(missing_ok=True)

    def _secrets(self) -> dict[str, str]:
        return _read_json(self._secrets_file)

    def _write_secrets(self, known: Mapping[str, str]) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        folders.write_private(self._secrets_file, json.dumps(known, indent=2))


def _read_json(path: Path) -> dict[str, Any]:
    with contextlib.suppress(FileNotFoundError):
        content: dict[str, Any] = json.loads(path.read_text())
        return content
    return {}


def service_credential(root_secret: str, service: str) -> str:
    """The credential by which a service proves its name to `auth`, which knows the same root secret."""
    mac = hmac.new(root_secret.encode(), service.encode(), hashlib.sha256).hexdigest()
    return f"svc_{service}.{mac}"


def root_secret(run_dir: RunDir) -> str:
    """`SWITCHYARD_SERVICE_ROOT_SECRET`, or the run directory's own."""
    return os.environ.get("SWITCHYARD_SERVICE_ROOT_SECRET") or run_dir.secret("service_root_secret")


def database_password(run_dir: RunDir, service: str) -> str:
    """`SWITCHYARD_DATABASE_PASSWORD_<SERVICE>`, or the run directory's own."""
    return os.environ.get(f"SWITCHYARD_DATABASE_PASSWORD_{service.upper()}") or run_dir.secret(f"database.{service}")


def services() -> list[str]:
    """The names of all services: the folders under `services/` that can be run."""
    return sorted(path.parent.name for path in (ROOT / "services").glob("*/__main__.py"))
